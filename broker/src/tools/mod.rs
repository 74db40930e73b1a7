//! What is done to a journal while no broker has it: verify, show, compact, repair, save and restore it. Each takes the
//! directory's lock as a broker does, so none works on a directory in use. Whether to print is the caller's affair.

pub(crate) mod archive;
mod arriving;
mod backup;
mod check;
mod dump;
mod past;
mod rebuild;
mod repair;

use std::{
    io,
    path::{Path, PathBuf},
};

use lockstep_journal::{OpenError, StoreKind};

pub use arriving::Arriving;
pub(crate) use backup::small_files;
pub use backup::{Saved, backup, restore};
pub use check::{Checked, check};
pub use dump::{Dumped, Shown, dump};
pub use past::state_digest;
pub use rebuild::{Compacted, compact};
pub use repair::{Repair, Repaired, plan_repair};

use crate::recovery::RecoveryError;

/// Why a tool did not do its work. Nothing was changed unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no journal to work on.
    #[error("{0} holds no journal")]
    NoJournal(PathBuf),
    /// The journal does not open.
    #[error("the journal does not open: {0}")]
    Open(#[from] OpenError),
    /// The journal's past is in doubt.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A body that is still needed cannot be read.
    #[error("{0}; `lockstep journal repair` removes what cannot be read")]
    Body(String),
    /// Nothing that can be read is left.
    #[error("nothing of the journal can be saved: {0}; restore a backup")]
    Lost(String),
    /// A file is no backup, or a damaged one.
    #[error("{path} is no whole backup: {problem}")]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The place for the new thing is taken.
    #[error("{0} exists already; choose another name")]
    Taken(PathBuf),
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ToolError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// The kind of the journal in a directory; a directory without one is not made one.
fn kind_of(directory: &Path) -> Result<StoreKind, ToolError> {
    StoreKind::of(directory)?.ok_or_else(|| ToolError::NoJournal(directory.to_owned()))
}
