//! The directory around the store: who owns it, what it is, and how it was left.
//!
//! ```text
//! DIR/LOCK      empty; the owner holds an flock on it before it touches anything else (danger 3)
//! DIR/FORMAT    version of the directory and identity of the journal; written first, once
//! DIR/ACKED     the last acknowledged frame, a little late (see `acknowledged`)
//! DIR/CLEAN     only between a clean end and the next start: the mark that spares the rewrite (H7)
//! DIR/journal/  the files of sled: conf, db, snap.*, blobs/ (always empty)
//! ```
//!
//! Files of other names are not touched. The store itself is opened elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::durable;
use super::record::{DIRECTORY_VERSION, Kind, NoRecord, Record};
use crate::error::{OpenError, Place};
use crate::frame::{FrameNumber, JournalId};

/// A directory that this process owns until the value is dropped.
pub(super) struct Directory {
    path: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

impl Directory {
    /// Creates the directory if need be and takes its lock.
    pub(super) fn own(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(path, error);
        durable::create_directory(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("LOCK"))
            .map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(error) => Err(failed(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where sled keeps its files.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Where a new store is made; it gets its name once it is whole and durable.
    pub(super) fn unfinished_store(&self) -> PathBuf {
        self.path.join("journal.new")
    }

    pub(super) fn acknowledged(&self) -> PathBuf {
        self.path.join("ACKED")
    }

    fn format(&self) -> PathBuf {
        self.path.join("FORMAT")
    }

    fn clean(&self) -> PathBuf {
        self.path.join("CLEAN")
    }

    /// The identity of the journal; a fresh directory gets one.
    pub(super) fn identity(&self) -> Result<JournalId, OpenError> {
        let path = self.format();
        match self.read(&path, Kind::Format)? {
            Some(record) => Ok(record.journal),
            None if self.store().exists() || self.acknowledged().exists() => Err(OpenError::Damaged {
                place: Place::File(path),
                problem: "it is missing beside a journal".to_owned(),
            }),
            None => {
                let journal = JournalId::random();
                let record = Record { journal, frame: None };
                durable::write_atomically(&path, &record.encode(Kind::Format))
                    .map_err(|error| OpenError::from_io(path, error))?;
                Ok(journal)
            }
        }
    }

    fn read(&self, path: &Path, kind: Kind) -> Result<Option<Record>, OpenError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::from_io(path, error)),
        };
        match Record::parse(kind, &bytes) {
            Ok(record) => Ok(Some(record)),
            Err(NoRecord::Newer(found)) => Err(OpenError::NewerFormat { found, known: DIRECTORY_VERSION }),
            Err(NoRecord::Damaged(problem)) => {
                Err(OpenError::Damaged { place: Place::File(path.to_owned()), problem: problem.to_owned() })
            }
        }
    }

    /// Takes the mark of a clean end away, durably, before anything is opened; a crash from here on is unclean. A mark
    /// that is damaged or of another journal counts as none: the rewrite that it would spare is always safe.
    pub(super) fn take_clean_mark(&self, journal: JournalId) -> Result<CleanMark, OpenError> {
        let path = self.clean();
        let mark = match self.read(&path, Kind::Clean) {
            Ok(Some(record)) if record.journal == journal => CleanMark::Present(record.frame),
            Ok(None) => CleanMark::Absent,
            Ok(Some(_)) | Err(OpenError::Damaged { .. }) => {
                tracing::warn!(path = %path.display(), "the mark of a clean end cannot be trusted and is ignored");
                CleanMark::Absent
            }
            Err(error) => return Err(error),
        };
        durable::remove(&path).map_err(|error| OpenError::from_io(path, error))?;
        Ok(mark)
    }

    /// Leaves the mark of a clean end: everything in the directory is durable, up to frame `last`.
    pub(super) fn leave_clean_mark(&self, journal: JournalId, last: Option<FrameNumber>) -> io::Result<()> {
        durable::write_atomically(&self.clean(), &Record { journal, frame: last }.encode(Kind::Clean))
    }

    /// Makes every name in the directory, and its own, durable (danger 2).
    pub(super) fn sync(&self) -> io::Result<()> {
        durable::sync_directory(&self.path)?;
        durable::sync_directory(durable::parent(&self.path))
    }
}

/// How the journal was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CleanMark {
    /// Cleanly, with this frame as the last.
    Present(Option<FrameNumber>),
    /// By a crash or a power cut, or not yet begun.
    Absent,
}
