//! What the shell must know of a single fact: which bodies were stored with it, whose polls it may concern, and what
//! it adds to the figures. Exhaustive on purpose: a new event does not compile until all are said.

use lockstep_engine::{
    Engine, Event,
    event::MoveTaskFact,
    words::{BodyRef, QueueGeneration},
};

use crate::metrics::Kind;

/// The indices of the bodies of frame `frame` that an event names: those that were stored with it.
pub(crate) fn fresh_bodies(event: &Event, frame: u64) -> impl Iterator<Item = u32> {
    // Nearly every event with a body has one, and it must cost no allocation.
    let mut one = None;
    let bodies = match event {
        Event::MessageSent { body, .. } => {
            one = Some(*body);
            Vec::new()
        }
        Event::ClaimCommitted { values, .. } | Event::ValuesCommitted { values, .. } => {
            values.iter().filter_map(|value| value.body).collect()
        }
        Event::BodiesMoved { bodies, .. } => bodies.iter().map(|(_, body)| *body).collect(),
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::QueueChanged { .. }
        | Event::QueueTagged { .. }
        | Event::QueuePurged { .. }
        | Event::QueueDeleted { .. }
        | Event::DelaysElapsed { .. }
        | Event::MessagesReceived { .. }
        | Event::AttemptNoted { .. }
        | Event::AttemptRepeated { .. }
        | Event::MessagesReturned { .. }
        | Event::MessagesDeleted { .. }
        | Event::VisibilityChanged { .. }
        | Event::MessagesExpired { .. }
        // The body stays where it is (Q2).
        | Event::MessagesDeadLettered { .. }
        | Event::MoveTask { .. }
        | Event::GroupParked { .. }
        | Event::GroupsUnparked { .. }
        | Event::KeysForgotten { .. }
        | Event::ProducerOpened { .. }
        | Event::NumbersUsed { .. }
        | Event::ProducerForgotten { .. }
        | Event::ReaderOpened { .. }
        | Event::ReaderDropped { .. }
        | Event::ClaimOpened { .. }
        | Event::ClaimTaken { .. }
        | Event::ClaimBurnt { .. }
        | Event::DeliveriesCommitted { .. }
        | Event::Restored(_) => Vec::new(),
    };
    let fresh = move |body: BodyRef| (body.position.frame == frame).then_some(body.position.index);
    one.into_iter().chain(bodies).filter_map(fresh)
}

/// The queues whose polls may fare better after an event, or must be told something (R2).
pub(crate) fn changes_what_is_there(event: &Event) -> impl Iterator<Item = QueueGeneration> {
    let changed: [Option<QueueGeneration>; 2] = match event {
        Event::MessagesDeadLettered { queue, to, .. } => [Some(*queue), Some(*to)],
        Event::ClaimCommitted { queue, outcomes, .. } => {
            [Some(*queue), outcomes.letters.as_ref().map(|letters| letters.to)]
        }
        Event::MoveTask { queue, fact, .. } => match &**fact {
            MoveTaskFact::Moved { to, .. } => [Some(*queue), Some(*to)],
            MoveTaskFact::Started(_) | MoveTaskFact::Advanced { .. } | MoveTaskFact::Ended { .. } => [None, None],
        },
        Event::QueueChanged { queue, .. }
        | Event::QueuePurged { queue, .. }
        | Event::QueueDeleted { queue, .. }
        | Event::MessageSent { queue, .. }
        | Event::DelaysElapsed { queue, .. }
        | Event::MessagesReturned { queue, .. }
        | Event::MessagesDeleted { queue, .. }
        | Event::VisibilityChanged { queue, .. }
        | Event::AttemptRepeated { queue, .. }
        | Event::MessagesExpired { queue, .. }
        | Event::ReaderOpened { queue, .. }
        | Event::ReaderDropped { queue, .. }
        | Event::ClaimBurnt { queue, .. }
        | Event::GroupsUnparked { queue, .. }
        | Event::DeliveriesCommitted { queue, .. } => [Some(*queue), None],
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::QueueTagged { .. }
        | Event::MessagesReceived { .. }
        | Event::AttemptNoted { .. }
        | Event::KeysForgotten { .. }
        | Event::ProducerOpened { .. }
        | Event::NumbersUsed { .. }
        | Event::ProducerForgotten { .. }
        | Event::GroupParked { .. }
        | Event::ClaimOpened { .. }
        | Event::ClaimTaken { .. }
        | Event::ValuesCommitted { .. }
        | Event::BodiesMoved { .. }
        | Event::Restored(_) => [None, None],
    };
    changed.into_iter().flatten()
}

/// What an event that is about to be evolved adds to the figures of a queue.
pub(crate) fn figures(event: &Event, engine: &Engine) -> impl Iterator<Item = (QueueGeneration, Kind, u64)> {
    let outcomes = if let Event::ClaimCommitted { queue, outcomes, .. } = event {
        let letters = outcomes.letters.as_ref().map_or(0, |letters| letters.messages.len() as u64);
        vec![(*queue, Kind::Returned, outcomes.returned.len() as u64), (*queue, Kind::DeadLettered, letters)]
    } else {
        Vec::new()
    };
    figure(event, engine).into_iter().chain(outcomes)
}

fn figure(event: &Event, engine: &Engine) -> Option<(QueueGeneration, Kind, u64)> {
    match event {
        Event::MessageSent { queue, .. } => Some((*queue, Kind::Sent, 1)),
        Event::MessagesReceived { queue, messages, .. } => Some((*queue, Kind::Received, messages.len() as u64)),
        Event::MessagesReturned { queue, messages, .. } => Some((*queue, Kind::Returned, messages.len() as u64)),
        Event::MessagesDeleted { queue, messages } | Event::DeliveriesCommitted { queue, messages, .. } => {
            Some((*queue, Kind::Deleted, messages.len() as u64))
        }
        Event::MessagesExpired { queue, messages } => Some((*queue, Kind::Expired, messages.len() as u64)),
        Event::MessagesDeadLettered { queue, messages, .. } => {
            Some((*queue, Kind::DeadLettered, messages.len() as u64))
        }
        Event::ClaimOpened { queue, messages, .. } => Some((*queue, Kind::Claimed, messages.len() as u64)),
        Event::ClaimCommitted { queue, reader, number, outcomes, .. } => {
            // What went back or is a dead letter is counted as that (B7).
            let kept = outcomes.returned.len() + outcomes.letters.as_ref().map_or(0, |letters| letters.messages.len());
            let claimed = engine.claimed_by(*queue, *reader, Some(*number));
            Some((*queue, Kind::Deleted, claimed.saturating_sub(kept as u64)))
        }
        Event::ClaimBurnt { queue, reader, number, .. } => {
            Some((*queue, Kind::Returned, engine.claimed_by(*queue, *reader, Some(*number))))
        }
        Event::ReaderDropped { queue, reader } => {
            Some((*queue, Kind::Returned, engine.claimed_by(*queue, *reader, None)))
        }
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::QueueChanged { .. }
        | Event::QueueTagged { .. }
        | Event::QueuePurged { .. }
        | Event::QueueDeleted { .. }
        | Event::VisibilityChanged { .. }
        | Event::AttemptNoted { .. }
        | Event::AttemptRepeated { .. }
        | Event::DelaysElapsed { .. }
        | Event::KeysForgotten { .. }
        | Event::MoveTask { .. }
        | Event::ProducerOpened { .. }
        | Event::NumbersUsed { .. }
        | Event::BodiesMoved { .. }
        | Event::ProducerForgotten { .. }
        | Event::ReaderOpened { .. }
        | Event::ClaimTaken { .. }
        | Event::GroupParked { .. }
        | Event::GroupsUnparked { .. }
        | Event::ValuesCommitted { .. }
        | Event::Restored(_) => None,
    }
}

/// Whether something may be due right after an event that was not before: messages that a claim gave back, or that a
/// shorter retention ends, are judged at once (B8, R9).
pub(crate) fn may_unsettle(event: &Event) -> bool {
    if let Event::ClaimCommitted { outcomes, .. } = event {
        return !outcomes.returned.is_empty();
    }
    matches!(event, Event::ClaimBurnt { .. } | Event::ReaderDropped { .. } | Event::QueueChanged { .. })
}
