//! What travels to the sequencer: a typed command with its bodies, a read that cannot write, or a poll that may wait;
//! and what comes back: events, bodies and an answer that is held until they are durable (H4). No turn is run here.

use std::sync::Arc;

use bytes::Bytes;
use lockstep_engine::{
    Engine, Event,
    command::{Command, Context},
    reply::Accepted,
    words::{AttemptKey, QueueGeneration},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{failure::Failure, journey::Journey, metrics::Kind};

/// The caller's end of a request.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// An answer that waits for the frame its reasons are in, and for every frame before (H4).
#[must_use = "an answer that is dropped reaches its caller as `Unavailable`"]
pub(crate) struct Held(Box<dyn FnOnce(Result<(), Failure>) + Send>);

impl Held {
    /// Holds an answer.
    pub(crate) fn new<T: Send + 'static>(answer: Answer<T>, reply: Result<T, Failure>) -> Self {
        // A caller that is gone does not get its answer; what was decided stands.
        Self(Box::new(move |fate| drop(answer.send(fate.and(reply)))))
    }

    /// Its reasons are durable.
    pub(crate) fn release(self) {
        (self.0)(Ok(()));
    }

    /// Whether they are durable is unknown.
    pub(crate) fn fail(self, reason: &Arc<str>) {
        (self.0)(Err(Failure::Unavailable(Arc::clone(reason))));
    }
}

/// What a request came to.
pub(crate) struct Outcome {
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// The bodies to store, in the order of their positions.
    pub(crate) bodies: Vec<Bytes>,
    /// What counts in the figures although no event tells it.
    pub(crate) noted: Vec<(QueueGeneration, Kind)>,
    /// What was to be sent and was there already (S6).
    pub(crate) turned_away: Vec<Accepted>,
    /// The answer.
    pub(crate) held: Held,
}

impl Outcome {
    /// An answer without events.
    pub(crate) fn answer(held: Held) -> Self {
        Self { events: Vec::new(), bodies: Vec::new(), noted: Vec::new(), turned_away: Vec::new(), held }
    }
}

/// Where and how long a poll waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parking {
    /// It is tried again when this queue changes.
    pub(crate) queue: QueueGeneration,
    /// It is tried again at this instant.
    pub(crate) wake_at: lockstep_engine::words::Timestamp,
    /// Whether it is a receive: where one finds nothing, none does.
    pub(crate) receive: bool,
    /// Under which attempt it came; a later poll under the same replaces it (H8).
    pub(crate) attempt: Option<AttemptKey>,
}

/// A request has its answer, or waits on.
pub(crate) enum Ran {
    /// Answered.
    Done(Outcome),
    /// Nothing was there for it yet. What it found may have happened all the same: messages that are dead letters moved
    /// out of its way (Q2).
    Parked(Box<dyn Request>, Parking, Vec<Event>),
}

/// Something a turn can run.
pub(crate) trait Request: Send {
    /// Bytes of bodies and ids it may add to a frame.
    fn bytes(&self) -> u64 {
        0
    }

    /// The way that time is to go, if this asks for one: it runs when time has arrived.
    fn journey(&mut self) -> Option<&mut Journey> {
        None
    }

    /// Whether nobody waits for it any more and nothing is lost by not running it (H8).
    fn is_gone(&self) -> bool;

    /// Runs it; `may_wait` is false when the broker is about to stop.
    fn run(self: Box<Self>, engine: &Engine, context: &Context, may_wait: bool) -> Ran;

    /// The queue and the attempt under which it would receive.
    fn attempt(&self, _engine: &Engine) -> Option<(QueueGeneration, AttemptKey)> {
        None
    }

    /// Answers nothing: a later poll under the same attempt took its place (H8).
    fn replaced(self: Box<Self>) -> Option<Held> {
        None
    }

    /// Answers it without running it.
    fn fail(self: Box<Self>, failure: Failure);
}

/// A command that is answered in the turn that runs it.
pub(crate) struct CommandRequest<C: Command> {
    /// The command.
    pub(crate) command: C,
    /// Its bodies, in the command's order.
    pub(crate) bodies: Vec<Bytes>,
    /// Bytes of bodies and ids.
    pub(crate) bytes: u64,
    /// Who asks.
    pub(crate) answer: Answer<C::Reply>,
    /// Its share of the bytes that may wait for a turn.
    pub(crate) _share: Option<OwnedSemaphorePermit>,
}

impl<C> Request for CommandRequest<C>
where
    C: Command + Send,
    C::Reply: Send + 'static,
{
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_gone(&self) -> bool {
        false
    }

    fn run(self: Box<Self>, engine: &Engine, context: &Context, _may_wait: bool) -> Ran {
        let Self { command, bodies, answer, .. } = *self;
        let decision = engine.decide(&command, context);
        let turned_away = decision.reply.as_ref().map(C::duplicates).unwrap_or_default();
        let noted = turned_away.iter().map(|accepted| (accepted.generation, Kind::Deduplicated)).collect();
        let stored = |index: &u32| bodies[*index as usize].clone();
        Ran::Done(Outcome {
            bodies: decision.bodies.iter().map(stored).collect(),
            events: decision.events,
            noted,
            turned_away,
            held: Held::new(answer, decision.reply.map_err(Failure::Rejected)),
        })
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // The caller may be gone.
        drop(self.answer.send(Err(failure)));
    }
}

/// A read: it sees the state of its turn, and is held like any answer, so that nobody sees what a crash unmakes (H4).
pub(crate) struct ReadRequest<T, F> {
    /// What to look at.
    pub(crate) read: F,
    /// Who asks.
    pub(crate) answer: Answer<T>,
}

impl<T, F> Request for ReadRequest<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Engine, &Context) -> Result<T, Failure> + Send,
{
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>, engine: &Engine, context: &Context, _may_wait: bool) -> Ran {
        let Self { read, answer } = *self;
        let reply = read(engine, context);
        Ran::Done(Outcome::answer(Held::new(answer, reply)))
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // The caller may be gone.
        drop(self.answer.send(Err(failure)));
    }
}
