//! `lockstep tail`: looks at the messages of a queue without taking them, and waits for new ones.

use clap::Args;
use lockstep_client::v1;
use serde::Serialize;

use crate::{cli::Global, connect::connect, output::instant};

/// Most messages of one look.
const PAGE: u32 = 1_000;
/// How long one look waits for new messages, in seconds.
const WAIT: u32 = 20;

/// Flags of `tail`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep tail orders.fifo                    the first 10 waiting messages
  lockstep tail orders.fifo --follow           all, and new ones as they come
  lockstep tail orders.fifo --group a --json")]
pub(crate) struct TailArgs {
    /// The queue.
    queue: String,
    /// Only this message group.
    #[arg(long, default_value = "")]
    group: String,
    /// Only messages after this sequence number.
    #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
    after: u64,
    /// So many messages. Default: 10, with --follow all.
    #[arg(long, value_name = "COUNT")]
    max: Option<u64>,
    /// Go on with new messages as they come.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Serialize)]
struct PeekedShown {
    message_id: String,
    message_group_id: String,
    message_deduplication_id: String,
    sequence_number: u64,
    body: String,
    receive_count: u32,
    sent_at: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    visible_at: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reader: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    dead_letter_source: String,
}

impl PeekedShown {
    fn new(message: v1::PeekedMessage) -> Self {
        let state = match message.state() {
            v1::MessageState::Available => "available",
            v1::MessageState::Blocked => "blocked",
            v1::MessageState::InFlight => "in flight",
            v1::MessageState::Claimed => "claimed",
            v1::MessageState::Delayed => "delayed",
            v1::MessageState::Parked => "parked",
            v1::MessageState::Unspecified => "unknown",
        };
        Self {
            body: String::from_utf8_lossy(&message.body).into_owned(),
            sent_at: instant(message.sent_unix_ms),
            visible_at: message.visible_unix_ms.map(instant),
            message_id: message.message_id,
            message_group_id: message.message_group_id,
            message_deduplication_id: message.message_deduplication_id,
            sequence_number: message.sequence_number,
            receive_count: message.receive_count,
            state,
            reader: message.reader,
            dead_letter_source: message.dead_letter_source,
        }
    }
}

/// Shows messages in the order of their sequence numbers.
pub(crate) async fn run(args: TailArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let mut left = args.max.unwrap_or(if args.follow { u64::MAX } else { 10 });
    let mut after = args.after;
    while left > 0 {
        let request = v1::PeekRequest {
            queue: args.queue.clone(),
            message_group_id: args.group.clone(),
            after_sequence_number: after,
            max_messages: u32::try_from(left).unwrap_or(PAGE).min(PAGE),
            wait_seconds: if args.follow { WAIT } else { 0 },
        };
        let messages = client.peek(request).await?;
        if messages.is_empty() && !args.follow {
            return Ok(());
        }
        for message in messages {
            after = message.sequence_number;
            left -= 1;
            let shown = PeekedShown::new(message);
            global.output().result(&shown, || {
                format!("#{} {} group {}: {}", shown.sequence_number, shown.state, shown.message_group_id, shown.body)
            })?;
        }
    }
    Ok(())
}
