//! `lockstep redrive`: where dead letters come from, and their way back (Q5 to Q7).

use clap::{Args, Subcommand};

use crate::{cli::Global, connect::connect};

const EXAMPLES: &str = "Examples:
  lockstep redrive sources dead.fifo       the queues whose dead letters go to dead.fifo";

/// Flags of `redrive`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RedriveArgs {
    #[command(subcommand)]
    verb: RedriveVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum RedriveVerb {
    /// List the queues that name a queue as their dead-letter queue.
    Sources {
        /// The dead-letter queue.
        queue: String,
    },
}

/// Runs one of the redrive verbs.
pub(crate) async fn run(args: RedriveArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let output = global.output();
    match args.verb {
        RedriveVerb::Sources { queue } => {
            for source in client.list_dead_letter_source_queues(&queue).await? {
                output.result(&serde_json::json!({ "queue": source }), || source.clone())?;
            }
            Ok(())
        }
    }
}
