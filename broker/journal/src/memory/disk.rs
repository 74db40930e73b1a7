//! What stands for the disk of a [`super::MemoryJournal`]: bytes by name, and who has them. It judges only what an
//! opening must judge; what bytes mean is the journal's affair.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::checkpoint::SliceChain;
use crate::encoding::{Chain, Header};
use crate::error::{OpenError, Place};
use crate::frame::{FrameNumber, JournalId};

/// What stands for the disk: it outlives the journals opened on it, one after the other, as a disk outlives processes.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<Stored>>);

#[derive(Debug)]
struct Stored {
    journal: JournalId,
    frames: BTreeMap<FrameNumber, Bytes>,
    /// The last frame that was acknowledged.
    acknowledged: Option<FrameNumber>,
    /// The frame that the whole checkpoint covers, and its slices.
    checkpoint: Option<(FrameNumber, Vec<Bytes>)>,
    unfinished: Vec<Bytes>,
    /// The sum of all lengths above.
    bytes: u64,
    in_use: bool,
}

impl Stored {
    fn last(&self) -> Option<FrameNumber> {
        self.frames.keys().next_back().copied().max(self.covered())
    }

    fn covered(&self) -> Option<FrameNumber> {
        self.checkpoint.as_ref().map(|(covers, _)| *covers)
    }

    fn remove(&mut self, number: FrameNumber) {
        if let Some(bytes) = self.frames.remove(&number) {
            self.bytes -= bytes.len() as u64;
        }
    }
}

fn sum(slices: &[Bytes]) -> u64 {
    slices.iter().map(|slice| slice.len() as u64).sum()
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
        Self(Arc::new(Mutex::new(Stored {
            journal,
            frames: BTreeMap::new(),
            acknowledged: None,
            checkpoint: None,
            unfinished: Vec::new(),
            bytes: 0,
            in_use: false,
        })))
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        // No change under the lock can panic halfway but for want of memory: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flips every bit of one stored byte of a frame, counted from the frame's end (0: its last byte). `false` when the
    /// frame has no such byte. For tests.
    #[must_use]
    pub fn damage(&self, number: FrameNumber, from_end: usize) -> bool {
        self.stored().frames.get_mut(&number).is_some_and(|frame| flip(frame, from_end))
    }

    /// The same for a slice of the whole checkpoint. For tests.
    #[must_use]
    pub fn damage_slice(&self, slice: u32, from_end: usize) -> bool {
        let mut stored = self.stored();
        let slices = stored.checkpoint.as_mut().map(|(_, slices)| slices);
        slices.and_then(|slices| slices.get_mut(slice as usize)).is_some_and(|slice| flip(slice, from_end))
    }

    /// The bytes of all frames and slices.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored().bytes
    }

    /// Whether a frame is not stored. For tests.
    #[must_use]
    pub fn lacks(&self, number: FrameNumber) -> bool {
        self.frame(number).is_none()
    }

    /// Every stored frame, in order. For tests.
    #[must_use]
    pub fn contents(&self) -> Vec<Bytes> {
        self.stored().frames.values().cloned().collect()
    }

    /// Every slice of the whole checkpoint, in order. For tests.
    #[must_use]
    pub fn slices(&self) -> Vec<Bytes> {
        self.stored().checkpoint.as_ref().map_or_else(Vec::new, |(_, slices)| slices.clone())
    }

    /// The frame that the whole checkpoint covers. For tests.
    #[must_use]
    pub fn covered(&self) -> Option<FrameNumber> {
        self.stored().covered()
    }

    /// Forgets the last frames, and that they were ever acknowledged, as a disk does that lies about its syncs: what
    /// no journal can notice. For tests of those who must.
    pub fn forget(&self, frames: usize) {
        let mut stored = self.stored();
        let last: Vec<_> = stored.frames.keys().rev().take(frames).copied().collect();
        last.into_iter().for_each(|number| stored.remove(number));
        stored.acknowledged = stored.acknowledged.min(stored.last());
    }

    /// Removes a frame in the middle or at the end, as a store does that lost it. For tests.
    pub fn lose(&self, number: FrameNumber) {
        self.stored().remove(number);
    }

    /// Takes the disk for one journal, judges its end, and says where its frames begin and end.
    pub(super) fn take(&self) -> Result<(Chain, Chain), OpenError> {
        let mut stored = self.stored();
        if stored.in_use {
            return Err(OpenError::InUse { path: "memory".into() });
        }
        stored.bytes -= sum(&stored.unfinished);
        stored.unfinished.clear();
        let start = start(&stored)?;
        if stored.last() < stored.acknowledged
            && let Some(acknowledged) = stored.acknowledged
        {
            let place = Place::Frame(FrameNumber::after(stored.last()));
            return Err(OpenError::Damaged {
                place,
                problem: format!("missing: frame {acknowledged} was acknowledged"),
            });
        }
        let end = end(&mut stored, start)?;
        stored.in_use = true;
        stored.acknowledged = end.last;
        Ok((start, end))
    }

    pub(super) fn give_back(&self) {
        self.stored().in_use = false;
    }

    pub(super) fn frame(&self, number: FrameNumber) -> Option<Bytes> {
        self.stored().frames.get(&number).cloned()
    }

    /// The stored frames up to this one. For tests.
    #[must_use]
    pub fn numbers_up_to(&self, covers: FrameNumber) -> Vec<FrameNumber> {
        self.stored().frames.range(..=covers).map(|(number, _)| *number).collect()
    }

    pub(super) fn slice(&self, index: u32) -> Option<Bytes> {
        self.stored().checkpoint.as_ref()?.1.get(index as usize).cloned()
    }

    pub(super) fn push(&self, number: FrameNumber, frame: Bytes, acknowledged: bool) {
        let mut stored = self.stored();
        stored.bytes += frame.len() as u64;
        stored.frames.insert(number, frame);
        if acknowledged {
            stored.acknowledged = Some(number);
        }
    }

    pub(super) fn release(&self, frames: &[FrameNumber]) {
        let mut stored = self.stored();
        frames.iter().for_each(|number| stored.remove(*number));
    }

    pub(super) fn push_slice(&self, covers: FrameNumber, slice: Bytes, last: bool) {
        let mut stored = self.stored();
        stored.bytes += slice.len() as u64;
        stored.unfinished.push(slice);
        if last {
            let slices = std::mem::take(&mut stored.unfinished);
            if let Some((_, before)) = stored.checkpoint.replace((covers, slices)) {
                stored.bytes -= sum(&before);
            }
        }
    }
}

fn flip(bytes: &mut Bytes, from_end: usize) -> bool {
    let mut changed = bytes.to_vec();
    let Some(at) = changed.len().checked_sub(from_end + 1) else { return false };
    changed[at] ^= 0xff;
    *bytes = Bytes::from(changed);
    true
}

/// What the frames after the checkpoint hang on; the beginning where there is none.
fn start(stored: &Stored) -> Result<Chain, OpenError> {
    let Some((covers, slices)) = &stored.checkpoint else { return Ok(Chain::new(stored.journal)) };
    let mut reading = SliceChain::to_read(stored.journal, *covers);
    let first = slices.first().expect("a checkpoint has at least its last slice");
    let followed = reading.follow(first);
    followed.map(|_| reading.anchor()).map_err(|problem| {
        let place = Place::Slice { covers: *covers, slice: 0 };
        OpenError::Damaged { place, problem }
    })
}

/// The end of the frames: the last one is judged whole, and cut if it is bad and was never acknowledged.
fn end(stored: &mut Stored, start: Chain) -> Result<Chain, OpenError> {
    let Some((number, bytes)) = stored.frames.last_key_value().map(|(number, bytes)| (*number, bytes.clone())) else {
        return Ok(start);
    };
    if start.last >= Some(number) {
        return Ok(start);
    }
    let chain_after = |number, checksum| Chain { journal: stored.journal, last: Some(number), checksum };
    match Header::parse(&bytes).and_then(|header| header.verify_whole(&bytes).map(|()| header)) {
        Ok(header) => return Ok(chain_after(number, header.checksum)),
        Err(problem) if stored.acknowledged >= Some(number) => {
            return Err(OpenError::Damaged { place: Place::Frame(number), problem });
        }
        Err(problem) => tracing::warn!(%number, problem, "the last frame was never acknowledged and is cut"),
    }
    stored.remove(number);
    match stored.frames.last_key_value() {
        Some((number, _)) if start.last >= Some(*number) => Ok(start),
        None => Ok(start),
        Some((number, bytes)) => {
            let number = *number;
            let header =
                Header::parse(bytes).map_err(|problem| OpenError::Damaged { place: Place::Header(number), problem })?;
            Ok(Chain { journal: stored.journal, last: Some(number), checksum: header.checksum })
        }
    }
}
