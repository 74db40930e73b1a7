//! The journal in append-only files: no store beneath it, one write and one sync for each frame.
//!
//! ```text
//! DIR/segments/<first frame>.seg         a header, then records of (length, checksum, frame); zeros are the end
//! DIR/segments/spare                     the next segment's space, taken ahead, so that a full disk is met early (H5)
//! DIR/segments/<frame>.checkpoint        the state up to that frame, in slices
//! DIR/segments/checkpoint.new            one that is being written
//! ```
//!
//! | what could go wrong | answer |
//! |---|---|
//! | a power cut in an append | the frame is found torn and cut: nothing names it durable (`open`) |
//! | a sync that failed, and a restart | the last frame is written again and synced before anyone is answered (H7, `open`) |
//! | damage at rest | every byte lies under a checksum; a later frame, ACKED or CLEAN names what was durable |
//! | a full disk | space is taken ahead, whole segments while there is plenty, else in small steps (`room`) |
//! | any error of a write, a sync or a rename | no append is taken any more (H4) |
//!
//! A segment goes when nothing in it lives: a checkpoint covers its events and its bodies were released (H6). Bodies are
//! read from the files; in memory a frame costs eight bytes (`index`). Nothing here knows what events mean.

mod build;
mod checkpoint;
mod file;
mod index;
mod open;
mod reader;
mod record;
mod room;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::checkpoint::{Checkpoint, Writing};
use self::index::{Segment, Slot};
use self::reader::Shared;
use self::record::{FIRST_OFFSET, HEAD_BYTES};
use self::room::Room;
use crate::checkpoint::SliceChain;
use crate::directory::acknowledged::Acknowledged;
use crate::directory::{Directory, durable};
use crate::encoding::{Chain, encode_behind};
use crate::error::{AppendError, OpenError, Place, ReadError, unless_failed};
use crate::faulty::TornAppend;
use crate::frame::{Frame, FrameNumber, JournalId, KeptFrame, Replayed};
use crate::journal::Journal;
use crate::watchdog::{OnStall, Watchdog, abort};

pub(crate) use self::build::NewSegments;
pub use self::reader::SegmentsReader;

/// The file that becomes the next segment.
const SPARE: &str = "spare";

/// What an operator may choose about a [`SegmentsJournal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentsOptions {
    /// How long one append, or the clean end, may take before the process is ended. Default: 10 s.
    pub stall_limit: Duration,
    /// The size of a segment in bytes, at most 1 GiB; a frame that is larger has one for itself. Default: 32 MiB. So
    /// much disk space is taken ahead, twice.
    pub segment_bytes: u64,
    /// Whole segments are taken ahead only while so many bytes of the disk stay free; near its end space is taken in
    /// small steps, so that what is free says how much may still be stored. Default: 128 MiB.
    pub keep_free: u64,
}

impl Default for SegmentsOptions {
    fn default() -> Self {
        Self { stall_limit: Duration::from_secs(10), segment_bytes: 32 << 20, keep_free: 128 << 20 }
    }
}

/// Makes what was written to a segment durable.
type SyncSegment = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// What a test puts in place of the disk's sync and of the end of the process.
struct Seams {
    sync: SyncSegment,
    on_stall: OnStall,
}

impl Default for Seams {
    fn default() -> Self {
        Self { sync: Box::new(File::sync_data), on_stall: Box::new(abort) }
    }
}

/// A [`Journal`] in append-only files, in a directory of its own.
pub struct SegmentsJournal {
    shared: Arc<Shared>,
    folder: PathBuf,
    directory: Directory,
    acknowledged: Acknowledged,
    chain: Chain,
    /// The first frame of the segment that takes the next one.
    active_first: FrameNumber,
    active: File,
    /// What space is taken ahead.
    room: Room,
    checkpoint: Option<Checkpoint>,
    /// The checkpoint under way.
    writing: Option<Writing>,
    /// Why no append is taken any more.
    failed: Option<String>,
    watchdog: Watchdog,
    sync: SyncSegment,
    options: SegmentsOptions,
    buffer: Vec<u8>,
}

impl SegmentsJournal {
    /// Opens the journal in `dir`, or creates it there. The directory may hold other files; those named in
    /// `docs/format.md` are ours. Two journals never share one.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it; [`OpenError::OtherKind`] when it holds a journal on sled;
    /// [`OpenError::Damaged`] when something acknowledged is not there or not whole (replay verifies events and slices,
    /// reading verifies bodies); [`OpenError::NewerFormat`], [`OpenError::ReadOnly`], [`OpenError::NoSpace`] and
    /// [`OpenError::Io`] as they say.
    pub fn open(dir: &Path, options: SegmentsOptions) -> Result<Self, OpenError> {
        let most = SegmentsOptions { segment_bytes: options.segment_bytes.clamp(FIRST_OFFSET, 1 << 30), ..options };
        open::open(dir, most, Seams::default())
    }

    /// Opens what is left of a damaged journal, up to the first frame that cannot be read, whether it was acknowledged or
    /// not. Nothing is changed in the directory, and nothing can be appended or closed: drop it.
    ///
    /// # Errors
    /// [`OpenError`] when nothing is left, or the directory is in use.
    pub fn salvage(dir: &Path) -> Result<Self, OpenError> {
        open::salvage(dir, SegmentsOptions::default())
    }

    /// Everything that must be refused before a byte is written.
    fn admit(&self, number: FrameNumber, release: &[FrameNumber]) -> Result<(), AppendError> {
        unless_failed(self.failed.as_deref()).map_err(AppendError::Failed)?;
        self.chain.admit(&self.start(), number, release)
    }

    /// What the frames after the checkpoint hang on.
    fn start(&self) -> Chain {
        self.checkpoint.as_ref().map_or_else(|| Chain::new(self.chain.journal), |checkpoint| checkpoint.start)
    }

    fn fail(&mut self, reason: String) -> AppendError {
        self.failed.get_or_insert(reason.clone());
        AppendError::Failed(reason)
    }

    fn end(&self) -> u64 {
        self.shared.index().as_ref().map_or(FIRST_OFFSET, |index| index.end(self.active_first))
    }

    /// Where the next record of `bytes` bytes begins, its space taken; begins a new segment when the present one is full.
    fn make_room(&mut self, bytes: usize) -> io::Result<u64> {
        let (end, bytes) = (self.end(), bytes as u64);
        if end == FIRST_OFFSET || end + bytes <= self.options.segment_bytes {
            return self.room.extend(&self.active, end, bytes).map(|()| end);
        }
        // What was reserved and not used goes back; should a power cut undo it, zeros are the end all the same.
        self.active.set_len(end)?;
        self.room.prepare(&self.folder)?;
        let first = self.chain.due();
        self.active = file::begin(&self.folder, self.chain.journal, first)?;
        self.active_first = first;
        if let Some(index) = self.shared.index_mut().as_mut() {
            index.add(first, Segment::empty(FIRST_OFFSET));
        }
        self.room.begun();
        self.room.extend(&self.active, FIRST_OFFSET, bytes)?;
        self.room.prepare(&self.folder)?;
        Ok(FIRST_OFFSET)
    }

    /// Puts the record of the frame that is due into the buffer; answers the frame's checksum.
    fn encode(&mut self, frame: &Frame) -> Result<u32, String> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; HEAD_BYTES]);
        let checksum = encode_behind(&mut self.buffer, &self.chain, frame)?;
        let length = u32::try_from(self.buffer.len() - HEAD_BYTES).map_err(|_| "a frame beyond 4 GiB".to_owned())?;
        self.buffer[..HEAD_BYTES].copy_from_slice(&record::head(length));
        Ok(checksum)
    }

    /// Writes that record, or no more than its first bytes; answers where.
    fn write(&mut self, number: FrameNumber, bytes: usize) -> Result<u64, String> {
        let offset =
            self.make_room(self.buffer.len()).map_err(|error| format!("making room for frame {number}: {error}"))?;
        let written = self.active.write_all_at(&self.buffer[..bytes], offset);
        written.map_err(|error| format!("writing frame {number}: {error}")).map(|()| offset)
    }

    /// Writes the record in the buffer and makes it durable: only after the last step may anyone be answered.
    fn commit(&mut self, number: FrameNumber, bodies: u32) -> Result<(), String> {
        let bytes = self.buffer.len();
        let offset = self.write(number, bytes)?;
        (self.sync)(&self.active).map_err(|error| format!("syncing frame {number}: {error}"))?;
        self.acknowledged.note(number).map_err(|error| format!("noting frame {number} in ACKED: {error}"))?;
        let at = u32::try_from(offset).map_err(|_| "a segment beyond 4 GiB".to_owned())?;
        if let Some(index) = self.shared.index_mut().as_mut() {
            index.push(self.active_first, Slot::new(at, bodies), offset + bytes as u64);
        }
        Ok(())
    }

    /// Gives the space back of segments in which nothing lives.
    fn drop_dead(&mut self, release: &[FrameNumber]) -> Result<(), String> {
        let mut gone = Vec::new();
        if let Some(index) = self.shared.index_mut().as_mut() {
            release.iter().for_each(|frame| index.release(*frame));
            gone = index.dead(self.checkpointed());
            gone.iter().for_each(|first| index.remove(*first));
        }
        for first in &gone {
            self.shared.forget(*first);
            fs::remove_file(file::path(&self.folder, *first))
                .map_err(|error| format!("removing the segment of frame {first}: {error}"))?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        durable::sync_directory(&self.folder).map_err(|error| format!("after removing a segment: {error}"))
    }

    /// One slice of a checkpoint; after the last one it takes the place of the one before.
    fn add_slice(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), String> {
        unless_failed(self.failed.as_deref())?;
        let failed = |error: io::Error| format!("the checkpoint of frame {covers}: {error}");
        let unfinished = self.writing.take();
        let header = |frame| self.shared.checksum(frame).map_err(|error| error.to_string());
        let under_way = unfinished.as_ref().map(|writing| writing.chain);
        let chain = SliceChain::next(under_way, &self.start(), &self.chain, covers, header)?;
        let mut writing = match unfinished {
            Some(writing) => writing,
            None => Writing::begin(&self.folder, self.chain.journal, chain).map_err(failed)?,
        };
        writing.add(slice, last).map_err(|error| format!("the checkpoint of frame {covers}: {error}"))?;
        if !last {
            self.writing = Some(writing);
            return Ok(());
        }
        let finished = writing.finish().map_err(failed)?;
        if let Some(before) = self.checkpoint.replace(finished) {
            durable::remove(&before.path).map_err(failed)?;
        }
        self.drop_dead(&[])
    }

    fn end_cleanly(&mut self) -> Result<(), String> {
        let _watched = self.watchdog.watch(|| "closing the journal".to_owned());
        if let Some(reason) = self.failed.clone() {
            return Err(reason);
        }
        let tidied = self
            .active
            .set_len(self.end())
            .and_then(|()| self.active.sync_all())
            .and_then(|()| durable::remove(&self.folder.join(SPARE)).map(drop))
            .and_then(|()| durable::remove(&self.folder.join(checkpoint::UNFINISHED)).map(drop));
        tidied.map_err(|error| format!("giving reserved space back: {error}"))?;
        self.shared.close();
        self.acknowledged
            .note_durably(self.chain.last)
            .map_err(|error| format!("noting the last frame in ACKED: {error}"))?;
        self.directory
            .leave_clean_mark(self.chain.journal, self.chain.last)
            .map_err(|error| format!("leaving the mark of a clean end: {error}"))
    }
}

impl Journal for SegmentsJournal {
    type Reader = SegmentsReader;

    fn identity(&self) -> JournalId {
        self.chain.journal
    }

    fn last(&self) -> Option<FrameNumber> {
        self.chain.last
    }

    fn checkpointed(&self) -> Option<FrameNumber> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.covers)
    }

    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError> {
        let watched = self.watchdog.watch(|| format!("a slice of the checkpoint of frame {covers}"));
        let added = self.add_slice(covers, slice, last);
        drop(watched);
        added.map_err(|reason| self.fail(reason))
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        match self.admit(number, release) {
            Err(AppendError::Failed(reason)) => return Err(self.fail(reason)),
            other => other?,
        }
        let checksum = match self.encode(frame) {
            Ok(checksum) => checksum,
            Err(reason) => return Err(self.fail(reason)),
        };
        let bodies = u32::try_from(frame.bodies.len()).unwrap_or(u32::MAX);
        let watched = self.watchdog.watch(|| format!("the append of frame {number}"));
        let committed = self.commit(number, bodies);
        let dropped = committed.and_then(|()| if release.is_empty() { Ok(()) } else { self.drop_dead(release) });
        drop(watched);
        dropped.map_err(|reason| self.fail(reason))?;
        self.chain.advance(number, checksum);
        Ok(())
    }

    fn reader(&self) -> SegmentsReader {
        SegmentsReader { shared: Arc::clone(&self.shared) }
    }

    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>> {
        let slices = self.checkpoint.iter().flat_map(|checkpoint| checkpoint.slices().map(|s| s.map(Replayed::Slice)));
        let mut chain = self.start();
        let frames = std::iter::from_fn(move || {
            (Some(chain.due()) <= self.chain.last).then(|| self.shared.replay(&mut chain).map(Replayed::Frame))
        });
        let mut doubted = false;
        slices.chain(frames).take_while(move |replayed| !std::mem::replace(&mut doubted, replayed.is_err()))
    }

    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>> {
        let kept = self.shared.index().as_ref().map_or_else(Vec::new, |index| index.kept(self.checkpointed()));
        kept.into_iter().map(|kept| {
            kept.map_err(|frame| {
                let problem = "its header is damaged, its bodies cannot be found".to_owned();
                ReadError::Damaged { place: Place::Header(frame), problem }
            })
        })
    }

    fn stored_bytes(&self) -> u64 {
        let segments = self.shared.index().as_ref().map_or(0, index::Index::bytes);
        segments + self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.bytes)
    }

    fn close(mut self) -> Result<(), AppendError> {
        self.end_cleanly().map_err(AppendError::Failed)
    }
}

impl Drop for SegmentsJournal {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl TornAppend for SegmentsJournal {
    fn append_torn(&mut self, number: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        self.admit(number, &[])?;
        let torn = self.encode(frame).and_then(|_| {
            let half = (HEAD_BYTES + self.buffer.len()) / 2;
            self.write(number, half)
        });
        let reason = torn.map_or_else(|reason| reason, |_| "a torn append".to_owned());
        Err(self.fail(reason))
    }
}
