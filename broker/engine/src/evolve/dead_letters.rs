//! How messages change queues as dead letters (Q2, Q3). Whether they should is `decide`'s.

use crate::{
    reply::Origin,
    state::{
        Due, State,
        message::{Arrival, Hold},
    },
    words::{QueueGeneration, SequenceNumber, Timestamp},
};

impl State {
    /// Moves messages: same body, same identity, receives go on, a new place, and between FIFO queues a new
    /// retention clock (Q3).
    /// `None`: a message or a queue is not there.
    pub(super) fn dead_letter(
        &mut self,
        queue: QueueGeneration,
        to: QueueGeneration,
        at: Timestamp,
        messages: &[(SequenceNumber, SequenceNumber)],
    ) -> Option<()> {
        for (from, place) in messages {
            let source = self.queues.get_mut(&queue)?;
            let name = source.name.clone();
            let group = source.group_of(source.messages.get(*from)?).clone();
            let message = source.remove(*from)?;
            if let Hold::Leased(lease) = message.hold {
                self.dues.remove(&(lease.visible_at, queue, Due::Lease(*from)));
            }
            let sent = message.origin.map_or((queue, *from), |origin| (origin.generation, origin.sequence));
            let origin = Origin { generation: sent.0, sequence: sent.1, source: name };
            let target = self.queues.get_mut(&to)?;
            target.last_sequence = target.last_sequence.max(*place);
            let sent_at = if target.is_fifo() { at } else { message.sent_at };
            let (body, first_received_at, receives) = (message.body, message.first_received_at, message.receives);
            let (hold, origin) = (Hold::Free, Some(Box::new(origin)));
            target.push(*place, &group, Arrival { body, sent_at, first_received_at, receives, hold, origin });
        }
        Some(())
    }
}
