//! The only writer of the state. Total and timeless: an event that names something unknown is counted as a stray and
//! changes nothing, and the invariants refuse a state with strays.

mod dead_letters;
mod parking;
mod producers;
mod readers;
mod redrive;
mod restored;

use crate::{
    event::{Counted, Event},
    state::{
        Due, State,
        attempts::Attempt,
        keys::Key,
        message::{Arrival, Hold, Lease},
        queue::Queue,
        reader::PastCommit,
    },
    words::{ActiveTime, AttemptKey, Epoch, QueueGeneration, SequenceNumber, Timestamp},
};

impl State {
    /// Applies one fact.
    pub(crate) fn evolve(&mut self, event: &Event) {
        let known = self.apply(event);
        if known.is_none() {
            self.strays += 1;
        }
    }

    /// `None`: the event names something that does not exist.
    fn apply(&mut self, event: &Event) -> Option<()> {
        match event {
            Event::Ticked { at } => self.see(*at),
            Event::Resumed { at, gap } => {
                self.see(*at);
                self.downtime += gap;
            }
            Event::QueueCreated { queue, name, attributes, at } => {
                self.last_generation = *queue;
                self.names.insert(name.clone(), *queue);
                self.queues.insert(*queue, Queue::new(*queue, name.clone(), attributes.as_ref().clone(), *at));
            }
            Event::QueueChanged { queue, attributes, at } => {
                let found = self.queues.get_mut(queue)?;
                // A standard queue's messages keep the delay that they were sent with (S11).
                let retimed = found.is_fifo() && found.attributes.delay != attributes.delay;
                found.attributes = attributes.as_ref().clone();
                found.modified_at = *at;
                if retimed {
                    self.retime(*queue)?;
                }
            }
            Event::QueueTagged { queue, tags } => self.queues.get_mut(queue)?.tags.clone_from(tags),
            Event::QueuePurged { queue, at } => self.purge(*queue, *at)?,
            Event::QueueDeleted { queue, at } => self.delete_queue(*queue, *at)?,
            Event::MessageSent { queue, sequence, delayed_until, .. } => {
                let found = self.queues.get_mut(queue)?;
                send(found, event);
                if let Some(until) = delayed_until {
                    self.delays.insert((*until, *queue, *sequence));
                }
            }
            Event::DelaysElapsed { queue, messages } => self.appear(*queue, messages)?,
            Event::MessagesReceived { queue, epoch, at, received_at, visible_at, messages } => {
                let lease = Lease { epoch: *epoch, received_at: *received_at, visible_at: *visible_at };
                let dues = &mut self.dues;
                let queue = self.queues.get_mut(queue)?;
                queue.last_epoch = queue.last_epoch.max(*epoch);
                for &(sequence, receives) in messages {
                    queue.hold(sequence, Hold::Leased(lease), Some(receives))?;
                    queue.note_first_receive(sequence, *at);
                    dues.insert((*visible_at, queue.generation, Due::Lease(sequence)));
                }
            }
            Event::AttemptNoted { queue, attempt, expires_at, messages } => {
                let noted = Attempt { expires_at: *expires_at, messages: messages.clone() };
                self.queues.get_mut(queue)?.attempts.insert(*attempt, noted);
            }
            Event::AttemptRepeated { queue, attempt, visible_at } => self.repeat(*queue, *attempt, *visible_at)?,
            Event::MessagesReturned { queue, messages, .. } => self.free(*queue, messages)?,
            Event::MessagesDeleted { queue, messages } | Event::MessagesExpired { queue, messages } => {
                self.remove(*queue, messages)?;
            }
            Event::MessagesDeadLettered { queue, to, at, messages } => {
                self.dead_letter(*queue, *to, *at, messages)?;
            }
            Event::MoveTask { queue, task, fact } => self.move_task(*queue, *task, fact)?,
            Event::VisibilityChanged { queue, messages } => {
                for (sequence, visible_at) in messages {
                    let lease = self.extend(*queue, *sequence, *visible_at)?;
                    self.queues.get_mut(queue)?.attempts.touch(lease);
                }
            }
            Event::BodiesMoved { queue, bodies } => self.move_bodies(*queue, bodies)?,
            Event::GroupParked { queue, group, at } => self.queues.get_mut(queue)?.park(group, *at),
            Event::GroupsUnparked { queue, groups } => self.unpark(*queue, groups)?,
            Event::KeysForgotten { queue, through } => {
                let found = self.queues.get_mut(queue)?;
                found.keys.forget(*through);
                found.attempts.forget(*through);
            }
            Event::DeliveriesCommitted { queue, id, digest, messages, outputs } => {
                self.remove(*queue, messages)?;
                let past = PastCommit { digest: *digest, outputs: outputs.clone() };
                self.queues.get_mut(queue)?.commits.insert(id.clone(), past);
            }
            Event::ProducerOpened { queue, producer, epoch, instance, at } => {
                self.open_producer(*queue, producer, *epoch, instance, *at)?;
            }
            Event::NumbersUsed { queue, epoch, first, uses } => self.use_numbers(*queue, *epoch, *first, uses)?,
            Event::ProducerForgotten { queue, epoch } => self.queues.get_mut(queue)?.producers.forget(*epoch)?,
            Event::ReaderOpened { .. }
            | Event::ReaderDropped { .. }
            | Event::ClaimOpened { .. }
            | Event::ClaimTaken { .. }
            | Event::ClaimBurnt { .. }
            | Event::ClaimCommitted { .. }
            | Event::ValuesCommitted { .. } => self.apply_to_reader(event)?,
            Event::Restored(piece) => self.restore(piece)?,
        }
        Some(())
    }

    /// An instant was journalled (H2).
    fn see(&mut self, at: Timestamp) {
        self.time = self.time.max(at);
        self.deletions.forget(self.time);
    }

    /// Removes messages, whoever holds them.
    fn remove(&mut self, queue: QueueGeneration, messages: &[SequenceNumber]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        for sequence in messages {
            match found.remove(*sequence)?.hold {
                Hold::Leased(lease) => {
                    self.dues.remove(&(lease.visible_at, queue, Due::Lease(*sequence)));
                }
                Hold::Delayed(until) => {
                    self.delays.remove(&(until, queue, *sequence));
                }
                Hold::Free | Hold::Claimed(..) => {}
            }
        }
        Some(())
    }

    /// Makes messages free again.
    fn free(&mut self, queue: QueueGeneration, messages: &[Counted]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        for &(sequence, receives) in messages {
            let before = found.hold(sequence, Hold::Free, Some(receives))?;
            if let Hold::Leased(lease) = before {
                self.dues.remove(&(lease.visible_at, queue, Due::Lease(sequence)));
            }
        }
        Some(())
    }

    /// Makes delayed messages visible (S11).
    fn appear(&mut self, queue: QueueGeneration, messages: &[SequenceNumber]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        for sequence in messages {
            if let Hold::Delayed(until) = found.hold(*sequence, Hold::Free, None)? {
                self.delays.remove(&(until, queue, *sequence));
            }
        }
        Some(())
    }

    /// The queue's delay changed: what is still delayed becomes visible so long after it was sent (S11).
    fn retime(&mut self, queue: QueueGeneration) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        let delay = found.attributes.delay;
        let delayed: Vec<_> = self.delays.iter().filter(|(_, of, _)| *of == queue).copied().collect();
        for (before, _, sequence) in delayed {
            let until = Timestamp(found.messages.get(sequence)?.sent_at.0 + delay);
            found.hold(sequence, Hold::Delayed(until), None)?;
            self.delays.remove(&(before, queue, sequence));
            self.delays.insert((until, queue, sequence));
        }
        Some(())
    }

    /// Moves the end of a lease; its epoch.
    fn extend(&mut self, queue: QueueGeneration, sequence: SequenceNumber, visible_at: ActiveTime) -> Option<Epoch> {
        let before = self.queues.get_mut(&queue)?.set_visible_at(sequence, visible_at)?;
        self.dues.remove(&(before.visible_at, queue, Due::Lease(sequence)));
        self.dues.insert((visible_at, queue, Due::Lease(sequence)));
        Some(before.epoch)
    }

    /// Moves the ends of all leases of an attempt, which does not end it (R7).
    fn repeat(&mut self, queue: QueueGeneration, attempt: AttemptKey, visible_at: ActiveTime) -> Option<()> {
        let messages = self.queues.get(&queue)?.attempts.noted(attempt)?.messages.clone();
        for (sequence, _) in messages {
            self.extend(queue, sequence, visible_at)?;
        }
        Some(())
    }

    /// Removes what no claim holds, and every deduplication key (S5, B8).
    fn purge(&mut self, queue: QueueGeneration, at: Timestamp) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        found.purged_at = Some(at);
        found.keys.clear();
        found.unpark_all();
        let gone: Vec<SequenceNumber> =
            found.messages.iter().filter(|(_, message)| !message.is_claimed()).map(|(sequence, _)| sequence).collect();
        self.remove(queue, &gone)
    }

    fn delete_queue(&mut self, queue: QueueGeneration, at: Timestamp) -> Option<()> {
        let gone = self.queues.remove(&queue)?;
        self.names.remove(&gone.name);
        self.deletions.insert(&gone.name, at);
        self.dues.retain(|(_, of, _)| *of != queue);
        self.delays.retain(|(_, of, _)| *of != queue);
        Some(())
    }
}

fn send(queue: &mut Queue, event: &Event) {
    let Event::MessageSent { sequence, group, key, key_expires_at, body, at, delayed_until, .. } = event else {
        return;
    };
    queue.last_sequence = *sequence;
    if queue.is_fifo() {
        queue.keys.insert(*key, Key { sequence: *sequence, expires_at: *key_expires_at });
    }
    let hold = delayed_until.map_or(Hold::Free, Hold::Delayed);
    queue.push(*sequence, group, Arrival::new(*body, *at, hold));
}
