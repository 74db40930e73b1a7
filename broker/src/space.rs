//! How much may still be stored: free disk space less the reserves, and the backlog that the journal's kind allows.
//! Read once a turn, like time, and given to it as an argument (H5). Nothing is refused here.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lockstep_engine::command::Space;

use crate::limits;

/// What is kept free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserves {
    /// Free bytes of the disk at which sends and outputs are rejected.
    pub for_sends: u64,
    /// Free bytes at which everything else that stores is rejected.
    pub for_finishes: u64,
}

impl Default for Reserves {
    fn default() -> Self {
        Self { for_sends: limits::SEND_RESERVE, for_finishes: limits::FINISH_RESERVE }
    }
}

/// Measures the space.
#[derive(Clone)]
pub(crate) struct Gauge {
    /// Where the journal lies; absent when it is in memory.
    pub(crate) directory: Option<PathBuf>,
    /// What is kept free there.
    pub(crate) reserves: Reserves,
    /// Most bytes that the journal may hold; beyond, sends are rejected.
    pub(crate) backlog: Option<u64>,
    /// What it holds, as its thread last said.
    pub(crate) stored: Arc<AtomicU64>,
    /// Bytes of the newest checkpoint: the next one is written before the space of this one comes back.
    pub(crate) checkpoint: Arc<AtomicU64>,
}

impl Gauge {
    /// What may be stored now. A disk that cannot be asked counts as full: what it would not take must not be promised.
    pub(crate) fn read(&self) -> Space {
        let (free, checkpoint) = (self.free(), self.checkpoint.load(Ordering::Relaxed));
        // Without room for a checkpoint nothing that is finished would ever give its space back.
        let reserve = self.reserves.for_sends.saturating_add(checkpoint.saturating_mul(limits::CHECKPOINT_ROOM));
        let backlog = self.backlog.map_or(u64::MAX, |most| most.saturating_sub(self.stored.load(Ordering::Relaxed)));
        Space {
            for_sends: free.saturating_sub(reserve).min(backlog),
            for_finishes: free.saturating_sub(self.reserves.for_finishes),
        }
    }

    /// Free bytes of the disk.
    pub(crate) fn free(&self) -> u64 {
        self.directory.as_ref().map_or(u64::MAX, |directory| match rustix::fs::statvfs(directory) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "the free space of the disk is unknown");
                0
            }
        })
    }
}
