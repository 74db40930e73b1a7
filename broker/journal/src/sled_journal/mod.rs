//! The journal on sled 0.34, with everything that sled leaves to its user if `Ok` is to mean: survives a power cut.
//!
//! Each danger of that version has its answer here, by number, and a test with its name in `tests`:
//!
//! | # | danger | answer |
//! |---|---|---|
//! | 1 | `flush` does not sync the file | an own descriptor, synced after each flush, before `Ok` ([`SledJournal::append`]) |
//! | 2 | `conf`, `db`, snapshots and names are never synced | all of them synced after each open (`store`) |
//! | 3 | a half-written snapshot refuses every later open | removed before the open, under our own lock (`directory`, `store`) |
//! | 4 | large pages go to files that are never synced | segments of 8 MiB, chunks of 64 KiB; no `Ok` unless `blobs/` is empty |
//! | 5, 7, 8 | no cleaning without a rhythm; memory; panics | `flush_every_ms` 250, cache 32 MiB; one writer, one tree, no transactions, no compression |
//! | 9 | deadlocks | blocking `flush` from the one journal thread; a watchdog ends the process |
//! | 10 | errors that hang in drop | after an error sled is never dropped |
//! | 11 | segment reuse before a sync | frames near a quarter of a segment at most ([`crate::MAX_FRAME_BYTES`]) |
//! | 12 | the log is cut silently at a bad checksum | chained, dense, checksummed frames; the side file ACKED (`acknowledged`) |
//!
//! After an unclean end every byte of every file is rewritten in place and synced before sled sees it (H7, `durable`).
//! Nothing here knows what events mean.

mod build;
mod chunks;
mod open;
mod reader;
mod slices;
mod store;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::reader::{Kept, Replay};
use self::slices::{Mark, SliceKey, Slices, Whole};
use self::store::Store;
use crate::checkpoint::SliceChain;
use crate::directory::Directory;
use crate::directory::acknowledged::Acknowledged;
use crate::encoding::{Chain, encode};
use crate::error::{AppendError, OpenError, Place, ReadError, unless_failed};
use crate::faulty::TornAppend;
use crate::frame::{Frame, FrameNumber, JournalId, KeptFrame, Replayed};
use crate::journal::Journal;
use crate::watchdog::{OnStall, Watchdog, abort};

pub(crate) use self::build::NewSled;
pub use self::chunks::CHUNK_BYTES;
pub use self::reader::SledReader;

/// What an operator may choose about a [`SledJournal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SledOptions {
    /// How long one append, or the clean end, may take before the process is ended (danger 9). Default: 10 s.
    pub stall_limit: Duration,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { stall_limit: Duration::from_secs(10) }
    }
}

/// Makes what was written to sled's log durable.
type SyncLog = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// What a test puts in place of the disk's sync and of the end of the process.
struct Seams {
    sync: SyncLog,
    on_stall: OnStall,
}

impl Default for Seams {
    fn default() -> Self {
        Self { sync: Box::new(File::sync_data), on_stall: Box::new(abort) }
    }
}

/// How many keys of a replaced checkpoint go with one frame: 4 MiB of slices.
const GARBAGE_KEYS: usize = 64;

/// A checkpoint whose last slice is still to come.
struct Unfinished {
    chain: SliceChain,
    keys: Vec<SliceKey>,
}

/// The default [`Journal`]: frames in one tree of sled 0.34, in a directory of its own.
///
/// It keeps about 1 to 2 times the stored bytes in memory, whatever is set; limit the backlog by
/// [`Journal::stored_bytes`] (danger 7). Files: see `docs/format.md`.
pub struct SledJournal {
    /// Taken only when the journal ends. Before the directory, so that the store ends before the lock is given back.
    store: Option<Store>,
    directory: Option<Directory>,
    acknowledged: Acknowledged,
    chain: Chain,
    whole: Option<Whole>,
    /// The checkpoint that is being written.
    unfinished: Option<Unfinished>,
    /// Keys of the checkpoint before; they go with the next frames, a bounded number with each.
    garbage: VecDeque<SliceKey>,
    /// Why no append is taken any more.
    failed: Option<String>,
    /// An error came from the store or a sync: sled must not be dropped (danger 10).
    doubtful: bool,
    watchdog: Watchdog,
    sync: SyncLog,
    /// What the store's other files had in bytes when it was opened.
    other_bytes: u64,
}

impl SledJournal {
    /// Opens the journal in `dir`, or creates it there. The directory may hold other files; those named in `docs/format.md`
    /// are ours. Two journals never share one.
    ///
    /// After an unclean end every byte of the store is read and written again before it is opened (H7): that takes the
    /// time of copying it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another process has it; [`OpenError::Damaged`] when something acknowledged is not
    /// there or not whole at the end of the journal (replay verifies the rest); [`OpenError::NewerFormat`],
    /// [`OpenError::ReadOnly`], [`OpenError::NoSpace`] and [`OpenError::Io`] as they say.
    pub fn open(dir: &Path, options: SledOptions) -> Result<Self, OpenError> {
        open::open(dir, options, Seams::default())
    }

    /// Opens what is left of a damaged journal, up to the first frame that cannot be read, whether it was acknowledged or
    /// not, in a copy of its store that is made at `scratch` and stays there. Nothing can be appended or closed: drop it.
    ///
    /// # Errors
    /// [`OpenError`] when nothing is left, or the directory is in use.
    pub fn salvage(dir: &Path, scratch: &Path) -> Result<Self, OpenError> {
        open::salvage(dir, scratch)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is taken only when the journal ends")
    }

    /// Everything that must be refused before a byte is written.
    fn admit(&self, number: FrameNumber, release: &[FrameNumber]) -> Result<(), AppendError> {
        unless_failed(self.failed.as_deref()).map_err(AppendError::Failed)?;
        self.chain.admit(&self.start(), number, release)
    }

    /// What the frames after the checkpoint hang on.
    fn start(&self) -> Chain {
        self.whole.as_ref().map_or_else(|| Chain::new(self.chain.journal), |whole| whole.mark.start)
    }

    /// Removes every chunk of the released frames, and some of a checkpoint that was replaced.
    fn remove(&mut self, batch: &mut sled::Batch, release: &[FrameNumber]) -> Result<(), String> {
        for frame in release {
            for key in self.store().db().range(chunks::keys_of(*frame)).keys() {
                batch.remove(key.map_err(|error| format!("releasing frame {frame}: {error}"))?);
            }
        }
        for key in self.garbage.drain(..GARBAGE_KEYS.min(self.garbage.len())) {
            batch.remove(&key);
        }
        Ok(())
    }

    fn append_batch(&mut self, number: FrameNumber, bytes: &[u8], release: &[FrameNumber]) -> Result<(), String> {
        let mut batch = sled::Batch::default();
        for (key, chunk) in chunks::cut(number, bytes) {
            batch.insert(&key, chunk);
        }
        self.remove(&mut batch, release)?;
        self.commit(batch, &format!("frame {number}"))?;
        self.acknowledged.note(number).map_err(|error| format!("noting frame {number} in ACKED: {error}"))
    }

    /// The checkpoint as it is with the slice, and the batch that stores it.
    fn prepare_slice(
        &mut self,
        covers: FrameNumber,
        slice: &[u8],
        last: bool,
    ) -> Result<(Unfinished, sled::Batch), String> {
        unless_failed(self.failed.as_deref())?;
        let taken = self.unfinished.take();
        let (chain, mut keys) = taken.map_or((None, Vec::new()), |taken| (Some(taken.chain), taken.keys));
        let store = self.store();
        let header = |number| match reader::header_in(store.db(), number) {
            Ok(Some(header)) => Ok(header.checksum),
            Ok(None) => Err(format!("frame {number} is not there")),
            Err(error) => Err(error.to_string()),
        };
        let mut chain = SliceChain::next(chain, &self.start(), &self.chain, covers, header)?;
        let encoded = chain.encode(slice, last)?;
        let mut batch = sled::Batch::default();
        for (key, chunk) in slices::cut(covers, chain.due(), &encoded.bytes) {
            batch.insert(&key, chunk);
            keys.push(key);
        }
        chain.advance(encoded.checksum, last);
        if last {
            batch.insert(slices::MARK, Mark::of(&chain).encode().as_ref());
        }
        Ok((Unfinished { chain, keys }, batch))
    }

    fn fail(&mut self, reason: String) -> AppendError {
        self.failed.get_or_insert(reason.clone());
        AppendError::Failed(reason)
    }

    /// Stores one atomic batch and makes it durable: only after the last step may anyone be answered.
    fn commit(&mut self, batch: sled::Batch, what: &str) -> Result<(), String> {
        let store = self.store.as_ref().expect("the store is taken only when the journal ends");
        store.db().apply_batch(batch).map_err(|error| format!("storing {what}: {error}"))?;
        store.db().flush().map_err(|error| format!("flushing {what}: {error}"))?;
        (self.sync)(store.log()).map_err(|error| format!("syncing {what}: {error}"))?;
        match store.blobs() {
            Ok(0) => Ok(()),
            Ok(blobs) => Err(format!("{what}: {blobs} blob files, which are never synced")),
            Err(error) => Err(format!("looking for blob files: {error}")),
        }
    }

    /// Ends the store without the mark of a clean end; safe at any time.
    fn end(&mut self) -> Result<(), String> {
        let Some(store) = self.store.take() else { return Ok(()) };
        if self.doubtful {
            store.abandon();
            // The abandoned store still writes: nobody else may open it before this process has ended.
            std::mem::forget(self.directory.take());
            return Err(self.failed.clone().unwrap_or_else(|| "the store is in doubt".to_owned()));
        }
        store.close().map_err(|error| {
            std::mem::forget(self.directory.take());
            format!("closing the store: {error}")
        })
    }

    fn end_cleanly(&mut self) -> Result<(), String> {
        let _watched = self.watchdog.watch(|| "closing the journal".to_owned());
        let failed = self.failed.clone();
        self.end()?;
        if let Some(reason) = failed {
            return Err(reason);
        }
        self.acknowledged
            .note_durably(self.chain.last)
            .map_err(|error| format!("noting the last frame in ACKED: {error}"))?;
        match &self.directory {
            Some(directory) => directory
                .leave_clean_mark(self.chain.journal, self.chain.last)
                .map_err(|error| format!("leaving the mark of a clean end: {error}")),
            None => Ok(()),
        }
    }
}

impl Journal for SledJournal {
    type Reader = SledReader;

    fn identity(&self) -> JournalId {
        self.chain.journal
    }

    fn last(&self) -> Option<FrameNumber> {
        self.chain.last
    }

    fn checkpointed(&self) -> Option<FrameNumber> {
        self.whole.as_ref().map(|whole| whole.mark.covers)
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        match self.admit(number, release) {
            Err(AppendError::Failed(reason)) => return Err(self.fail(reason)),
            other => other?,
        }
        let encoded = match encode(&self.chain, frame) {
            Ok(encoded) => encoded,
            Err(reason) => return Err(self.fail(reason)),
        };
        let watched = self.watchdog.watch(|| format!("the append of frame {number}"));
        let committed = self.append_batch(number, &encoded.bytes, release);
        drop(watched);
        if let Err(reason) = committed {
            self.doubtful = true;
            return Err(self.fail(reason));
        }
        self.chain.advance(number, encoded.checksum);
        Ok(())
    }

    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError> {
        let (unfinished, batch) = match self.prepare_slice(covers, slice, last) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(self.fail(reason)),
        };
        let what = format!("slice {} of the checkpoint of frame {covers}", unfinished.chain.due() - 1);
        let watched = self.watchdog.watch(|| what.clone());
        let committed = self.commit(batch, &what);
        drop(watched);
        if let Err(reason) = committed {
            self.doubtful = true;
            return Err(self.fail(reason));
        }
        if last {
            let whole = Whole { mark: Mark::of(&unfinished.chain), keys: unfinished.keys };
            self.garbage.extend(self.whole.replace(whole).map_or_else(Vec::new, |before| before.keys));
        } else {
            self.unfinished = Some(unfinished);
        }
        Ok(())
    }

    fn reader(&self) -> SledReader {
        SledReader { store: self.store().shared(), tables: Arc::default() }
    }

    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>> {
        let db = self.store().db();
        let slices = self.whole.iter().flat_map(|whole| Slices::new(db, whole.mark));
        let frames = Replay::new(db, self.start(), self.chain.last);
        let mut doubted = false;
        let all = slices.map(|slice| slice.map(Replayed::Slice)).chain(frames.map(|frame| frame.map(Replayed::Frame)));
        all.take_while(move |replayed| !std::mem::replace(&mut doubted, replayed.is_err()))
    }

    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>> {
        let (db, journal) = (self.store().db(), self.chain.journal);
        self.checkpointed().into_iter().flat_map(move |up_to| Kept { db, journal, next: FrameNumber::FIRST, up_to })
    }

    fn stored_bytes(&self) -> u64 {
        // An open descriptor's length can always be asked; were it not so, a full journal is the safe answer.
        self.store().log_bytes().map_or(u64::MAX, |log| log.saturating_add(self.other_bytes))
    }

    fn close(mut self) -> Result<(), AppendError> {
        self.end_cleanly().map_err(AppendError::Failed)
    }
}

impl Drop for SledJournal {
    fn drop(&mut self) {
        if let Err(reason) = self.end() {
            tracing::warn!(reason, "the journal was dropped in doubt; the process must end");
        }
    }
}

impl TornAppend for SledJournal {
    fn append_torn(&mut self, number: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        self.admit(number, &[])?;
        let encoded = match encode(&self.chain, frame) {
            Ok(encoded) => encoded,
            Err(reason) => return Err(self.fail(reason)),
        };
        let mut batch = sled::Batch::default();
        for (key, chunk) in chunks::cut(number, &encoded.bytes[..encoded.bytes.len() / 2]) {
            batch.insert(&key, chunk);
        }
        let store = self.store();
        let stored = store.db().apply_batch(batch).and_then(|()| store.db().flush().map(drop));
        self.doubtful |= stored.is_err();
        Err(self.fail("a torn append".to_owned()))
    }
}

fn failed(place: Place, error: sled::Error) -> ReadError {
    ReadError::Io { place, source: io::Error::from(error) }
}
