//! `lockstep queue`: administration of queues.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use lockstep_client::{DeduplicationScope, GroupDelivery, QueueAttributes, RedriveAllowPolicy, RedrivePolicy, v1};
use serde::Serialize;

use crate::{
    cli::Global,
    connect::connect,
    output::{Output, instant},
};

const EXAMPLES: &str = "Examples:
  lockstep queue create orders.fifo --content-based-deduplication
  lockstep queue create metrics
  lockstep queue create audit.fifo --delivery prefix --visibility-timeout 60
  lockstep queue list --prefix or
  lockstep queue describe orders.fifo --json
  lockstep queue set orders.fifo --message-retention 1209600
  lockstep queue set orders.fifo --dead-letter-queue dead.fifo --max-receives 5
  lockstep queue purge orders.fifo";

/// Flags of `queue`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    verb: QueueVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum QueueVerb {
    /// Create a queue; one that is there with equal attributes is fine (A1).
    Create {
        /// 1 to 80 of A-Z, a-z, 0-9, hyphen and underscore, with .fifo at the end of a FIFO queue's (L1).
        /// Any other name makes a standard queue: at least once, in no promised order, nothing deduplicated (B5).
        queue: String,
        #[command(flatten)]
        attributes: AttributeArgs,
        /// A tag, at most 50; those of a queue that is there stay as they are (L12).
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = crate::tag::pair)]
        tags: Vec<(String, String)>,
    },
    /// List queues by name.
    List {
        /// Only names that begin so.
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Show attributes and counts of a queue.
    Describe {
        /// The queue.
        queue: String,
    },
    /// Change attributes; what is not named stays.
    Set {
        /// The queue.
        queue: String,
        #[command(flatten)]
        attributes: AttributeArgs,
    },
    /// Remove every message that no claim holds, and forget the deduplication ids (A3).
    Purge {
        /// The queue.
        queue: String,
        /// Only this generation of it (B8).
        #[arg(long)]
        generation: Option<u64>,
    },
    /// Delete a queue with all it holds.
    Delete {
        /// The queue.
        queue: String,
        /// Only this generation of it (B8).
        #[arg(long)]
        generation: Option<u64>,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Delivery {
    /// One consumer holds a group at a time, deletes in order, claims and Commit.
    Strict,
    /// Exactly what SQS does.
    Prefix,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Scope {
    Queue,
    MessageGroup,
}

#[derive(Args, Clone, Debug)]
struct AttributeArgs {
    /// How groups are handed out; fixed at creation. Default: strict.
    #[arg(long)]
    delivery: Option<Delivery>,
    /// Take the SHA-256 of a body as its deduplication id where none is given (S3).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    content_based_deduplication: Option<bool>,
    /// Where an equal deduplication id is a duplicate; fixed at creation. Default: queue.
    #[arg(long)]
    deduplication_scope: Option<Scope>,
    /// How long a deduplication id is remembered, 300 to 1209600 seconds. Default: 300.
    #[arg(long, value_name = "SECONDS")]
    deduplication_window: Option<u32>,
    /// How long a received message stays hidden, 0 to 43200 seconds. Default: 30.
    #[arg(long, value_name = "SECONDS")]
    visibility_timeout: Option<u32>,
    /// How long a message is kept, 60 to 1209600 seconds. Default: 345600.
    #[arg(long, value_name = "SECONDS")]
    message_retention: Option<u32>,
    /// The largest message, 1024 to 1048576 bytes. Default: 1048576.
    #[arg(long, value_name = "BYTES")]
    maximum_message_size: Option<u32>,
    /// How long a receive waits for a message, 0 to 20 seconds. Default: 0.
    #[arg(long, value_name = "SECONDS")]
    receive_wait: Option<u32>,
    /// Where messages go that were received too often: another queue that is there (Q1).
    #[arg(long, value_name = "QUEUE", requires = "max_receives")]
    dead_letter_queue: Option<String>,
    /// How often a message may be received before it goes there, 1 to 1000 (Q1, Q2).
    #[arg(long, value_name = "COUNT", requires = "dead_letter_queue")]
    max_receives: Option<u32>,
    /// Send messages nowhere, however often they are received.
    #[arg(long, conflicts_with = "dead_letter_queue")]
    no_dead_letter_queue: bool,
    /// Who may name this queue as dead-letter queue: `all`, `none`, or 1 to 10 queues with commas between (Q5).
    #[arg(long, value_name = "WHO")]
    redrive_allow: Option<String>,
    /// How long a new message stays hidden, 0 to 900 seconds; a change moves what is still delayed (S11). Default: 0.
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u32>,
}

impl AttributeArgs {
    fn given(&self) -> QueueAttributes {
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        QueueAttributes {
            group_delivery: self.delivery.map(|delivery| match delivery {
                Delivery::Strict => GroupDelivery::Strict,
                Delivery::Prefix => GroupDelivery::Prefix,
            }),
            content_based_deduplication: self.content_based_deduplication,
            deduplication_scope: self.deduplication_scope.map(|scope| match scope {
                Scope::Queue => DeduplicationScope::Queue,
                Scope::MessageGroup => DeduplicationScope::MessageGroup,
            }),
            deduplication_window: seconds(self.deduplication_window),
            visibility_timeout: seconds(self.visibility_timeout),
            message_retention: seconds(self.message_retention),
            maximum_message_size: self.maximum_message_size,
            receive_wait: seconds(self.receive_wait),
            redrive_policy: self.redrive_policy(),
            redrive_allow_policy: self.redrive_allow.as_deref().map(|who| match who {
                "all" => RedriveAllowPolicy::AllowAll,
                "none" => RedriveAllowPolicy::DenyAll,
                queues => RedriveAllowPolicy::ByQueue(queues.split(',').map(|name| name.trim().to_owned()).collect()),
            }),
            delay: seconds(self.delay),
        }
    }

    fn redrive_policy(&self) -> Option<RedrivePolicy> {
        if self.no_dead_letter_queue {
            return Some(RedrivePolicy::Nowhere);
        }
        let (dead_letter_queue, max_receive_count) = (self.dead_letter_queue.clone()?, self.max_receives?);
        Some(RedrivePolicy::To { dead_letter_queue, max_receive_count })
    }
}

/// A queue, as `--json` shows it.
#[derive(Serialize)]
struct QueueShown {
    queue: String,
    queue_generation: u64,
    /// `fifo` or `standard`.
    kind: &'static str,
    delivery: &'static str,
    content_based_deduplication: bool,
    deduplication_scope: &'static str,
    deduplication_window_seconds: u32,
    visibility_timeout_seconds: u32,
    message_retention_seconds: u32,
    maximum_message_size_bytes: u32,
    receive_wait_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_receives: Option<u32>,
    redrive_allow: String,
    delay_seconds: u32,
    messages_available: u64,
    messages_in_flight: u64,
    messages_claimed: u64,
    messages_delayed: u64,
    groups: u64,
    groups_available: u64,
    groups_parked: u64,
    deduplication_keys: u64,
    last_sequence_number: u64,
    bytes: u64,
    readers: u32,
    created_at: String,
    modified_at: String,
}

impl QueueShown {
    fn new(queue: v1::QueueDescription) -> Self {
        let attributes = queue.attributes.unwrap_or_default();
        let fifo = queue.queue.ends_with(".fifo");
        Self {
            kind: if fifo { "fifo" } else { "standard" },
            queue: queue.queue,
            queue_generation: queue.queue_generation,
            delivery: match attributes.group_delivery() {
                _ if !fifo => "each",
                v1::GroupDelivery::Prefix => "prefix",
                v1::GroupDelivery::Strict | v1::GroupDelivery::Unspecified => "strict",
            },
            content_based_deduplication: attributes.content_based_deduplication(),
            deduplication_scope: match attributes.deduplication_scope() {
                v1::DeduplicationScope::MessageGroup => "message-group",
                v1::DeduplicationScope::Queue | v1::DeduplicationScope::Unspecified => "queue",
            },
            deduplication_window_seconds: attributes.deduplication_window_seconds(),
            visibility_timeout_seconds: attributes.visibility_timeout_seconds(),
            message_retention_seconds: attributes.message_retention_seconds(),
            maximum_message_size_bytes: attributes.maximum_message_size_bytes(),
            receive_wait_seconds: attributes.receive_wait_seconds(),
            delay_seconds: attributes.delay_seconds(),
            max_receives: attributes.redrive_policy.as_ref().map(|policy| policy.max_receive_count),
            dead_letter_queue: attributes.redrive_policy.map(|policy| policy.dead_letter_queue),
            redrive_allow: redrive_allow(&attributes.redrive_allow_policy.unwrap_or_default()),
            messages_available: queue.messages_available,
            messages_in_flight: queue.messages_in_flight,
            messages_claimed: queue.messages_claimed,
            messages_delayed: queue.messages_delayed,
            groups: queue.groups,
            groups_available: queue.groups_available,
            groups_parked: queue.groups_parked,
            deduplication_keys: queue.deduplication_keys,
            last_sequence_number: queue.last_sequence_number,
            bytes: queue.bytes,
            readers: queue.readers,
            created_at: instant(queue.created_unix_ms),
            modified_at: instant(queue.modified_unix_ms),
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let serde_json::Value::Object(fields) = serde_json::to_value(self)? else { return Ok(String::new()) };
        let line = |(name, value): (&String, &serde_json::Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:<30} {value}")
        };
        Ok(fields.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

fn redrive_allow(policy: &v1::RedriveAllowPolicy) -> String {
    match policy.permission() {
        v1::RedrivePermission::DenyAll => "none".to_owned(),
        v1::RedrivePermission::ByQueue => policy.source_queues.join(","),
        v1::RedrivePermission::AllowAll | v1::RedrivePermission::Unspecified => "all".to_owned(),
    }
}

/// Runs one of the queue verbs.
pub(crate) async fn run(args: QueueArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let output = global.output();
    match args.verb {
        QueueVerb::Create { queue, attributes, tags } => {
            let tags = crate::tag::tags(tags)?;
            let made = client.create_tagged_queue(&queue, attributes.given(), &tags).await?;
            let shown = serde_json::json!({
                "queue": queue, "queue_generation": made.queue_generation, "created": made.created
            });
            output.result(&shown, || {
                let what = if made.created { "created" } else { "was there" };
                format!("{queue} {what}, generation {}", made.queue_generation)
            })
        }
        QueueVerb::List { prefix } => list(&client, &prefix, output).await,
        QueueVerb::Describe { queue } => {
            let shown = QueueShown::new(client.describe_queue(&queue).await?);
            let text = shown.text()?;
            output.result(&shown, || text)
        }
        QueueVerb::Set { queue, attributes } => {
            client.set_queue_attributes(&queue, attributes.given()).await?;
            output.result(&serde_json::json!({ "queue": queue, "changed": true }), || format!("{queue} changed"))
        }
        QueueVerb::Purge { queue, generation } => {
            let purged = client.purge_queue(&queue, generation).await?;
            let shown = serde_json::json!({ "queue": queue, "purged": purged });
            output.result(&shown, || format!("{queue}: {purged} messages purged"))
        }
        QueueVerb::Delete { queue, generation } => {
            client.delete_queue(&queue, generation).await?;
            output.result(&serde_json::json!({ "queue": queue, "deleted": true }), || format!("{queue} deleted"))
        }
    }
}

async fn list(client: &lockstep_client::Client, prefix: &str, output: Output) -> anyhow::Result<()> {
    for queue in client.list_queues(prefix).await? {
        let shown = QueueShown::new(queue);
        output.result(&shown, || {
            format!(
                "{:<40} {:>8} available {:>6} in flight {:>6} claimed  {}",
                shown.queue, shown.messages_available, shown.messages_in_flight, shown.messages_claimed, shown.delivery
            )
        })?;
    }
    Ok(())
}
