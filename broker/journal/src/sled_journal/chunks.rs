//! How a frame lies in the store: cut into chunks, one entry each. Pure: no store.
//!
//! A key is 11 bytes: `b'C'`, the frame's number (8, big-endian), the chunk's index from 0 (2, big-endian), so that the
//! order of the keys is the order of the bytes. Every chunk of a frame is full but the last. Chunks stay so small that
//! no page of sled outgrows its log segment and goes to a file of its own, which sled never syncs (danger 4).

use std::ops::{Range, RangeInclusive};

use bytes::{Bytes, BytesMut};

use crate::encoding::{FIXED_BYTES, Header, header_length};
use crate::error::{Place, ReadError};
use crate::frame::FrameNumber;

/// The most bytes in one entry of the store. 18 of them stay below a quarter of a segment of 8 MiB (danger 4).
pub const CHUNK_BYTES: usize = 64 << 10;

pub(super) const KEY_BYTES: usize = 11;
pub(super) const FRAMES: u8 = b'C';

pub(super) type Key = [u8; KEY_BYTES];

/// The key of one chunk.
pub(super) fn key(frame: FrameNumber, chunk: u16) -> Key {
    let mut key = [FRAMES; KEY_BYTES];
    key[1..9].copy_from_slice(&frame.0.to_be_bytes());
    key[9..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// What a key names; `None` when it is no key of a chunk.
pub(super) fn parse_key(key: &[u8]) -> Option<(FrameNumber, u16)> {
    let key: &Key = key.try_into().ok()?;
    if key[0] != FRAMES {
        return None;
    }
    let frame = u64::from_be_bytes(key[1..9].try_into().ok()?);
    let chunk = u16::from_be_bytes(key[9..].try_into().ok()?);
    Some((FrameNumber(frame), chunk))
}

/// All keys that a frame may have.
pub(super) fn keys_of(frame: FrameNumber) -> RangeInclusive<Key> {
    key(frame, 0)..=key(frame, u16::MAX)
}

/// The chunks of a frame, with their keys.
pub(super) fn cut(frame: FrameNumber, bytes: &[u8]) -> impl Iterator<Item = (Key, &[u8])> {
    bytes.chunks(CHUNK_BYTES).zip(0_u16..).map(move |(chunk, index)| (key(frame, index), chunk))
}

/// Reads a range of bytes of a frame, where `chunk` gives one chunk of it; only the chunks that hold the range are
/// asked for. A range within one chunk still is copied, so that a small body does not keep a page of the store alive.
pub(super) fn read_range(
    frame: FrameNumber,
    range: Range<usize>,
    mut chunk: impl FnMut(u16) -> Result<Option<sled::IVec>, ReadError>,
) -> Result<Bytes, ReadError> {
    let mut bytes = BytesMut::with_capacity(range.len());
    let mut at = range.start;
    while at < range.end {
        let index = u16::try_from(at / CHUNK_BYTES).expect("a frame has far fewer chunks than 65,536");
        let place = Place::Chunk { frame, chunk: index };
        let Some(stored) = chunk(index)? else {
            return Err(ReadError::Missing { place, problem: "it is not in the store".to_owned() });
        };
        let from = at % CHUNK_BYTES;
        let to = CHUNK_BYTES.min(from + (range.end - at));
        let Some(part) = stored.get(from..to) else {
            let problem = format!("it has {} bytes, at least {to} belong there", stored.len());
            return Err(ReadError::Damaged { place, problem });
        };
        bytes.extend_from_slice(part);
        at += part.len();
    }
    Ok(bytes.freeze())
}

/// Puts a frame together again, chunk after chunk, keeping its header and events; of its bodies only that they exist.
pub(super) struct Assembler {
    frame: FrameNumber,
    chunks: u16,
    bytes: usize,
    kept: BytesMut,
    header: Option<Header>,
    keep_all: bool,
}

impl Assembler {
    pub(super) fn new(frame: FrameNumber) -> Self {
        Self { frame, chunks: 0, bytes: 0, kept: BytesMut::new(), header: None, keep_all: false }
    }

    /// One that keeps the bodies, too.
    pub(super) fn keeping_all(frame: FrameNumber) -> Self {
        Self { keep_all: true, ..Self::new(frame) }
    }

    /// Takes the next chunk.
    pub(super) fn push(&mut self, index: u16, chunk: &[u8]) -> Result<(), ReadError> {
        if index != self.chunks {
            let place = Place::Chunk { frame: self.frame, chunk: self.chunks };
            return Err(ReadError::Missing { place, problem: "it is not in the store".to_owned() });
        }
        if self.bytes != usize::from(index) * CHUNK_BYTES || chunk.is_empty() || chunk.len() > CHUNK_BYTES {
            let place = Place::Chunk { frame: self.frame, chunk: index };
            return Err(ReadError::Damaged { place, problem: "it or the one before has a wrong length".to_owned() });
        }
        self.chunks = index.saturating_add(1);
        self.bytes += chunk.len();
        let wanted = match &self.header {
            _ if self.keep_all => usize::MAX,
            Some(header) => header.events().end,
            None => usize::MAX,
        };
        let missing = wanted.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&chunk[..chunk.len().min(missing)]);
        self.read_header()
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        if self.header.is_some() || self.kept.len() < FIXED_BYTES {
            return Ok(());
        }
        let length = header_length(&self.kept).map_err(|problem| self.damaged_header(problem))?;
        if self.kept.len() < length {
            return Ok(());
        }
        let header = Header::parse(&self.kept).map_err(|problem| self.damaged_header(problem))?;
        if !self.keep_all {
            self.kept.truncate(header.events().end);
        }
        self.header = Some(header);
        Ok(())
    }

    fn damaged_header(&self, problem: String) -> ReadError {
        ReadError::Damaged { place: Place::Header(self.frame), problem }
    }

    /// All chunks were given: the header, and what was kept of the frame.
    pub(super) fn finish(self) -> Result<(Header, Bytes), ReadError> {
        let Some(header) = self.header else {
            let problem = format!("the frame ends after {} bytes", self.bytes);
            return Err(ReadError::Missing { place: Place::Header(self.frame), problem });
        };
        if self.bytes < header.total_bytes() {
            let problem = format!("the frame ends after {} of {} bytes", self.bytes, header.total_bytes());
            return Err(ReadError::Missing { place: Place::Chunk { frame: self.frame, chunk: self.chunks }, problem });
        }
        if self.bytes > header.total_bytes() {
            let problem = format!("{} bytes are stored, {} belong there", self.bytes, header.total_bytes());
            return Err(ReadError::Damaged { place: Place::Frame(self.frame), problem });
        }
        Ok((header, self.kept.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_keys_is_the_order_of_the_bytes() {
        let mut keys = [key(FrameNumber(256), 0), key(FrameNumber(1), 300), key(FrameNumber(1), 2)];
        keys.sort_unstable();
        let named: Vec<_> = keys.iter().map(|key| parse_key(key).unwrap()).collect();
        assert_eq!(named, [(FrameNumber(1), 2), (FrameNumber(1), 300), (FrameNumber(256), 0)]);
        assert_eq!(parse_key(b"S0000000000"), None);
        assert_eq!(parse_key(b"C"), None);
    }

    #[test]
    fn a_range_asks_only_for_the_chunks_that_hold_it() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let chunks: Vec<&[u8]> = cut(FrameNumber(1), &bytes).map(|(_, chunk)| chunk).collect();
        let mut asked = Vec::new();
        let range = CHUNK_BYTES + 10..2 * CHUNK_BYTES + 1;
        let read = read_range(FrameNumber(1), range.clone(), |index| {
            asked.push(index);
            Ok(Some(chunks[usize::from(index)].into()))
        });
        assert_eq!(read.unwrap(), &bytes[range]);
        assert_eq!(asked, [1, 2]);
    }
}
