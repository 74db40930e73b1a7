//! A store made anew beside the present one, and put in its place: how a journal is compacted, repaired and restored.
//! Its past is one checkpoint and the frames that are kept for their bodies. Which ones is the caller's affair.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::directory::acknowledged::Acknowledged;
use crate::directory::{Directory, StoreKind, durable};
use crate::error::OpenError;
use crate::frame::{Frame, FrameNumber, JournalId};
use crate::segments::NewSegments;
use crate::sled_journal::NewSled;

/// A store under way, in a folder of its own in the data directory; given up without a trace that matters when it is
/// dropped.
pub struct NewStore {
    directory: PathBuf,
    kind: StoreKind,
    journal: JournalId,
    covers: FrameNumber,
    store: Store,
}

enum Store {
    Sled(NewSled),
    Segments(NewSegments),
}

impl NewStore {
    /// Begins a store of this kind in `directory`, whose checkpoint will cover `covers`. The present one is not touched.
    ///
    /// # Errors
    /// [`OpenError`] as the system or the store says.
    pub fn begin(
        directory: &Path,
        kind: StoreKind,
        journal: JournalId,
        covers: FrameNumber,
    ) -> Result<Self, OpenError> {
        let folder = kind.unfinished(directory);
        let failed = |error| OpenError::from_io(&folder, error);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        durable::create_directory(&folder).map_err(failed)?;
        let store = match kind {
            StoreKind::Sled => Store::Sled(NewSled::begin(&folder, journal, covers)?),
            StoreKind::Segments => Store::Segments(NewSegments::begin(&folder, journal, covers).map_err(failed)?),
        };
        Ok(Self { directory: directory.to_owned(), kind, journal, covers, store })
    }

    fn failed(&self, error: io::Error) -> OpenError {
        OpenError::from_io(self.kind.unfinished(&self.directory), error)
    }

    /// Adds a frame that is kept for its bodies. Frames come in order and are covered.
    ///
    /// # Errors
    /// [`OpenError`] as the system or the store says, or because the order is broken.
    pub fn frame(&mut self, number: FrameNumber, frame: &Frame) -> Result<(), OpenError> {
        if number > self.covers {
            return Err(self.failed(io::Error::other(format!("frame {number} is not covered"))));
        }
        let added = match &mut self.store {
            Store::Sled(store) => store.frame(number, frame),
            Store::Segments(store) => store.frame(number, frame),
        };
        added.map_err(|error| self.failed(error))
    }

    /// Adds a slice of the checkpoint; there is at least one, and one that is the last.
    ///
    /// # Errors
    /// [`OpenError`] as the system or the store says.
    pub fn slice(&mut self, slice: &[u8], last: bool) -> Result<(), OpenError> {
        let added = match &mut self.store {
            Store::Sled(store) => store.slice(slice, last),
            Store::Segments(store) => store.slice(slice, last),
        };
        added.map_err(|error| self.failed(error))
    }

    /// Puts the store in the place of the present one, or of none, durably. The present one is kept under `keep`, or
    /// else removed. The directory gets the identity of the new store, and the mark of a clean end.
    ///
    /// The exchange itself is atomic. Where the identity changes, a crash right after it leaves a directory that refuses
    /// to start and names both identities.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has the directory, and as the system or the store says.
    pub fn switch(self, keep: Option<&Path>) -> Result<(), OpenError> {
        let Self { directory: path, kind, journal, covers, store } = self;
        let folder = kind.unfinished(&path);
        let failed = |error| OpenError::from_io(&path, error);
        match store {
            Store::Sled(store) => store.finish()?,
            Store::Segments(store) => store.finish().map_err(failed)?,
        }
        durable::sync_directory(&folder).map_err(failed)?;
        let directory = Directory::own(&path, kind)?;
        let present = directory.store();
        directory.drop_clean_mark().map_err(failed)?;
        if present.exists() {
            // The side file must not name what the new store does not have, so it goes first: the old store alone is
            // whole without it being ahead.
            Acknowledged::replace(&directory.acknowledged(), directory.identity()?, Some(covers)).map_err(failed)?;
            let exchange = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(CWD, &folder, CWD, &present, exchange).map_err(|error| failed(error.into()))?;
            durable::sync_directory(&path).map_err(failed)?;
            directory.adopt(journal).map_err(failed)?;
            Acknowledged::replace(&directory.acknowledged(), journal, Some(covers)).map_err(failed)?;
            match keep {
                Some(keep) => fs::rename(&folder, keep).map_err(failed)?,
                None => fs::remove_dir_all(&folder).map_err(failed)?,
            }
        } else {
            directory.adopt(journal).map_err(failed)?;
            Acknowledged::replace(&directory.acknowledged(), journal, Some(covers)).map_err(failed)?;
            fs::rename(&folder, &present).map_err(failed)?;
        }
        directory.sync().map_err(failed)?;
        directory.leave_clean_mark(journal, Some(covers)).map_err(failed)
    }
}
