//! `lockstep bench`: a load generator. The flags, and the order of what is done; what a workload is stands in `plan`, one
//! run of it in `measure`, how it is told in `report` and `svg`.

mod body;
mod broker;
mod deck;
mod drain;
mod http;
mod lanes;
mod line;
mod measure;
mod pace;
mod plan;
mod record;
mod report;
mod run;
mod source;
mod svg;
mod table;
mod verify;

use std::path::PathBuf;

use clap::Args;

use self::{
    measure::Measured,
    plan::{Plan, Protocol, Workload},
    report::Report,
};
use crate::{
    cli::Global,
    exit::{Found, Usage},
    output::{print, say},
    serve::JournalKind,
};

const EXAMPLES: &str = "Examples:
  lockstep bench send                               singly, pipelined over the client library's stream
  lockstep bench send drain both --batch 100        three workloads, one after the other
  lockstep bench both --rate 2000                   open loop: latency from the moment a message was to be sent
  lockstep bench send --protocol grpc --in-flight 256 --repeat 5
  lockstep bench drain --protocol sqs --batch 10 --messages 50000 --journal sled
  lockstep bench send --groups 100000 --zipf 1.1 --duration 20 --json --svg send.svg
  lockstep bench both --endpoint http://10.0.0.7:9324   a broker that is there; its process is not looked into
Every message has a deduplication id of its own and is followed to its end: a message that is lost, comes twice or out of
order in its group makes the exit code 1. docs/bench.md says how to read the figures.";

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What to measure; several are measured one after the other, each on a fresh broker.
    #[arg(required = true, value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// How the client speaks to the broker.
    #[arg(long, default_value = "stream")]
    protocol: Protocol,
    /// The journal of the broker that is started.
    #[arg(long, default_value = "segments")]
    journal: JournalKind,
    /// Where the data directory of that broker is made, and removed again. Default: the system's temporary directory.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Bytes of a body, 32 to 1,048,576 (L2).
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(32..=1 << 20))]
    size: u32,
    /// Message groups.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    groups: u32,
    /// Draw the groups by Zipf's law with this exponent; without it every group is as likely.
    #[arg(long, value_name = "S")]
    zipf: Option<f64>,
    /// Producers, each with a connection and groups of its own.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    producers: u32,
    /// Consumers, each with a connection of its own.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    consumers: u32,
    /// Requests of a producer or consumer that may be unanswered; over the stream with --batch 1 messages. Default: 1000
    /// (stream), 8 (stream in batches), 256 (grpc), 64 (sqs: its connections).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: Option<u32>,
    /// Messages of a request, at most 1,000 and 1 MiB (H1), with sqs 10 (L3).
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: u32,
    /// Open loop: so many messages a second are to be sent, whatever is unanswered. Without it the next is sent as soon
    /// as --in-flight allows.
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Measure for so long; 5 unless --messages is given.
    #[arg(long, value_name = "SECONDS", conflicts_with = "messages")]
    duration: Option<f64>,
    /// Measure so many messages. A drain finds 300,000 over the stream, 60,000 else, unless said otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    messages: Option<u64>,
    /// Begin to measure after so long; 1 with --duration.
    #[arg(long, value_name = "SECONDS", conflicts_with = "messages")]
    warmup: Option<f64>,
    /// The seed of the groups that are drawn.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Measure so often, each time on a fresh broker, and tell medians.
    #[arg(long, default_value_t = 1, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Do not follow the messages to their end.
    #[arg(long)]
    no_verify: bool,
    /// Draw latency by percentile and throughput over time into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Measures and tells.
pub(crate) async fn run(args: BenchArgs, global: &Global) -> anyhow::Result<()> {
    let plans = args.workloads.iter().map(|workload| Plan::of(*workload, &args, global));
    let plans = plans.collect::<Result<Vec<_>, String>>().map_err(Usage)?;
    if let Some(path) = &args.svg {
        // A run is long: a place that cannot be written shows now.
        std::fs::write(path, "").map_err(|error| Usage(format!("cannot write {}: {error}", path.display())))?;
    }
    let mut reports = Vec::new();
    for plan in plans {
        let measuring = all_runs(&args, global, &plan);
        let runs = tokio::select! {
            runs = measuring => runs?,
            _ = tokio::signal::ctrl_c() => return Err(Found("interrupted".to_owned()).into()),
        };
        let report = Report::of(&plan, &runs);
        if global.json {
            print(&serde_json::to_string(&report)?)?;
        }
        reports.push((report, runs));
    }
    if !global.json {
        print(table::text(reports.iter().map(|(report, _)| report)).trim_end())?;
    }
    if let Some(path) = &args.svg {
        let drawn = svg::drawn(&reports);
        std::fs::write(path, drawn).map_err(|error| Found(format!("cannot write {}: {error}", path.display())))?;
    }
    let broken = reports.iter().filter_map(|(report, _)| report.violation()).next();
    broken.map_or(Ok(()), |what| Err(Found(what).into()))
}

async fn all_runs(args: &BenchArgs, global: &Global, plan: &Plan) -> anyhow::Result<Vec<Measured>> {
    let mut runs = Vec::new();
    for number in 1..=args.repeat {
        if args.repeat > 1 && !global.json {
            say(&format!("{} {number}/{}", plan.workload, args.repeat));
        }
        runs.push(Box::pin(measure::measure(args, global, plan, u64::from(number))).await?);
    }
    Ok(runs)
}
