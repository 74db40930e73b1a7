//! The figures as text for people.

use std::fmt::Write as _;

use super::report::{Costs, Quantiles, Report, Side};

/// All reports: what was done, how fast, and at what cost.
pub(super) fn text<'a>(reports: impl Iterator<Item = &'a Report> + Clone) -> String {
    let mut text = String::new();
    for report in reports.clone() {
        let _ = writeln!(text, "{}", heading(report));
    }
    let header = ["", "messages/s", "MiB/s", "p50 ms", "p90", "p99", "p99.9", "max"];
    let _ = writeln!(text, "\n{}", row(&header));
    for report in reports.clone() {
        let (name, figures) = (report.plan.workload.to_string(), &report.median);
        let both = figures.send.is_some() && figures.drain.is_some();
        let named = |side: &str| if both { format!("{name}: {side}") } else { name.clone() };
        let sides = [(named("send"), &figures.send), (named("delete"), &figures.drain)];
        for (name, side) in sides {
            if let Some(Side { per_second, mib_per_second, latency_ms, .. }) = side {
                let _ = writeln!(
                    text,
                    "{}",
                    latencies(&name, &thousands(*per_second), &format!("{mib_per_second:.1}"), latency_ms)
                );
            }
        }
        if let Some(delivery) = &figures.delivery_ms {
            let _ = writeln!(text, "{}", latencies(&named("send to delivery"), "", "", delivery));
        }
    }
    let header = ["", "broker µs/msg", "client µs/msg", "msgs/sync", "journal B/msg", "disk B/msg", "peak MiB"];
    let _ = writeln!(text, "\n{}  verified", row(&header));
    for report in reports {
        let cells = costs(&report.median.costs);
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let name = report.plan.workload.to_string();
        let verified = match &report.median.verified {
            None => "no".to_owned(),
            Some(verdict) if verdict.ok => {
                format!("ok, {} messages", thousands(f64::from(u32::try_from(verdict.sent).unwrap_or(u32::MAX))))
            }
            Some(verdict) => format!("BROKEN: {verdict}"),
        };
        let _ = writeln!(text, "{}  {verified}", row(&[&[name.as_str()], cells.as_slice()].concat()));
    }
    text
}

fn heading(report: &Report) -> String {
    let plan = &report.plan;
    let journal = plan.journal.as_deref().map_or_else(String::new, |journal| format!(" on {journal}"));
    let drawn = plan.zipf.map_or_else(String::new, |s| format!(" (zipf {s})"));
    let pace = plan.rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("open loop at {rate}/s"));
    let length = match (plan.duration, plan.messages) {
        (Some(seconds), _) => format!("{seconds} s after {} s", plan.warmup),
        (None, messages) => format!("{} messages", messages.unwrap_or_default()),
    };
    let medians = if report.repeat > 1 { format!(", medians of {}", report.repeat) } else { String::new() };
    format!(
        "{}: {}{journal}, {} bytes, {} groups{drawn}, producers {}, consumers {}, in flight {}, batch {}, {pace}, {length}{medians}",
        plan.workload,
        plan.protocol,
        plan.size,
        plan.groups,
        plan.producers,
        plan.consumers,
        plan.in_flight,
        plan.batch
    )
}

fn row(cells: &[&str]) -> String {
    let mut text = format!("{:<22}", cells.first().unwrap_or(&""));
    for cell in cells.iter().skip(1) {
        let _ = write!(text, " {cell:>13}");
    }
    text
}

fn latencies(name: &str, rate: &str, volume: &str, quantiles: &Quantiles) -> String {
    let Quantiles { p50, p90, p99, p999, max, .. } = quantiles;
    let ms = |value: &f64| format!("{value:.3}");
    row(&[name, rate, volume, &ms(p50), &ms(p90), &ms(p99), &ms(p999), &ms(max)])
}

fn costs(costs: &Costs) -> [String; 6] {
    let shown =
        |value: Option<f64>, digits: usize| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
    #[allow(clippy::cast_precision_loss, reason = "a size to be read")]
    let peak = costs.broker_peak_memory_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
    [
        shown(costs.broker_cpu_us_per_message, 2),
        shown(costs.client_cpu_us_per_message, 2),
        shown(costs.messages_per_sync, 1),
        shown(costs.journal_bytes_per_message, 0),
        shown(costs.disk_bytes_per_message, 0),
        shown(peak, 0),
    ]
}

/// A number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0.4, 999.0, 1_000.0, 1_234_567.2].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
