//! `lockstep park` and `lockstep unpark`: groups that deliver nothing, and their way back (B7).

use clap::Args;

use crate::{cli::Global, connect::connect, output::instant};

/// Flags of `park`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep park orders.fifo customer-7     nothing of customer-7 is delivered, other groups flow
  lockstep park orders.fifo --list         what is parked, since when")]
pub(crate) struct ParkArgs {
    /// The queue.
    queue: String,
    /// The message group; it need not have messages yet.
    #[arg(required_unless_present = "list")]
    group: Option<String>,
    /// List the parked groups instead.
    #[arg(long, conflicts_with = "group")]
    list: bool,
}

/// Flags of `unpark`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep unpark orders.fifo customer-7
  lockstep unpark orders.fifo --all")]
pub(crate) struct UnparkArgs {
    /// The queue.
    queue: String,
    /// The message group.
    #[arg(required_unless_present = "all")]
    group: Option<String>,
    /// Every parked group.
    #[arg(long, conflicts_with = "group")]
    all: bool,
}

/// Parks, or lists what is parked.
pub(crate) async fn park(args: ParkArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let output = global.output();
    if let Some(group) = args.group {
        let parked = client.park(&args.queue, &group).await?;
        let shown = serde_json::json!({ "group": group, "parked": true, "already_parked": !parked });
        return output.result(&shown, || format!("{group} {}", if parked { "parked" } else { "was parked before" }));
    }
    for parked in client.list_parked_groups(&args.queue).await? {
        let since = instant(parked.parked_unix_ms);
        let (group, messages) = (parked.message_group_id, parked.messages);
        let shown = serde_json::json!({
            "group": group, "since": since, "messages": messages,
            "first_sequence_number": parked.first_sequence_number,
        });
        output.result(&shown, || format!("{group}  parked since {since}, {messages} messages"))?;
    }
    Ok(())
}

/// Unparks.
pub(crate) async fn unpark(args: UnparkArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let groups = match &args.group {
        Some(group) => u64::from(client.unpark(&args.queue, group).await?),
        None => client.unpark_all(&args.queue).await?,
    };
    let shown = serde_json::json!({ "queue": args.queue, "unparked": groups });
    global.output().result(&shown, || match (&args.group, groups) {
        (Some(group), 0) => format!("{group} was not parked"),
        (Some(group), _) => format!("{group} delivers again"),
        (None, groups) => format!("{groups} groups deliver again"),
    })
}
