//! A state that a backup saves while the broker serves: what it is made of, and who may ask for it. As long as one is
//! read, the follower lets no frame go: frames that may go by now could hold bodies that the snapshot names. Nothing is
//! written here.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use lockstep_engine::{Engine, words::Position};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{feed::Fed, slices};
use crate::failure::Failure;

/// A state after a durable frame. Its slices and places are in memory, less than the state itself; no body is.
pub(crate) struct Snapshot {
    /// The frame.
    pub(crate) last: u64,
    /// The bodies that the state names, in order.
    pub(crate) places: Vec<Position>,
    /// The state, as a checkpoint holds it.
    pub(crate) slices: Vec<Bytes>,
}

/// The right to the one snapshot that there may be. Whoever reads one keeps it; dropped, it lets frames go again.
pub(crate) struct Alone {
    _until_dropped: OwnedSemaphorePermit,
}

/// The way to ask for one.
#[derive(Clone)]
pub(crate) struct Asking {
    fed: mpsc::Sender<Option<Fed>>,
    alone: Arc<Semaphore>,
}

/// A snapshot is wanted.
pub(super) struct Ask {
    answer: oneshot::Sender<Snapshot>,
}

impl Ask {
    /// Makes it of this state; who is gone gets none.
    pub(super) fn answer(self, engine: &Engine, last: u64) {
        if self.answer.is_closed() {
            return;
        }
        let slices = slices::cut(engine.distilled()).map(|slice| slice.bytes).collect();
        let mut places: Vec<Position> = engine.bodies().map(|body| body.position).collect();
        places.sort_unstable();
        places.dedup();
        // The asker may have gone meanwhile.
        drop(self.answer.send(Snapshot { last, places, slices }));
    }
}

impl Asking {
    pub(super) const fn new(fed: mpsc::Sender<Option<Fed>>, alone: Arc<Semaphore>) -> Self {
        Self { fed, alone }
    }

    /// Makes sure that nobody else reads a snapshot.
    ///
    /// # Errors
    /// [`Failure::BackupRunning`].
    pub(crate) fn alone(&self) -> Result<Alone, Failure> {
        let permit = Arc::clone(&self.alone).try_acquire_owned();
        permit.map(|_until_dropped| Alone { _until_dropped }).map_err(|_| Failure::BackupRunning)
    }

    /// The state after everything that was answered before; none when the broker ends. Frames stay only as long as the
    /// right to it is kept.
    pub(crate) async fn snapshot(&self, _alone: &Alone) -> Option<Snapshot> {
        let (answer, answered) = oneshot::channel();
        // What was answered is on its way to the follower already: the frame goes first, then the answer.
        self.fed.send(Some(Fed::Ask(Ask { answer }))).ok()?;
        answered.await.ok()
    }
}
