//! Explain on the wire (B4): what is asked, and the answer in fields and in words. What is true is the engine's to say.

use lockstep_engine::{
    explain::{Blocking, Explanation, Holder, Reason},
    reply::Origin,
    words::{GroupId, QueueGeneration, QueueName, SequenceNumber},
};
use lockstep_proto::v1::{self, explain_request::Subject};
use tonic::Status;
use uuid::Uuid;

use super::{Services, input, queues::parsed};
use crate::{
    failure::Invalid,
    handle::{ExplainedQueue, Handle, Wanted, explained as explained_in_words},
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
        text: explained_in_words(queue, explained, of_group),
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
