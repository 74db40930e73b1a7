//! The directory around the store of a journal on disk, the same for all of them: who owns it, what it is, and how it
//! was left.
//!
//! ```text
//! DIR/LOCK       empty; the owner holds an flock on it before it touches anything else
//! DIR/FORMAT     version of the directory, kind and identity of the journal; written first, once
//! DIR/ACKED      the last acknowledged frame, a little late (see `acknowledged`)
//! DIR/CLEAN      only between a clean end and the next start: the mark that spares the rewrite (H7)
//! DIR/journal/   the store of a journal on sled
//! DIR/segments/  the store of a segments journal
//! ```
//!
//! Files of other names are not touched. The store itself is opened elsewhere.

pub(crate) mod acknowledged;
pub(crate) mod durable;
pub(crate) mod record;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use self::acknowledged::Acknowledged;
use self::record::{DIRECTORY_VERSION, Kind, NoRecord, Record};
use crate::error::{OpenError, Place};
use crate::frame::{FrameNumber, JournalId};

/// Which journal a data directory holds; written in FORMAT when the directory is made, and for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// On sled.
    Sled,
    /// In append-only segments.
    Segments,
}

impl StoreKind {
    /// The kind of the journal that `dir` holds, without opening it or taking its lock; `None` where there is none.
    ///
    /// # Errors
    /// [`OpenError`] when FORMAT cannot be read, is damaged or of a newer version.
    pub fn of(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join("FORMAT");
        match read(&path, Kind::Format)? {
            Some(record) => Self::parse(&path, &record).map(Some),
            None => Ok(None),
        }
    }

    const fn code(self) -> Option<FrameNumber> {
        match self {
            Self::Sled => None,
            Self::Segments => Some(FrameNumber(1)),
        }
    }

    fn parse(path: &Path, record: &Record) -> Result<Self, OpenError> {
        match record.frame {
            None => Ok(Self::Sled),
            Some(FrameNumber(1)) => Ok(Self::Segments),
            Some(FrameNumber(code)) => Err(OpenError::Damaged {
                place: Place::File(path.to_owned()),
                problem: format!("it names the journal's kind {code}, which this version does not know"),
            }),
        }
    }

    /// Where in `dir` a store of this kind is made.
    pub(crate) fn unfinished(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.new", self.folder()))
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Sled => "journal",
            Self::Segments => "segments",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Segments => "segments",
        })
    }
}

/// A directory that this process owns until the value is dropped.
pub(crate) struct Directory {
    path: PathBuf,
    kind: StoreKind,
    /// Closing it gives the lock back.
    _lock: File,
}

impl Directory {
    /// Creates the directory if need be and takes its lock, for a journal of this kind.
    pub(crate) fn own(path: &Path, kind: StoreKind) -> Result<Self, OpenError> {
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
            Ok(()) => Ok(Self { path: path.to_owned(), kind, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(error) => Err(failed(error.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal keeps its files.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(self.kind.folder())
    }

    /// Where a new store is made; it gets its name once it is whole and durable.
    pub(crate) fn unfinished_store(&self) -> PathBuf {
        self.kind.unfinished(&self.path)
    }

    pub(crate) fn acknowledged(&self) -> PathBuf {
        self.path.join("ACKED")
    }

    fn format(&self) -> PathBuf {
        self.path.join("FORMAT")
    }

    fn clean(&self) -> PathBuf {
        self.path.join("CLEAN")
    }

    /// The identity of the journal; a fresh directory gets one.
    pub(crate) fn identity(&self) -> Result<JournalId, OpenError> {
        let path = self.format();
        match read(&path, Kind::Format)? {
            Some(record) => {
                let found = StoreKind::parse(&path, &record)?;
                if found != self.kind {
                    return Err(OpenError::OtherKind { path: self.path.clone(), found, wanted: self.kind });
                }
                Ok(record.journal)
            }
            None if self.store().exists() || self.acknowledged().exists() => Err(OpenError::Damaged {
                place: Place::File(path),
                problem: "it is missing beside a journal".to_owned(),
            }),
            None => {
                let journal = JournalId::random();
                let record = Record { journal, frame: self.kind.code() };
                durable::write_atomically(&path, &record.encode(Kind::Format))
                    .map_err(|error| OpenError::from_io(path, error))?;
                Ok(journal)
            }
        }
    }

    /// Takes the mark of a clean end away, durably, before anything is opened; a crash from here on is unclean. A mark
    /// that is damaged or of another journal counts as none: the rewrite that it would spare is always safe.
    pub(crate) fn take_clean_mark(&self, journal: JournalId) -> Result<CleanMark, OpenError> {
        let path = self.clean();
        let mark = match read(&path, Kind::Clean) {
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

    /// Makes the side file of a store that is about to be made. One that is there already may only say that nothing
    /// was acknowledged: a journal that lost its store is not taken for a fresh one.
    pub(crate) fn begin_side_file(&self, journal: JournalId) -> Result<(), OpenError> {
        let side_file = self.acknowledged();
        if !side_file.exists() {
            return Acknowledged::create(&side_file, journal).map_err(|error| OpenError::from_io(side_file, error));
        }
        match Acknowledged::open(&side_file, journal)? {
            (_, None) => Ok(()),
            (_, Some(frame)) => {
                let problem = format!("it is missing, but frame {frame} was acknowledged");
                Err(OpenError::Damaged { place: Place::File(self.store()), problem })
            }
        }
    }

    /// Opens the side file, and says the last frame that it or the mark of a clean end knows to be durable.
    pub(crate) fn open_side_file(
        &self,
        journal: JournalId,
        mark: CleanMark,
    ) -> Result<(Acknowledged, Option<FrameNumber>), OpenError> {
        let (side_file, noted) = Acknowledged::open(&self.acknowledged(), journal)?;
        let durable = match mark {
            CleanMark::Present(last) => noted.max(last),
            CleanMark::Absent => noted,
        };
        Ok((side_file, durable))
    }

    /// Takes the mark of a clean end away, whatever it says.
    pub(crate) fn drop_clean_mark(&self) -> io::Result<()> {
        durable::remove(&self.clean()).map(drop)
    }

    /// Gives the directory another identity, that of the store that was put in place.
    pub(crate) fn adopt(&self, journal: JournalId) -> io::Result<()> {
        let record = Record { journal, frame: self.kind.code() };
        durable::write_atomically(&self.format(), &record.encode(Kind::Format))
    }

    /// Leaves the mark of a clean end: everything in the directory is durable, up to frame `last`.
    pub(crate) fn leave_clean_mark(&self, journal: JournalId, last: Option<FrameNumber>) -> io::Result<()> {
        durable::write_atomically(&self.clean(), &Record { journal, frame: last }.encode(Kind::Clean))
    }

    /// Makes every name in the directory, and its own, durable (danger 2).
    pub(crate) fn sync(&self) -> io::Result<()> {
        durable::sync_directory(&self.path)?;
        durable::sync_directory(durable::parent(&self.path))
    }
}

fn read(path: &Path, kind: Kind) -> Result<Option<Record>, OpenError> {
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

/// How the journal was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CleanMark {
    /// Cleanly, with this frame as the last.
    Present(Option<FrameNumber>),
    /// By a crash or a power cut, or not yet begun.
    Absent,
}
