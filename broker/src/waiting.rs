//! Where polls wait: by queue, in the order of their arrival, each with an instant at which it wants to be tried
//! again. An idle poll costs nothing here but its place: a turn looks only at queues that changed and at alarms that
//! are due. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_engine::words::{AttemptKey, QueueGeneration, Timestamp};

use crate::request::{Parking, Request};

/// A poll's place in the line: its arrival.
pub(crate) type Ticket = u64;

struct Waiter {
    request: Box<dyn Request>,
    parking: Parking,
}

#[derive(Default)]
struct Line {
    receives: BTreeMap<Ticket, Waiter>,
    others: BTreeMap<Ticket, Waiter>,
}

impl Line {
    fn of(&mut self, receive: bool) -> &mut BTreeMap<Ticket, Waiter> {
        if receive { &mut self.receives } else { &mut self.others }
    }
}

/// All parked polls.
#[derive(Default)]
pub(crate) struct Waiting {
    lines: BTreeMap<QueueGeneration, Line>,
    alarms: BTreeSet<(Timestamp, Ticket, QueueGeneration, bool)>,
    /// Receives that came under an attempt id.
    attempts: BTreeMap<(QueueGeneration, AttemptKey), Ticket>,
    last_ticket: Ticket,
}

impl Waiting {
    /// How many polls wait.
    pub(crate) fn len(&self) -> usize {
        self.alarms.len()
    }

    /// The next instant at which a poll wants to be tried.
    pub(crate) fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, ..)| *at)
    }

    /// A new poll goes to the end of its queue's line.
    pub(crate) fn park(&mut self, request: Box<dyn Request>, parking: Parking) {
        self.last_ticket += 1;
        self.put_back(self.last_ticket, request, parking);
    }

    /// A poll that was tried in vain keeps its place.
    pub(crate) fn put_back(&mut self, ticket: Ticket, request: Box<dyn Request>, parking: Parking) {
        self.alarms.insert((parking.wake_at, ticket, parking.queue, parking.receive));
        if let Some(attempt) = parking.attempt {
            self.attempts.insert((parking.queue, attempt), ticket);
        }
        let line = self.lines.entry(parking.queue).or_default();
        line.of(parking.receive).insert(ticket, Waiter { request, parking });
    }

    /// The first poll of a queue that came after `after`; receives are left out on demand.
    pub(crate) fn next_of(
        &mut self,
        queue: QueueGeneration,
        after: Ticket,
        receives_too: bool,
    ) -> Option<(Ticket, Box<dyn Request>)> {
        let line = self.lines.get(&queue)?;
        let next = |of: &BTreeMap<Ticket, Waiter>| of.range(after + 1..).next().map(|(ticket, _)| *ticket);
        let receive = if receives_too { next(&line.receives) } else { None };
        let (ticket, receive) = match (receive, next(&line.others)) {
            (Some(receive), Some(other)) => (receive.min(other), receive < other),
            (Some(receive), None) => (receive, true),
            (None, Some(other)) => (other, false),
            (None, None) => return None,
        };
        Some((ticket, self.take(queue, ticket, receive)))
    }

    /// The receive that waits under an attempt id.
    pub(crate) fn of_attempt(&mut self, attempt: (QueueGeneration, AttemptKey)) -> Option<Box<dyn Request>> {
        let ticket = *self.attempts.get(&attempt)?;
        Some(self.take(attempt.0, ticket, true))
    }

    /// A poll whose alarm is due at `now`.
    pub(crate) fn next_due(&mut self, now: Timestamp) -> Option<(Ticket, Box<dyn Request>)> {
        let &(at, ticket, queue, receive) = self.alarms.first()?;
        (at <= now).then(|| (ticket, self.take(queue, ticket, receive)))
    }

    /// Any poll, to end its wait.
    pub(crate) fn pop(&mut self) -> Option<Box<dyn Request>> {
        let &(_, ticket, queue, receive) = self.alarms.first()?;
        Some(self.take(queue, ticket, receive))
    }

    /// Forgets the polls that nobody waits for any more (H8).
    pub(crate) fn sweep(&mut self) {
        let gone = |waiter: &Waiter| waiter.request.is_gone();
        let mut lost = Vec::new();
        for (queue, line) in &self.lines {
            for (ticket, waiter) in line.receives.iter().chain(&line.others).filter(|(_, waiter)| gone(waiter)) {
                lost.push((*queue, *ticket, waiter.parking.receive));
            }
        }
        for (queue, ticket, receive) in lost {
            drop(self.take(queue, ticket, receive));
        }
    }

    fn take(&mut self, queue: QueueGeneration, ticket: Ticket, receive: bool) -> Box<dyn Request> {
        let line = self.lines.get_mut(&queue).expect("a queue with a waiter has a line");
        let waiter = line.of(receive).remove(&ticket).expect("a ticket in the line has a waiter");
        if line.receives.is_empty() && line.others.is_empty() {
            self.lines.remove(&queue);
        }
        self.alarms.remove(&(waiter.parking.wake_at, ticket, queue, receive));
        if let Some(attempt) = waiter.parking.attempt {
            self.attempts.remove(&(queue, attempt));
        }
        waiter.request
    }
}
