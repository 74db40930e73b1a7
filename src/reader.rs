//! `lockstep reader`: what the readers of a queue hold, and the operator's word over them (B6). A lost reader never
//! blocks in silence.

use clap::{Args, Subcommand};
use lockstep_client::v1;
use serde::Serialize;

use crate::{cli::Global, connect::connect, output::instant};

/// Flags of `reader`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep reader list orders.fifo
  lockstep reader describe orders.fifo pipeline --json
  lockstep reader abandon orders.fifo pipeline             give back all it holds
  lockstep reader abandon orders.fifo pipeline --claim 17  give back one claim
  lockstep reader drop orders.fifo pipeline                end it, with its stored values")]
pub(crate) struct ReaderArgs {
    #[command(subcommand)]
    verb: ReaderVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum ReaderVerb {
    /// List the readers of a queue.
    List {
        /// The queue.
        queue: String,
    },
    /// Show a reader and its open claims.
    Describe {
        /// The queue.
        queue: String,
        /// The reader.
        reader: String,
    },
    /// Burn open claims: their messages go back in order, their holders are refused from now on.
    Abandon {
        /// The queue.
        queue: String,
        /// The reader.
        reader: String,
        /// Only this claim; every open one when absent.
        #[arg(long, value_name = "NUMBER")]
        claim: Option<u64>,
    },
    /// End a reader: claims are given back, stored values removed.
    Drop {
        /// The queue.
        queue: String,
        /// The reader.
        reader: String,
        /// Only the reader of this id.
        #[arg(long, value_name = "ID")]
        id: Option<u64>,
    },
}

#[derive(Serialize)]
struct ReaderShown {
    reader: String,
    reader_id: u64,
    reader_generation: u64,
    queue_generation: u64,
    instance: String,
    last_committed: u64,
    last_number: u64,
    commits: u64,
    values: u64,
    value_bytes: u64,
    open_claims: Vec<ClaimShown>,
}

#[derive(Serialize)]
struct ClaimShown {
    number: u64,
    epoch: u64,
    worker: String,
    messages: u32,
    groups: u32,
    bytes: u64,
    opened_at: String,
}

impl ReaderShown {
    fn new(reader: v1::ReaderDescription) -> Self {
        Self {
            reader: reader.reader,
            reader_id: reader.reader_id,
            reader_generation: reader.reader_generation,
            queue_generation: reader.queue_generation,
            instance: reader.instance,
            last_committed: reader.last_committed,
            last_number: reader.last_number,
            commits: reader.commits,
            values: reader.values,
            value_bytes: reader.value_bytes,
            open_claims: reader.open_claims.into_iter().map(ClaimShown::new).collect(),
        }
    }

    fn text(&self) -> String {
        let head = format!(
            "{}  id {}  generation {}  commits {}  all ended up to claim {} of {}  {} values, {} bytes",
            self.reader,
            self.reader_id,
            self.reader_generation,
            self.commits,
            self.last_committed,
            self.last_number,
            self.values,
            self.value_bytes
        );
        self.open_claims.iter().fold(head, |text, claim| {
            let worker = if claim.worker.is_empty() { "nobody yet" } else { &claim.worker };
            let (number, messages, groups) = (claim.number, claim.messages, claim.groups);
            format!(
                "{text}\n  claim {number}: {messages} messages of {groups} groups, open since {}, held by {worker} under epoch {}",
                claim.opened_at, claim.epoch
            )
        })
    }
}

impl ClaimShown {
    fn new(claim: v1::OpenClaim) -> Self {
        Self {
            number: claim.number,
            epoch: claim.epoch,
            worker: claim.worker,
            messages: claim.messages,
            groups: claim.groups,
            bytes: claim.bytes,
            opened_at: instant(claim.opened_unix_ms),
        }
    }
}

/// Runs one of the reader verbs.
pub(crate) async fn run(args: ReaderArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let output = global.output();
    match args.verb {
        ReaderVerb::List { queue } => {
            for reader in client.list_readers(&queue).await? {
                let shown = ReaderShown::new(reader);
                output.result(&shown, || shown.text())?;
            }
            Ok(())
        }
        ReaderVerb::Describe { queue, reader } => {
            let shown = ReaderShown::new(client.describe_reader(&queue, &reader).await?);
            output.result(&shown, || shown.text())
        }
        ReaderVerb::Abandon { queue, reader, claim } => {
            let request = v1::AbandonRequest {
                queue,
                queue_generation: None,
                reader,
                reader_generation: None,
                number: claim.unwrap_or(0),
            };
            let burnt = client.abandon(request).await?;
            output.result(&serde_json::json!({ "burnt": burnt }), || format!("{} claims burnt: {burnt:?}", burnt.len()))
        }
        ReaderVerb::Drop { queue, reader, id } => {
            client.drop_reader(&queue, &reader, id).await?;
            output.result(&serde_json::json!({ "reader": reader, "dropped": true }), || format!("{reader} dropped"))
        }
    }
}
