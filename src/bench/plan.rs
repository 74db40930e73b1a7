//! What is to be measured, judged before anything is started: which flags make sense together.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::BenchArgs;
use crate::{cli::Global, serve::JournalKind};

/// What is done to a broker.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// Send messages.
    Send,
    /// Deliver and delete what was sent before; the sending is not measured.
    Drain,
    /// Send, deliver and delete at once.
    Both,
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Drain => "drain",
            Self::Both => "both",
        })
    }
}

/// How the client speaks to the broker.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// The streams Produce and Consume: singly through `Session::send_all`, in batches through `Producer::send_batch`,
    /// and `ConsumeStream`.
    Stream,
    /// A gRPC call for each message or batch.
    Grpc,
    /// The SQS wire protocol: JSON over HTTP/1.1 connections that are kept open.
    Sqs,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Grpc => "grpc",
            Self::Sqs => "sqs",
        })
    }
}

/// The parameters of a run, as they are told with its figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) protocol: Protocol,
    /// Unset when the broker is somebody else's.
    pub(super) journal: Option<String>,
    pub(super) size: u32,
    pub(super) groups: u32,
    pub(super) zipf: Option<f64>,
    pub(super) producers: u32,
    pub(super) consumers: u32,
    pub(super) in_flight: u32,
    pub(super) batch: u32,
    pub(super) rate: Option<u64>,
    /// Seconds; unset when a number of messages is measured.
    pub(super) duration: Option<f64>,
    pub(super) messages: Option<u64>,
    pub(super) warmup: f64,
    pub(super) seed: u64,
    pub(super) verify: bool,
}

/// The most bytes of bodies and ids in a request (H1, L3).
const MAX_REQUEST: u64 = 1 << 20;
/// What the ids of a message take.
const IDS: u64 = 32;

impl Plan {
    /// The plan of a workload, or what is wrong with its flags.
    pub(super) fn of(workload: Workload, args: &BenchArgs, global: &Global) -> Result<Self, String> {
        judge(workload, args, global)?;
        let single = args.batch == 1;
        let in_flight = args.in_flight.unwrap_or(match args.protocol {
            Protocol::Stream if single => 1_000,
            Protocol::Stream => 8,
            Protocol::Grpc => 256,
            Protocol::Sqs => 64,
        });
        let found = if args.protocol == Protocol::Stream { 300_000 } else { 60_000 };
        let messages = args.messages.or((workload == Workload::Drain).then_some(found));
        let timed = |seconds: Option<f64>, default: f64| messages.is_none().then(|| seconds.unwrap_or(default));
        Ok(Self {
            workload,
            protocol: args.protocol,
            journal: (!global.endpoint_given).then(|| args.journal.to_string()),
            size: args.size,
            groups: args.groups,
            zipf: args.zipf,
            producers: args.producers,
            consumers: args.consumers,
            in_flight,
            batch: args.batch,
            rate: args.rate,
            duration: timed(args.duration, 5.0),
            messages,
            warmup: timed(args.warmup, 1.0).unwrap_or(0.0),
            seed: args.seed,
            verify: !args.no_verify,
        })
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        Self {
            workload: Workload::Send,
            protocol: Protocol::Stream,
            journal: None,
            size: 64,
            groups: 10,
            zipf: None,
            producers: 1,
            consumers: 1,
            in_flight: 10,
            batch: 1,
            rate: None,
            duration: None,
            messages: None,
            warmup: 0.0,
            seed: 1,
            verify: true,
        }
    }

    /// The part of it that the filling of a queue has: as fast as it goes.
    pub(super) fn filling(&self) -> Self {
        let messages = self.messages;
        Self {
            workload: Workload::Send,
            protocol: Protocol::Stream,
            in_flight: 1_000,
            batch: 1,
            rate: None,
            messages,
            ..self.clone()
        }
    }

    /// The part that the end of a run has, when what was sent is looked at.
    pub(super) fn emptying(&self) -> Self {
        Self { workload: Workload::Drain, protocol: Protocol::Stream, in_flight: 4_000, batch: 1, ..self.clone() }
    }
}

fn judge(workload: Workload, args: &BenchArgs, global: &Global) -> Result<(), String> {
    if workload == Workload::Drain && args.rate.is_some() {
        return Err("--rate is how fast messages are sent, and a drain sends none while it is measured: \
                    leave it out, or measure `both`"
            .to_owned());
    }
    if workload == Workload::Drain && (args.duration.is_some() || args.warmup.is_some()) {
        return Err(
            "a drain ends when the queue is empty: say --messages instead of --duration and --warmup".to_owned()
        );
    }
    for (flag, seconds) in [("--duration", args.duration), ("--warmup", args.warmup)] {
        let least = if flag == "--duration" { 0.1 } else { 0.0 };
        if seconds.is_some_and(|seconds| !(least..=3_600.0).contains(&seconds)) {
            return Err(format!("{flag} takes {least} to 3600 seconds"));
        }
    }
    match args.zipf {
        Some(s) if !(0.0..=10.0).contains(&s) => return Err("--zipf takes an exponent from 0 to 10".to_owned()),
        Some(_) if args.groups < 2 => return Err("--zipf draws among groups: --groups must be 2 or more".to_owned()),
        Some(_) | None => {}
    }
    if args.groups < args.producers {
        return Err(format!(
            "each of the {} producers has groups of its own, to keep their order: --groups must be as many or more",
            args.producers
        ));
    }
    if args.protocol == Protocol::Sqs && args.batch > 10 {
        return Err(format!("--batch {}: a batch of the SQS wire has at most 10 messages (L3)", args.batch));
    }
    let bytes = u64::from(args.batch) * (u64::from(args.size) + IDS);
    if args.batch > 1 && bytes > MAX_REQUEST {
        let fits = MAX_REQUEST / (u64::from(args.size) + IDS);
        return Err(format!(
            "--batch {} of --size {} with ids are {bytes} bytes; a request takes 1 MiB (H1): at most {fits} of that size",
            args.batch, args.size
        ));
    }
    let single = args.protocol == Protocol::Stream && args.batch == 1;
    if single && workload != Workload::Drain && args.in_flight.is_some_and(|some| some > 1_000) {
        return Err(
            "--in-flight: a session has at most 1,000 messages unanswered (B3); use more --producers".to_owned()
        );
    }
    if args.protocol == Protocol::Sqs && !global.endpoint.starts_with("http://") {
        return Err("--protocol sqs speaks plain http alone".to_owned());
    }
    if global.endpoint_given && args.journal != JournalKind::Segments {
        return Err("--journal is that of the broker which is started; the one at --endpoint has its own".to_owned());
    }
    if global.endpoint_given && args.directory.is_some() {
        return Err("--directory is that of the broker which is started; the one at --endpoint has its own".to_owned());
    }
    Ok(())
}
