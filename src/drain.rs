//! `lockstep drain`: lets a broker run empty and end.

use clap::Args;
use serde::Serialize;

use crate::{cli::Global, connect::connect, output::say};

/// How long one call waits, in seconds.
const WAIT: u32 = 20;

/// Flags of `drain`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "From here on sends are turned away (DRAINING: nothing was decided, ask again later with the same \
key); receives, deletes and commits go on. The broker ends with exit code 0 when every queue is empty. A restart does \
not drain.

Examples:
  lockstep drain             begin, and say what is left
  lockstep drain --wait      end when every queue is empty
  lockstep drain --cancel    take sends again"
)]
pub(crate) struct DrainArgs {
    /// End only when every queue is empty.
    #[arg(long, conflicts_with = "cancel")]
    wait: bool,
    /// Take sends again.
    #[arg(long)]
    cancel: bool,
}

#[derive(Serialize)]
struct DrainShown {
    draining: bool,
    messages: u64,
    queues_with_messages: u64,
}

/// Begins or ends drain mode.
pub(crate) async fn run(args: DrainArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    // The first call says at once what is left.
    let (mut before, mut wait) = (None, 0);
    loop {
        let answer = client.drain(args.cancel, wait).await?;
        let empty = answer.draining && answer.messages == 0;
        if args.wait && !empty {
            if before != Some(answer.messages) {
                say(&format!("{} messages in {} queues are left", answer.messages, answer.queues_with_messages));
            }
            (before, wait) = (Some(answer.messages), WAIT);
            continue;
        }
        let shown = DrainShown {
            draining: answer.draining,
            messages: answer.messages,
            queues_with_messages: answer.queues_with_messages,
        };
        return global.output().result(&shown, || match (shown.draining, empty) {
            (false, _) => "the broker takes sends".to_owned(),
            (true, true) => "every queue is empty; the broker ends".to_owned(),
            (true, false) => format!(
                "the broker drains: {} messages in {} queues are left",
                shown.messages, shown.queues_with_messages
            ),
        });
    }
}
