//! Sending with deduplication (S1 to S11). The same judgement serves the outputs of a commit.

use std::collections::BTreeSet;

use crate::{
    DeduplicationScope, Event, State,
    command::{Command, Context, Decision, Send, SendEntry},
    decide::producers,
    limits,
    reply::{Accepted, Rejected},
    state::{keys::NewKeys, queue::Queue},
    words::{ActiveTime, BodyRef, DeduplicationKey, GroupId, Position, QueueGeneration, SequenceNumber, Timestamp},
};

/// Sends that are being decided: what they would store, on top of a state that does not know them yet.
pub(super) struct Sending<'a> {
    state: &'a State,
    context: Context,
    now: ActiveTime,
    /// The newest number of each queue that is sent to; there are few.
    sequences: Vec<(QueueGeneration, SequenceNumber)>,
    keys: NewKeys,
    stored_bytes: u64,
    /// The events so far.
    pub(super) events: Vec<Event>,
    /// Which bodies they store, in order.
    pub(super) bodies: Vec<u32>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(state: &'a State, context: &Context) -> Self {
        Self {
            state,
            context: *context,
            now: state.active(context.now),
            sequences: Vec::new(),
            keys: NewKeys::default(),
            stored_bytes: 0,
            events: Vec::new(),
            bodies: Vec::new(),
        }
    }

    /// Judges one entry; `body` is its index among the command's bodies.
    pub(super) fn send(&mut self, queue: &Queue, entry: &SendEntry, body: u32) -> Result<Accepted, Rejected> {
        if !queue.is_fifo() {
            return self.send_standard(queue, entry, body);
        }
        let generation = queue.generation;
        if !entry.explicit_id && !queue.attributes.content_based {
            return Err(Rejected::DeduplicationIdMissing);
        }
        let key = match queue.attributes.scope {
            DeduplicationScope::Queue => entry.queue_key,
            DeduplicationScope::MessageGroup => entry.group_key,
        };
        if entry.delay.is_some_and(|delay| delay > 0) {
            return Err(Rejected::DelayNotAllowed);
        }
        // A duplicate comes first: a repeat of what was accepted must succeed, whatever has changed since (S6).
        let before = self.keys.get(generation, key).or_else(|| queue.keys.live(key, self.now));
        if let Some(sequence) = before {
            return Ok(Accepted { generation, sequence, duplicate: true });
        }
        let sequence = self.admit(queue, entry)?;
        self.keys.insert(generation, key, sequence);
        self.store(queue, entry, body, sequence, (key, ActiveTime(self.now.0 + queue.attributes.window)));
        Ok(Accepted { generation, sequence, duplicate: false })
    }

    /// Judges one entry for a standard queue: nothing is a duplicate, and a delay may be the message's own (B5).
    fn send_standard(&mut self, queue: &Queue, entry: &SendEntry, body: u32) -> Result<Accepted, Rejected> {
        if entry.explicit_id {
            return Err(Rejected::DeduplicationIdNotAllowed);
        }
        let sequence = self.admit(queue, entry)?;
        self.store(queue, entry, body, sequence, (DeduplicationKey([0; 16]), ActiveTime(0)));
        Ok(Accepted { generation: queue.generation, sequence, duplicate: false })
    }

    /// Finds room for a message; its number.
    fn admit(&mut self, queue: &Queue, entry: &SendEntry) -> Result<SequenceNumber, Rejected> {
        if entry.size > queue.attributes.max_message_size {
            return Err(Rejected::MessageTooLong { limit: queue.attributes.max_message_size });
        }
        let cost = u64::from(entry.size) + limits::MESSAGE_OVERHEAD;
        if self.stored_bytes + cost > self.context.space.for_sends {
            return Err(Rejected::StorageFull);
        }
        self.stored_bytes += cost;
        let newest = match self.sequences.iter_mut().find(|(generation, _)| *generation == queue.generation) {
            Some((_, newest)) => newest,
            None => {
                self.sequences.push((queue.generation, queue.last_sequence.next()));
                return Ok(queue.last_sequence.next());
            }
        };
        *newest = newest.next();
        Ok(*newest)
    }

    /// Notes that a message is stored.
    fn store(
        &mut self,
        queue: &Queue,
        entry: &SendEntry,
        body: u32,
        sequence: SequenceNumber,
        (key, key_expires_at): (DeduplicationKey, ActiveTime),
    ) {
        // On a FIFO queue its own delay is 0, which means the queue's (S10).
        let own = entry.delay.filter(|_| !queue.is_fifo());
        let body = BodyRef { position: self.place(body), size: entry.size };
        self.events.push(Event::MessageSent {
            queue: queue.generation,
            sequence,
            group: if queue.is_fifo() { entry.group.clone() } else { GroupId::alone(sequence) },
            key,
            key_expires_at,
            body,
            at: self.context.now,
            delayed_until: delayed_until(self.context.now, own.unwrap_or(queue.attributes.delay)),
        });
    }

    /// Stores one of the command's bodies at the next place of the frame.
    pub(super) fn place(&mut self, body: u32) -> Position {
        let stored = u32::try_from(self.bodies.len()).expect("a frame holds far fewer bodies than 2^32");
        self.bodies.push(body);
        Position { frame: self.context.frame, index: self.context.next_body + stored }
    }

    /// The state under the sends.
    pub(super) fn state(&self) -> &'a State {
        self.state
    }
}

/// When a message that is sent now becomes visible; at once without a delay (S10).
fn delayed_until(now: Timestamp, delay: u64) -> Option<Timestamp> {
    (delay > 0).then(|| Timestamp(now.0 + delay))
}

impl Command for Send {
    /// One outcome for each entry, in their order.
    type Reply = Vec<Result<Accepted, Rejected>>;

    /// A rejected entry rejects the later ones of its group (H1), so that no message overtakes another. Those of a
    /// session are judged by their numbers first (B3).
    fn decide(&self, state: &State, context: &Context) -> Decision<Self::Reply> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        let mut sending = Sending::new(state, context);
        if let Some(session) = &self.session {
            return producers::send(self, session, queue, sending);
        }
        let mut stopped: BTreeSet<&GroupId> = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(self.entries.len());
        for (entry, index) in self.entries.iter().zip(0..) {
            let outcome = if stopped.contains(&entry.group) {
                Err(Rejected::EarlierRejected)
            } else {
                sending.send(queue, entry, index)
            };
            if outcome.is_err() && queue.is_fifo() {
                stopped.insert(&entry.group);
            }
            outcomes.push(outcome);
        }
        Decision { events: sending.events, bodies: sending.bodies, reply: Ok(outcomes) }
    }
    fn duplicates(reply: &Self::Reply) -> Vec<Accepted> {
        reply.iter().flatten().filter(|accepted| accepted.duplicate).copied().collect()
    }
}
