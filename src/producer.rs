//! `lockstep producer`: the producer sessions of a queue, and the operator's word over them (B3).

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{cli::Global, connect::connect, output::instant};

/// Flags of `producer`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep producer list orders.fifo
  lockstep producer forget orders.fifo billing             its numbers begin with 1 again
  lockstep producer forget orders.fifo billing --epoch 17  only while it has this epoch
A forgotten session knows no number: a repeat of its old messages is new.")]
pub(crate) struct ProducerArgs {
    #[command(subcommand)]
    verb: ProducerVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum ProducerVerb {
    /// List the sessions of a queue.
    List {
        /// The queue.
        queue: String,
    },
    /// Forget a session with all its numbers.
    Forget {
        /// The queue.
        queue: String,
        /// The producer.
        producer: String,
        /// Only while it has this epoch.
        #[arg(long, value_name = "EPOCH")]
        epoch: Option<u64>,
    },
}

#[derive(Serialize)]
struct ProducerShown {
    producer: String,
    epoch: u64,
    instance: String,
    last_number: u64,
    opened_at: String,
    queue_generation: u64,
}

/// Runs one of the producer verbs.
pub(crate) async fn run(args: ProducerArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let output = global.output();
    match args.verb {
        ProducerVerb::List { queue } => {
            for producer in client.list_producers(&queue).await? {
                let shown = ProducerShown {
                    producer: producer.producer,
                    epoch: producer.epoch,
                    instance: producer.instance,
                    last_number: producer.last_number,
                    opened_at: instant(producer.opened_unix_ms),
                    queue_generation: producer.queue_generation,
                };
                output.result(&shown, || {
                    format!(
                        "{}  epoch {}  last number {}  opened by {} at {}",
                        shown.producer, shown.epoch, shown.last_number, shown.instance, shown.opened_at
                    )
                })?;
            }
            Ok(())
        }
        ProducerVerb::Forget { queue, producer, epoch } => {
            client.forget_producer(&queue, &producer, epoch).await?;
            let shown = serde_json::json!({ "producer": producer, "forgotten": true });
            output.result(&shown, || format!("{producer} forgotten"))
        }
    }
}
