//! Explain on the wire (B4): what is asked, and the answer in fields and in words. What is true is the engine's to say.

use lockstep_engine::{
    explain::{Blocking, Explanation, Holder, Reason},
    reply::Origin,
    words::{GroupId, QueueGeneration, QueueName, SequenceNumber, Timestamp},
};
use lockstep_proto::v1::{self, explain_request::Subject};
use tonic::Status;
use uuid::Uuid;

use super::{Services, input, queues::parsed};
use crate::{
    failure::Invalid,
    handle::{ExplainedQueue, Handle, Wanted},
    limits,
};

impl Services {
    pub(super) async fn explained(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse, Status> {
        let v1::ExplainRequest { queue: name, subject, max_groups, after_group } = request;
        let queue = parsed(input::queue(&name, None))?;
        let Some(subject) = subject else {
            let most = parsed(input::count("max_groups", max_groups, limits::DEFAULT_EXPLAINED, limits::PAGE, "B4"))?;
            let after = parsed(input::optional_group(&after_group))?;
            let explained = self.handle.explain_queue(queue, after, most as usize).await;
            return Ok(self.whole_queue(name, explained.map_err(|failure| self.refuse(&failure))?));
        };
        let wanted = parsed(self.wanted(&subject))?;
        let explained = self.handle.explain(queue, wanted).await.map_err(|failure| self.refuse(&failure))?;
        Ok(v1::ExplainResponse {
            queue_generation: explained.generation.0,
            at_unix_ms: explained.at.0,
            explanation: Some(explanation(
                &self.handle,
                &name,
                &explained,
                matches!(subject, Subject::MessageGroupId(_)),
            )),
            queue: name,
            ..v1::ExplainResponse::default()
        })
    }

    fn wanted(&self, subject: &Subject) -> Result<Wanted, Invalid> {
        Ok(match subject {
            Subject::MessageGroupId(group) => Wanted::Group(GroupId::parse(group)?),
            Subject::SequenceNumber(number) => {
                Wanted::Message(SequenceNumber(input::required("sequence_number", *number, "S12")?))
            }
            Subject::MessageId(id) => Wanted::Id(Uuid::parse_str(id).map_err(|error| {
                Invalid::new("MESSAGE_ID_INVALID", "H9", format!("{id:?} is not a message id: {error} (H9)"))
            })?),
            Subject::ReceiptHandle(handle) => Wanted::Receipt(self.handle.receipt(handle)?),
        })
    }

    fn whole_queue(&self, queue: String, explained: ExplainedQueue) -> v1::ExplainResponse {
        let ExplainedQueue { view, at, counts, longest, held, next } = explained;
        let reason = match counts.keys().next() {
            None => Reason::Empty,
            Some(Reason::Available) => Reason::Available,
            Some(first) => longest.as_ref().map_or(*first, |longest| longest.reason),
        };
        let of_group = |group: &Explanation| explanation(&self.handle, &queue, group, true);
        let longest = longest.as_ref().map(of_group);
        let free = counts.get(&Reason::Available).copied().unwrap_or(0);
        let (messages, groups) =
            (view.available + view.in_flight + view.claimed + view.delayed, counts.values().sum::<u64>());
        let said = match &longest {
            _ if messages == 0 => format!("the queue holds no message (rule {})", reason.rule()),
            None => format!("{free} of {groups} groups would deliver now, {messages} messages in all"),
            Some(held) => {
                let text = &held.text;
                format!(
                    "{free} of {groups} groups would deliver now, {messages} messages in all; held for longest: {text}"
                )
            }
        };
        v1::ExplainResponse {
            queue_generation: view.generation.0,
            at_unix_ms: at.0,
            explanation: Some(v1::Explanation {
                reason: code(reason).into(),
                rule: reason.rule().into(),
                text: said,
                messages,
                ..longest.unwrap_or_default()
            }),
            counts: counts.iter().map(|(reason, groups)| count(*reason, *groups)).collect(),
            held_groups: held.iter().map(of_group).collect(),
            next_group: next.map(|group| group.to_string()).unwrap_or_default(),
            queue,
        }
    }
}

fn is_fifo(queue: &str) -> bool {
    QueueName::parse(queue).is_ok_and(|name| name.is_fifo())
}

fn count(reason: Reason, groups: u64) -> v1::ReasonCount {
    v1::ReasonCount { reason: code(reason).into(), groups }
}

fn code(reason: Reason) -> v1::ExplainReason {
    match reason {
        Reason::Available => v1::ExplainReason::Available,
        Reason::Empty => v1::ExplainReason::Empty,
        Reason::NoSuchGroup => v1::ExplainReason::NoSuchGroup,
        Reason::MessageGone => v1::ExplainReason::MessageGone,
        Reason::MessageNotSent => v1::ExplainReason::MessageNotSent,
        Reason::InFlight => v1::ExplainReason::InFlight,
        Reason::BehindInFlight => v1::ExplainReason::BehindInFlight,
        Reason::Claimed => v1::ExplainReason::Claimed,
        Reason::BehindClaim => v1::ExplainReason::BehindClaim,
        Reason::Delayed => v1::ExplainReason::Delayed,
        Reason::InFlightCap => v1::ExplainReason::InFlightCap,
        Reason::Parked => v1::ExplainReason::Parked,
        Reason::DeadLetterDue => v1::ExplainReason::DeadLetterDue,
        Reason::DeadLetterQueueGone => v1::ExplainReason::DeadLetterQueueGone,
    }
}

fn explanation(handle: &Handle, queue: &str, explained: &Explanation, of_group: bool) -> v1::Explanation {
    let id = |sequence| message_id(handle, explained.generation, sequence, explained.origin.as_ref());
    v1::Explanation {
        reason: code(explained.reason).into(),
        rule: explained.reason.rule().into(),
        text: words(queue, explained, of_group),
        // In a standard queue each message is a group of its own, named by nobody (B5).
        message_group_id: explained
            .group
            .as_ref()
            .filter(|_| is_fifo(queue))
            .map(ToString::to_string)
            .unwrap_or_default(),
        sequence_number: explained.message.unwrap_or_default().0,
        message_id: explained.message.filter(|_| explained.sent_at.is_some()).map(id).unwrap_or_default(),
        sent_unix_ms: explained.sent_at.unwrap_or_default().0,
        messages: explained.count,
        blocking: explained.blocking.as_ref().map(|held| blocking(handle, explained.generation, held)),
        receipt_holds: explained.receipt_holds,
    }
}

/// A dead letter keeps the id it was sent under (H9).
fn message_id(handle: &Handle, queue: QueueGeneration, sequence: SequenceNumber, origin: Option<&Origin>) -> String {
    let sent = origin.map_or((queue, sequence), |origin| (origin.generation, origin.sequence));
    handle.message_id(sent.0, sent.1).to_string()
}

fn blocking(handle: &Handle, queue: QueueGeneration, held: &Blocking) -> v1::Blocking {
    let blocking = v1::Blocking {
        sequence_number: held.sequence.0,
        message_id: message_id(handle, queue, held.sequence, held.origin.as_ref()),
        receive_count: held.receives,
        since_unix_ms: held.holder.since().0,
        ..v1::Blocking::default()
    };
    match &held.holder {
        Holder::Receiver { epoch, until, .. } => {
            v1::Blocking { epoch: epoch.0, until_unix_ms: Some(until.0), ..blocking }
        }
        Holder::Delay { until, .. } => v1::Blocking { until_unix_ms: Some(until.0), ..blocking },
        Holder::Claim { reader, instance, number, epoch, worker, lapses_at, .. } => v1::Blocking {
            epoch: epoch.0,
            until_unix_ms: lapses_at.map(|at| at.0),
            reader: reader.to_string(),
            instance: instance.to_string(),
            claim: number.0,
            worker: worker.as_ref().map(ToString::to_string).unwrap_or_default(),
            ..blocking
        },
    }
}

/// One sentence: what is so, because of whom, and what happens next.
fn words(queue: &str, explained: &Explanation, of_group: bool) -> String {
    let Explanation { reason, group, message, count, blocking, at, .. } = explained;
    let number = message.unwrap_or_default();
    let group = group.as_ref().map(ToString::to_string).unwrap_or_default();
    let holder = blocking.as_ref().map(|blocking| held_by(queue, blocking, *at)).unwrap_or_default();
    let what = match reason {
        Reason::Available if of_group && blocking.is_some() => {
            format!("group {group} ({count} messages) would deliver #{number} now, but not all of the rest: {holder}")
        }
        Reason::Available if of_group => format!("group {group} ({count} messages) would deliver #{number} now"),
        Reason::Available if *count == 0 => format!("message #{number} of group {group} would be delivered now"),
        Reason::Available => {
            format!(
                "message #{number} of group {group} would be delivered after the {count} before it, none of which is held"
            )
        }
        Reason::Empty => "the queue holds no message".to_owned(),
        Reason::NoSuchGroup => format!("group {group} holds no message"),
        Reason::MessageGone => {
            format!("message #{number} is gone: deleted, committed or purged, or its retention ended")
        }
        Reason::MessageNotSent => format!("no message has the number {number} yet"),
        Reason::InFlight | Reason::Claimed | Reason::Delayed if of_group => {
            format!("group {group} ({count} messages) delivers nothing: {holder}")
        }
        Reason::Delayed => format!("message #{number} of group {group} is delayed: {holder}"),
        Reason::InFlight | Reason::Claimed => format!("message #{number} of group {group} is held: {holder}"),
        Reason::BehindInFlight | Reason::BehindClaim => {
            format!("message #{number} of group {group} waits behind an earlier one: {holder}")
        }
        Reason::Parked => {
            format!("group {group} is parked and delivers nothing until `lockstep unpark {queue} {group}`")
        }
        Reason::DeadLetterDue => format!(
            "message #{number} of group {group} was received as often as the queue allows: the next receive moves it to \
             the dead-letter queue and goes on with the next"
        ),
        Reason::DeadLetterQueueGone => format!(
            "message #{number} of group {group} was received as often as the queue allows, but the dead-letter queue is \
             gone: it is delivered again; make the queue anew, or change the redrive policy"
        ),
        Reason::InFlightCap => format!(
            "group {group} is free, but the queue has {} messages in flight, which is the most; deletes make room",
            lockstep_engine::limits::IN_FLIGHT
        ),
    };
    let receipt = match explained.receipt_holds {
        Some(true) => "; the receipt holds it",
        Some(false) => "; the receipt does not hold it any more (R3)",
        None => "",
    };
    format!("{what}{receipt} (rule {})", reason.rule())
}

fn held_by(queue: &str, blocking: &Blocking, now: Timestamp) -> String {
    let (sequence, receives) = (blocking.sequence, blocking.receives);
    let ago = span(now.0.saturating_sub(blocking.holder.since().0));
    match &blocking.holder {
        Holder::Receiver { epoch, until, .. } => format!(
            "#{sequence} is in flight since {ago}, received {receives} times, under epoch {epoch}; unless it is deleted \
             or extended it becomes visible again in {}",
            span(until.0.saturating_sub(now.0))
        ),
        Holder::Delay { until, .. } => format!(
            "#{sequence} was sent {ago} ago and becomes visible in {}, or when the queue's delay is lowered",
            span(until.0.saturating_sub(now.0))
        ),
        Holder::Claim { reader, instance, number, worker, lapses_at, .. } => {
            let worker =
                worker.as_ref().map_or_else(|| "no worker yet".to_owned(), |worker| format!("worker {worker}"));
            let end = lapses_at.map_or_else(
                || "does not lapse by time".to_owned(),
                |at| format!("lapses in {}", span(at.0.saturating_sub(now.0))),
            );
            format!(
                "#{sequence} is in claim {number} of reader {reader} since {ago} ({worker}, controller {instance}); the \
                 claim {end}: it ends by its commit, or by `lockstep reader abandon {queue} {reader} --claim {number}`"
            )
        }
    }
}

/// Milliseconds in words.
fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200.. => format!("{} h", seconds / 3_600),
    }
}
