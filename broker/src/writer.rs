//! The journal's own thread: it appends one frame after the other and only then lets the answers go that waited for
//! it (H4). After an append that failed nothing more is appended: whether that frame is on disk is unknown, and only
//! a restart can tell.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use lockstep_journal::{Frame, FrameNumber, Journal};
use tokio::sync::{mpsc, watch};

use crate::{request::Held, turn::Draft};

/// Why the broker cannot go on, once it cannot.
pub(crate) type Fault = watch::Sender<Option<Arc<str>>>;

/// The first reason stands; what follows from it is no news.
pub(crate) fn note_fault(fault: &Fault, reason: Arc<str>) {
    fault.send_if_modified(|noted| {
        let news = noted.is_none();
        noted.get_or_insert(reason);
        news
    });
}

/// A frame, if the turn made one, and the answers that wait for it.
pub(crate) struct Job {
    /// Absent when nothing happened: the answers wait for the frames before.
    pub(crate) frame: Option<Draft>,
    /// The answers.
    pub(crate) held: Vec<Held>,
}

/// Everything the thread owns.
pub(crate) struct Writer<J> {
    pub(crate) journal: J,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// What the journal holds, for the sequencer to read.
    pub(crate) stored: Arc<AtomicU64>,
    pub(crate) fault: Fault,
}

impl<J: Journal> Writer<J> {
    /// Writes until the sequencer is gone, then closes the journal with its mark of a clean end.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            if !self.step(job) {
                return;
            }
        }
        self.close();
    }

    /// Writes one frame and lets the answers go that waited for it. False: the journal failed, all is answered, and
    /// nothing more may be written.
    pub(crate) fn step(&mut self, job: Job) -> bool {
        if let Some(frame) = job.frame {
            if let Err(reason) = append(&mut self.journal, frame) {
                self.give_up(job.held, &reason);
                return false;
            }
            self.stored.store(self.journal.stored_bytes(), Ordering::Relaxed);
        }
        job.held.into_iter().for_each(Held::release);
        true
    }

    /// Leaves the mark of a clean end.
    pub(crate) fn close(self) {
        if let Err(error) = self.journal.close() {
            tracing::error!(%error, "the journal could not be closed cleanly; the next start repairs it (H7)");
        }
    }

    /// The frame that failed, and what was applied behind it, may or may not come back after a restart.
    fn give_up(&mut self, held: Vec<Held>, reason: &Arc<str>) {
        tracing::error!(reason = &**reason, "the journal failed; this process must end, a restart recovers (H4)");
        note_fault(&self.fault, Arc::clone(reason));
        self.jobs.close();
        held.into_iter().for_each(|held| held.fail(reason));
        while let Some(job) = self.jobs.blocking_recv() {
            job.held.into_iter().for_each(|held| held.fail(reason));
        }
    }
}

fn append<J: Journal>(journal: &mut J, frame: Draft) -> Result<(), Arc<str>> {
    let Draft { number, events, bodies } = frame;
    // Until checkpoints exist no frame is released.
    let appended = journal.append(FrameNumber(number), &Frame { events, bodies }, &[]);
    appended.map_err(|error| format!("frame {number} could not be appended to the journal: {error}").into())
}
