//! Opening whichever journal a data directory holds, for the tools: like `start`, it may name a concrete one. What is
//! done with the journal is decided elsewhere.

use std::path::{Path, PathBuf};

use lockstep_journal::{Journal, OpenError, SegmentsJournal, SegmentsOptions, SledJournal, SledOptions, StoreKind};

/// Work on a journal of either kind.
pub(crate) trait OnJournal {
    /// What it comes to.
    type Out;

    /// Does it. Who wants the mark of a clean end closes the journal.
    fn run<J: Journal>(self, journal: J) -> Self::Out;
}

/// Opens the journal that `directory` holds, as a start does.
///
/// # Errors
/// [`OpenError`], as a start.
pub(crate) fn open<W: OnJournal>(directory: &Path, kind: StoreKind, work: W) -> Result<W::Out, OpenError> {
    Ok(match kind {
        StoreKind::Sled => work.run(SledJournal::open(directory, SledOptions::default())?),
        StoreKind::Segments => work.run(SegmentsJournal::open(directory, SegmentsOptions::default())?),
    })
}

/// Opens what is left of it, changing nothing there.
///
/// # Errors
/// [`OpenError`] when nothing is left, or it is in use.
pub(crate) fn salvage<W: OnJournal>(directory: &Path, kind: StoreKind, work: W) -> Result<W::Out, OpenError> {
    Ok(match kind {
        StoreKind::Sled => {
            let scratch = Scratch(directory.join("journal.salvage"));
            work.run(SledJournal::salvage(directory, &scratch.0)?)
        }
        StoreKind::Segments => work.run(SegmentsJournal::salvage(directory)?),
    })
}

/// A folder that goes when the work in it is done.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is replaced by the next one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
