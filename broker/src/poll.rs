//! Requests that may wait for something to be there (R1, R2): receives, claims and peeks. A poll knows what to ask
//! each time it is tried and when its wait ends; where it is kept meanwhile is `waiting`'s affair.

use lockstep_engine::{
    Engine, Event, Rejected,
    command::{Claim, Command, Context, Decision, QueueRef, Receive},
    limits,
    reply::{Claimed, Delivered},
    view::PeekedMessage,
    words::{AttemptKey, GroupId, QueueGeneration, SequenceNumber, Timestamp},
};

use crate::{
    failure::Failure,
    metrics::Kind,
    request::{Answer, Held, Outcome, Parking, Ran, Request},
};

/// What came of asking once.
pub(crate) enum Asked<R> {
    /// An answer, be it a rejection.
    Found(Decision<R>),
    /// Nothing was there; this is the answer if the wait is over. Ask again at the instant, if one is named, even if
    /// nothing changes. The events happened all the same.
    Nothing(R, Option<Timestamp>, Vec<Event>),
}

/// What a poll asks each time it is tried.
pub(crate) trait Question: Send + 'static {
    /// Its answer.
    type Reply: Send + 'static;

    /// The queue it waits for.
    fn queue(&self) -> &QueueRef;

    /// Whether it is a receive: where one finds nothing, none does.
    fn is_receive(&self) -> bool {
        false
    }

    /// The attempt under which it receives (R7).
    fn attempt(&self) -> Option<AttemptKey> {
        None
    }

    /// The answer when there is none to give, for questions that can be replaced (H8).
    fn nothing() -> Option<Self::Reply> {
        None
    }

    /// Asks; `last` when it will not be asked again.
    fn ask(&mut self, engine: &Engine, context: &Context, last: bool) -> Asked<Self::Reply>;
}

/// A poll under way.
pub(crate) struct Poll<Q: Question> {
    question: Q,
    /// Milliseconds; the queue's attribute when absent (R1).
    wait: Option<u64>,
    answer: Answer<Q::Reply>,
    /// Fixed when it is first run: the queue's life, and the end of the wait.
    parked: Option<(Option<QueueGeneration>, Timestamp)>,
}

impl<Q: Question> Poll<Q> {
    /// A poll that waits so many milliseconds, or as long as the queue says.
    pub(crate) fn new(question: Q, wait: Option<u64>, answer: Answer<Q::Reply>) -> Self {
        Self { question, wait, answer, parked: None }
    }

    fn first_run(&self, engine: &Engine, now: Timestamp) -> (Option<QueueGeneration>, Timestamp) {
        let queue = self.question.queue();
        let of_queue = || engine.describe(queue).map_or(0, |view| view.attributes.wait);
        let wait = self.wait.unwrap_or_else(of_queue).min(limits::WAIT);
        (engine.generation(&queue.name), Timestamp(now.0.saturating_add(wait)))
    }
}

impl<Q: Question> Request for Poll<Q> {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(mut self: Box<Self>, engine: &Engine, context: &Context, may_wait: bool) -> Ran {
        let (queue, deadline) = match self.parked {
            Some(parked) => parked,
            None => self.first_run(engine, context.now),
        };
        self.parked = Some((queue, deadline));
        // A queue that went, or was made anew, answers those who waited for it: this life of it brings nothing more.
        let same_life = engine.generation(&self.question.queue().name) == queue;
        let last = !may_wait || !same_life || context.now >= deadline;
        match (self.question.ask(engine, context, last), queue) {
            (Asked::Nothing(_, again_at, events), Some(queue)) if !last => {
                let wake_at = again_at.map_or(deadline, |at| at.min(deadline));
                let (receive, attempt) = (self.question.is_receive(), self.question.attempt());
                Ran::Parked(self, Parking { queue, wake_at, receive, attempt }, events)
            }
            (Asked::Nothing(reply, _, events), queue) => {
                let empty = queue.filter(|_| self.question.is_receive());
                let noted = empty.map(|queue| (queue, Kind::EmptyReceives)).into_iter().collect();
                Ran::Done(Outcome { events, noted, ..Outcome::answer(Held::new(self.answer, Ok(reply))) })
            }
            (Asked::Found(decision), _) => Ran::Done(Outcome {
                events: decision.events,
                // No poll stores a body.
                bodies: Vec::new(),
                noted: Vec::new(),
                turned_away: Vec::new(),
                held: Held::new(self.answer, decision.reply.map_err(Failure::Rejected)),
            }),
        }
    }

    fn attempt(&self, engine: &Engine) -> Option<(QueueGeneration, AttemptKey)> {
        engine.generation(&self.question.queue().name).zip(self.question.attempt())
    }

    fn replaced(self: Box<Self>) -> Option<Held> {
        Q::nothing().map(|reply| Held::new(self.answer, Ok(reply)))
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // The caller may be gone.
        drop(self.answer.send(Err(failure)));
    }
}

/// Nothing was found and nothing was refused; dead letters may have moved (Q2).
fn nothing<C: Command>(decision: &Decision<C::Reply>) -> bool {
    decision.reply.as_ref().is_ok_and(C::found_nothing)
}

impl Question for Receive {
    type Reply = Vec<Delivered>;

    fn queue(&self) -> &QueueRef {
        &self.queue
    }

    fn is_receive(&self) -> bool {
        true
    }

    fn attempt(&self) -> Option<AttemptKey> {
        self.attempt
    }

    fn nothing() -> Option<Self::Reply> {
        Some(Vec::new())
    }

    fn ask(&mut self, engine: &Engine, context: &Context, _last: bool) -> Asked<Self::Reply> {
        let decision = engine.decide(self, context);
        if nothing::<Self>(&decision) {
            Asked::Nothing(Vec::new(), None, decision.events)
        } else {
            Asked::Found(decision)
        }
    }
}

/// A claim that would rather have `min` messages: until `linger` milliseconds have passed since something was first
/// there, or its wait ends; then it takes what there is (B6).
pub(crate) struct PatientClaim {
    command: Claim,
    min: u32,
    linger: u64,
    there_since: Option<Timestamp>,
}

impl PatientClaim {
    /// Takes the preferred number of messages from `command.at_least`.
    pub(crate) fn new(command: Claim, linger: u64) -> Self {
        Self { min: command.at_least, command, linger, there_since: None }
    }

    fn decide(&mut self, engine: &Engine, context: &Context, at_least: u32) -> Decision<Claimed> {
        self.command.at_least = at_least;
        engine.decide(&self.command, context)
    }
}

impl Question for PatientClaim {
    type Reply = Claimed;

    fn queue(&self) -> &QueueRef {
        &self.command.reader.queue
    }

    fn ask(&mut self, engine: &Engine, context: &Context, last: bool) -> Asked<Claimed> {
        if !last
            && self.min > 1
            && let decision = self.decide(engine, context, self.min)
            && !nothing::<Claim>(&decision)
        {
            return Asked::Found(decision);
        }
        let decision = self.decide(engine, context, 1);
        if nothing::<Claim>(&decision) {
            self.there_since = None;
            return Asked::Nothing(Claimed::Empty, None, decision.events);
        }
        let patient_until = self.there_since.get_or_insert(context.now).0.saturating_add(self.linger);
        // A rejection, or a claim that is open already, is an answer at any time.
        let opens = decision.reply.is_ok() && !decision.events.is_empty();
        if opens && !last && self.min > 1 && context.now.0 < patient_until {
            return Asked::Nothing(Claimed::Empty, Some(Timestamp(patient_until)), Vec::new());
        }
        Asked::Found(decision)
    }
}

/// A peek that waits for the first message after a number.
pub(crate) struct Peek {
    /// The queue.
    pub(crate) queue: QueueRef,
    /// Only this group.
    pub(crate) group: Option<GroupId>,
    /// Only messages after this one.
    pub(crate) after: SequenceNumber,
    /// At most so many.
    pub(crate) max: usize,
    /// At most so many bytes of bodies; one message always fits.
    pub(crate) max_bytes: u64,
}

impl Question for Peek {
    type Reply = Vec<PeekedMessage>;

    fn queue(&self) -> &QueueRef {
        &self.queue
    }

    fn ask(&mut self, engine: &Engine, _context: &Context, _last: bool) -> Asked<Self::Reply> {
        let peeked: Result<_, Rejected> =
            engine.peek(&self.queue, self.group.as_ref(), self.after, self.max, self.max_bytes);
        if peeked.as_ref().is_ok_and(Vec::is_empty) {
            Asked::Nothing(Vec::new(), None, Vec::new())
        } else {
            Asked::Found(Decision::unchanged(peeked))
        }
    }
}
