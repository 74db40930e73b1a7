//! Checkpoints in the store: the keys of their slices, and the mark that says which checkpoint is whole.
//!
//! A slice is cut into chunks as a frame is; a key is 15 bytes: `b'S'`, the covered frame's number (8, big-endian), the
//! slice's index (4), the chunk's index (2). One more entry, `b'K'`, is the mark, replaced in the batch that stores the
//! last slice: what it names must be whole, what it does not name is discarded at the next opening (H6, H7).
//!
//! ```text
//! offset  size  field of the mark
//!      0     4  magic "LKJK"
//!      4     2  version, 1
//!      6     2  zero
//!      8    16  identity of the journal
//!     24     8  number of the frame that the checkpoint covers
//!     32     4  how many slices it has
//!     36     4  header checksum of its last slice
//!     40     4  header checksum of the covered frame
//!     44     4  checksum of bytes 0 to 44
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::chunks::CHUNK_BYTES;
use super::failed;
use crate::checkpoint::SliceChain;
use crate::encoding::Chain;
use crate::error::{Place, ReadError};
use crate::frame::{FrameNumber, JournalId};

pub(super) const SLICES: u8 = b'S';
/// The key of the mark.
pub(super) const MARK: &[u8] = b"K";
const MAGIC: &[u8; 4] = b"LKJK";
const MARK_VERSION: u16 = 1;
const MARK_BYTES: usize = 48;
const KEY_BYTES: usize = 15;

pub(super) type SliceKey = [u8; KEY_BYTES];

/// The key of one chunk of a slice.
pub(super) fn key(covers: FrameNumber, slice: u32, chunk: u16) -> SliceKey {
    let mut key = [SLICES; KEY_BYTES];
    key[1..9].copy_from_slice(&covers.0.to_be_bytes());
    key[9..13].copy_from_slice(&slice.to_be_bytes());
    key[13..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// The covered frame that a key names; `None` when it is no key of a slice.
fn parse_key(key: &[u8]) -> Option<(SliceKey, FrameNumber)> {
    let key: SliceKey = key.try_into().ok().filter(|key: &SliceKey| key[0] == SLICES)?;
    Some((key, FrameNumber(u64::from_be_bytes(key[1..9].try_into().ok()?))))
}

/// The chunks of a slice, with their keys.
pub(super) fn cut(covers: FrameNumber, slice: u32, bytes: &[u8]) -> impl Iterator<Item = (SliceKey, &[u8])> {
    bytes.chunks(CHUNK_BYTES).zip(0_u16..).map(move |(chunk, index)| (key(covers, slice, index), chunk))
}

/// Which checkpoint is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) start: Chain,
    pub(super) covers: FrameNumber,
    pub(super) slices: u32,
    pub(super) newest: u32,
}

impl Mark {
    /// The mark of a checkpoint whose last slice is being stored.
    pub(super) fn of(slices: &SliceChain) -> Self {
        let newest = slices.newest().unwrap_or_default();
        Self { start: slices.anchor(), covers: slices.covers(), slices: slices.due(), newest }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(MARK_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u16(MARK_VERSION);
        bytes.put_u16(0);
        bytes.put_slice(&self.start.journal.0);
        bytes.put_u64(self.covers.0);
        bytes.put_u32(self.slices);
        bytes.put_u32(self.newest);
        bytes.put_u32(self.start.checksum);
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes.freeze()
    }

    fn parse(journal: JournalId, bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < MARK_BYTES || &bytes[..4] != MAGIC {
            return Err("it does not look like the mark of a checkpoint".to_owned());
        }
        let version = (&bytes[4..]).get_u16();
        if version != MARK_VERSION {
            return Err(format!("mark version {version}, this program knows {MARK_VERSION}"));
        }
        if bytes.len() != MARK_BYTES || (&bytes[44..]).get_u32() != crc32c::crc32c(&bytes[..44]) {
            return Err("the checksum of the mark of the checkpoint is wrong".to_owned());
        }
        let mut rest = &bytes[8..];
        let mut found = [0; 16];
        rest.copy_to_slice(&mut found);
        if JournalId(found) != journal {
            return Err(format!("it belongs to journal {}, this one is {journal}", JournalId(found)));
        }
        let (covers, slices, newest) = (FrameNumber(rest.get_u64()), rest.get_u32(), rest.get_u32());
        let start = Chain { journal, last: Some(covers), checksum: rest.get_u32() };
        Ok(Self { start, covers, slices, newest })
    }
}

/// The checkpoint that is whole, and the keys of its slices.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub(super) mark: Mark,
    pub(super) keys: Vec<SliceKey>,
}

/// What an opening finds of checkpoints.
pub(super) struct Found {
    pub(super) whole: Option<Whole>,
    /// Keys of slices that no mark names: of an unfinished checkpoint, or of one that was being dropped.
    pub(super) discarded: Vec<SliceKey>,
}

/// Looks for the mark and sorts the keys of all slices. No slice is judged here: replay does.
pub(super) fn find(db: &sled::Db, journal: JournalId) -> Result<Found, ReadError> {
    let place = || Place::Key(MARK.to_vec());
    let mark = match db.get(MARK).map_err(|error| failed(place(), error))? {
        Some(bytes) => {
            let parsed = Mark::parse(journal, &bytes);
            Some(parsed.map_err(|problem| ReadError::Damaged { place: place(), problem })?)
        }
        None => None,
    };
    let (mut keys, mut discarded) = (Vec::new(), Vec::new());
    for stored in db.scan_prefix([SLICES]).keys() {
        let stored = stored.map_err(|error| failed(place(), error))?;
        match parse_key(&stored) {
            Some((key, covers)) if mark.is_some_and(|mark| mark.covers == covers) => keys.push(key),
            Some((key, _)) => discarded.push(key),
            None => {
                let place = Place::Key(stored.to_vec());
                return Err(ReadError::Damaged { place, problem: "an entry that no checkpoint has".to_owned() });
            }
        }
    }
    Ok(Found { whole: mark.map(|mark| Whole { mark, keys }), discarded })
}

/// The slices of the whole checkpoint, in order; ends after the first error.
pub(super) struct Slices<'a> {
    db: &'a sled::Db,
    mark: Mark,
    chain: SliceChain,
}

impl<'a> Slices<'a> {
    pub(super) fn new(db: &'a sled::Db, mark: Mark) -> Self {
        Self { db, mark, chain: SliceChain::to_read(mark.start.journal, mark.covers) }
    }

    fn place(&self) -> Place {
        Place::Slice { covers: self.mark.covers, slice: self.chain.due() }
    }

    fn damaged(&self, problem: impl Into<String>) -> ReadError {
        ReadError::Damaged { place: self.place(), problem: problem.into() }
    }

    fn slice(&mut self) -> Result<Bytes, ReadError> {
        let index = self.chain.due();
        let mut bytes = BytesMut::new();
        let first = key(self.mark.covers, index, 0);
        for (entry, due) in self.db.range(first..=key(self.mark.covers, index, u16::MAX)).zip(0..) {
            let (stored, chunk) = entry.map_err(|error| failed(self.place(), error))?;
            if stored != key(self.mark.covers, index, due) {
                return Err(self.damaged(format!("chunk {due} of it is missing")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Err(ReadError::Missing { place: self.place(), problem: "it is not in the store".to_owned() });
        }
        let place = self.place();
        let payload = self.chain.follow(&bytes.freeze()).map_err(|problem| ReadError::Damaged { place, problem })?;
        let complete = self.chain.due() == self.mark.slices;
        if complete != self.chain.is_whole() {
            return Err(self.damaged(format!("the mark names {} slices", self.mark.slices)));
        }
        if complete && (self.chain.newest(), self.chain.anchor()) != (Some(self.mark.newest), self.mark.start) {
            return Err(self.damaged("these are not the slices that the mark names"));
        }
        Ok(payload)
    }
}

impl Iterator for Slices<'_> {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chain.is_whole() { None } else { Some(self.slice()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_flipped_bit_of_the_mark_is_seen() {
        let journal = JournalId([7; 16]);
        let start = Chain { journal, last: Some(FrameNumber(9)), checksum: 5 };
        let mark = Mark { start, covers: FrameNumber(9), slices: 3, newest: 4 };
        let bytes = mark.encode();
        assert_eq!(Mark::parse(journal, &bytes), Ok(mark));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Mark::parse(journal, &bytes).is_err(), "bit {bit} was flipped unnoticed");
        }
    }
}
