//! A journal in memory, for tests and for runs that may forget. It stores the same bytes as a journal on disk, so that
//! damage, torn ends and replay are the same stories. It promises nothing across the end of the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::encoding::{Chain, Header, encode};
use crate::error::{AppendError, OpenError, Place, ReadError};
use crate::faulty::TornAppend;
use crate::frame::{Frame, FrameNumber, JournalId, Position, ReplayedFrame};
use crate::journal::{BodyReader, Journal};

/// What stands for the disk: it outlives the journals opened on it, one after the other, as a disk outlives processes.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<Stored>>);

#[derive(Debug)]
struct Stored {
    journal: JournalId,
    frames: Vec<Bytes>,
    /// How many frames were acknowledged.
    acknowledged: usize,
    in_use: bool,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk with a fresh identity.
    #[must_use]
    pub fn new() -> Self {
        Self::with_identity(JournalId::random())
    }

    /// An empty disk with this identity, so that a simulation repeats itself to the byte.
    #[must_use]
    pub fn with_identity(journal: JournalId) -> Self {
        let stored = Stored { journal, frames: Vec::new(), acknowledged: 0, in_use: false };
        Self(Arc::new(Mutex::new(stored)))
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        // Each change under the lock is one assignment or push: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frame(&self, number: FrameNumber) -> Option<Bytes> {
        let index = usize::try_from(number.0.checked_sub(1)?).ok()?;
        self.stored().frames.get(index).cloned()
    }

    /// Flips every bit of one stored byte of a frame, counted from the frame's end (0: its last byte). `false` when the
    /// frame has no such byte. For tests.
    #[must_use]
    pub fn damage(&self, number: FrameNumber, from_end: usize) -> bool {
        let Some(frame) = self.frame(number) else { return false };
        let mut bytes = frame.to_vec();
        let Some(at) = bytes.len().checked_sub(from_end + 1) else { return false };
        bytes[at] ^= 0xff;
        let index = usize::try_from(number.0 - 1).expect("the frame was found by this index");
        self.stored().frames[index] = Bytes::from(bytes);
        true
    }

    /// Removes a frame in the middle or at the end, as a store does that lost it. For tests.
    pub fn lose(&self, number: FrameNumber) {
        let mut stored = self.stored();
        if let Some(index) = number.0.checked_sub(1).and_then(|index| usize::try_from(index).ok())
            && index < stored.frames.len()
        {
            stored.frames.remove(index);
        }
    }
}

/// A [`Journal`] in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    disk: MemoryDisk,
    chain: Chain,
    failed: Option<String>,
    /// Shared with the readers, which end with the journal.
    open: Arc<AtomicBool>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// A fresh, empty journal.
    ///
    /// # Panics
    /// Never: a fresh disk can always be opened.
    #[must_use]
    pub fn new() -> Self {
        Self::open(&MemoryDisk::new()).expect("a fresh disk has no owner and no frames")
    }

    /// Opens what `disk` holds, by the same rules as a journal on disk: a bad frame at the end that was never
    /// acknowledged is cut, any other refuses the start (H7).
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another journal has the disk, [`OpenError::Damaged`] as above.
    pub fn open(disk: &MemoryDisk) -> Result<Self, OpenError> {
        let mut stored = disk.stored();
        if stored.in_use {
            return Err(OpenError::InUse { path: "memory".into() });
        }
        if stored.frames.len() < stored.acknowledged {
            let place = Place::Frame(number_of(stored.frames.len()));
            let problem = format!("missing: frame {} was acknowledged", stored.acknowledged);
            return Err(OpenError::Damaged { place, problem });
        }
        let mut chain = Chain::new(stored.journal);
        if let Some(last) = stored.frames.last() {
            let index = stored.frames.len() - 1;
            match Header::parse(last).and_then(|header| header.verify_whole(last).map(|()| header)) {
                Ok(header) => chain.advance(number_of(index), header.checksum),
                Err(problem) if stored.acknowledged > index => {
                    return Err(OpenError::Damaged { place: Place::Frame(number_of(index)), problem });
                }
                Err(problem) => {
                    tracing::warn!(frame = index + 1, problem, "the last frame was never acknowledged and is cut");
                    stored.frames.pop();
                    if let Some(before) = stored.frames.last() {
                        let header = Header::parse(before).map_err(|problem| OpenError::Damaged {
                            place: Place::Header(number_of(index - 1)),
                            problem,
                        })?;
                        chain.advance(number_of(index - 1), header.checksum);
                    }
                }
            }
        }
        stored.in_use = true;
        stored.acknowledged = stored.frames.len();
        drop(stored);
        Ok(Self { disk: disk.clone(), chain, failed: None, open: Arc::new(AtomicBool::new(true)) })
    }

    fn prepare(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<Bytes, AppendError> {
        if let Some(reason) = &self.failed {
            return Err(AppendError::Failed(format!("an earlier append failed: {reason}")));
        }
        if number != self.chain.due() {
            return Err(AppendError::Fenced { expected: self.chain.due(), given: number });
        }
        let encoded = if release.is_empty() {
            encode(&self.chain, frame)
        } else {
            Err("release is not supported yet".to_owned())
        };
        match encoded {
            Ok(encoded) => {
                self.chain.advance(number, encoded.checksum);
                Ok(encoded.bytes)
            }
            Err(reason) => Err(self.fail(reason)),
        }
    }

    fn fail(&mut self, reason: String) -> AppendError {
        self.failed = Some(reason.clone());
        AppendError::Failed(reason)
    }
}

fn number_of(index: usize) -> FrameNumber {
    FrameNumber(index as u64 + 1)
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Release);
        self.disk.stored().in_use = false;
    }
}

impl Journal for MemoryJournal {
    type Reader = MemoryReader;

    fn identity(&self) -> JournalId {
        self.chain.journal
    }

    fn last(&self) -> Option<FrameNumber> {
        self.chain.last
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        let bytes = self.prepare(number, frame, release)?;
        let mut stored = self.disk.stored();
        stored.frames.push(bytes);
        stored.acknowledged = stored.frames.len();
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { disk: self.disk.clone(), open: Arc::clone(&self.open) }
    }

    fn replay(&self) -> impl Iterator<Item = Result<ReplayedFrame, ReadError>> {
        let mut chain = Chain::new(self.chain.journal);
        let mut doubted = false;
        std::iter::from_fn(move || {
            let number = chain.due();
            if doubted || Some(number) > self.chain.last {
                return None;
            }
            let replayed = replay_one(&self.disk, &mut chain, number);
            doubted = replayed.is_err();
            Some(replayed)
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.disk.stored().frames.iter().map(|frame| frame.len() as u64).sum()
    }

    fn close(self) -> Result<(), AppendError> {
        match &self.failed {
            Some(reason) => Err(AppendError::Failed(reason.clone())),
            None => Ok(()),
        }
    }
}

fn replay_one(disk: &MemoryDisk, chain: &mut Chain, number: FrameNumber) -> Result<ReplayedFrame, ReadError> {
    let Some(bytes) = disk.frame(number) else {
        return Err(ReadError::Missing { place: Place::Frame(number), problem: "a gap in the frames".to_owned() });
    };
    let header = Header::parse(&bytes)
        .and_then(|header| chain.follow(&header).map(|()| header))
        .map_err(|problem| ReadError::Damaged { place: Place::Header(number), problem })?;
    if bytes.len() != header.total_bytes() {
        let problem = format!("{} of {} bytes are there", bytes.len(), header.total_bytes());
        return Err(ReadError::Missing { place: Place::Frame(number), problem });
    }
    let events = bytes.slice(header.events());
    header.verify_events(&events).map_err(|problem| ReadError::Damaged { place: Place::Events(number), problem })?;
    Ok(ReplayedFrame { number, events, bodies: header.body_count() })
}

/// Reads bodies of a [`MemoryJournal`].
#[derive(Clone, Debug)]
pub struct MemoryReader {
    disk: MemoryDisk,
    open: Arc<AtomicBool>,
}

impl BodyReader for MemoryReader {
    fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        if !self.open.load(Ordering::Acquire) {
            return Err(ReadError::Closed { place: Place::Body(position) });
        }
        let missing = |problem: &str| ReadError::Missing { place: Place::Body(position), problem: problem.to_owned() };
        let bytes = self.disk.frame(position.frame).ok_or_else(|| missing("no such frame"))?;
        let header = Header::parse(&bytes)
            .map_err(|problem| ReadError::Damaged { place: Place::Header(position.frame), problem })?;
        let (range, checksum) = header.body(position.index).ok_or_else(|| missing("no such body in the frame"))?;
        if range.end > bytes.len() {
            return Err(missing("the frame ends before it"));
        }
        let body = bytes.slice(range);
        if crc32c::crc32c(&body) != checksum {
            let problem = "the checksum of the body is wrong".to_owned();
            return Err(ReadError::Damaged { place: Place::Body(position), problem });
        }
        Ok(body)
    }
}

impl TornAppend for MemoryJournal {
    fn append_torn(&mut self, number: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        let bytes = self.prepare(number, frame, &[])?;
        let kept = bytes.slice(..bytes.len() / 2);
        self.disk.stored().frames.push(kept);
        Err(self.fail("a torn append".to_owned()))
    }
}
