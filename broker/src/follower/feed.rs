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

use bytes::Bytes;
use lockstep_journal::FrameNumber;

use super::held::Releasable;
use crate::limits;

/// A frame that is on disk, without the bytes of its bodies.
pub(crate) struct Durable {
    pub(crate) number: u64,
    pub(crate) events: Bytes,
    pub(crate) bodies: u32,
    /// Bytes of the whole frame.
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Shared {
    /// Bytes of events that the follower has not taken.
    untaken: u64,
    /// A checkpoint is being written, or the follower is gone.
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

/// The journal's end.
pub(crate) struct Feed {
    frames: mpsc::Sender<Durable>,
    middle: Arc<Middle>,
}

/// The follower's end.
pub(super) struct Intake {
    frames: mpsc::Receiver<Durable>,
    middle: Arc<Middle>,
}

/// Both ends.
pub(super) fn connect() -> (Feed, Intake) {
    let (frames_in, frames) = mpsc::channel();
    let middle = Arc::<Middle>::default();
    (Feed { frames: frames_in, middle: Arc::clone(&middle) }, Intake { frames, middle })
}

impl Feed {
    /// Hands over a frame that is on disk.
    pub(crate) fn hand(&self, frame: Durable) {
        let mut shared = self.middle.lock();
        while shared.untaken > limits::FOLLOWER_LAG && !shared.unbounded {
            shared = self.middle.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.untaken += frame.events.len() as u64;
        drop(shared);
        // A follower that is gone has said why, or the broker ends.
        let _ = self.frames.send(frame);
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

impl Intake {
    /// The next frame; `Timeout` when none comes for so long, `Disconnected` when the journal ended.
    pub(super) fn take(&self, within: Duration) -> Result<Durable, mpsc::RecvTimeoutError> {
        let frame = self.frames.recv_timeout(within)?;
        self.took(&frame);
        Ok(frame)
    }

    /// The next frame, if one is there; `Disconnected` when the journal ended.
    pub(super) fn try_take(&self) -> Result<Durable, mpsc::TryRecvError> {
        let frame = self.frames.try_recv()?;
        self.took(&frame);
        Ok(frame)
    }

    fn took(&self, frame: &Durable) {
        self.middle.lock().untaken -= frame.events.len() as u64;
        self.middle.changed.notify_all();
    }

    /// Whether a checkpoint is being written.
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
