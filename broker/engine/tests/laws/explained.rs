//! B4 against the plain model: what Explain says of every message and group is what the model's loops come to.

use std::collections::BTreeMap;

use lockstep_engine::{
    Engine,
    command::QueueRef,
    explain::{Holder, Reason, Subject},
    words::{GroupId, SequenceNumber, Timestamp},
};

use crate::model::{Hold, Message, Model, Queue, ensure};

/// Compares every queue. No run comes near the in-flight cap (L10), which has its own story.
pub(crate) fn compare(model: &Model, engine: &Engine, now: u64) -> Result<(), String> {
    for queue in &model.queues {
        let reference = QueueRef { name: queue.name.clone(), generation: None };
        let ask = |subject: &Subject| {
            engine.explain(&reference, subject, Timestamp(now)).map_err(|rejected| rejected.to_string())
        };
        for sequence in 1..=queue.last_sequence + 1 {
            let said = ask(&Subject::Message(SequenceNumber(sequence)))?;
            let (reason, blocking) = of_message(model, queue, sequence);
            let same = said.reason == reason
                && said.blocking.as_ref().map(|blocking| blocking.sequence.0) == blocking
                && (said.reason == Reason::Parked || said.reason.is_blocked() == said.blocking.is_some());
            ensure!(same, "{said:?}, the model says {reason:?} because of {blocking:?}");
            if let Some(Holder::Receiver { until, .. }) = said.blocking.map(|blocking| blocking.holder) {
                let lease = blocking.and_then(|sequence| queue.message(sequence)).map(|message| message.hold);
                let Some(Hold::Leased { visible_at, .. }) = lease else { return Err(format!("{lease:?} is no lease")) };
                ensure!(until.0 == visible_at + model.downtime, "{until} is not when {sequence} is visible");
            }
        }
        let page = engine.explain_groups(&reference, None, usize::MAX, Timestamp(now));
        let counts = page.map_err(|rejected| rejected.to_string())?.counts;
        let mut expected = BTreeMap::new();
        for group in groups(queue) {
            let head = queue.messages.iter().find(|message| message.group == *group).expect("a group has messages");
            if !queue.is_fifo() {
                *expected.entry(of_head(model, queue, head)).or_default() += 1;
                continue;
            }
            let said = ask(&Subject::Group(group.clone()))?.reason;
            ensure!(said == of_head(model, queue, head), "group {group}: {said:?}, but its head is {head:?}");
            *expected.entry(said).or_default() += 1;
        }
        ensure!(counts == expected, "{counts:?} are not {expected:?}");
    }
    Ok(())
}

fn of_head(model: &Model, queue: &Queue, head: &Message) -> Reason {
    match head.hold {
        Hold::Free if queue.is_parked(&head.group) => Reason::Parked,
        Hold::Free => {
            let policy = queue.attributes.redrive.as_ref().filter(|policy| head.receives >= policy.max_receives);
            match policy.map(|policy| model.queues.iter().any(|other| other.name == policy.dead_letter_queue)) {
                None => Reason::Available,
                Some(true) => Reason::DeadLetterDue,
                Some(false) => Reason::DeadLetterQueueGone,
            }
        }
        Hold::Leased { .. } => Reason::InFlight,
        Hold::Delayed { .. } => Reason::Delayed,
        Hold::Claimed { .. } => Reason::Claimed,
    }
}

/// The reason, and the message that is in the way.
fn of_message(model: &Model, queue: &Queue, sequence: u64) -> (Reason, Option<u64>) {
    let Some(message) = queue.message(sequence) else {
        let gone = sequence <= queue.last_sequence;
        return (if gone { Reason::MessageGone } else { Reason::MessageNotSent }, None);
    };
    if message.hold != Hold::Free {
        return (of_head(model, queue, message), Some(sequence));
    }
    if queue.is_parked(&message.group) {
        return (Reason::Parked, None);
    }
    let ahead =
        |other: &&Message| other.sequence < sequence && other.group == message.group && other.hold != Hold::Free;
    match queue.messages.iter().find(ahead).map(|ahead| (ahead.hold, ahead.sequence)) {
        None | Some((Hold::Free, _)) => (of_head(model, queue, message), None),
        Some((Hold::Leased { .. }, ahead)) => (Reason::BehindInFlight, Some(ahead)),
        Some((Hold::Delayed { .. }, ahead)) => (Reason::Delayed, Some(ahead)),
        Some((Hold::Claimed { .. }, ahead)) => (Reason::BehindClaim, Some(ahead)),
    }
}

fn groups(queue: &Queue) -> Vec<&GroupId> {
    let mut groups: Vec<_> = queue.messages.iter().map(|message| &message.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}
