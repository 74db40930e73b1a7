//! How much of the disk is taken ahead, so that a full one is met before a frame is written and not in the middle of it
//! (H5): whole segments while much is free, else small steps, because what is taken ahead is missing in what is free, and
//! by that the broker judges what it may still accept. Which segment is written is not known here.

use std::fs::File;
use std::io;
use std::path::Path;

use super::record::FIRST_OFFSET;
use super::{SegmentsOptions, file};

/// The least that is taken at once when little is free.
const STEP_BYTES: u64 = 4 << 20;

/// The space that is taken ahead.
pub(super) struct Room {
    options: SegmentsOptions,
    /// Up to where the active segment's space is taken.
    taken: u64,
    /// Whether the next segment's is.
    spare: bool,
    /// Whether little was free when it was last looked at; said once.
    short: bool,
}

impl Room {
    /// None is taken for an active segment that ends at `end`.
    pub(super) const fn none(options: SegmentsOptions, end: u64) -> Self {
        Self { options, taken: end, spare: false, short: false }
    }

    /// What a start takes ahead; a disk that is full does not keep it from starting.
    pub(super) fn open(options: SegmentsOptions, active: &File, end: u64, folder: &Path) -> io::Result<Self> {
        let mut room = Self::none(options, end);
        match room.extend(active, end, 1) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(folder = %folder.display(), "no space can be reserved for the journal: the disk is full");
            }
            taken => taken?,
        }
        room.prepare(folder)?;
        Ok(room)
    }

    /// Makes sure of the space for `bytes` more in the active segment, which ends at `end`.
    pub(super) fn extend(&mut self, active: &File, end: u64, bytes: u64) -> io::Result<()> {
        let needed = end + bytes;
        if needed <= self.taken {
            return Ok(());
        }
        let whole = self.options.segment_bytes.max(needed);
        let step = whole.min(end + STEP_BYTES.max(bytes));
        let plenty = file::free(active)? >= (whole - end).saturating_add(self.options.keep_free);
        for up_to in if plenty { [whole, step, needed] } else { [step, needed, needed] } {
            if file::reserve(active, up_to)? {
                self.taken = up_to;
                return Ok(());
            }
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    /// Takes the next segment's space in a file of its own, if that leaves enough free.
    pub(super) fn prepare(&mut self, folder: &Path) -> io::Result<()> {
        if self.spare {
            return Ok(());
        }
        let bytes = self.options.segment_bytes;
        let free = file::free(&File::open(folder)?)?;
        self.spare = free >= bytes.saturating_add(self.options.keep_free) && file::make_spare(folder, bytes)?;
        if !std::mem::replace(&mut self.short, !self.spare) && self.short {
            tracing::warn!(free, folder = %folder.display(), "the disk is nearly full: space is taken in small steps");
        }
        Ok(())
    }

    /// The spare file, or a new one, is the active segment from here on.
    pub(super) fn begun(&mut self) {
        self.taken = if std::mem::take(&mut self.spare) { self.options.segment_bytes } else { FIRST_OFFSET };
    }
}
