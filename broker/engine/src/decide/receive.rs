//! Delivering messages (O1 to O5, L10), and delivering them once more (R7).

use crate::{
    Event, State,
    command::{Command, Context, Decision, Receive},
    decide::dead_letters::DeadLetters,
    limits,
    reply::{Delivered, Rejected},
    state::{
        attempts::Attempt,
        message::{Lease, Message},
        queue::Queue,
    },
    words::{ActiveTime, AttemptKey, Epoch, GroupId, SequenceNumber},
};

impl Command for Receive {
    /// What is delivered, group by group.
    type Reply = Vec<Delivered>;

    /// As many as possible of the group that is free for longest, then of the next (O1, O2). At the in-flight cap
    /// nothing is delivered, on a FIFO queue without an error (L10).
    fn decide(&self, state: &State, context: &Context) -> Decision<Self::Reply> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        let now = state.active(context.now);
        match self.attempt.and_then(|key| Some((key, queue.attempts.live(key, now)?))) {
            Some((key, attempt)) => self.repeat(state, queue, key, attempt, now),
            None if !queue.is_fifo() && queue.in_flight >= limits::IN_FLIGHT => {
                Decision::unchanged(Err(Rejected::OverLimit))
            }
            None => deliver(self, state, queue, context),
        }
    }

    fn found_nothing(reply: &Self::Reply) -> bool {
        reply.is_empty()
    }
}

impl Receive {
    /// How long what is delivered stays hidden.
    fn timeout(&self, queue: &Queue) -> u64 {
        self.visibility.unwrap_or(queue.attributes.visibility).min(limits::VISIBILITY)
    }

    /// The same messages under the same receipts, hidden anew, though never past 12 hours since their receive (R6), and
    /// not counted; how many are asked for now does not matter (R7).
    fn repeat(
        &self,
        state: &State,
        queue: &Queue,
        key: AttemptKey,
        attempt: &Attempt,
        now: ActiveTime,
    ) -> Decision<Vec<Delivered>> {
        let held = |(sequence, epoch): &(SequenceNumber, Epoch)| {
            let message = queue.messages.get(*sequence)?;
            let lease = message.lease().filter(|lease| lease.epoch == *epoch)?;
            Some((*sequence, message, lease))
        };
        let held: Vec<_> = attempt.messages.iter().filter_map(held).collect();
        let Some((_, _, first)) = held.first().filter(|_| held.len() == attempt.messages.len()) else {
            return Decision::unchanged(Err(Rejected::ReceiveAttemptInvalid));
        };
        let latest = first.received_at.0 + limits::VISIBILITY;
        let visible_at = ActiveTime((now.0 + self.timeout(queue)).min(latest));
        let again = |(sequence, message, lease): &(SequenceNumber, &Message, Lease)| Delivered {
            generation: queue.generation,
            sequence: *sequence,
            group: queue.group_of(message).clone(),
            body: message.body,
            epoch: lease.epoch,
            receives: message.receives,
            sent_at: message.sent_at,
            first_received_at: message.first_received_at.unwrap_or(message.sent_at),
            visible_at: state.wall(visible_at),
            origin: message.origin(),
        };
        let event = Event::AttemptRepeated { queue: queue.generation, attempt: key, visible_at };
        Decision::new(vec![event], held.iter().map(again).collect())
    }
}

fn deliver(command: &Receive, state: &State, queue: &Queue, context: &Context) -> Decision<Vec<Delivered>> {
    let room = limits::IN_FLIGHT.saturating_sub(queue.in_flight);
    let most = room.min(command.max_messages.min(limits::RECEIVE_MESSAGES).into());
    let received_at = state.active(context.now);
    let visible_at = ActiveTime(received_at.0 + command.timeout(queue));
    let mut epoch = queue.last_epoch;
    let mut letters = DeadLetters::of(state, queue, context);
    let chosen = choose(queue, &mut letters, most, limits::RECEIVE_BYTES, usize::MAX);
    let mut events: Vec<Event> = letters.into_event().into_iter().collect();
    let mut delivered = Vec::new();
    for (group, chosen) in chosen {
        epoch = epoch.next();
        let mut messages = Vec::with_capacity(chosen.len());
        for (sequence, message) in chosen {
            messages.push((sequence, message.receives + 1));
            delivered.push(Delivered {
                generation: queue.generation,
                sequence,
                group: group.clone(),
                body: message.body,
                epoch,
                receives: message.receives + 1,
                sent_at: message.sent_at,
                first_received_at: message.first_received_at.unwrap_or(context.now),
                visible_at: state.wall(visible_at),
                origin: message.origin(),
            });
        }
        let at = context.now;
        events.push(Event::MessagesReceived { queue: queue.generation, epoch, at, received_at, visible_at, messages });
    }
    if let Some(attempt) = command.attempt.filter(|_| !delivered.is_empty()) {
        let expires_at = ActiveTime(received_at.0 + limits::ATTEMPT_WINDOW);
        let messages = delivered.iter().map(|message| (message.sequence, message.epoch)).collect();
        events.push(Event::AttemptNoted { queue: queue.generation, attempt, expires_at, messages });
    }
    Decision::new(events, delivered)
}

/// What is chosen of a group, in order.
pub(super) type Chosen<'a> = (&'a GroupId, Vec<(SequenceNumber, &'a Message)>);

/// Chooses messages for a receive or a claim: free groups by their turn, of each the leading free messages, within
/// the limits on messages, bytes and groups. The first message always fits. What was received too often is not chosen
/// but becomes a dead letter, and its group goes on with the next (Q2).
pub(super) fn choose<'a>(
    queue: &'a Queue,
    letters: &mut DeadLetters<'_>,
    max_messages: u64,
    max_bytes: u64,
    max_groups: usize,
) -> Vec<Chosen<'a>> {
    let mut chosen: Vec<Chosen<'a>> = Vec::new();
    let (mut count, mut bytes) = (0_u64, 0_u64);
    for (_, group) in queue.groups.by_turn() {
        let mut of_group = Vec::new();
        let mut full = chosen.len() >= max_groups;
        for (sequence, message) in queue.deliverable(group) {
            full |= count >= max_messages || letters.is_full();
            if !full && letters.is_due(message) {
                letters.push(sequence);
                continue;
            }
            let size = u64::from(message.body.size);
            if full || (count > 0 && bytes + size > max_bytes) {
                full = true;
                break;
            }
            count += 1;
            bytes += size;
            of_group.push((sequence, message));
        }
        if !of_group.is_empty() {
            chosen.push((&queue.groups.at(group).id, of_group));
        }
        if full || count >= max_messages {
            break;
        }
    }
    chosen
}
