//! Named points at which a test can make a worker or a controller die, as a power cut would: at once, reporting nothing.
//! Or at which its disk is full. Off in production, where [`CrashPoints::default`] asks nobody; how a real process is
//! struck at one is `drill`'s.

use std::sync::Arc;

/// Where to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashPoint {
    /// Worker: the claim is read and processed, no file exists. The number is the claim's.
    BeforeFile,
    /// Worker: the attempt's files are synced, nothing is committed. The number is the claim's.
    AfterFile,
    /// Worker: the claim is committed, the controller does not know. The number is the claim's.
    AfterCommit,
    /// Controller: the manifest has its header, the reader does not know the folder yet. The number is 0.
    AfterHeader,
    /// Controller: records are read, their manifest lines are not written. The number is the first commit's.
    BeforeLine,
    /// Controller: half of the bytes of some manifest lines are written, nothing is synced. The number is the first commit's.
    InLine,
    /// Controller: manifest lines are synced, their records are not removed. The number is the last commit's.
    AfterLine,
    /// Compaction: a joined file is synced, no list names it. The number is its last commit.
    CompactFile,
    /// Compaction: the list is in place, nothing is removed. The number is 0.
    CompactList,
    /// Compaction: one needless file is removed. The number is its commit, 0 for a joined file.
    CompactRemove,
}

/// A test killed this side here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("killed by a test at {point:?} of {number}")]
pub struct Killed {
    /// Where.
    pub point: CrashPoint,
    /// Of which claim or commit.
    pub number: u64,
}

type Hook = Arc<dyn Fn(CrashPoint, u64) -> bool + Send + Sync>;

type FullHook = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// Asks a test's hook at every point whether to die there; by default there is none.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Hook>, Option<FullHook>);

impl CrashPoints {
    /// Dies wherever `hook` answers true.
    pub fn new(hook: impl Fn(CrashPoint, u64) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)), None)
    }

    /// The disk is full for a worker's output wherever `hook` answers true; it is asked with the claim's number.
    #[must_use]
    pub fn with_full_disk(self, hook: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        Self(self.0, Some(Arc::new(hook)))
    }

    /// Whether anybody is asked.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn is_disk_full(&self, claim: u64) -> bool {
        self.1.as_ref().is_some_and(|hook| hook(claim))
    }

    pub(crate) fn at(&self, point: CrashPoint, number: u64) -> Result<(), Killed> {
        match &self.0 {
            Some(hook) if hook(point, number) => Err(Killed { point, number }),
            Some(_) | None => Ok(()),
        }
    }
}

impl std::fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "CrashPoints(set)" } else { "CrashPoints(off)" })
    }
}
