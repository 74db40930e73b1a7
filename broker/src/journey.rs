//! Time travel under a manual clock: which instants a long way is cut into. Time stops at every deadline on the way, so
//! that each settles at its own instant and one long step ends like many short ones (H2). Pure: the sequencer moves the
//! clock and runs the turns.

use lockstep_engine::{Engine, command::Context, words::Timestamp};

use crate::{
    failure::Failure,
    request::{Answer, Held, Outcome, Ran, Request},
};

/// Where time is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// So many milliseconds on.
    After(u64),
    /// On until the engine has nothing due within `within` milliseconds, and never more than `at_most` on. Polls are
    /// answered when their waits end, but nobody waits for them: a consumer that polls for ever would be no rest.
    Idle {
        /// How far ahead a deadline counts.
        within: u64,
        /// The end of the way in any case.
        at_most: u64,
    },
}

/// Where time came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The time it is now, durably.
    pub now: Timestamp,
    /// The engine's next deadline; absent when nothing is ever due.
    pub next_due: Option<Timestamp>,
    /// How many instants time stopped at on the way.
    pub stops: u64,
}

/// What is due, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dues {
    /// Leases, retention, keys.
    pub(crate) engine: Option<Timestamp>,
    /// Those and the ends of waits.
    pub(crate) any: Option<Timestamp>,
}

/// A way under way. As a request it is its own arrival: it journals the instant, and is answered when that is durable.
pub(crate) struct Journey {
    destination: Destination,
    answer: Answer<Arrival>,
    departure: Option<Timestamp>,
    stops: u64,
}

impl Journey {
    pub(crate) fn new(destination: Destination, answer: Answer<Arrival>) -> Self {
        Self { destination, answer, departure: None, stops: 0 }
    }

    /// The next instant to stop at, when everything due at `now` is settled; absent: it has arrived.
    pub(crate) fn next_stop(&mut self, now: Timestamp, dues: Dues) -> Option<Timestamp> {
        let departure = *self.departure.get_or_insert(now);
        let end = match self.destination {
            Destination::After(milliseconds) => departure.0.saturating_add(milliseconds),
            Destination::Idle { within, at_most } => {
                let horizon = now.0.saturating_add(within);
                dues.engine.filter(|due| due.0 <= horizon)?;
                departure.0.saturating_add(at_most)
            }
        };
        // A caller that went away ends the way where it is.
        if now.0 >= end || self.answer.is_closed() {
            return None;
        }
        self.stops += 1;
        // A deadline that its turn did not remove must not hold time for ever.
        let stop = dues.any.map_or(end, |due| due.max(now.next()).0.min(end));
        Some(Timestamp(stop))
    }
}

impl Request for Journey {
    fn is_gone(&self) -> bool {
        // Where time came to is journalled, whoever hears of it.
        false
    }

    fn journey(&mut self) -> Option<&mut Journey> {
        Some(self)
    }

    fn run(self: Box<Self>, engine: &Engine, context: &Context, _may_wait: bool) -> Ran {
        let arrival = Arrival { now: context.now, next_due: engine.next_settlement(), stops: self.stops };
        Ran::Done(Outcome {
            events: engine.tick(context.now).into_iter().collect(),
            bodies: Vec::new(),
            noted: Vec::new(),
            turned_away: Vec::new(),
            held: Held::new(self.answer, Ok(arrival)),
        })
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // The caller may be gone.
        drop(self.answer.send(Err(failure)));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn journey(destination: Destination) -> Journey {
        let (answer, answered) = oneshot::channel();
        // It waits for its answer as long as the test runs.
        std::mem::forget(answered);
        Journey::new(destination, answer)
    }

    fn due(engine: Option<u64>, any: Option<u64>) -> Dues {
        Dues { engine: engine.map(Timestamp), any: any.map(Timestamp) }
    }

    #[test]
    fn it_stops_at_every_deadline_and_at_its_end() {
        let mut journey = journey(Destination::After(100));
        assert_eq!(journey.next_stop(Timestamp(10), due(None, Some(30))), Some(Timestamp(30)));
        assert_eq!(journey.next_stop(Timestamp(30), due(None, Some(30))), Some(Timestamp(31)), "it stays due");
        assert_eq!(journey.next_stop(Timestamp(31), due(None, Some(500))), Some(Timestamp(110)));
        assert_eq!(journey.next_stop(Timestamp(110), due(None, Some(500))), None);
    }

    #[test]
    fn idle_is_when_the_engine_has_nothing_due_soon() {
        let idle = Destination::Idle { within: 50, at_most: 100 };
        assert_eq!(journey(idle).next_stop(Timestamp(10), due(None, Some(20))), None, "a poll alone is no work");
        assert_eq!(journey(idle).next_stop(Timestamp(10), due(Some(61), Some(61))), None);
        let mut journey = journey(idle);
        assert_eq!(journey.next_stop(Timestamp(10), due(Some(60), Some(20))), Some(Timestamp(20)));
        assert_eq!(journey.next_stop(Timestamp(20), due(Some(60), Some(60))), Some(Timestamp(60)));
        assert_eq!(journey.next_stop(Timestamp(60), due(Some(109), Some(109))), Some(Timestamp(109)));
        assert_eq!(journey.next_stop(Timestamp(109), due(Some(111), Some(111))), Some(Timestamp(110)), "no further");
        assert_eq!(journey.next_stop(Timestamp(110), due(Some(111), Some(111))), None);
    }
}
