//! `lockstep explain`: why a queue, a group or a message delivers nothing now, in a sentence (B4).

use clap::Args;
use lockstep_client::v1::{self, explain_request::Subject};
use serde::Serialize;

use crate::{cli::Global, connect::connect, exit::Usage, output::instant};

/// Flags of `explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep explain orders.fifo                     the whole queue: groups by reason, those that are held
  lockstep explain orders.fifo customer-7          one message group
  lockstep explain orders.fifo '#17'               one message by its sequence number
  lockstep explain orders.fifo 6c0e8a7e-7f39-8a51-9e1c-0f6b1c2d3e4f --json
  lockstep explain orders.fifo --receipt HANDLE    whether a delivery still holds its message")]
pub(crate) struct ExplainArgs {
    /// The queue.
    queue: String,
    /// A message group; `#` and a number, or a message id: a message. The whole queue when absent.
    #[arg(value_name = "GROUP|MESSAGE", conflicts_with_all = ["group", "receipt"])]
    what: Option<String>,
    /// A message group, whatever its name looks like.
    #[arg(long, conflicts_with = "receipt")]
    group: Option<String>,
    /// A receipt handle.
    #[arg(long, value_name = "HANDLE")]
    receipt: Option<String>,
    /// Of the whole queue: list at most so many held groups.
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    max: u32,
    /// Of the whole queue: list groups after this one.
    #[arg(long, default_value = "", value_name = "GROUP")]
    after: String,
}

/// An explanation as it is shown.
#[derive(Serialize)]
struct ExplanationShown {
    reason: &'static str,
    rule: String,
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message_group_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    sequence_number: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocking: Option<BlockingShown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_holds: Option<bool>,
}

#[derive(Serialize)]
struct BlockingShown {
    sequence_number: u64,
    message_id: String,
    receive_count: u32,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    epoch: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    reader: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    instance: String,
    #[serde(skip_serializing_if = "is_zero")]
    claim: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    worker: String,
}

#[derive(Serialize)]
struct QueueShown {
    queue: String,
    queue_generation: u64,
    at: String,
    #[serde(flatten)]
    explanation: ExplanationShown,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    groups: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_groups: Vec<ExplanationShown>,
    #[serde(skip_serializing_if = "String::is_empty")]
    next_group: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn reason(reason: v1::ExplainReason) -> &'static str {
    match reason {
        v1::ExplainReason::Unspecified => "unknown",
        v1::ExplainReason::Available => "available",
        v1::ExplainReason::Empty => "empty",
        v1::ExplainReason::NoSuchGroup => "no such group",
        v1::ExplainReason::MessageGone => "message gone",
        v1::ExplainReason::MessageNotSent => "message not sent",
        v1::ExplainReason::InFlight => "in flight",
        v1::ExplainReason::BehindInFlight => "behind in flight",
        v1::ExplainReason::Claimed => "claimed",
        v1::ExplainReason::BehindClaim => "behind a claim",
        v1::ExplainReason::Delayed => "delayed",
        v1::ExplainReason::InFlightCap => "in-flight cap",
        v1::ExplainReason::Parked => "parked",
        v1::ExplainReason::DeadLetterDue => "dead letter due",
        v1::ExplainReason::DeadLetterQueueGone => "dead-letter queue gone",
    }
}

impl ExplanationShown {
    fn new(explained: v1::Explanation) -> Self {
        Self {
            reason: reason(explained.reason()),
            rule: explained.rule,
            text: explained.text,
            message_group_id: explained.message_group_id,
            sequence_number: explained.sequence_number,
            message_id: explained.message_id,
            sent_at: (explained.sent_unix_ms > 0).then(|| instant(explained.sent_unix_ms)),
            messages: explained.messages,
            blocking: explained.blocking.map(BlockingShown::new),
            receipt_holds: explained.receipt_holds,
        }
    }
}

impl BlockingShown {
    fn new(held: v1::Blocking) -> Self {
        Self {
            sequence_number: held.sequence_number,
            message_id: held.message_id,
            receive_count: held.receive_count,
            since: instant(held.since_unix_ms),
            until: held.until_unix_ms.map(instant),
            epoch: held.epoch,
            reader: held.reader,
            instance: held.instance,
            claim: held.claim,
            worker: held.worker,
        }
    }
}

impl QueueShown {
    fn new(answer: v1::ExplainResponse) -> Self {
        let groups = answer.counts.iter().map(|count| (reason(count.reason()).to_owned(), count.groups.into()));
        Self {
            groups: groups.collect(),
            at: instant(answer.at_unix_ms),
            queue: answer.queue,
            queue_generation: answer.queue_generation,
            explanation: ExplanationShown::new(answer.explanation.unwrap_or_default()),
            held_groups: answer.held_groups.into_iter().map(ExplanationShown::new).collect(),
            next_group: answer.next_group,
        }
    }

    fn text(&self) -> String {
        let held = self.held_groups.iter().map(|group| format!("\n  {}", group.text));
        let more = (!self.next_group.is_empty()).then(|| format!("\n  more: --after {:?}", self.next_group));
        std::iter::once(self.explanation.text.clone()).chain(held).chain(more).collect()
    }
}

/// `#17` is a number, a text in the form of a UUID an id, everything else a group.
fn subject(what: String) -> anyhow::Result<Subject> {
    if let Some(number) = what.strip_prefix('#') {
        let number = number.parse().map_err(|_| Usage(format!("{what}: after # comes a sequence number")))?;
        return Ok(Subject::SequenceNumber(number));
    }
    let parts: Vec<usize> = what.split('-').map(str::len).collect();
    let hexadecimal = what.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let is_id = parts == [8, 4, 4, 4, 12] && hexadecimal;
    Ok(if is_id { Subject::MessageId(what) } else { Subject::MessageGroupId(what) })
}

/// Explains.
pub(crate) async fn run(args: ExplainArgs, global: &Global) -> anyhow::Result<()> {
    let subject = match (args.what, args.group, args.receipt) {
        (Some(what), _, _) => Some(subject(what)?),
        (None, Some(group), _) => Some(Subject::MessageGroupId(group)),
        (None, None, Some(receipt)) => Some(Subject::ReceiptHandle(receipt)),
        (None, None, None) => None,
    };
    let request = v1::ExplainRequest { queue: args.queue, subject, max_groups: args.max, after_group: args.after };
    let shown = QueueShown::new(connect(global).await?.explain(request).await?);
    global.output().result(&shown, || shown.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_from_a_group_by_its_form() {
        assert_eq!(subject("#17".into()).unwrap(), Subject::SequenceNumber(17));
        let id = "6c0e8a7e-7f39-8a51-9e1c-0f6b1c2d3e4f";
        assert_eq!(subject(id.into()).unwrap(), Subject::MessageId(id.into()));
        for group in ["17", "customer-7", "a-b-c-d-e"] {
            assert_eq!(subject(group.into()).unwrap(), Subject::MessageGroupId(group.into()));
        }
        assert!(subject("#x".into()).unwrap_err().to_string().contains("sequence number"));
    }
}
