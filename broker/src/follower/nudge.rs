//! A turn of its own for a broker without traffic: what was drained is released with an append, and without one a full
//! journal would stay full (H5). Nothing but the time is journalled.

use lockstep_engine::{Engine, command::Context};
use tokio::sync::oneshot;

use crate::{
    failure::Failure,
    request::{Answer, Held, Outcome, Ran, Request},
};

/// Asks for a frame that says what time it is.
pub(super) struct Nudge {
    answer: Answer<()>,
}

impl Nudge {
    /// The request, and what hears of its frame.
    pub(super) fn ask() -> (Box<dyn Request>, oneshot::Receiver<Result<(), Failure>>) {
        let (answer, answered) = oneshot::channel();
        (Box::new(Self { answer }), answered)
    }
}

impl Request for Nudge {
    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>, engine: &Engine, context: &Context, _may_wait: bool) -> Ran {
        let events = engine.tick(context.now).into_iter().collect();
        Ran::Done(Outcome { events, ..Outcome::answer(Held::new(self.answer, Ok(()))) })
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // The follower may be gone.
        drop(self.answer.send(Err(failure)));
    }
}
