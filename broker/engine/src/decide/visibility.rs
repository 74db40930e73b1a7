//! Extending, shortening and giving back (R5, R6, and what the strict discipline takes back with it).

use std::collections::BTreeMap;

use crate::{
    Event, State,
    command::{ChangeVisibility, Command, Context, Decision},
    decide::delete::{Holding, holding},
    event::{Counted, ReturnCause},
    limits,
    reply::Rejected,
    state::{
        message::{Lease, Message},
        queue::Queue,
    },
    words::{ActiveTime, Receipt, SequenceNumber, Timestamp},
};

impl Command for ChangeVisibility {
    /// When each message becomes visible again, in the order of the entries.
    type Reply = Vec<Result<Timestamp, Rejected>>;

    /// Entries are judged one after the other: what an earlier one took back, a later one does not hold any more.
    fn decide(&self, state: &State, context: &Context) -> Decision<Self::Reply> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        let now = state.active(context.now);
        let mut changes = Changes { queue, now, returned: BTreeMap::new(), deadlines: BTreeMap::new() };
        let outcomes = self
            .entries
            .iter()
            .map(|(receipt, timeout)| changes.change(receipt, *timeout).map(|visible_at| state.wall(visible_at)));
        let reply = outcomes.collect();
        Decision::new(changes.into_events(), reply)
    }
}

struct Changes<'a> {
    queue: &'a Queue,
    now: ActiveTime,
    returned: BTreeMap<SequenceNumber, u32>,
    deadlines: BTreeMap<SequenceNumber, ActiveTime>,
}

impl Changes<'_> {
    fn change(&mut self, receipt: &Receipt, timeout: u64) -> Result<ActiveTime, Rejected> {
        let sequence = receipt.sequence;
        let (message, lease) = match holding(self.queue, receipt)? {
            Holding::Gone => return Err(Rejected::MessageNotInFlight),
            // What went back in this batch, alone or with an earlier message of its grant, may be given back once more.
            Holding::Held if self.returned.contains_key(&sequence) => {
                return if timeout == 0 || !self.queue.is_fifo() {
                    Ok(self.now)
                } else {
                    Err(Rejected::ReceiptExpired)
                };
            }
            Holding::Held if !self.queue.is_fifo() && !is_held_by(self.queue, receipt) => {
                return self.passed_over(sequence, timeout);
            }
            Holding::Held => leased(self.queue, sequence).ok_or(Rejected::ReceiptExpired)?,
        };
        let visible_at = ActiveTime(self.now.0.saturating_add(timeout));
        if timeout > limits::VISIBILITY || visible_at.0 > lease.received_at.0 + limits::VISIBILITY {
            return Err(Rejected::VisibilityTooLong);
        }
        if timeout == 0 {
            let fallen = taken_back(self.queue, sequence, message, lease, &self.returned);
            for (later, _) in &fallen {
                self.deadlines.remove(later);
            }
            self.returned.extend(fallen);
            return Ok(self.now);
        }
        self.deadlines.insert(sequence, visible_at);
        if self.queue.is_strict() {
            for (later, _, theirs) in self.queue.later_in_grant(sequence, message, lease) {
                if self.returned.contains_key(&later) {
                    continue;
                }
                let deadline = self.deadlines.get(&later).copied().unwrap_or(theirs.visible_at);
                if deadline < visible_at {
                    self.deadlines.insert(later, visible_at);
                }
            }
        }
        Ok(visible_at)
    }

    /// The lease of a standard queue's receipt ended: that is accepted and changes nothing. The answer says when the
    /// message is visible: now, or when somebody else's lease ends (R5).
    fn passed_over(&self, sequence: SequenceNumber, timeout: u64) -> Result<ActiveTime, Rejected> {
        if timeout > limits::VISIBILITY {
            return Err(Rejected::VisibilityTooLong);
        }
        let now = if self.returned.contains_key(&sequence) { Some(self.now) } else { None };
        let theirs = leased(self.queue, sequence).map(|(_, lease)| lease.visible_at);
        Ok(now.or(self.deadlines.get(&sequence).copied()).or(theirs).unwrap_or(self.now))
    }

    fn into_events(self) -> Vec<Event> {
        let queue = self.queue.generation;
        let mut events = Vec::new();
        if !self.returned.is_empty() {
            let messages = self.returned.into_iter().collect();
            events.push(Event::MessagesReturned { queue, cause: ReturnCause::GivenBack, messages });
        }
        if !self.deadlines.is_empty() {
            events.push(Event::VisibilityChanged { queue, messages: self.deadlines.into_iter().collect() });
        }
        events
    }
}

fn is_held_by(queue: &Queue, receipt: &Receipt) -> bool {
    leased(queue, receipt.sequence).is_some_and(|(_, lease)| lease.epoch == receipt.epoch)
}

fn leased(queue: &Queue, sequence: SequenceNumber) -> Option<(&Message, Lease)> {
    let message = queue.messages.get(sequence)?;
    Some((message, message.lease()?))
}

/// A message that lapses or is given back, and on a strict queue every later one of its grant: those lose the receive
/// that they never got to use. What `already` returned is left out.
pub(super) fn taken_back(
    queue: &Queue,
    sequence: SequenceNumber,
    message: &Message,
    lease: Lease,
    already: &BTreeMap<SequenceNumber, u32>,
) -> Vec<Counted> {
    let mut fallen = vec![(sequence, message.receives)];
    if queue.is_strict() {
        let later = queue.later_in_grant(sequence, message, lease);
        let uncounted = later.map(|(sequence, message, _)| (sequence, message.receives.saturating_sub(1)));
        fallen.extend(uncounted.filter(|(sequence, _)| !already.contains_key(sequence)));
    }
    fallen
}
