//! Bodies that move: whoever still names the place it was read from names the new one, as far as the space reaches (H6).

use lockstep_engine::{
    Rejected,
    command::MoveBodies,
    limits,
    words::{BodyOwner, BodyRef},
};

use super::{Model, Queue, Turn};

impl Model {
    pub(crate) fn move_bodies(&mut self, command: &MoveBodies, turn: &mut Turn) -> Result<u32, Rejected> {
        let Some(queue) = self.queues.iter_mut().find(|queue| queue.generation == command.queue.0) else {
            return Ok(0);
        };
        let (mut moved, mut used) = (0, 0);
        for (index, (owner, from)) in command.bodies.iter().enumerate() {
            let cost = u64::from(from.size) + limits::MESSAGE_OVERHEAD;
            let Some(place) = place(queue, owner).filter(|place| **place == *from) else { continue };
            if used + cost <= turn.for_finishes {
                used += cost;
                *place = turn.store(index, from.size);
                moved += 1;
            }
        }
        Ok(moved)
    }
}

fn place<'a>(queue: &'a mut Queue, owner: &BodyOwner) -> Option<&'a mut BodyRef> {
    match owner {
        BodyOwner::Message(sequence) => {
            let message = queue.messages.iter_mut().find(|message| message.sequence == sequence.0);
            message.map(|message| &mut message.body)
        }
        BodyOwner::Value { reader, group, key } => {
            let reader = queue.readers.iter_mut().find(|known| known.id == reader.0)?;
            let value = reader.values.iter_mut().find(|(place, _)| (&place.0, &place.1) == (group, key));
            value.map(|(_, body)| body)
        }
    }
}
