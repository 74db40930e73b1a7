//! The one thread that turns requests into frames. It gathers while the journal writes: one frame is at the journal,
//! one behind it is applied and held (H4). It reads time and space once a turn; what a turn does with them is
//! `turn`'s affair.

use std::{collections::VecDeque, sync::Arc};

use lockstep_engine::words::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::{
    bodies::Bodies,
    clock::Clock,
    failure::Failure,
    limits,
    metrics::Metrics,
    request::Request,
    space::Gauge,
    turn::{Turn, TurnResult},
    writer::{Fault, Job, TurnJob},
};

/// How far the broker's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Requests are taken and may wait.
    Running,
    /// Requests are taken; nothing waits any more.
    Draining,
    /// What was taken is answered, then it is over.
    Stopping,
}

/// Everything the thread owns.
pub(crate) struct Sequencer {
    pub(crate) turn: Turn,
    pub(crate) requests: mpsc::Receiver<Box<dyn Request>>,
    pub(crate) jobs: mpsc::Sender<Job>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) space: Gauge,
    pub(crate) bodies: Bodies,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) fault: Fault,
    /// The way that time goes now. What comes after it waits until it has arrived.
    pub(crate) journey: Option<Box<dyn Request>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Sequencer {
    /// Runs until it is told to stop, or the journal fails.
    pub(crate) async fn run(mut self) {
        let mut queued = VecDeque::new();
        // The first turn settles what is due, and journals the start.
        let mut more = true;
        let mut last_turn = Timestamp(0);
        loop {
            let idle = !more && queued.is_empty() && !self.travel(&mut queued);
            if idle && !self.wait_for_work(&mut queued, last_turn).await {
                // Dropping the channel to the journal's thread ends it too, once it wrote what it has.
                return;
            }
            // While the journal is busy, requests gather: that is what makes one sync serve many callers.
            let jobs = self.jobs.clone();
            let Ok(permit) = jobs.reserve().await else {
                return self.give_up(queued);
            };
            self.look_at_phase();
            self.gather(&mut queued);
            last_turn = self.clock.now();
            let space = self.space.read();
            let TurnResult { frame, held, tally, more: left } = self.turn.run(&mut queued, last_turn, space);
            more = left;
            self.metrics.turned(self.turn.waiting(), space);
            self.metrics.hold(held.len());
            if let Some(frame) = &frame {
                self.bodies.keep(frame.number, &frame.bodies);
            }
            if frame.is_some() || !held.is_empty() {
                permit.send(Job::Turn(TurnJob { frame, held, tally }));
            }
        }
    }

    /// Sleeps until a request comes, something is due or the phase changes. False: it is over, all is answered.
    async fn wait_for_work(&mut self, queued: &mut VecDeque<Box<dyn Request>>, last_turn: Timestamp) -> bool {
        let clock = Arc::clone(&self.clock);
        // A deadline that the last turn did not remove must not make this a busy loop.
        let alarm = self.turn.next_deadline().map(|at| at.max(last_turn.next()));
        let alarm = async {
            match alarm {
                Some(at) => clock.until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // In a fixed order, so that a simulation repeats itself; each branch only ends the sleep.
            biased;
            request = self.requests.recv() => match request {
                Some(request) => self.take(request, queued),
                None => return false,
            },
            () = alarm => {}
            // A change, or the owner's end without a word: the next look at the phase tells.
            _ = self.phase.changed(), if !self.requests.is_closed() => {}
            // The journal's thread ended: the next frame cannot be handed over, and the polls must hear of it.
            () = self.jobs.closed() => {}
        }
        true
    }

    /// From `Draining` on nothing waits; from `Stopping` on nothing is taken. An owner that is gone without a word
    /// wants the same as one that says stop.
    fn look_at_phase(&mut self) {
        let phase = if self.phase.has_changed().is_ok() { *self.phase.borrow() } else { Phase::Stopping };
        if phase >= Phase::Draining {
            self.turn.stop_waiting();
            // Its caller learns that the broker stops.
            self.journey = None;
        }
        if phase >= Phase::Stopping {
            self.requests.close();
        }
    }

    fn gather(&mut self, queued: &mut VecDeque<Box<dyn Request>>) {
        while self.journey.is_none()
            && queued.len() < limits::TURN_REQUESTS
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request, queued);
        }
    }

    /// Requests keep their order, also around a way of time: those before it see the old time, those after it the new.
    fn take(&mut self, mut request: Box<dyn Request>, queued: &mut VecDeque<Box<dyn Request>>) {
        if request.journey().is_some() {
            self.journey = Some(request);
        } else {
            queued.push_back(request);
        }
    }

    /// Moves time to the next stop of the way it goes; at the end its arrival is put in line. False: it goes nowhere.
    fn travel(&mut self, queued: &mut VecDeque<Box<dyn Request>>) -> bool {
        let Some(mut request) = self.journey.take() else { return false };
        let dues = self.turn.dues();
        match request.journey().and_then(|journey| journey.next_stop(self.clock.now(), dues)) {
            Some(stop) => {
                self.clock.reach(stop);
                self.journey = Some(request);
            }
            None => queued.push_back(request),
        }
        true
    }

    /// The journal failed: whoever waits learns that the outcome is unknown (H4).
    fn give_up(mut self, queued: VecDeque<Box<dyn Request>>) {
        let reason = self.fault.borrow().clone().unwrap_or_else(|| "the journal's thread ended".into());
        self.requests.close();
        let waiting = self.turn.abandon_waiting().collect::<Vec<_>>();
        let untaken = std::iter::from_fn(|| self.requests.try_recv().ok());
        for request in queued.into_iter().chain(self.journey.take()).chain(waiting).chain(untaken) {
            request.fail(Failure::Unavailable(Arc::clone(&reason)));
        }
    }
}
