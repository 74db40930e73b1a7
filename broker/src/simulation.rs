//! The seam for simulation: a whole broker (engine, turn, sequencer, writer, follower, polls, handle, codec, recovery)
//! without threads and without a runtime. Whoever owns it decides when the sequencer runs, when the journal writes, when
//! the follower goes on and when the power fails, so that a run is a function of its seed. Only for simulation and tests:
//! nothing here is faster, and no rule of the broker lives here.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use lockstep_journal::Journal;
use tokio::sync::{
    mpsc::error::TryRecvError,
    watch::{self, Sender},
};

use crate::{
    BrokerSettings, Handle, ManualClock, Receipts, StartError,
    follower::{Stepped, Stepping},
    recovery::{Follow, recover},
    sequencer::Phase,
    start::parts::{Ground, Parts, assemble},
    writer::Writer,
};

/// What the follower of one life did (H6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowerWork {
    /// Whole checkpoints.
    pub checkpoints: u64,
    /// It is in the middle of one.
    pub in_checkpoint: bool,
    /// How often it began to move bodies out of old frames.
    pub moves: u64,
}

/// A broker that does nothing by itself.
pub struct SteppedBroker<J: Journal> {
    handle: Handle,
    sequencer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    writer: Option<Writer<J>>,
    follower: Option<Stepped>,
    phase: Sender<Phase>,
    fault: watch::Receiver<Option<Arc<str>>>,
    gap: u64,
}

impl<J: Journal> std::fmt::Debug for SteppedBroker<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteppedBroker").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl<J: Journal> SteppedBroker<J> {
    /// Recovers what the journal holds. The clock stands for the machine's: a journalled instant ahead of it moves it
    /// there, and the time since the last journalled instant is downtime (H2). Of the settings the cache, the backlog and
    /// the checkpoint's floor count.
    ///
    /// # Errors
    /// As [`crate::Broker::start_on`].
    pub fn start(
        journal: J,
        receipts: Receipts,
        clock: &ManualClock,
        settings: &BrokerSettings,
    ) -> Result<Self, StartError> {
        let recovered = recover(&journal, Follow::InLine)?;
        let last = recovered.engine.time();
        clock.reach(last);
        let resumed_at = clock.time();
        if let Some(jump) = recovered.engine.expired_by_gap(resumed_at).filter(|_| !settings.accept_time_jump) {
            return Err(StartError::TimeJump(jump));
        }
        let gap = if recovered.last_frame.is_some() { resumed_at.0 - last.0 } else { 0 };
        let clock = Arc::new(clock.clone());
        let backlog = Some(settings.sled_backlog);
        let ground = Ground { journal, recovered, receipts, clock, resumed_at, directory: None, backlog };
        let Parts { mut sequencer, writer, follower, mut handle, phase, fault } = assemble(ground, settings);
        let follower = follower.map(Stepped::new);
        sequencer.bodies = sequencer.bodies.inline();
        handle.bodies = handle.bodies.inline();
        let (sequencer, writer) = (Some(Box::pin(sequencer.run()) as Pin<Box<_>>), Some(writer));
        Ok(Self { handle, sequencer, writer, follower, phase, fault, gap })
    }

    /// Cuts checkpoints into slices of at most so many bytes, so that a small state has many.
    #[must_use]
    pub fn with_slices_of(mut self, bytes: usize) -> Self {
        self.follower = self.follower.map(|follower| follower.with_slices_of(bytes));
        self
    }

    /// What a front uses.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Milliseconds that this start counted as downtime (H2).
    #[must_use]
    pub const fn gap(&self) -> u64 {
        self.gap
    }

    /// Lets the sequencer run until it waits: for work, for the journal or for time. True: it has ended.
    pub fn poll_sequencer(&mut self, context: &mut Context<'_>) -> bool {
        let ended = match &mut self.sequencer {
            Some(sequencer) => sequencer.as_mut().poll(context) == Poll::Ready(()),
            None => true,
        };
        if ended {
            self.sequencer = None;
        }
        ended
    }

    /// Lets the journal write what waits for it first, if anything does. True: something was written or answered.
    pub fn write_one(&mut self) -> bool {
        let Some(mut writer) = self.writer.take() else { return false };
        match writer.jobs.try_recv() {
            Ok(job) => {
                writer.step(job);
                self.writer = Some(writer);
                true
            }
            Err(TryRecvError::Empty) => {
                self.writer = Some(writer);
                false
            }
            Err(TryRecvError::Disconnected) => {
                writer.end();
                false
            }
        }
    }

    /// Lets the follower go on a little: take in a durable frame, hand over a slice of a checkpoint, look which frames may
    /// go, move bodies (H6). `quiet`: nothing happened for some seconds. True: it did something.
    pub fn step_follower(&mut self, quiet: bool) -> bool {
        let Some(follower) = &mut self.follower else { return false };
        match follower.step(quiet) {
            Stepping::Worked => true,
            Stepping::Idle => false,
            // It goes on to say so.
            Stepping::Ended => false,
        }
    }

    /// What the follower did so far; nothing once it has ended.
    #[must_use]
    pub fn follower_work(&self) -> FollowerWork {
        let (in_checkpoint, checkpoints, moves) = self.follower.as_ref().map(Stepped::work).unwrap_or_default();
        FollowerWork { checkpoints, in_checkpoint, moves }
    }

    /// Whether something waits for the journal.
    #[must_use]
    pub fn has_work_for_the_journal(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.jobs.is_empty())
    }

    /// Why it cannot go on, once it cannot (H4): a process would end now.
    #[must_use]
    pub fn fault(&self) -> Option<Arc<str>> {
        self.fault.borrow().clone()
    }

    /// Asks for a clean end: step on until [`Self::has_ended`]. Dropping the broker instead is a crash.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Whether all was answered and the journal is closed.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.sequencer.is_none() && self.writer.is_none()
    }
}
