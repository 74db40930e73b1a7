//! What happens by itself as time passes: leases and claim limits end, retention passes, keys are freed, and the
//! journal sees the time (H2, H3). Bounded: what is left is settled in the next turn, before any command.

use std::collections::BTreeMap;

use crate::{
    Event, State,
    decide::visibility::taken_back,
    event::{BurnCause, Counted, ReturnCause},
    limits,
    state::{Due, queue::Queue},
    words::{ActiveTime, ClaimNumber, QueueGeneration, ReaderId, SequenceNumber, Timestamp},
};

/// What is due at an instant.
#[derive(Debug)]
pub struct Settlement {
    /// The facts, in order.
    pub events: Vec<Event>,
    /// Whether that is all. Otherwise no command may be decided in this turn (H3).
    pub complete: bool,
}

impl State {
    /// What is due at `now`, at most [`limits::SETTLED_IN_A_TURN`] leases and delays and as many expired messages.
    pub(crate) fn settle(&self, now: Timestamp) -> Settlement {
        let active = self.active(now);
        let mut settlement = self.lapses(now);
        let expired = self.expiries(now);
        settlement.complete &= expired.complete;
        // The messages of a burnt claim are judged by retention once they are back (B8): in the next turn.
        settlement.complete &= !settlement.events.iter().any(|event| matches!(event, Event::ClaimBurnt { .. }));
        settlement.events.extend(expired.events);
        settlement.events.extend(self.queues.restless().filter_map(|queue| forgettable(queue, active)));
        settlement
    }

    /// Leases and claims that lapsed and delays that elapsed, in the order of their instants: so their groups get their
    /// turns (O2, H3).
    fn lapses(&self, now: Timestamp) -> Settlement {
        let active = self.active(now);
        let mut returned: BTreeMap<QueueGeneration, BTreeMap<SequenceNumber, u32>> = BTreeMap::new();
        let mut events = Vec::new();
        let mut due = self.dues.iter().take_while(|(at, ..)| *at <= active).peekable();
        let mut elapsed = self.delays.iter().take_while(|(at, ..)| *at <= now).peekable();
        for _ in 0..limits::SETTLED_IN_A_TURN {
            let next = due.peek().map(|(at, ..)| self.wall(*at));
            if let Some(&(_, generation, sequence)) = elapsed.next_if(|(at, ..)| next.is_none_or(|next| *at < next)) {
                appeared(&mut events, generation, sequence);
                continue;
            }
            let Some(&(_, generation, what)) = due.next() else { break };
            let Some(queue) = self.queues.get(&generation) else { continue };
            match what {
                Due::Lease(sequence) => {
                    let fallen = returned.entry(generation).or_default();
                    let Some(message) = queue.messages.get(sequence) else { continue };
                    if let Some(lease) = message.lease()
                        && !fallen.contains_key(&sequence)
                    {
                        let back = taken_back(queue, sequence, message, lease, fallen);
                        fallen.extend(back.iter().copied());
                        lapsed(&mut events, generation, back);
                    }
                }
                Due::Claim(reader, number) => events.push(burnt(generation, reader, number)),
            }
        }
        let complete = due.next().is_none() && elapsed.next().is_none();
        Settlement { events, complete }
    }

    /// Messages whose retention passed and that no claim holds (R9, B8).
    fn expiries(&self, now: Timestamp) -> Settlement {
        let mut settlement = Settlement { events: Vec::new(), complete: true };
        for queue in self.queues.restless() {
            let mut expired = expired(queue, now);
            let messages: Vec<_> = expired.by_ref().take(limits::SETTLED_IN_A_TURN).collect();
            settlement.complete &= expired.next().is_none();
            if !messages.is_empty() {
                settlement.events.push(Event::MessagesExpired { queue: queue.generation, messages });
            }
        }
        settlement
    }

    /// The next instant at which [`Self::settle`] has something to do, or a tick is wanted (H2).
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let tick = self.wants_ticks().then(|| Timestamp(self.time.0 + limits::TICK));
        [self.next_settlement(), tick].into_iter().flatten().min()
    }

    /// The next instant at which [`Self::settle`] has something to do, or a move task goes on.
    pub(crate) fn next_settlement(&self) -> Option<Timestamp> {
        let due = self.dues.first().map(|(at, ..)| self.wall(*at));
        let delay = self.delays.first().map(|(at, ..)| *at);
        let keys = self.queues.restless().filter_map(Queue::oldest_key).min();
        let keys = keys.map(|at| self.wall(ActiveTime(at.0 + limits::KEY_LINGER)));
        let retention = self.queues.restless().filter_map(next_expiry).min();
        [due, delay, keys, retention, self.next_move()].into_iter().flatten().min()
    }

    /// Whether anything lives that downtime must not count against (H2).
    pub(crate) fn wants_ticks(&self) -> bool {
        !self.dues.is_empty() || self.queues.restless().any(|queue| queue.oldest_key().is_some())
    }
}

/// Adds lapsed messages to the newest event, where that is one of their queue.
fn lapsed(events: &mut Vec<Event>, generation: QueueGeneration, mut back: Vec<Counted>) {
    if let Some(Event::MessagesReturned { queue, messages, .. }) = events.last_mut()
        && *queue == generation
    {
        messages.append(&mut back);
    } else {
        events.push(Event::MessagesReturned { queue: generation, cause: ReturnCause::Lapsed, messages: back });
    }
}

/// Adds a message whose delay elapsed to the newest event, where that is one of its queue.
fn appeared(events: &mut Vec<Event>, generation: QueueGeneration, sequence: SequenceNumber) {
    if let Some(Event::DelaysElapsed { queue, messages }) = events.last_mut()
        && *queue == generation
    {
        messages.push(sequence);
    } else {
        events.push(Event::DelaysElapsed { queue: generation, messages: vec![sequence] });
    }
}

fn burnt(queue: QueueGeneration, reader: ReaderId, number: ClaimNumber) -> Event {
    Event::ClaimBurnt { queue, reader, number, cause: BurnCause::Lapsed }
}

/// The expired messages of a queue, the oldest first: the first that is not expired ends the search. In a FIFO queue
/// sequence numbers rise with the time of sending; a standard one keeps an order by age.
pub(crate) fn expired(queue: &Queue, now: Timestamp) -> impl Iterator<Item = SequenceNumber> {
    let (retention, fifo) = (queue.attributes.retention, queue.is_fifo());
    let by_age = queue.by_age.iter().take_while(move |(sent_at, _)| sent_at.0 + retention <= now.0);
    queue
        .messages
        .iter()
        .take_while(move |(_, message)| fifo && message.sent_at.0 + retention <= now.0)
        .filter(|(_, message)| !message.is_claimed())
        .map(|(sequence, _)| sequence)
        .chain(by_age.map(|(_, sequence)| *sequence))
}

/// When retention next removes a message of a queue (R9). Claimed messages are passed over; behind more of them than one
/// turn settles nobody looks, and the turn that ends their claim does.
fn next_expiry(queue: &Queue) -> Option<Timestamp> {
    let mut oldest = queue.messages.values().take(limits::SETTLED_IN_A_TURN);
    let sent_at = match queue.by_age.first() {
        Some((sent_at, _)) => *sent_at,
        None => oldest.find(|message| !message.is_claimed())?.sent_at,
    };
    Some(Timestamp(sent_at.0 + queue.attributes.retention))
}

/// The watermark that frees keys and attempts which expired a while ago: seldom, because each is judged by its own time anyway (H3).
fn forgettable(queue: &Queue, now: ActiveTime) -> Option<Event> {
    let oldest = queue.oldest_key()?;
    if oldest.0 + limits::KEY_LINGER > now.0 {
        return None;
    }
    let bound = queue.keys.expiry(limits::KEYS_FORGOTTEN_AT_ONCE);
    let through = bound.map_or(now, |bound| bound.min(now));
    // After the window was lowered the oldest key may expire after younger ones: it must go, or nothing ever goes.
    let through = through.max(oldest);
    Some(Event::KeysForgotten { queue: queue.generation, through })
}
