//! `lockstep receive`: takes messages once, until nothing comes, or as they come (`follow`), and deletes them when asked to.

use std::time::Duration;

use clap::Args;
use lockstep_client::{Consumer, ConsumerBuilder, Delivery, v1};
use serde::Serialize;

use crate::{cli::Global, connect::connect, follow::Follow, output::moment};

const EXAMPLES: &str = "Examples:
  lockstep receive orders.fifo --max 10 --wait 20
  lockstep receive orders.fifo --delete                take one and finish it
  lockstep receive orders.fifo --delete --all --json   drain the queue
  lockstep receive orders.fifo --follow --delete       as they come, until Ctrl-C
  lockstep receive orders.fifo --follow --delete --count 100 --idle-timeout 30
With --follow messages come over one stream, a few ahead of their printing. However it ends, what was printed with
--delete is deleted, and what was not printed is given back. Without --delete a message comes again when its lease ends.
The receipt handle that --json and text show finishes a message: lockstep delete orders.fifo HANDLE";

/// Flags of `receive`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReceiveArgs {
    /// The queue.
    queue: String,
    /// At most so many messages, 1 to 1000; with --follow so many ahead of their printing. Default: 1, with --follow 10.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max: Option<u32>,
    /// Wait so long for a first message, 0 to 20 seconds (R1); the queue's own wait when absent.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=20))]
    wait: Option<u32>,
    /// Hide them so long, 0 to 43200 seconds; the queue's own timeout when absent.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=43200))]
    visibility_timeout: Option<u32>,
    /// Receive under this id: for 5 minutes a repeat gives the same messages and receipt handles (R7).
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    attempt_id: Option<String>,
    /// Delete each message once it is printed.
    #[arg(long)]
    delete: bool,
    /// Go on until nothing comes.
    #[arg(long, requires = "delete")]
    all: bool,
    /// Print messages as they come, until it is interrupted.
    #[arg(long, short, conflicts_with_all = ["all", "wait", "attempt_id"])]
    follow: bool,
    /// End after so many messages.
    #[arg(long, value_name = "COUNT", requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End when nothing came for so long.
    #[arg(long, value_name = "SECONDS", requires = "follow")]
    idle_timeout: Option<u64>,
    /// Print bodies only.
    #[arg(long, conflicts_with = "json")]
    body: bool,
}

#[derive(Serialize)]
struct DeliveryShown<'a> {
    message_id: &'a str,
    message_group_id: &'a str,
    message_deduplication_id: &'a str,
    sequence_number: u64,
    body: std::borrow::Cow<'a, str>,
    receipt_handle: &'a str,
    epoch: u64,
    receive_count: u32,
    sent_at: String,
    first_received_at: String,
    visible_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeShown<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    aws_trace_header: &'a str,
}

/// A message attribute; a binary value is shown in hexadecimal.
#[derive(Serialize)]
struct AttributeShown<'a> {
    name: &'a str,
    data_type: &'a str,
    value: String,
}

impl<'a> AttributeShown<'a> {
    fn new(attribute: &'a v1::MessageAttribute) -> Self {
        use v1::message_attribute::Value;
        let value = match &attribute.value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::BinaryValue(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => String::new(),
        };
        Self { name: &attribute.name, data_type: &attribute.data_type, value }
    }
}

impl<'a> DeliveryShown<'a> {
    fn new(delivery: &'a Delivery) -> Self {
        Self {
            message_id: &delivery.message_id,
            message_group_id: &delivery.group,
            message_deduplication_id: &delivery.deduplication_id,
            sequence_number: delivery.sequence_number,
            body: String::from_utf8_lossy(&delivery.body),
            receipt_handle: &delivery.receipt_handle,
            epoch: delivery.epoch,
            receive_count: delivery.receive_count,
            sent_at: moment(delivery.sent_at),
            first_received_at: moment(delivery.first_received_at),
            visible_at: moment(delivery.visible_until),
            attributes: delivery.attributes.iter().map(AttributeShown::new).collect(),
            aws_trace_header: &delivery.trace_header,
            dead_letter_source: delivery.dead_letter_source.as_deref(),
        }
    }

    fn text(&self, body_only: bool, deleted: bool) -> String {
        if body_only {
            return self.body.clone().into_owned();
        }
        let mut text = format!(
            "#{} {} group {} receive {}\n{}",
            self.sequence_number, self.message_id, self.message_group_id, self.receive_count, self.body
        );
        if let Some(source) = self.dead_letter_source {
            text += &format!("\n  dead letter of {source}");
        }
        for AttributeShown { name, data_type, value } in &self.attributes {
            text += &format!("\n  attribute {name} ({data_type}) {value}");
        }
        if !deleted {
            text += &format!("\n  receipt handle {}", self.receipt_handle);
        }
        text
    }
}

/// Receives once, until nothing comes, or as messages come.
pub(crate) async fn run(args: ReceiveArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let mut consumer = client.consumer(args.queue.as_str());
    consumer = consumer.max_messages(args.max.unwrap_or(if args.follow { 10 } else { 1 }));
    consumer = match args.wait {
        Some(seconds) => consumer.wait(Duration::from_secs(seconds.into())),
        None => consumer.wait_as_the_queue_says(),
    };
    if let Some(seconds) = args.visibility_timeout {
        consumer = consumer.visibility_timeout(Duration::from_secs(seconds.into()));
    }
    if let Some(id) = &args.attempt_id {
        consumer = consumer.attempt_id(id);
    }
    let print = |delivery: &Delivery| {
        let shown = DeliveryShown::new(delivery);
        global.output().result(&shown, || shown.text(args.body, args.delete))
    };
    if args.follow {
        let (count, delete) = (args.count, args.delete);
        let idle = args.idle_timeout.map(Duration::from_secs);
        let consumer = count.into_iter().fold(consumer, ConsumerBuilder::at_most);
        return Follow { count, idle, delete, print }.run(consumer.stream()).await;
    }
    let consumer: Consumer = consumer.build();
    loop {
        let deliveries = consumer.receive().await?;
        let done = deliveries.is_empty() || !args.all;
        for delivery in &deliveries {
            print(delivery)?;
        }
        if args.delete {
            // Printed first, so that nothing is deleted unseen.
            for deleted in consumer.delete_all(&deliveries).await {
                deleted?;
            }
        }
        if done {
            return Ok(());
        }
    }
}
