//! One turn of the sequencer: what is due is settled, then requests are judged one after the other, each against what
//! the one before it did, and all events become one frame. There is no await, no clock and no disk here.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use lockstep_engine::{
    Engine, Event,
    command::{Context, Space},
    limits::MESSAGE_OVERHEAD,
    words::{QueueGeneration, Timestamp},
};

use crate::{
    codec::{EventBuffer, give_back},
    facts::{changes_what_is_there, figures, fresh_bodies},
    journey::Dues,
    limits,
    metrics::Tally,
    request::{Held, Outcome, Parking, Ran, Request},
    waiting::Waiting,
};

/// What one turn came to.
pub(crate) struct TurnResult {
    /// The frame to append; absent when nothing happened (H4).
    pub(crate) frame: Option<Draft>,
    /// The answers that wait for it, and for every frame before it.
    pub(crate) held: Vec<Held>,
    /// What it adds to the figures, once that frame is durable.
    pub(crate) tally: Tally,
    /// Whether there is more to do at once, without a new request.
    pub(crate) more: bool,
}

/// A frame before it is on disk.
pub(crate) struct Draft {
    /// Its number.
    pub(crate) number: u64,
    /// Its events, encoded.
    pub(crate) events: Bytes,
    /// The same, as they were applied.
    pub(crate) facts: Vec<Event>,
    /// Its bodies, by index.
    pub(crate) bodies: Vec<Bytes>,
}

impl Draft {
    /// Bytes of its events and bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.events.len() as u64 + self.bodies.iter().map(|body| body.len() as u64).sum::<u64>()
    }
}

/// How large the last frame was. The next one is likely to be as large, and lists that grow step by step are copied at
/// each.
#[derive(Clone, Copy, Default)]
struct Sizes {
    event_bytes: usize,
    facts: usize,
    bodies: usize,
}

/// What a turn has gathered so far.
struct Work {
    now: Timestamp,
    space: Space,
    events: EventBuffer,
    facts: Vec<Event>,
    bodies: Vec<Bytes>,
    body_bytes: u64,
    held: Vec<Held>,
    tally: Tally,
    /// Something became due after the settling: nothing more is decided before it is settled, too (H3).
    unsettled: bool,
}

impl Work {
    fn new(now: Timestamp, space: Space, like: Sizes) -> Self {
        let (events, tally) = (EventBuffer::with_capacity(like.event_bytes), Tally::default());
        let (facts, bodies, held) = (Vec::with_capacity(like.facts), Vec::with_capacity(like.bodies), Vec::new());
        Self { now, space, events, facts, bodies, body_bytes: 0, held, tally, unsettled: false }
    }

    fn events_full(&self) -> bool {
        self.events.len() as u64 >= limits::TURN_EVENT_BYTES
    }

    /// Whether a request of so many bytes may still go into this frame; the first one with bodies always may (H1).
    fn fits(&self, bytes: u64) -> bool {
        let used = self.events.len() as u64 + self.body_bytes;
        !self.events_full() && (self.body_bytes == 0 || used + bytes <= limits::TURN_BYTES)
    }
}

/// Owner of the engine and of the frame numbers.
pub(crate) struct Turn {
    engine: Engine,
    next_frame: u64,
    waiting: Waiting,
    /// Queues whose polls have not been tried since they changed.
    changed: BTreeSet<QueueGeneration>,
    /// The first event after a start with history (H2).
    opening: Option<Event>,
    may_wait: bool,
    /// Whether time is journalled although nothing happens: not under a manual clock (H2).
    ticks: bool,
    last_sweep: Timestamp,
    last_sizes: Sizes,
}

impl Turn {
    /// Goes on from a recovered engine; `opening` is journalled before anything else.
    pub(crate) fn new(engine: Engine, next_frame: u64, opening: Option<Event>) -> Self {
        let (waiting, changed) = (Waiting::default(), BTreeSet::new());
        let (last_sweep, last_sizes) = (Timestamp(0), Sizes::default());
        Self { engine, next_frame, waiting, changed, opening, may_wait: true, ticks: true, last_sweep, last_sizes }
    }

    /// Time is journalled only with what happens.
    pub(crate) fn without_ticks(mut self) -> Self {
        self.ticks = false;
        self
    }

    /// When a turn is wanted although no request came.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.dues().any
    }

    /// What is due next.
    pub(crate) fn dues(&self) -> Dues {
        let engine = if self.ticks { self.engine.next_deadline() } else { self.engine.next_settlement() };
        Dues { engine, any: [engine, self.waiting.next_alarm()].into_iter().flatten().min() }
    }

    /// From now on nothing waits; those who do are answered in the next turns.
    pub(crate) fn stop_waiting(&mut self) {
        self.may_wait = false;
    }

    /// How many polls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Every parked poll, to be answered by someone else.
    pub(crate) fn abandon_waiting(&mut self) -> impl Iterator<Item = Box<dyn Request>> {
        std::iter::from_fn(|| self.waiting.pop())
    }

    /// Runs requests from the front of the line until the frame is full; the rest stays for the next one (H1).
    pub(crate) fn run(
        &mut self,
        requests: &mut VecDeque<Box<dyn Request>>,
        now: Timestamp,
        space: Space,
    ) -> TurnResult {
        let mut work = Work::new(now, space, self.last_sizes);
        if let Some(opening) = self.opening.take() {
            self.happen(&mut work, opening);
            // The first turn may come later than the start: what it decides is of its own time, not of the start's.
            self.tick(&mut work);
        }
        let settlement = self.engine.settle(now);
        self.happen_all(&mut work, settlement.events);
        let mut more = !settlement.complete;
        if settlement.complete {
            let moved = self.engine.redrive(now, space);
            self.happen_all(&mut work, moved);
            more |= !self.run_requests(&mut work, requests);
            more |= !self.wake(&mut work);
        }
        if self.ticks && work.events.is_empty() && self.engine.tick_due(now) {
            self.tick(&mut work);
        }
        self.finish(work, more)
    }

    /// Whether all were run.
    fn run_requests(&mut self, work: &mut Work, requests: &mut VecDeque<Box<dyn Request>>) -> bool {
        for _ in 0..limits::TURN_REQUESTS {
            if work.unsettled {
                return false;
            }
            let Some(request) = requests.pop_front_if(|request| work.fits(request.bytes())) else {
                return requests.is_empty();
            };
            if !request.is_gone() {
                self.replace(work, &*request);
                match self.try_request(work, request) {
                    Ran::Done(outcome) => self.apply(work, outcome),
                    Ran::Parked(request, parking, events) => {
                        self.waiting.park(request, parking);
                        self.happen_all(work, events);
                    }
                }
            }
        }
        requests.is_empty() && !work.unsettled
    }

    /// A receive replaces the one that waits under the same attempt id, which answers nothing (H8).
    fn replace(&mut self, work: &mut Work, by: &dyn Request) {
        if let Some(attempt) = by.attempt(&self.engine)
            && let Some(waiting) = self.waiting.of_attempt(attempt)
        {
            work.held.extend(waiting.replaced());
        }
    }

    /// Tries the polls of queues that changed, in the order of their arrival, then those whose time has come.
    /// Whether all were tried.
    fn wake(&mut self, work: &mut Work) -> bool {
        if work.unsettled {
            return false;
        }
        while let Some(queue) = self.changed.pop_first() {
            if !self.wake_queue(work, queue) {
                self.changed.insert(queue);
                return false;
            }
        }
        while let Some((ticket, poll)) = self.waiting.next_due(work.now) {
            if let Some((poll, parking)) = self.try_poll(work, poll) {
                self.waiting.put_back(ticket, poll, parking);
            }
            if work.events_full() {
                return false;
            }
        }
        while !self.may_wait
            && let Some(poll) = self.waiting.pop()
        {
            // It answers, because nothing may wait any more.
            drop(self.try_poll(work, poll));
        }
        true
    }

    fn wake_queue(&mut self, work: &mut Work, queue: QueueGeneration) -> bool {
        let (mut after, mut receives_too) = (0, true);
        while let Some((ticket, poll)) = self.waiting.next_of(queue, after, receives_too) {
            after = ticket;
            if let Some((poll, parking)) = self.try_poll(work, poll) {
                // Where one receive finds nothing, none does.
                receives_too &= !parking.receive;
                self.waiting.put_back(ticket, poll, parking);
            }
            if work.events_full() {
                return false;
            }
        }
        true
    }

    /// Tries a poll unless nobody waits for it any more (H8); what it comes to is applied. A poll that waits on is given
    /// back.
    fn try_poll(&mut self, work: &mut Work, poll: Box<dyn Request>) -> Option<(Box<dyn Request>, Parking)> {
        if poll.is_gone() {
            return None;
        }
        match self.try_request(work, poll) {
            Ran::Done(outcome) => {
                self.apply(work, outcome);
                None
            }
            Ran::Parked(poll, parking, events) => {
                self.happen_all(work, events);
                Some((poll, parking))
            }
        }
    }

    fn try_request(&mut self, work: &Work, request: Box<dyn Request>) -> Ran {
        let next_body = u32::try_from(work.bodies.len()).expect("a frame holds far fewer bodies than 2^32");
        let context = Context { now: work.now, frame: self.next_frame, next_body, space: work.space };
        let may_wait = self.may_wait && self.has_room(work.now);
        request.run(&self.engine, &context, may_wait)
    }

    /// Whether one more poll may wait. Those whose callers went are looked for only when it is full, and seldom.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.waiting.len() >= limits::WAITERS && now.0 >= self.last_sweep.0 + limits::SWEEP {
            self.last_sweep = now;
            self.waiting.sweep();
        }
        self.waiting.len() < limits::WAITERS
    }

    fn apply(&mut self, work: &mut Work, outcome: Outcome) {
        self.assert_places(work, &outcome);
        let may_unsettle = outcome.events.iter().any(crate::facts::may_unsettle);
        self.happen_all(work, outcome.events);
        if may_unsettle {
            work.unsettled = self.engine.next_deadline().is_some_and(|at| at <= work.now);
        }
        for body in outcome.bodies {
            let bytes = body.len() as u64;
            work.body_bytes += bytes;
            work.space.for_sends = work.space.for_sends.saturating_sub(bytes + MESSAGE_OVERHEAD);
            work.space.for_finishes = work.space.for_finishes.saturating_sub(bytes + MESSAGE_OVERHEAD);
            work.bodies.push(body);
        }
        for (queue, kind) in outcome.noted {
            work.tally.add(queue, kind, 1);
        }
        work.tally.turn_away(outcome.turned_away);
        work.held.push(outcome.held);
    }

    /// The engine named the places of the bodies before they are on disk; the bodies must go exactly there (H4).
    fn assert_places(&self, work: &Work, outcome: &Outcome) {
        let fresh = || outcome.events.iter().flat_map(|event| fresh_bodies(event, self.next_frame));
        let (first, bodies) = (work.bodies.len(), outcome.bodies.len());
        if fresh().map(|index| index as usize).eq(first..first + bodies) {
            return;
        }
        let mut indices: Vec<_> = fresh().map(|index| index as usize).collect();
        indices.sort_unstable();
        assert!(
            indices.iter().copied().eq(first..first + bodies),
            "the events name the bodies {indices:?} of frame {}, but those stored are {first} and {bodies} in all",
            self.next_frame
        );
    }

    fn happen_all(&mut self, work: &mut Work, events: Vec<Event>) {
        for event in events {
            self.happen(work, event);
        }
    }

    /// A fact: applied at once, and written down.
    fn happen(&mut self, work: &mut Work, event: Event) {
        if work.events.is_empty() {
            self.tick_unless(work, &event);
        }
        for (queue, kind, more) in figures(&event, &self.engine) {
            work.tally.add(queue, kind, more);
        }
        self.engine.evolve(&event);
        work.events.push(&event);
        self.changed.extend(changes_what_is_there(&event));
        work.facts.push(event);
    }

    /// Every frame says when it was, unless its first event does (H2).
    fn tick_unless(&mut self, work: &mut Work, first: &Event) {
        if !matches!(first, Event::Resumed { .. } | Event::Ticked { .. }) {
            self.tick(work);
        }
    }

    fn tick(&mut self, work: &mut Work) {
        if let Some(tick) = self.engine.tick(work.now) {
            self.engine.evolve(&tick);
            work.events.push(&tick);
            work.facts.push(tick);
        }
    }

    fn finish(&mut self, work: Work, more: bool) -> TurnResult {
        let Work { now, events, mut facts, mut bodies, body_bytes, held, tally, .. } = work;
        self.last_sizes = Sizes { event_bytes: events.len(), facts: facts.len(), bodies: bodies.len() };
        if events.is_empty() {
            return TurnResult { frame: None, held, tally, more };
        }
        give_back(&mut facts);
        give_back(&mut bodies);
        let size = events.len() as u64 + body_bytes;
        if size > limits::FRAME_BYTES {
            tracing::warn!(size, limit = limits::FRAME_BYTES, "a frame is larger than it should be (H1)");
        }
        // What became due by this very turn, such as a delay that was lowered, does not wait for the clock to move.
        let more = more || self.engine.next_settlement().is_some_and(|due| due <= now);
        let number = self.next_frame;
        self.next_frame += 1;
        TurnResult { frame: Some(Draft { number, events: events.finish(), facts, bodies }), held, tally, more }
    }
}
