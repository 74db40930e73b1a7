//! The journal's own thread: it appends one frame after the other and only then lets the answers go that waited for
//! it (H4); between them it stores what the follower gives it (H6). After an append that failed nothing more is appended: whether that frame is on disk is unknown, and only
//! a restart can tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    time::Instant,
};

use bytes::Bytes;
use lockstep_journal::{Frame, FrameNumber, Journal};
use tokio::sync::{mpsc, watch};

use crate::{
    faults::{CrashPoint, Faults},
    follower::{Durable, Feed},
    metrics::{Metrics, Tally},
    recent::Recent,
    request::Held,
    turn::Draft,
};

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

/// What the journal's thread is asked to do, in order.
pub(crate) enum Job {
    /// A turn's frame is to be appended, its answers are to be released.
    Turn(TurnJob),
    /// A slice of a checkpoint is to be stored.
    Slice(SliceJob),
}

impl Job {
    fn fail(self, reason: &Arc<str>) {
        match self {
            Self::Turn(turn) => turn.held.into_iter().for_each(|held| held.fail(reason)),
            // The follower learns it from its end of `stored`.
            Self::Slice(_) => {}
        }
    }
}

/// A frame, if the turn made one, and the answers that wait for it.
pub(crate) struct TurnJob {
    /// Absent when nothing happened: the answers wait for the frames before.
    pub(crate) frame: Option<Draft>,
    /// The answers.
    pub(crate) held: Vec<Held>,
    /// What counts once they may go.
    pub(crate) tally: Tally,
}

/// A slice of a checkpoint (H6). The follower sends the next one when this one is stored, so that no frame waits for
/// more than one.
pub(crate) struct SliceJob {
    /// The frame that the checkpoint covers.
    pub(crate) covers: u64,
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
    /// Told once it is durable; dropped when the journal failed.
    pub(crate) stored: SyncSender<()>,
}

/// Everything the thread owns.
pub(crate) struct Writer<J> {
    pub(crate) journal: J,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// What the journal holds, for the sequencer to read.
    pub(crate) stored: Arc<AtomicU64>,
    pub(crate) fault: Fault,
    /// Who follows what is durable.
    pub(crate) feed: Option<Feed>,
    pub(crate) metrics: Arc<Metrics>,
    /// Who watches hears of each durable frame.
    pub(crate) recent: Recent,
    /// Where a plan ends the process; absent unless one was asked for.
    pub(crate) faults: Option<Faults>,
    /// Why nothing more is written.
    pub(crate) failed: Option<Arc<str>>,
}

impl<J: Journal> Writer<J> {
    /// Writes until the sequencer is gone, then ends.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            self.step(job);
        }
        self.end();
    }

    /// Does one job, and lets the answers go that waited for it. After a failure nothing more is written: that frame,
    /// and what was applied behind it, may or may not come back after a restart.
    pub(crate) fn step(&mut self, job: Job) {
        if let Some(reason) = &self.failed {
            return job.fail(reason);
        }
        match job {
            Job::Turn(TurnJob { frame, held, tally }) => {
                self.metrics.release(held.len());
                match frame.map_or(Ok(()), |frame| self.append(frame)) {
                    Ok(()) => {
                        self.metrics.count(&tally);
                        if let Some(feed) = self.feed.as_ref().filter(|_| !tally.turned_away.is_empty()) {
                            feed.tell_turned_away(tally.turned_away);
                        }
                        held.into_iter().for_each(Held::release);
                    }
                    Err(reason) => {
                        self.fail(&reason);
                        held.into_iter().for_each(|held| held.fail(&reason));
                    }
                }
            }
            Job::Slice(slice) => {
                if let Err(reason) = self.store(slice) {
                    self.fail(&reason);
                }
            }
        }
    }

    /// Appends a frame, and lets go with it what the follower does not need any more.
    fn append(&mut self, frame: Draft) -> Result<(), Arc<str>> {
        let (size, began) = (frame.bytes(), Instant::now());
        let Draft { number, events, facts, bodies } = frame;
        let release = self.feed.as_ref().map_or_else(Vec::new, Feed::releasable);
        let frame = Frame { events, bodies };
        self.pass(CrashPoint::BeforeAppend);
        self.journal.append(FrameNumber(number), &frame, &release).map_err(|error| -> Arc<str> {
            format!("frame {number} could not be appended to the journal: {error}").into()
        })?;
        self.pass(CrashPoint::AfterAppend);
        let stored = self.journal.stored_bytes();
        self.stored.store(stored, Ordering::Relaxed);
        self.metrics.appended(size, began.elapsed(), stored);
        if let Some(feed) = &self.feed {
            let bodies = u32::try_from(frame.bodies.len()).expect("a frame holds far fewer bodies than 2^32");
            let (bytes, event_bytes) = (frame.stored_bytes(), frame.events.len() as u64);
            feed.hand(Durable { number, bodies, bytes, facts, event_bytes });
            self.recent.durable(number);
        }
        Ok(())
    }

    fn store(&mut self, slice: SliceJob) -> Result<(), Arc<str>> {
        let SliceJob { covers, bytes, last, stored } = slice;
        self.pass(CrashPoint::Checkpoint);
        self.journal.checkpoint(FrameNumber(covers), &bytes, last).map_err(|error| -> Arc<str> {
            format!("the checkpoint of frame {covers} could not be stored: {error}").into()
        })?;
        let held = self.journal.stored_bytes();
        self.stored.store(held, Ordering::Relaxed);
        self.metrics.holds(held);
        // The follower may have given up.
        let _ = stored.send(());
        Ok(())
    }

    fn pass(&self, point: CrashPoint) {
        if let Some(faults) = &self.faults {
            faults.pass(point);
        }
    }

    /// Leaves the mark of a clean end, if it is one.
    pub(crate) fn end(self) {
        if self.failed.is_none()
            && let Err(error) = self.journal.close()
        {
            tracing::error!(%error, "the journal could not be closed cleanly; the next start repairs it (H7)");
        }
    }

    fn fail(&mut self, reason: &Arc<str>) {
        tracing::error!(reason = &**reason, "the journal failed; this process must end, a restart recovers (H4)");
        note_fault(&self.fault, Arc::clone(reason));
        self.jobs.close();
        self.failed = Some(Arc::clone(reason));
    }
}
