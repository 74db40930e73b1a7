//! The bytes of a frame, the same in every journal. Pure: no store, no file, no clock.
//!
//! All integers are big-endian, all checksums CRC32C. A frame is a header, then the events, then the bodies one after
//! the other, nothing between them:
//!
//! ```text
//! offset    size  field
//!      0       4  magic "LKJF"
//!      4       2  version, 1
//!      6       2  zero
//!      8      16  identity of the journal
//!     24       8  number of this frame
//!     32       8  number of the last frame known durable when this one was written; 0: none
//!     40       4  header checksum of the frame before; 0 in frame 1 (the chain)
//!     44       4  length of the events
//!     48       4  checksum of the events
//!     52       4  n, the number of bodies
//!     56     8*n  for each body: its length (4) and its checksum (4)
//! 56+8*n       4  header checksum: of all bytes before this field
//! 60+8*n          the events, then the bodies
//! ```
//!
//! The header names the length of everything, so that one body is found without reading the others; the chain makes a
//! lost, exchanged or foreign frame visible even where each frame alone is whole.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};

use crate::error::AppendError;
use crate::frame::{Frame, FrameNumber, JournalId};

/// The version of the frame encoding that this crate writes, and the only one it reads.
pub const FRAME_VERSION: u16 = 1;

/// The most bytes a frame may have with its header: the 2 MiB of H1 and room for header and table. It also keeps a
/// frame near a quarter of a sled segment, so that several syncs lie between a rewrite and the reuse of a segment
/// (danger 11).
pub const MAX_FRAME_BYTES: usize = (2 << 20) + (64 << 10);

const MAGIC: &[u8; 4] = b"LKJF";
/// The bytes before the table of bodies: enough to know how long the header is.
pub(crate) const FIXED_BYTES: usize = 56;
const TABLE_ENTRY_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// What a header says about one body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BodyEntry {
    pub(crate) bytes: u32,
    pub(crate) checksum: u32,
}

/// A header that was read and whose checksum is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) journal: JournalId,
    pub(crate) number: FrameNumber,
    pub(crate) durable: Option<FrameNumber>,
    pub(crate) previous: u32,
    pub(crate) events_bytes: u32,
    pub(crate) events_checksum: u32,
    pub(crate) bodies: Vec<BodyEntry>,
    pub(crate) checksum: u32,
}

/// Where the next frame hangs: what its header must name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chain {
    pub(crate) journal: JournalId,
    pub(crate) last: Option<FrameNumber>,
    pub(crate) checksum: u32,
}

impl Chain {
    pub(crate) const fn new(journal: JournalId) -> Self {
        Self { journal, last: None, checksum: 0 }
    }

    /// Judges an append before a byte is written: its number must be due, and no frame that it releases may lie after
    /// the newest whole checkpoint, whose chain `start` is.
    pub(crate) fn admit(&self, start: &Self, number: FrameNumber, release: &[FrameNumber]) -> Result<(), AppendError> {
        if number != self.due() {
            return Err(AppendError::Fenced { expected: self.due(), given: number });
        }
        match release.iter().find(|number| Some(**number) > start.last) {
            Some(number) => {
                Err(AppendError::Failed(format!("frame {number} was to be released, and no checkpoint covers it")))
            }
            None => Ok(()),
        }
    }

    /// The number that is due.
    pub(crate) const fn due(&self) -> FrameNumber {
        FrameNumber::after(self.last)
    }

    /// Whether `header` continues the chain; if so the chain ends with it.
    pub(crate) fn follow(&mut self, header: &Header) -> Result<(), String> {
        if header.journal != self.journal {
            return Err(format!("it belongs to journal {}, this one is {}", header.journal, self.journal));
        }
        if header.number != self.due() {
            return Err(format!("it calls itself frame {}, frame {} is due", header.number, self.due()));
        }
        if header.previous != self.checksum {
            return Err("it does not name the frame before it: the chain is broken".to_owned());
        }
        if header.durable >= Some(header.number) {
            return Err("it names itself or a later frame as durable before it".to_owned());
        }
        self.advance(header.number, header.checksum);
        Ok(())
    }

    /// The chain now ends with frame `number`, whose header has `checksum`.
    pub(crate) const fn advance(&mut self, number: FrameNumber, checksum: u32) {
        self.last = Some(number);
        self.checksum = checksum;
    }
}

/// A frame as bytes, and the checksum of its header, which the next frame must name.
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) checksum: u32,
}

/// Encodes the frame that is due in `chain`. Refuses one above [`MAX_FRAME_BYTES`].
pub(crate) fn encode(chain: &Chain, frame: &Frame) -> Result<Encoded, String> {
    let mut bytes = Vec::new();
    let checksum = encode_behind(&mut bytes, chain, frame)?;
    Ok(Encoded { bytes: bytes.into(), checksum })
}

/// As [`encode`], behind what `bytes` holds already; answers the checksum. The bodies are copied once, into where they are
/// written from.
pub(crate) fn encode_behind(bytes: &mut Vec<u8>, chain: &Chain, frame: &Frame) -> Result<u32, String> {
    let bodies: usize = frame.bodies.iter().map(Bytes::len).sum();
    let total = header_bytes(frame.bodies.len()) + frame.events.len() + bodies;
    if total > MAX_FRAME_BYTES {
        return Err(format!("frame {} would have {total} bytes, the limit is {MAX_FRAME_BYTES}", chain.due()));
    }
    let start = bytes.len();
    bytes.reserve(total);
    bytes.put_slice(MAGIC);
    bytes.put_u16(FRAME_VERSION);
    bytes.put_u16(0);
    bytes.put_slice(&chain.journal.0);
    bytes.put_u64(chain.due().0);
    bytes.put_u64(chain.last.map_or(0, |last| last.0));
    bytes.put_u32(chain.checksum);
    bytes.put_u32(length(frame.events.len()));
    bytes.put_u32(crc32c::crc32c(&frame.events));
    bytes.put_u32(length(frame.bodies.len()));
    for body in &frame.bodies {
        bytes.put_u32(length(body.len()));
        bytes.put_u32(crc32c::crc32c(body));
    }
    let checksum = crc32c::crc32c(&bytes[start..]);
    bytes.put_u32(checksum);
    bytes.put_slice(&frame.events);
    for body in &frame.bodies {
        bytes.put_slice(body);
    }
    Ok(checksum)
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("every part is below MAX_FRAME_BYTES, which was checked")
}

pub(crate) const fn header_bytes(bodies: usize) -> usize {
    FIXED_BYTES + TABLE_ENTRY_BYTES * bodies + CHECKSUM_BYTES
}

/// How many bytes the header has whose first [`FIXED_BYTES`] are given. Not yet verified by the checksum, but never
/// more than a frame may have.
pub(crate) fn header_length(start: &[u8]) -> Result<usize, String> {
    if start.len() < FIXED_BYTES {
        return Err(format!("only {} bytes of a header", start.len()));
    }
    if &start[..4] != MAGIC {
        return Err("it does not begin as a frame does".to_owned());
    }
    let version = (&start[4..]).get_u16();
    if version != FRAME_VERSION {
        return Err(format!("frame version {version}, this program knows {FRAME_VERSION}"));
    }
    let bodies = usize::try_from((&start[52..]).get_u32()).unwrap_or(usize::MAX);
    if bodies > MAX_FRAME_BYTES / TABLE_ENTRY_BYTES {
        return Err(format!("a header with {bodies} bodies"));
    }
    Ok(header_bytes(bodies))
}

impl Header {
    /// Reads the header at the beginning of `bytes`, which may go on after it, and verifies its checksum.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let length = header_length(bytes)?;
        if bytes.len() < length {
            return Err(format!("the header has {} of {length} bytes", bytes.len()));
        }
        let covered = &bytes[..length - CHECKSUM_BYTES];
        let checksum = (&bytes[length - CHECKSUM_BYTES..]).get_u32();
        if crc32c::crc32c(covered) != checksum {
            return Err("the checksum of the header is wrong".to_owned());
        }
        let mut rest = &covered[8..];
        let mut journal = [0; 16];
        rest.copy_to_slice(&mut journal);
        let number = FrameNumber(rest.get_u64());
        let durable = Some(FrameNumber(rest.get_u64())).filter(|durable| durable.0 > 0);
        let previous = rest.get_u32();
        let events_bytes = rest.get_u32();
        let events_checksum = rest.get_u32();
        let count = rest.get_u32();
        let bodies = (0..count).map(|_| BodyEntry { bytes: rest.get_u32(), checksum: rest.get_u32() }).collect();
        let header = Self {
            journal: JournalId(journal),
            number,
            durable,
            previous,
            events_bytes,
            events_checksum,
            bodies,
            checksum,
        };
        if header.total_bytes() > MAX_FRAME_BYTES {
            return Err(format!("a frame of {} bytes, the limit is {MAX_FRAME_BYTES}", header.total_bytes()));
        }
        Ok(header)
    }

    /// Where the events lie in the frame.
    pub(crate) fn events(&self) -> Range<usize> {
        let start = header_bytes(self.bodies.len());
        start..start + self.events_bytes as usize
    }

    /// Where a body lies in the frame, and its checksum; `None` when the frame has no such body.
    pub(crate) fn body(&self, index: u32) -> Option<(Range<usize>, u32)> {
        let index = usize::try_from(index).ok()?;
        let entry = self.bodies.get(index)?;
        let before: usize = self.bodies[..index].iter().map(|entry| entry.bytes as usize).sum();
        let start = self.events().end + before;
        Some((start..start + entry.bytes as usize, entry.checksum))
    }

    /// How many bodies the frame has.
    pub(crate) fn body_count(&self) -> u32 {
        length(self.bodies.len())
    }

    /// How many bytes the whole frame has.
    pub(crate) fn total_bytes(&self) -> usize {
        self.events().end + self.bodies.iter().map(|entry| entry.bytes as usize).sum::<usize>()
    }

    /// Whether `events` are those that were appended.
    pub(crate) fn verify_events(&self, events: &[u8]) -> Result<(), String> {
        if crc32c::crc32c(events) == self.events_checksum {
            Ok(())
        } else {
            Err("the checksum of the events is wrong".to_owned())
        }
    }

    /// Whether the whole frame in `bytes` is as it was appended, bodies included.
    pub(crate) fn verify_whole(&self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() != self.total_bytes() {
            return Err(format!("{} of {} bytes are there", bytes.len(), self.total_bytes()));
        }
        self.verify_events(&bytes[self.events()])?;
        let mut start = self.events().end;
        for (index, entry) in self.bodies.iter().enumerate() {
            let end = start + entry.bytes as usize;
            if crc32c::crc32c(&bytes[start..end]) != entry.checksum {
                return Err(format!("the checksum of body {index} is wrong"));
            }
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            events: Bytes::from_static(b"events"),
            bodies: vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")],
        }
    }

    #[test]
    fn a_header_says_where_everything_lies() {
        let encoded = encode(&Chain::new(JournalId([7; 16])), &frame()).unwrap();
        let header = Header::parse(&encoded.bytes).unwrap();
        assert_eq!(&encoded.bytes[header.events()], b"events");
        assert_eq!(&encoded.bytes[header.body(0).unwrap().0], b"one");
        assert!(header.body(1).unwrap().0.is_empty());
        assert_eq!(&encoded.bytes[header.body(2).unwrap().0], b"three");
        assert_eq!(header.body(3), None);
        assert_eq!(header.total_bytes(), encoded.bytes.len());
        assert_eq!(header.durable, None);
        header.verify_whole(&encoded.bytes).unwrap();
    }

    #[test]
    fn every_single_flipped_bit_is_seen() {
        let encoded = encode(&Chain::new(JournalId([7; 16])), &frame()).unwrap();
        for bit in 0..encoded.bytes.len() * 8 {
            let mut bytes = encoded.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = Header::parse(&bytes).and_then(|header| header.verify_whole(&bytes));
            assert!(seen.is_err(), "bit {bit} was flipped unnoticed");
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let mut chain = Chain::new(JournalId([0xab; 16]));
        chain.advance(FrameNumber(6), 0x0102_0304);
        let encoded = encode(&chain, &frame()).unwrap();
        let hex: String = encoded.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let fixed = concat!(
            "4c4b4a4600010000",
            "abababababababababababababababab",
            "0000000000000007",
            "0000000000000006",
            "01020304",
            "00000006",
        );
        assert_eq!(&hex[..fixed.len()], fixed);
        assert_eq!(&hex[hex.len() - 28..], "6576656e74736f6e657468726565");
    }

    #[test]
    fn the_chain_refuses_gaps_strangers_and_exchanged_frames() {
        let mut chain = Chain::new(JournalId([7; 16]));
        let first = Header::parse(&encode(&chain, &frame()).unwrap().bytes).unwrap();
        chain.follow(&first).unwrap();
        assert!(chain.follow(&first).unwrap_err().contains("frame 2 is due"));
        let second = Header::parse(&encode(&chain, &frame()).unwrap().bytes).unwrap();
        assert_eq!(second.durable, Some(FrameNumber(1)));
        let mut other = Chain { checksum: 1, ..chain };
        assert!(other.follow(&second).unwrap_err().contains("chain is broken"));
        let mut stranger = Chain { journal: JournalId([8; 16]), ..chain };
        assert!(stranger.follow(&second).unwrap_err().contains("belongs to journal"));
        chain.follow(&second).unwrap();
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_anything_is_written() {
        let frame = Frame { events: Bytes::from(vec![0; MAX_FRAME_BYTES]), bodies: vec![] };
        assert!(encode(&Chain::new(JournalId([7; 16])), &frame).is_err());
    }
}
