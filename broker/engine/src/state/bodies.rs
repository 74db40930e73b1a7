//! Bodies by their owners: what names a body, where it lies, and that it lies elsewhere now (H6).

use std::collections::BTreeSet;

use crate::{
    state::{State, queue::Queue},
    words::{BodyOwner, BodyRef, QueueGeneration},
};

impl State {
    /// The places of all bodies.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = BodyRef> {
        self.queues.values().flat_map(|queue| {
            let values = queue.readers.values().flat_map(|reader| reader.values.values().copied());
            queue.messages.values().map(|message| message.body).chain(values)
        })
    }

    /// Who names a body in one of these frames.
    pub(crate) fn owners(&self, frames: &BTreeSet<u64>) -> impl Iterator<Item = (QueueGeneration, BodyOwner, BodyRef)> {
        let there = |body: &BodyRef| frames.contains(&body.position.frame);
        self.queues.values().flat_map(move |queue| {
            let messages = queue.messages.iter().filter(move |(_, message)| there(&message.body));
            let messages = messages.map(|(sequence, message)| (BodyOwner::Message(sequence), message.body));
            let values = queue.readers.values().flat_map(move |reader| {
                reader.values.iter().filter(move |(_, body)| there(body)).map(|((group, key), body)| {
                    let owner = BodyOwner::Value { reader: reader.id, group: group.clone(), key: key.clone() };
                    (owner, *body)
                })
            });
            messages.chain(values).map(|(owner, body)| (queue.generation, owner, body))
        })
    }

    /// Where an owner's body lies now; `None` when the owner is gone.
    pub(crate) fn body(&self, queue: QueueGeneration, owner: &BodyOwner) -> Option<BodyRef> {
        self.queues.get(&queue)?.body(owner)
    }

    pub(crate) fn move_bodies(&mut self, queue: QueueGeneration, bodies: &[(BodyOwner, BodyRef)]) -> Option<()> {
        let queue = self.queues.get_mut(&queue)?;
        bodies.iter().try_for_each(|(owner, body)| queue.move_body(owner, *body))
    }
}

impl Queue {
    /// Where an owner's body lies.
    pub(crate) fn body(&self, owner: &BodyOwner) -> Option<BodyRef> {
        match owner {
            BodyOwner::Message(sequence) => self.messages.get(*sequence).map(|message| message.body),
            BodyOwner::Value { reader, group, key } => {
                let (_, reader) = self.reader_by_id(*reader)?;
                reader.values.get(&(group.clone(), key.clone())).copied()
            }
        }
    }

    fn move_body(&mut self, owner: &BodyOwner, body: BodyRef) -> Option<()> {
        let place = match owner {
            BodyOwner::Message(sequence) => self.messages.get_mut(*sequence).map(|message| &mut message.body),
            BodyOwner::Value { reader, group, key } => {
                self.reader_by_id_mut(*reader)?.values.get_mut(&(group.clone(), key.clone()))
            }
        };
        // Its size stays what it was: only the place is new.
        place?.position = body.position;
        Some(())
    }
}
