//! `lockstep redrive`: where dead letters come from, and their way back (Q5 to Q7).

use clap::{Args, Subcommand};
use lockstep_client::{MessageMoveTask, MoveTaskStatus};

use crate::{
    cli::Global,
    connect::connect,
    output::{Output, instant},
};

const EXAMPLES: &str = "Examples:
  lockstep redrive sources dead.fifo       the queues whose dead letters go to dead.fifo
  lockstep redrive start dead.fifo         each dead letter back to the queue it came from
  lockstep redrive start dead.fifo --to repaired.fifo --rate 20
  lockstep redrive list dead.fifo          how far it is
  lockstep redrive cancel move-task-1-1    what was moved stays moved";

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
    /// Move the messages of a dead-letter queue on, oldest first; prints the task's handle.
    ///
    /// Moved messages are new: a new id, a new time of sending, no receives. Groups that somebody holds or that are parked
    /// stay, and so do messages that were sent to the queue by hand, unless --to says where to.
    Start {
        /// The dead-letter queue.
        queue: String,
        /// Where to; without it each message goes to the queue that it was dead-lettered from last.
        #[arg(long, value_name = "QUEUE")]
        to: Option<String>,
        /// Most messages in a second.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=500))]
        rate: u32,
    },
    /// End a running task.
    Cancel {
        /// What `redrive start` printed.
        handle: String,
    },
    /// List the newest tasks of a dead-letter queue.
    List {
        /// The dead-letter queue.
        queue: String,
        /// How many.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10))]
        max: u32,
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
        RedriveVerb::Start { queue, to, rate } => {
            let handle = client.start_message_move_task(&queue, to.as_deref(), rate).await?;
            output.result(&serde_json::json!({ "task_handle": handle }), || handle.clone())
        }
        RedriveVerb::Cancel { handle } => {
            let moved = client.cancel_message_move_task(&handle).await?;
            output.result(&serde_json::json!({ "messages_moved": moved }), || format!("cancelled, {moved} moved"))
        }
        RedriveVerb::List { queue, max } => {
            for task in client.list_message_move_tasks(&queue, max).await? {
                show(&task, output)?;
            }
            Ok(())
        }
    }
}

fn show(task: &MessageMoveTask, output: Output) -> anyhow::Result<()> {
    let status = match task.status() {
        MoveTaskStatus::Running => "RUNNING",
        MoveTaskStatus::Completed => "COMPLETED",
        MoveTaskStatus::Cancelling => "CANCELLING",
        MoveTaskStatus::Cancelled => "CANCELLED",
        MoveTaskStatus::Failed => "FAILED",
        MoveTaskStatus::Unspecified => "UNKNOWN",
    };
    let started = instant(task.started_unix_ms);
    let shown = serde_json::json!({
        "task_handle": task.task_handle, "status": status, "source_queue": task.source_queue,
        "destination_queue": task.destination_queue, "max_messages_per_second": task.max_messages_per_second,
        "started": started, "messages_to_move": task.messages_to_move, "messages_moved": task.messages_moved,
        "messages_passed_over": task.messages_passed_over, "failure_reason": task.failure_reason,
    });
    output.result(&shown, || {
        let to = if task.destination_queue.is_empty() { "their sources" } else { &task.destination_queue };
        let (moved, all, passed) = (task.messages_moved, task.messages_to_move, task.messages_passed_over);
        let text = format!("{status}  to {to}, {moved} of {all} moved, {passed} passed over, started {started}");
        let details = [&task.task_handle, &task.failure_reason];
        details.into_iter().filter(|detail| !detail.is_empty()).fold(text, |text, detail| format!("{text}  {detail}"))
    })
}
