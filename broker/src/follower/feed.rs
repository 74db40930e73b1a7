//! The way from the journal's thread to the follower and back: durable frames one way, frames to release the other.
//!
//! The journal's thread does not wait for the follower unless the events of frames that it has not taken pass
//! [`limits::FOLLOWER_LAG`]. While a checkpoint is written it never waits: slices alternate with frames, so what gathers
//! then is a part of the checkpoint's own size.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use lockstep_engine::{Event, reply::Accepted};
use lockstep_journal::FrameNumber;
use tokio::sync::Semaphore;

use super::{
    held::Releasable,
    snapshot::{Ask, Asking},
};
use crate::limits;

/// A frame that is on disk, without the bytes of its bodies.
pub(crate) struct Durable {
    pub(crate) number: u64,
    /// Its events, as the sequencer applied them.
    pub(crate) facts: Vec<Event>,
    /// Bytes of these, encoded.
    pub(crate) event_bytes: u64,
    pub(crate) bodies: u32,
    /// Bytes of the whole frame.
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Shared {
    /// Bytes of events that the follower has not taken.
    untaken: u64,
    /// A checkpoint is being written, or a snapshot made, or the follower is gone.
    unbounded: bool,
    releasable: VecDeque<Releasable>,
}

#[derive(Default)]
struct Middle {
    shared: Mutex<Shared>,
    changed: Condvar,
}

impl Middle {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Sums and a queue: nothing between its statements can panic but an allocation.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes to the follower, in this order.
pub(super) enum Fed {
    /// A frame that is on disk.
    Frame(Durable),
    /// Somebody wants the state after every frame before.
    Ask(Ask),
    /// Messages were sent again, and the answers that say so are released (S6).
    TurnedAway(Vec<Accepted>),
}

/// The journal's end.
pub(crate) struct Feed {
    /// `None` is the end: whoever may ask has a sender too.
    fed: mpsc::Sender<Option<Fed>>,
    alone: Arc<Semaphore>,
    middle: Arc<Middle>,
}

/// The follower's end.
pub(super) struct Intake {
    fed: mpsc::Receiver<Option<Fed>>,
    alone: Arc<Semaphore>,
    middle: Arc<Middle>,
}

/// Both ends.
pub(super) fn connect() -> (Feed, Intake) {
    let (fed_in, fed) = mpsc::channel();
    let (alone, middle) = (Arc::new(Semaphore::new(1)), Arc::<Middle>::default());
    (Feed { fed: fed_in, alone: Arc::clone(&alone), middle: Arc::clone(&middle) }, Intake { fed, alone, middle })
}

impl Feed {
    /// Hands over a frame that is on disk.
    pub(crate) fn hand(&self, frame: Durable) {
        let mut shared = self.middle.lock();
        while shared.untaken > limits::FOLLOWER_LAG && !shared.unbounded {
            shared = self.middle.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.untaken += frame.event_bytes;
        drop(shared);
        // A follower that is gone has said why, or the broker ends.
        let _ = self.fed.send(Some(Fed::Frame(frame)));
    }

    /// Tells of messages that were sent again.
    pub(crate) fn tell_turned_away(&self, accepted: Vec<Accepted>) {
        // As above.
        let _ = self.fed.send(Some(Fed::TurnedAway(accepted)));
    }

    /// The way to ask the follower for its state.
    pub(crate) fn asking(&self) -> Asking {
        Asking::new(self.fed.clone(), Arc::clone(&self.alone))
    }

    /// What the next append should release: a bounded share.
    pub(crate) fn releasable(&self) -> Vec<FrameNumber> {
        let mut shared = self.middle.lock();
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while frames.len() < limits::RELEASED_FRAMES
            && bytes < limits::RELEASED_BYTES
            && let Some(next) = shared.releasable.pop_front()
        {
            bytes += next.bytes;
            frames.push(FrameNumber(next.number));
        }
        frames
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // A follower that is gone needs no end.
        let _ = self.fed.send(None);
    }
}

impl Intake {
    /// What comes next; `Timeout` when nothing comes for so long, `Disconnected` when the journal ended.
    pub(super) fn take(&self, within: Duration) -> Result<Fed, mpsc::RecvTimeoutError> {
        let fed = self.fed.recv_timeout(within)?.ok_or(mpsc::RecvTimeoutError::Disconnected)?;
        self.took(&fed);
        Ok(fed)
    }

    /// What comes next, if it is there; `Disconnected` when the journal ended.
    pub(super) fn try_take(&self) -> Result<Fed, mpsc::TryRecvError> {
        let fed = self.fed.try_recv()?.ok_or(mpsc::TryRecvError::Disconnected)?;
        self.took(&fed);
        Ok(fed)
    }

    fn took(&self, fed: &Fed) {
        if let Fed::Frame(frame) = fed {
            self.middle.lock().untaken -= frame.event_bytes;
            self.middle.changed.notify_all();
        }
    }

    /// Whether somebody reads a snapshot, or wants one.
    pub(super) fn is_asked(&self) -> bool {
        self.alone.available_permits() == 0
    }

    /// Whether a checkpoint is being written, or a snapshot made.
    pub(super) fn writing(&self, writing: bool) {
        self.middle.lock().unbounded = writing;
        self.middle.changed.notify_all();
    }

    /// Whether frames wait for an append to go with.
    pub(super) fn has_releasable(&self) -> bool {
        !self.middle.lock().releasable.is_empty()
    }

    /// Lets frames go with the next appends.
    pub(super) fn release(&self, frames: Vec<Releasable>) {
        self.middle.lock().releasable.extend(frames);
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.writing(true);
    }
}
