//! What the shell must know of a single fact: which bodies were stored with it, and whose polls it may concern.
//! Exhaustive on purpose: a new event does not compile until both are said.

use lockstep_engine::{
    Event,
    words::{BodyRef, QueueGeneration},
};

/// The indices of the bodies of frame `frame` that an event names: those that were stored with it.
pub(crate) fn fresh_bodies(event: &Event, frame: u64) -> impl Iterator<Item = u32> {
    let bodies = match event {
        Event::MessageSent { body, .. } => vec![*body],
        Event::ClaimCommitted { values, .. } | Event::ValuesCommitted { values, .. } => {
            values.iter().filter_map(|value| value.body).collect()
        }
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::QueueChanged { .. }
        | Event::QueuePurged { .. }
        | Event::QueueDeleted { .. }
        | Event::DelaysElapsed { .. }
        | Event::MessagesReceived { .. }
        | Event::MessagesReturned { .. }
        | Event::MessagesDeleted { .. }
        | Event::VisibilityChanged { .. }
        | Event::MessagesExpired { .. }
        // The body stays where it is (Q2).
        | Event::MessagesDeadLettered { .. }
        | Event::KeysForgotten { .. }
        | Event::ReaderOpened { .. }
        | Event::ReaderDropped { .. }
        | Event::ClaimOpened { .. }
        | Event::ClaimTaken { .. }
        | Event::ClaimBurnt { .. }
        | Event::DeliveriesCommitted { .. }
        | Event::Restored(_) => Vec::new(),
    };
    let fresh = move |body: BodyRef| (body.position.frame == frame).then_some(body.position.index);
    bodies.into_iter().filter_map(fresh)
}

/// The queues whose polls may fare better after an event, or must be told something (R2).
pub(crate) fn changes_what_is_there(event: &Event) -> impl Iterator<Item = QueueGeneration> {
    let changed: [Option<QueueGeneration>; 2] = match event {
        Event::MessagesDeadLettered { queue, to, .. } => [Some(*queue), Some(*to)],
        Event::QueueChanged { queue, .. }
        | Event::QueuePurged { queue }
        | Event::QueueDeleted { queue }
        | Event::MessageSent { queue, .. }
        | Event::DelaysElapsed { queue, .. }
        | Event::MessagesReturned { queue, .. }
        | Event::MessagesDeleted { queue, .. }
        | Event::VisibilityChanged { queue, .. }
        | Event::MessagesExpired { queue, .. }
        | Event::ReaderOpened { queue, .. }
        | Event::ReaderDropped { queue, .. }
        | Event::ClaimBurnt { queue, .. }
        | Event::ClaimCommitted { queue, .. }
        | Event::DeliveriesCommitted { queue, .. } => [Some(*queue), None],
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::MessagesReceived { .. }
        | Event::KeysForgotten { .. }
        | Event::ClaimOpened { .. }
        | Event::ClaimTaken { .. }
        | Event::ValuesCommitted { .. }
        | Event::Restored(_) => [None, None],
    };
    changed.into_iter().flatten()
}
