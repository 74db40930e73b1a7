//! Makes a journal anew from what its past comes to, without what nobody needs any more. The new store takes the old
//! one's place in one step.

use std::path::Path;

use bytes::Bytes;
use lockstep_journal::{BodyReader, FrameNumber, Journal, NewStore, OpenError, StoreKind};

use super::{ToolError, kind_of, past::Contents};
use crate::{
    recovery::{Follow, recover},
    start::{OnJournal, open_journal},
};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes on disk before.
    pub before: u64,
    /// And after.
    pub after: u64,
    /// Frames that are kept for their bodies.
    pub frames: u64,
}

/// Writes a checkpoint of the state and keeps of everything else only the bodies that are needed.
///
/// # Errors
/// [`ToolError`]: a damaged journal is left as it is.
pub fn compact(directory: &Path) -> Result<Compacted, ToolError> {
    let kind = kind_of(directory)?;
    let work = Compact { directory, kind };
    let Some((before, frames, store)) = open_journal(directory, kind, work)?? else {
        return Ok(Compacted { before: 0, after: 0, frames: 0 });
    };
    store.switch(None)?;
    let after = open_journal(directory, kind, Size)??;
    Ok(Compacted { before, after, frames })
}

struct Compact<'a> {
    directory: &'a Path,
    kind: StoreKind,
}

impl OnJournal for Compact<'_> {
    type Out = Result<Option<(u64, u64, NewStore)>, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        let recovered = recover(&journal, Follow::No)?;
        let before = journal.stored_bytes();
        let Some(last) = recovered.last_frame else { return Ok(None) };
        let contents = Contents::of(&recovered.engine, journal.identity(), FrameNumber(last));
        let (store, frames) = build(self.directory, self.kind, &contents, &journal.reader())?;
        journal.close().map_err(|error| ToolError::Lost(error.to_string()))?;
        Ok(Some((before, frames, store)))
    }
}

struct Size;

impl OnJournal for Size {
    type Out = Result<u64, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        let bytes = journal.stored_bytes();
        journal.close().map_err(|error| ToolError::Lost(error.to_string()))?;
        Ok(bytes)
    }
}

/// Makes the store of these contents beside the present one.
pub(super) fn build(
    directory: &Path,
    kind: StoreKind,
    contents: &Contents,
    reader: &impl BodyReader,
) -> Result<(NewStore, u64), ToolError> {
    let mut store = NewStore::begin(directory, kind, contents.identity, contents.covers)?;
    let mut frames = 0;
    for (number, frame) in contents.frames(reader) {
        store.frame(number, &frame.map_err(ToolError::Body)?)?;
        frames += 1;
    }
    add_slices(&mut store, &contents.slices)?;
    Ok((store, frames))
}

pub(super) fn add_slices(store: &mut NewStore, slices: &[Bytes]) -> Result<(), OpenError> {
    for (slice, left) in slices.iter().zip((0..slices.len()).rev()) {
        store.slice(slice, left == 0)?;
    }
    Ok(())
}
