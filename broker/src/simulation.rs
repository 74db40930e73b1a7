//! The seam for simulation: a whole broker (engine, turn, sequencer, writer, polls, handle, codec, recovery) without
//! threads and without a runtime. Whoever owns it decides when the sequencer runs, when the journal writes and when
//! the power fails, so that a run is a function of its seed. Only for simulation and tests: nothing here is faster,
//! and no rule of the broker lives here.

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
    recovery::recover,
    sequencer::Phase,
    start::parts::{Ground, Parts, assemble},
    writer::Writer,
};

/// A broker that does nothing by itself.
pub struct SteppedBroker<J: Journal> {
    handle: Handle,
    sequencer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    writer: Option<Writer<J>>,
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
    /// there, and the time since the last journalled instant is downtime (H2). Of the settings the cache alone counts.
    ///
    /// # Errors
    /// As [`crate::Broker::start_on`].
    pub fn start(
        journal: J,
        receipts: Receipts,
        clock: &ManualClock,
        settings: &BrokerSettings,
    ) -> Result<Self, StartError> {
        let recovered = recover(&journal, false)?;
        let last = recovered.engine.time();
        clock.reach(last);
        let resumed_at = clock.time();
        if let Some(jump) = recovered.engine.expired_by_gap(resumed_at).filter(|_| !settings.accept_time_jump) {
            return Err(StartError::TimeJump(jump));
        }
        let gap = if recovered.last_frame.is_some() { resumed_at.0 - last.0 } else { 0 };
        let clock = Arc::new(clock.clone());
        let ground = Ground { journal, recovered, receipts, clock, resumed_at, directory: None, backlog: None };
        let Parts { mut sequencer, writer, follower: _, mut handle, phase, fault } = assemble(ground, settings);
        sequencer.bodies = sequencer.bodies.inline();
        handle.bodies = handle.bodies.inline();
        Ok(Self { handle, sequencer: Some(Box::pin(sequencer.run())), writer: Some(writer), phase, fault, gap })
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
