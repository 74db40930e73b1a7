//! Named points at which a test can make a worker or a controller die, as a power cut would: at once, reporting nothing.
//! Off in production, where [`CrashPoints::default`] asks nobody. No behaviour but dying may hang on these points.

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
    /// Controller: manifest lines are synced, their records are not removed. The number is the last commit's.
    AfterLine,
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

/// Asks a test's hook at every point whether to die there; by default there is none.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Hook>);

impl CrashPoints {
    /// Dies wherever `hook` answers true.
    pub fn new(hook: impl Fn(CrashPoint, u64) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
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
