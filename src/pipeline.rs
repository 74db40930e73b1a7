//! `lockstep pipeline`: a day of messages through a broker and a pool of workers, each a process of its own, and a
//! verdict reached outside the broker. This file is the course of a run; its parts stand beside it.

mod chaos;
mod cluster;
pub(crate) mod facts;
mod generate;
pub(crate) mod input;
pub(crate) mod process;
mod producers;
mod progress;
mod setup;
pub(crate) mod verdict;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use lockstep_emr_sim::{
    format::Format,
    job::JobKind,
    manifest::Output,
    pool::PoolHandle,
    step::{Mapper, OnPoison},
};

use crate::{
    cli::Global,
    exit::Found,
    output::say,
    pipeline::{
        chaos::Chaos,
        cluster::Running,
        input::{GroupBy, IdBy},
        producers::Producers,
        progress::Shown,
        setup::Run,
    },
    serve::JournalKind,
    verify,
};

const EXAMPLES: &str = "Examples:
  lockstep pipeline                                          a seeded day of about 5,000 messages
  lockstep pipeline --chaos --seed 7                         the same, while processes are killed
  lockstep pipeline --input day.jsonl --out run/out --data run/data
  lockstep pipeline --input month.jsonl.gz --job reply-pairs --workers 4
  lockstep pipeline --input day.jsonl --mapper 'python3 my.py' --format jsonl.gz --on-poison dlq
The same command on the same --out and --data goes on where it was stopped or killed. OUT/manifest.jsonl lists what is \
published; OUT/<job>.jsonl (mapper.jsonl) is all \
of it, joined.";

/// How long a broker that is being restarted is asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Flags of `pipeline`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PipelineArgs {
    /// JSON Lines, plain or gzip, one message a line. Without it a seeded day of conversations is made.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The output folder. Default: a new one under ./lockstep-pipeline, or `out` in --data.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The broker's data directory. Default: a new one under ./lockstep-pipeline, or `data` in --out.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What the workers make: transcript (the conversations in order), reply-pairs (training examples), count (messages
    /// and bytes of each group).
    #[arg(long, default_value = "transcript", value_parser = named::<JobKind>)]
    job: JobKind,
    /// A program that makes it instead of a job: gets JSON lines, answers JSON lines (docs/steps.md). No shell is between.
    #[arg(long, value_name = "COMMAND", conflicts_with = "job")]
    mapper: Option<Mapper>,
    /// So long may the mapper take for one batch, in seconds; then it is killed and tried again.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    time_limit: u64,
    /// The form of the published files: jsonl, jsonl.gz, jsonl.zst, parquet (where it is built in).
    #[arg(long, default_value = "jsonl", value_parser = named::<Format>)]
    format: Format,
    /// What becomes of a message that cannot be processed: fail (the run ends), dlq (it goes to the dead-letter queue),
    /// park (its group waits for `lockstep unpark`).
    #[arg(long, default_value = "fail", value_parser = named::<OnPoison>)]
    on_poison: OnPoison,
    /// So often a message is tried before the policy dlq takes it out.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_receives: u32,
    /// Worker processes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=32))]
    workers: u64,
    /// Producer processes; each group belongs to one.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=32))]
    producers: u64,
    /// The field that is the message group; none: one group, total order.
    #[arg(long, default_value = "conversation_id", value_name = "FIELD|none")]
    group_by: GroupBy,
    /// The fields that are the deduplication id, or content.
    #[arg(long, default_value = "content", value_name = "FIELDS|content")]
    id_by: IdBy,
    /// Leave bad lines out, and list them, instead of sending nothing.
    #[arg(long)]
    skip_bad: bool,
    /// Where the broker's journal lies. Default: what --data holds, sled in a new one.
    #[arg(long)]
    journal: Option<JournalKind>,
    /// Kill broker, producers and workers with SIGKILL at seeded moments, and lose answers.
    #[arg(long)]
    chaos: bool,
    /// Seed of the generated day and of the chaos.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Send at so many times real time, by the field sent_at; as fast as it goes when absent.
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    speed: Option<f64>,
}

/// Reads a word of the pool's; its own error lists the others.
fn named<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T, String> {
    text.parse()
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        Ok(_) | Err(_) => Err("a number above 0".to_owned()),
    }
}

/// Runs the whole pipeline and prints the verdict.
pub(crate) async fn run(args: PipelineArgs, global: &Global) -> anyhow::Result<()> {
    let began = Instant::now();
    let run = Run::prepare(args)?;
    let accepted = tokio::select! {
        accepted = send_and_process(&run) => accepted?,
        _ = tokio::signal::ctrl_c() => {
            let again = run.command();
            return Err(Found(format!("interrupted; nothing is lost, the same command goes on:\n  {again}")).into());
        }
    };
    let joined = Output::open(&run.out).and_then(|output| output.join()).map_err(|error| Found(error.to_string()))?;
    let verdict = verify::judge(&run.out, &run.input.path, Some(accepted), None)?;
    say(&format!(
        "{} lines in {} published files, joined in {} ({:.1} s in all)",
        joined.lines,
        joined.files,
        joined.path.display(),
        began.elapsed().as_secs_f64()
    ));
    verify::conclude(&verdict, global)
}

/// Starts everything, waits until all is processed, stops everything; how many different messages were accepted.
async fn send_and_process(run: &Run) -> anyhow::Result<u64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no port is free on loopback")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let mut broker = run.start_broker(listener)?;
    let course = course(run, &endpoint, broker.killer.clone());
    let outcome = tokio::select! {
        outcome = course => outcome,
        ended = broker.ended() => {
            ended?;
            return Err(Found("the broker ended before the run did".to_owned()).into());
        }
    };
    let stopped = broker.stop().await;
    let accepted = outcome?;
    stopped?;
    Ok(accepted)
}

async fn course(run: &Run, endpoint: &str, broker: process::Killer) -> anyhow::Result<u64> {
    let client = lockstep_client::Client::connect(endpoint).await?;
    let generation = run.make_queue(&client).await?;
    let step = Running::start(run, endpoint, generation).await?;
    let pool = step.pool().await?;
    let producers = Producers::start(run, endpoint, generation)?;
    let chaos = Chaos::start(run, broker, &producers, &pool);
    let shown = Shown::start(run, &producers, &pool);
    let ((), accepted) = tokio::try_join!(step.completed(), finish_sending(&producers, &pool))?;
    shown.finish();
    if let Some(chaos) = chaos {
        say(&chaos.told(&producers, pool.progress().borrow().worker_deaths));
    }
    Ok(accepted)
}

/// Waits for the producers and tells the pool that no more messages are coming.
async fn finish_sending(producers: &Producers, pool: &PoolHandle) -> anyhow::Result<u64> {
    let accepted = producers.done().await?;
    pool.no_more_messages();
    Ok(accepted)
}
