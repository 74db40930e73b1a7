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

/// Writes until the sequencer is gone, then closes the journal with its mark of a clean end.
pub(crate) fn write<J: Journal>(mut journal: J, mut jobs: mpsc::Receiver<Job>, stored: &AtomicU64, fault: &Fault) {
    while let Some(job) = jobs.blocking_recv() {
        if let Some(frame) = job.frame {
            if let Err(reason) = append(&mut journal, frame) {
                give_up(job.held, jobs, fault, &reason);
                return;
            }
            stored.store(journal.stored_bytes(), Ordering::Relaxed);
        }
        job.held.into_iter().for_each(Held::release);
    }
    if let Err(error) = journal.close() {
        tracing::error!(%error, "the journal could not be closed cleanly; the next start repairs it (H7)");
    }
}

fn append<J: Journal>(journal: &mut J, frame: Draft) -> Result<(), Arc<str>> {
    let Draft { number, events, bodies } = frame;
    // Until checkpoints exist no frame is released.
    let appended = journal.append(FrameNumber(number), &Frame { events, bodies }, &[]);
    appended.map_err(|error| format!("frame {number} could not be appended to the journal: {error}").into())
}

/// The frame that failed, and what was applied behind it, may or may not come back after a restart.
fn give_up(held: Vec<Held>, mut jobs: mpsc::Receiver<Job>, fault: &Fault, reason: &Arc<str>) {
    tracing::error!(reason = &**reason, "the journal failed; this process must end, a restart recovers (H4)");
    note_fault(fault, Arc::clone(reason));
    jobs.close();
    held.into_iter().for_each(|held| held.fail(reason));
    while let Some(job) = jobs.blocking_recv() {
        job.held.into_iter().for_each(|held| held.fail(reason));
    }
}
