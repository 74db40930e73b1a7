//! What can go wrong at the journal, in words an operator can act on. No recovery happens here.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::directory::StoreKind;
use crate::frame::{FrameNumber, Position};

/// Why a frame was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The number is not the one after the last frame: the caller and the journal disagree about the past. Nothing was
    /// written, the journal is as it was.
    #[error("frame {given} was offered to the journal where frame {expected} is due; nothing was written")]
    Fenced {
        /// The number that the journal would have taken.
        expected: FrameNumber,
        /// The number that was given.
        given: FrameNumber,
    },
    /// The outcome is unknown: the frame may or may not be there after a restart. The journal refuses every later
    /// append; the process says why and ends, recovery is a restart (H4).
    #[error("the journal failed, the outcome of the frame is unknown: {0}")]
    Failed(String),
}

/// Refuses whatever would be written after a failure: only a restart can tell what is there (H4).
pub(crate) fn unless_failed(failed: Option<&str>) -> Result<(), String> {
    failed.map_or(Ok(()), |reason| Err(format!("an earlier append failed: {reason}")))
}

/// The place of something that is missing or damaged, as precisely as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A whole frame.
    Frame(FrameNumber),
    /// The header of a frame.
    Header(FrameNumber),
    /// The events of a frame.
    Events(FrameNumber),
    /// One body.
    Body(Position),
    /// One stored piece of a frame.
    Chunk {
        /// The frame it belongs to.
        frame: FrameNumber,
        /// Which piece of the frame, from 0.
        chunk: u16,
    },
    /// One slice of a checkpoint.
    Slice {
        /// The frame that the checkpoint covers.
        covers: FrameNumber,
        /// Which slice, from 0.
        slice: u32,
    },
    /// An entry of the store that is no piece of anything.
    Key(Vec<u8>),
    /// A file.
    File(PathBuf),
}

impl Place {
    /// The frame that is meant, if the place lies in one.
    #[must_use]
    pub const fn frame(&self) -> Option<FrameNumber> {
        match self {
            Self::Frame(frame) | Self::Header(frame) | Self::Events(frame) | Self::Chunk { frame, .. } => Some(*frame),
            Self::Body(position) => Some(position.frame),
            Self::Slice { .. } | Self::Key(_) | Self::File(_) => None,
        }
    }
}

impl Place {
    /// Whether a slice of a checkpoint is meant.
    #[must_use]
    pub const fn is_slice(&self) -> bool {
        matches!(self, Self::Slice { .. })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => write!(f, "frame {frame}"),
            Self::Header(frame) => write!(f, "frame {frame}, header"),
            Self::Events(frame) => write!(f, "frame {frame}, events"),
            Self::Body(position) => write!(f, "{position}"),
            Self::Chunk { frame, chunk } => write!(f, "frame {frame}, chunk {chunk}"),
            Self::Slice { covers, slice } => write!(f, "checkpoint of frame {covers}, slice {slice}"),
            Self::Key(key) => write!(f, "key {key:02x?}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a frame or a body could not be read. Each names its place (H6, H7).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing is stored at the place.
    #[error("{place}: missing: {problem}")]
    Missing {
        /// What was looked for.
        place: Place,
        /// What exactly is absent.
        problem: String,
    },
    /// Something is stored at the place, but it is not what was written there.
    #[error("{place}: damaged: {problem}")]
    Damaged {
        /// What was looked at.
        place: Place,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system or the store could not read.
    #[error("{place}: cannot be read: {source}")]
    Io {
        /// What was looked at.
        place: Place,
        /// The reason given.
        source: io::Error,
    },
    /// The journal has been closed; the reader outlived it.
    #[error("{place}: the journal is closed")]
    Closed {
        /// What was looked for.
        place: Place,
    },
}

impl ReadError {
    /// What could not be read.
    #[must_use]
    pub const fn place(&self) -> &Place {
        match self {
            Self::Missing { place, .. }
            | Self::Damaged { place, .. }
            | Self::Io { place, .. }
            | Self::Closed { place } => place,
        }
    }
}

/// Why a journal could not be opened. The text says the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or this one) holds the journal open.
    #[error("{path} is in use by another broker: stop that one first, or choose another data directory")]
    InUse {
        /// The directory of the journal.
        path: PathBuf,
    },
    /// The journal was written by a later version of this program.
    #[error(
        "the journal has format {found}, this version knows {known}: start it with the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// The version found on disk.
        found: u32,
        /// The latest version that this program can read.
        known: u32,
    },
    /// The directory holds a journal of another kind. Nothing was changed.
    #[error(
        "{path} holds a journal of the kind {found}, and {wanted} was asked for: start it with --journal {found}, or choose another data directory"
    )]
    OtherKind {
        /// The directory.
        path: PathBuf,
        /// What it holds.
        found: StoreKind,
        /// What was asked for.
        wanted: StoreKind,
    },
    /// Something that was acknowledged is not there or not whole. The start is refused: nothing is dropped silently (H7).
    #[error(
        "the journal is damaged at {place}: {problem}; nothing was changed, restore a backup or repair the journal"
    )]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong there.
        problem: String,
    },
    /// The directory cannot be written.
    #[error("{path} is read-only for this user: give it write permission, or choose another data directory")]
    ReadOnly {
        /// What could not be written.
        path: PathBuf,
    },
    /// No space is left on the device.
    #[error("no space left for {path}: free some space and start again, nothing is lost")]
    NoSpace {
        /// What could not be written.
        path: PathBuf,
    },
    /// Any other error of the operating system.
    #[error("{path}: {source}; the journal was not opened")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
}

impl OpenError {
    /// Gives an error of the operating system the name that tells the way out.
    pub(crate) fn from_io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        let kind = source.kind();
        if kind == io::ErrorKind::ReadOnlyFilesystem || kind == io::ErrorKind::PermissionDenied {
            Self::ReadOnly { path }
        } else if kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded {
            Self::NoSpace { path }
        } else {
            Self::Io { path, source }
        }
    }

    /// A read that failed while opening, where `path` is the journal's directory.
    pub(crate) fn from_read(path: impl Into<PathBuf>, error: ReadError) -> Self {
        match error {
            ReadError::Missing { place, problem } => Self::Damaged { place, problem: format!("missing: {problem}") },
            ReadError::Damaged { place, problem } => Self::Damaged { place, problem },
            ReadError::Io { source, .. } => Self::from_io(path, source),
            ReadError::Closed { place } => Self::Damaged { place, problem: "the store is closed".to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_systems_reasons_get_the_name_of_the_way_out() {
        let named = |kind| OpenError::from_io("d", io::Error::from(kind));
        assert!(matches!(named(io::ErrorKind::PermissionDenied), OpenError::ReadOnly { .. }));
        assert!(matches!(named(io::ErrorKind::ReadOnlyFilesystem), OpenError::ReadOnly { .. }));
        assert!(matches!(named(io::ErrorKind::StorageFull), OpenError::NoSpace { .. }));
        assert!(matches!(named(io::ErrorKind::NotADirectory), OpenError::Io { .. }));
    }
}
