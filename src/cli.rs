//! The verbs and the flags that all of them have. Each verb's own flags stand in its file.

use clap::{Args, Parser, Subcommand};

use crate::{
    certs::CertsArgs, clock::ClockArgs, completions::CompletionsArgs, delete::DeleteArgs, drain::DrainArgs,
    explain::ExplainArgs, extend::ExtendArgs, journal::JournalArgs, output::Output, pipeline::PipelineArgs,
    producer::ProducerArgs, queue::QueueArgs, reader::ReaderArgs, receive::ReceiveArgs, redrive::RedriveArgs,
    send::SendArgs, sender::SenderArgs, serve::ServeArgs, tail::TailArgs, verify::VerifyArgs, worker::WorkerArgs,
};

/// Where a broker listens unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:9324";
/// The same for those who talk to it.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9324";

const AFTER_HELP: &str = "\
Settings: a flag wins over LOCKSTEP_<FLAG> (LOCKSTEP_ENDPOINT, LOCKSTEP_DATA, …), that over the TOML file \
(--config, LOCKSTEP_CONFIG or ./lockstep.toml; verbs are tables).

Exit codes: 0 ok, 1 a failure was found, 2 usage, 3 cannot reach the broker, 4 refused.

Examples:
  lockstep pipeline                          a seeded day of messages through broker and workers, with a verdict
  lockstep pipeline --chaos --seed 7         the same while broker, producers and workers are killed
  lockstep serve --data ./data               a broker on 127.0.0.1:9324
  lockstep queue create orders.fifo
  echo hello | lockstep send orders.fifo --group a
  lockstep receive orders.fifo --delete";

/// A FIFO exactly-once message broker, with an EMR-like worker pool.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// The broker to talk to.
    #[arg(long, global = true, default_value = DEFAULT_ENDPOINT, value_name = "URL")]
    pub(crate) endpoint: String,
    /// Somebody said so, or it is not the default.
    #[arg(skip)]
    pub(crate) endpoint_given: bool,
    /// The authority whose brokers are trusted, in PEM; for https endpoints.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_ca: Option<std::path::PathBuf>,
    /// The certificate that this process shows, in PEM: a client's, or with `serve` the broker's.
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<std::path::PathBuf>,
    /// The key of that certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<std::path::PathBuf>,
    /// The token that goes with every call; better as LOCKSTEP_TOKEN, which no process list shows.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to keep trying to reach the broker, in seconds.
    #[arg(long, global = true, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) patience: u64,
    /// What to log to stderr: off, error, warn, info, debug, trace, or a filter such as `warn,lockstep_broker=debug`.
    #[arg(long, global = true, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// How log lines look.
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// The settings file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<std::path::PathBuf>,
}

/// How log lines look.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl Global {
    pub(crate) fn output(&self) -> Output {
        Output { json: self.json }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a broker.
    Serve(ServeArgs),
    /// Create, list, describe, change, purge or delete queues.
    Queue(QueueArgs),
    /// Show, add or remove the tags of a queue.
    Tag(crate::tag::TagArgs),
    /// Send messages: one from the command line, or one a line from stdin or a file.
    Send(SendArgs),
    /// Receive messages, once or as they come.
    Receive(ReceiveArgs),
    /// Delete received messages by their receipt handles.
    Delete(DeleteArgs),
    /// Change how long received messages stay hidden, or give them back.
    Extend(ExtendArgs),
    /// Look at the messages of a queue without taking them.
    Tail(TailArgs),
    /// Check a broker and its data directory, each finding with its way out.
    Doctor(crate::doctor::DoctorArgs),
    /// Turn sends away and let the broker run empty.
    Drain(DrainArgs),
    /// Say why a queue, a group or a message delivers nothing now.
    Explain(ExplainArgs),
    /// Dead letters: where they come from, and their way back.
    Redrive(RedriveArgs),
    /// Let a message group deliver nothing, or list the groups that do.
    Park(crate::park::ParkArgs),
    /// Let parked groups deliver again.
    Unpark(crate::park::UnparkArgs),
    /// List, describe, abandon or drop the readers of a queue.
    Reader(ReaderArgs),
    /// Measure a broker: how fast, how soon, at what cost, with every message followed to its end.
    Bench(crate::bench::BenchArgs),
    /// Make certificates for development.
    Certs(CertsArgs),
    /// Tell or move the time of a broker under a manual clock, for tests.
    Clock(ClockArgs),
    /// List or forget the producer sessions of a queue.
    Producer(ProducerArgs),
    /// Verify, show, compact, repair, save or restore the journal of a data directory that no broker has.
    Journal(JournalArgs),
    /// Send a day of messages through a broker and a pool of workers, and prove that it arrived.
    Pipeline(PipelineArgs),
    /// A classroom on real processes: predict, kill, freeze, lose answers, and count what became of every message.
    Lab(crate::lab::LabArgs),
    /// Clusters and steps of an emulated EMR that really runs them, inside the broker's process.
    Emr(crate::emr::EmrArgs),
    /// Judge the output of a pipeline against its input, without a broker.
    Verify(VerifyArgs),
    /// Simulate brokers, clients, crashes and power cuts from seeds, and check every rule on what crossed the wire.
    Simulate(crate::simulate::SimulateArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// A worker process of a pool; started by the pipeline.
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Stands between a worker and its mapper, and ends the mapper when the worker dies.
    #[command(hide = true)]
    MapperGuard(crate::guard::GuardArgs),
    /// A producer process of a lab.
    #[command(hide = true)]
    LabProducer(crate::lab::LabProducerArgs),
    /// What the workers of a lab run over their batches.
    #[command(hide = true)]
    LabMapper(crate::lab::LabMapperArgs),
    /// A producer process; started by the pipeline.
    #[command(hide = true)]
    PipelineProducer(SenderArgs),
}
