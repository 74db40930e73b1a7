//! The journal: durable, numbered frames of opaque bytes, and the places of the bodies in them.
//!
//! Every promise of the broker stands on one sentence of this crate: [`Journal::append`] returned `Ok`, so the frame
//! survives a power cut. A checkpoint, a state in slices, lets old frames go. The crate knows no queue, no message and
//! no event; whoever needs one belongs elsewhere.
//!
//! Four journals stand behind the one trait: [`SledJournal`] (the default) and [`SegmentsJournal`] on disk,
//! [`MemoryJournal`] (tests) and [`FaultyJournal`] (wraps any, fails on purpose). [`conformance`] is the suite that all of them, and any later one,
//! must pass. The bytes on disk are described in `docs/format.md` beside this crate.

mod checkpoint;
pub mod conformance;
mod directory;
mod encoding;
mod error;
mod faulty;
mod frame;
#[cfg(test)]
mod fuzz;
mod journal;
mod memory;
mod rebuild;
mod segments;
mod sled_journal;
mod tables;
mod watchdog;

pub use checkpoint::{MAX_SLICE_BYTES, SLICE_VERSION};
pub use directory::StoreKind;
pub use directory::record::DIRECTORY_VERSION;
pub use encoding::{FRAME_VERSION, MAX_FRAME_BYTES};
pub use error::{AppendError, OpenError, Place, ReadError};
pub use faulty::{Fault, FaultyJournal, FaultyReader, TornAppend};
pub use frame::{Frame, FrameNumber, JournalId, KeptFrame, Position, Replayed, ReplayedFrame};
pub use journal::{BodyReader, Journal};
pub use memory::{MemoryDisk, MemoryJournal, MemoryReader};
pub use rebuild::NewStore;
pub use segments::{SegmentsJournal, SegmentsOptions, SegmentsReader};
pub use sled_journal::{CHUNK_BYTES, SledJournal, SledOptions, SledReader};
