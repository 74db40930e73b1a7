//! A journal in memory, for tests and for runs that may forget. It stores the same bytes as a journal on disk, so that
//! damage, torn ends and replay are the same stories. It promises nothing across the end of the process.

mod disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::checkpoint::SliceChain;
use crate::encoding::{Chain, Header, encode};
use crate::error::{AppendError, OpenError, Place, ReadError, unless_failed};
use crate::faulty::TornAppend;
use crate::frame::{Frame, FrameNumber, JournalId, KeptFrame, Position, Replayed, ReplayedFrame};
use crate::journal::{BodyReader, Journal};

pub use self::disk::MemoryDisk;

/// A [`Journal`] in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    disk: MemoryDisk,
    chain: Chain,
    /// What the frames after the checkpoint hang on.
    start: Chain,
    /// The checkpoint that is being written.
    unfinished: Option<SliceChain>,
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
    /// acknowledged is cut, any other refuses the start (H7); an unfinished checkpoint is discarded.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while another journal has the disk, [`OpenError::Damaged`] as above.
    pub fn open(disk: &MemoryDisk) -> Result<Self, OpenError> {
        let (start, chain) = disk.take()?;
        let open = Arc::new(AtomicBool::new(true));
        Ok(Self { disk: disk.clone(), chain, start, unfinished: None, failed: None, open })
    }

    fn prepare(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<Bytes, AppendError> {
        unless_failed(self.failed.as_deref()).map_err(AppendError::Failed)?;
        let encoded = match self.chain.admit(&self.start, number, release) {
            Ok(()) => encode(&self.chain, frame),
            Err(AppendError::Failed(reason)) => Err(reason),
            Err(fenced @ AppendError::Fenced { .. }) => return Err(fenced),
        };
        let encoded = encoded.map_err(|reason| self.fail(reason))?;
        self.chain.advance(number, encoded.checksum);
        Ok(encoded.bytes)
    }

    /// The slice to store, and the checkpoint as it is with it.
    fn prepare_slice(&self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(Bytes, SliceChain), String> {
        unless_failed(self.failed.as_deref())?;
        let header = |number| {
            let bytes = self.disk.frame(number).ok_or_else(|| format!("frame {number} is not there"))?;
            Header::parse(&bytes).map(|header| header.checksum)
        };
        let mut slices = SliceChain::next(self.unfinished, &self.start, &self.chain, covers, header)?;
        let encoded = slices.encode(slice, last)?;
        slices.advance(encoded.checksum, last);
        Ok((encoded.bytes, slices))
    }

    fn fail(&mut self, reason: String) -> AppendError {
        self.failed.get_or_insert(reason.clone());
        AppendError::Failed(reason)
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Release);
        self.disk.give_back();
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

    fn checkpointed(&self) -> Option<FrameNumber> {
        self.start.last
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        let bytes = self.prepare(number, frame, release)?;
        self.disk.push(number, bytes, true);
        self.disk.release(release);
        Ok(())
    }

    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError> {
        let (bytes, slices) = match self.prepare_slice(covers, slice, last) {
            Ok(prepared) => prepared,
            Err(reason) => return Err(self.fail(reason)),
        };
        self.disk.push_slice(covers, bytes, last);
        if last {
            self.start = slices.anchor();
        }
        self.unfinished = Some(slices).filter(|slices| !slices.is_whole());
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { disk: self.disk.clone(), open: Arc::clone(&self.open) }
    }

    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>> {
        let mut slices = self.start.last.map(|covers| SliceChain::to_read(self.chain.journal, covers));
        let mut chain = self.start;
        let mut doubted = false;
        std::iter::from_fn(move || {
            if doubted {
                return None;
            }
            let replayed = if let Some(slices) = slices.as_mut().filter(|slices| !slices.is_whole()) {
                replay_slice(&self.disk, slices).map(Replayed::Slice)
            } else if Some(chain.due()) <= self.chain.last {
                replay_frame(&self.disk, &mut chain).map(Replayed::Frame)
            } else {
                return None;
            };
            doubted = replayed.is_err();
            Some(replayed)
        })
    }

    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>> {
        let numbers = self.start.last.map_or_else(Vec::new, |covers| self.disk.numbers_up_to(covers));
        numbers.into_iter().map(|number| {
            let bytes = self.disk.frame(number).ok_or_else(|| ReadError::Missing {
                place: Place::Frame(number),
                problem: "it was there a moment ago".to_owned(),
            })?;
            let header = Header::parse(&bytes)
                .map_err(|problem| ReadError::Damaged { place: Place::Header(number), problem })?;
            Ok(KeptFrame { number, bodies: header.body_count(), bytes: header.total_bytes() as u64 })
        })
    }

    fn stored_bytes(&self) -> u64 {
        self.disk.stored_bytes()
    }

    fn close(self) -> Result<(), AppendError> {
        match &self.failed {
            Some(reason) => Err(AppendError::Failed(reason.clone())),
            None => Ok(()),
        }
    }
}

fn replay_slice(disk: &MemoryDisk, slices: &mut SliceChain) -> Result<Bytes, ReadError> {
    let place = || Place::Slice { covers: slices.covers(), slice: slices.due() };
    let Some(bytes) = disk.slice(slices.due()) else {
        return Err(ReadError::Missing { place: place(), problem: "it is not stored".to_owned() });
    };
    let place = place();
    slices.follow(&bytes).map_err(|problem| ReadError::Damaged { place, problem })
}

fn replay_frame(disk: &MemoryDisk, chain: &mut Chain) -> Result<ReplayedFrame, ReadError> {
    let number = chain.due();
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
    Ok(ReplayedFrame { number, events, bodies: header.body_count(), bytes: header.total_bytes() as u64 })
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
        self.disk.push(number, bytes.slice(..bytes.len() / 2), false);
        Err(self.fail("a torn append".to_owned()))
    }
}
