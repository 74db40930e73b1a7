//! The figures of a run and of several: what `--json` tells. The names are documented in docs/bench.md and stay.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    broker::Usage,
    drain::Drained,
    measure::Measured,
    plan::{Plan, Workload},
    record::{Latencies, Recorder},
    verify::Verdict,
};

/// Milliseconds by percentile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Quantiles {
    #[allow(clippy::cast_precision_loss, reason = "a latency to be read")]
    fn of(latencies: &Latencies) -> Self {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let at = |quantile| ms(latencies.0.value_at_quantile(quantile));
        Self {
            mean: latencies.0.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(latencies.0.max()),
        }
    }
}

/// One direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Side {
    /// Within the measured time.
    pub(super) messages: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// Of bodies.
    pub(super) mib_per_second: f64,
    pub(super) latency_ms: Quantiles,
}

impl Side {
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    fn of(plan: &Plan, recorder: &Recorder) -> Self {
        let seconds = recorder.seconds();
        let per_second = recorder.messages as f64 / seconds;
        Self {
            messages: recorder.messages,
            seconds,
            per_second,
            mib_per_second: per_second * f64::from(plan.size) / f64::from(1 << 20),
            latency_ms: Quantiles::of(&recorder.latencies),
        }
    }
}

/// What it cost, in the measured time. What is not known of a broker that was not started here is null.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Costs {
    pub(super) broker_cpu_seconds: Option<f64>,
    pub(super) broker_cpu_us_per_message: Option<f64>,
    pub(super) broker_peak_memory_bytes: Option<u64>,
    pub(super) client_cpu_seconds: Option<f64>,
    pub(super) client_cpu_us_per_message: Option<f64>,
    pub(super) syncs: Option<u64>,
    pub(super) messages_per_sync: Option<f64>,
    pub(super) journal_bytes_per_message: Option<f64>,
    pub(super) disk_bytes_per_message: Option<f64>,
}

impl Costs {
    #[allow(clippy::cast_precision_loss, reason = "figures to be read")]
    fn of(messages: u64, [broker, client]: [Usage; 2]) -> Self {
        let each = |sum: f64| (messages > 0).then(|| sum / messages as f64);
        Self {
            broker_cpu_seconds: broker.cpu,
            broker_cpu_us_per_message: broker.cpu.and_then(|cpu| each(cpu * 1e6)),
            broker_peak_memory_bytes: broker.peak,
            client_cpu_seconds: client.cpu,
            client_cpu_us_per_message: client.cpu.and_then(|cpu| each(cpu * 1e6)),
            syncs: broker.frames,
            messages_per_sync: broker.frames.filter(|frames| *frames > 0).map(|frames| messages as f64 / frames as f64),
            journal_bytes_per_message: broker.frame_bytes.and_then(|bytes| each(bytes as f64)),
            disk_bytes_per_message: broker.written.and_then(|bytes| each(bytes as f64)),
        }
    }
}

/// The figures of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figures {
    /// From when a message was to be sent to its answer.
    pub(super) send: Option<Side>,
    /// From the asking for a delete to its answer.
    pub(super) drain: Option<Side>,
    /// From when a message was to be sent to its delivery.
    pub(super) delivery_ms: Option<Quantiles>,
    pub(super) costs: Costs,
    pub(super) verified: Option<Verdict>,
}

impl Figures {
    pub(super) fn of(
        plan: &Plan,
        sent: Option<&Recorder>,
        drained: Option<&Drained>,
        spent: [Usage; 2],
        verified: Option<Verdict>,
    ) -> Self {
        let messages = drained.map(|drained| drained.deletes.messages).or(sent.map(|sent| sent.messages));
        let both = plan.workload == Workload::Both;
        Self {
            send: sent.map(|sent| Side::of(plan, sent)),
            drain: drained.map(|drained| Side::of(plan, &drained.deletes)),
            delivery_ms: drained.filter(|_| both).map(|drained| Quantiles::of(&drained.deliveries)),
            costs: Costs::of(messages.unwrap_or_default(), spent),
            verified,
        }
    }

    /// The rate that tells runs apart.
    fn rate(&self) -> f64 {
        self.drain.as_ref().or(self.send.as_ref()).map_or(0.0, |side| side.per_second)
    }
}

/// A workload, its parameters, and its figures.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) plan: Plan,
    pub(super) repeat: usize,
    /// The median of each figure.
    #[serde(flatten)]
    pub(super) median: Figures,
    /// Each run, when there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<Figures>,
}

impl Report {
    pub(super) fn of(plan: &Plan, runs: &[Measured]) -> Self {
        let figures: Vec<Figures> = runs.iter().map(|run| run.figures.clone()).collect();
        let values: Vec<Value> = figures.iter().filter_map(|run| serde_json::to_value(run).ok()).collect();
        let mut median: Figures = serde_json::from_value(median(&values)).expect("it has the form of each of them");
        // A verdict has no median: one bad run is the word.
        let verdicts = || figures.iter().filter_map(|run| run.verified.as_ref());
        median.verified = verdicts().find(|verdict| !verdict.ok).or(verdicts().next()).cloned();
        let runs = if figures.len() > 1 { figures } else { Vec::new() };
        Self { plan: plan.clone(), repeat: values.len(), median, runs }
    }

    /// What is wrong with it.
    pub(super) fn violation(&self) -> Option<String> {
        let verdict = self.median.verified.as_ref().filter(|verdict| !verdict.ok)?;
        Some(format!("{}: {verdict}", self.plan.workload))
    }
}

/// The run in the middle, by rate.
pub(super) fn middle(runs: &[Measured]) -> Option<&Measured> {
    let mut sorted: Vec<&Measured> = runs.iter().collect();
    sorted.sort_by(|one, other| one.figures.rate().total_cmp(&other.figures.rate()));
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// The median of each number in values of one form, the lower of two.
fn median(values: &[Value]) -> Value {
    match values.first() {
        Some(Value::Object(first)) => {
            let of =
                |name: &String| median(&values.iter().filter_map(|value| value.get(name).cloned()).collect::<Vec<_>>());
            first.keys().map(|name| (name.clone(), of(name))).collect()
        }
        Some(Value::Number(_)) => {
            let mut sorted = values.to_vec();
            sorted.sort_by(|one, other| one.as_f64().unwrap_or(0.0).total_cmp(&other.as_f64().unwrap_or(0.0)));
            sorted[(sorted.len() - 1) / 2].clone()
        }
        Some(other @ (Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_))) => other.clone(),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_number_has_its_own_median() {
        let runs =
            [json!({"a": {"b": 3, "c": 1.5}}), json!({"a": {"b": 1, "c": 2.5}}), json!({"a": {"b": 2, "c": 9.0}})];
        assert_eq!(median(&runs), json!({"a": {"b": 2, "c": 2.5}}));
    }
}
