//! The bytes of a checkpoint, the same in every journal: the slices it is cut into, chained to each other and to the
//! frame it covers. Pure: no store, no file. What a slice means is the caller's affair.
//!
//! All integers are big-endian, all checksums CRC32C:
//!
//! ```text
//! offset  size  field
//!      0     4  magic "LKJS"
//!      4     2  version, 1
//!      6     2  1 in the last slice, else 0
//!      8    16  identity of the journal
//!     24     8  number of the frame that the checkpoint covers
//!     32     4  index of this slice, from 0
//!     36     4  header checksum of the slice before; in slice 0 that of the covered frame (the anchor of the chain)
//!     40     4  length of the payload
//!     44     4  checksum of the payload
//!     48     4  header checksum: of bytes 0 to 48
//!     52        the payload
//! ```
//!
//! The anchor lets the frames after the checkpoint hang on it when the covered frame itself was released.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::encoding::{Chain, Encoded};
use crate::frame::{FrameNumber, JournalId};

/// The version of the slice encoding that this crate writes, and the only one it reads.
pub const SLICE_VERSION: u16 = 1;

/// The most bytes of payload in one slice (H6).
pub const MAX_SLICE_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 4] = b"LKJS";
/// The bytes before the payload.
pub(crate) const SLICE_HEADER_BYTES: usize = 52;

/// A header of a slice that was read and whose checksum is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SliceHeader {
    pub(crate) journal: JournalId,
    pub(crate) covers: FrameNumber,
    pub(crate) index: u32,
    pub(crate) last: bool,
    pub(crate) previous: u32,
    pub(crate) bytes: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) checksum: u32,
}

impl SliceHeader {
    /// Reads the header at the beginning of `bytes`, which may go on after it, and verifies its checksum.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < SLICE_HEADER_BYTES {
            return Err(format!("only {} bytes of a header", bytes.len()));
        }
        if &bytes[..4] != MAGIC {
            return Err("it does not begin as a slice does".to_owned());
        }
        let checksum = (&bytes[48..]).get_u32();
        let version = (&bytes[4..]).get_u16();
        if version != SLICE_VERSION {
            return Err(format!("slice version {version}, this program knows {SLICE_VERSION}"));
        }
        if crc32c::crc32c(&bytes[..48]) != checksum {
            return Err("the checksum of the header is wrong".to_owned());
        }
        let mut rest = &bytes[6..];
        let last = rest.get_u16() == 1;
        let mut journal = [0; 16];
        rest.copy_to_slice(&mut journal);
        Ok(Self {
            journal: JournalId(journal),
            covers: FrameNumber(rest.get_u64()),
            index: rest.get_u32(),
            last,
            previous: rest.get_u32(),
            bytes: rest.get_u32(),
            payload_checksum: rest.get_u32(),
            checksum,
        })
    }
}

/// Where the next slice of one checkpoint hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SliceChain {
    journal: JournalId,
    covers: FrameNumber,
    index: u32,
    /// What the next slice must name; unknown before the first one that is read.
    previous: Option<u32>,
    anchor: u32,
    whole: bool,
}

impl SliceChain {
    /// The chain of a checkpoint to be written; `anchor` is the header checksum of the frame it covers.
    pub(crate) const fn to_write(journal: JournalId, covers: FrameNumber, anchor: u32) -> Self {
        Self { journal, covers, index: 0, previous: Some(anchor), anchor, whole: false }
    }

    /// The chain of a checkpoint to be read: its first slice tells the anchor.
    pub(crate) const fn to_read(journal: JournalId, covers: FrameNumber) -> Self {
        Self { journal, covers, index: 0, previous: None, anchor: 0, whole: false }
    }

    /// The chain on which the next slice of a checkpoint that covers `covers` hangs: that of the `unfinished` one, or a
    /// new one. `start` and `end` are the chain of frames at the newest whole checkpoint and at the last frame; `header`
    /// gives the header checksum of a frame. Refuses what breaks the order.
    pub(crate) fn next(
        unfinished: Option<Self>,
        start: &Chain,
        end: &Chain,
        covers: FrameNumber,
        header: impl FnOnce(FrameNumber) -> Result<u32, String>,
    ) -> Result<Self, String> {
        if let Some(unfinished) = unfinished {
            return if unfinished.covers == covers {
                Ok(unfinished)
            } else {
                Err(format!("the checkpoint of frame {} is unfinished, not that of {covers}", unfinished.covers))
            };
        }
        if Some(covers) <= start.last || Some(covers) > end.last {
            let last = |chain: &Chain| chain.last.map_or(0, |last| last.0);
            return Err(format!("a checkpoint of frame {covers}, where {} to {} may be", last(start) + 1, last(end)));
        }
        header(covers).map(|anchor| Self::to_write(end.journal, covers, anchor))
    }

    pub(crate) const fn covers(&self) -> FrameNumber {
        self.covers
    }

    /// The index of the slice that is due, or the number of slices when it is whole.
    pub(crate) const fn due(&self) -> u32 {
        self.index
    }

    /// Whether the last slice was there.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The header checksum of the newest slice.
    pub(crate) const fn newest(&self) -> Option<u32> {
        self.previous
    }

    /// The chain of frames as it is at the covered frame.
    pub(crate) const fn anchor(&self) -> Chain {
        Chain { journal: self.journal, last: Some(self.covers), checksum: self.anchor }
    }

    /// Encodes the slice that is due. Refuses one above [`MAX_SLICE_BYTES`].
    pub(crate) fn encode(&self, payload: &[u8], last: bool) -> Result<Encoded, String> {
        if payload.len() > MAX_SLICE_BYTES {
            return Err(format!("a slice of {} bytes, the limit is {MAX_SLICE_BYTES}", payload.len()));
        }
        let mut bytes = BytesMut::with_capacity(SLICE_HEADER_BYTES + payload.len());
        bytes.put_slice(MAGIC);
        bytes.put_u16(SLICE_VERSION);
        bytes.put_u16(u16::from(last));
        bytes.put_slice(&self.journal.0);
        bytes.put_u64(self.covers.0);
        bytes.put_u32(self.index);
        bytes.put_u32(self.previous.unwrap_or_default());
        bytes.put_u32(u32::try_from(payload.len()).expect("below the limit, which was checked"));
        bytes.put_u32(crc32c::crc32c(payload));
        let checksum = crc32c::crc32c(&bytes);
        bytes.put_u32(checksum);
        bytes.put_slice(payload);
        Ok(Encoded { bytes: bytes.freeze(), checksum })
    }

    /// The chain now ends with the slice that was due, whose header has `checksum`.
    pub(crate) const fn advance(&mut self, checksum: u32, last: bool) {
        self.index += 1;
        self.previous = Some(checksum);
        self.whole = last;
    }

    /// Takes the slice that is due and gives its payload.
    pub(crate) fn follow(&mut self, bytes: &Bytes) -> Result<Bytes, String> {
        let header = SliceHeader::parse(bytes)?;
        if header.journal != self.journal {
            return Err(format!("it belongs to journal {}, this one is {}", header.journal, self.journal));
        }
        if header.covers != self.covers || header.index != self.index {
            return Err(format!("it calls itself slice {} of the checkpoint of frame {}", header.index, header.covers));
        }
        if self.previous.is_some_and(|previous| previous != header.previous) {
            return Err("it does not name the slice before it: the chain is broken".to_owned());
        }
        let payload = bytes.slice(SLICE_HEADER_BYTES..);
        if payload.len() != header.bytes as usize {
            return Err(format!("{} of {} bytes are there", payload.len(), header.bytes));
        }
        if crc32c::crc32c(&payload) != header.payload_checksum {
            return Err("the checksum of the slice is wrong".to_owned());
        }
        if self.previous.is_none() {
            self.anchor = header.previous;
        }
        self.advance(header.checksum, header.last);
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: JournalId = JournalId([7; 16]);

    #[test]
    fn slices_follow_each_other_and_name_the_covered_frame() {
        let mut writing = SliceChain::to_write(ID, FrameNumber(9), 0x0102_0304);
        let mut reading = SliceChain::to_read(ID, FrameNumber(9));
        for (payload, last) in [("one", false), ("", false), ("three", true)] {
            let encoded = writing.encode(payload.as_bytes(), last).unwrap();
            writing.advance(encoded.checksum, last);
            assert_eq!(reading.follow(&encoded.bytes).unwrap(), payload.as_bytes());
            assert_eq!(reading.is_whole(), last);
        }
        assert_eq!(reading.anchor(), Chain { journal: ID, last: Some(FrameNumber(9)), checksum: 0x0102_0304 });
        assert_eq!((reading.due(), reading.newest()), (3, writing.newest()));
    }

    #[test]
    fn every_single_flipped_bit_of_a_slice_is_seen() {
        let encoded = SliceChain::to_write(ID, FrameNumber(9), 1).encode(b"payload", true).unwrap();
        for bit in 0..encoded.bytes.len() * 8 {
            let mut bytes = encoded.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let followed = SliceChain::to_read(ID, FrameNumber(9)).follow(&Bytes::from(bytes));
            assert!(followed.is_err(), "bit {bit} was flipped unnoticed");
        }
    }

    #[test]
    fn strangers_and_exchanged_slices_are_refused() {
        let mut writing = SliceChain::to_write(ID, FrameNumber(9), 1);
        let first = writing.encode(b"a", false).unwrap();
        writing.advance(first.checksum, false);
        let second = writing.encode(b"b", true).unwrap();
        let follow = |covers, journal, bytes| SliceChain::to_read(journal, FrameNumber(covers)).follow(bytes);
        assert!(follow(9, ID, &second.bytes).unwrap_err().contains("slice 1"));
        assert!(follow(8, ID, &first.bytes).unwrap_err().contains("frame 9"));
        assert!(follow(9, JournalId([8; 16]), &first.bytes).unwrap_err().contains("belongs to journal"));
        let mut other = SliceChain::to_read(ID, FrameNumber(9));
        other.follow(&SliceChain::to_write(ID, FrameNumber(9), 1).encode(b"c", false).unwrap().bytes).unwrap();
        assert!(other.follow(&second.bytes).unwrap_err().contains("chain is broken"));
    }

    #[test]
    fn a_slice_above_the_limit_is_refused() {
        assert!(SliceChain::to_write(ID, FrameNumber(9), 1).encode(&vec![0; MAX_SLICE_BYTES + 1], true).is_err());
    }
}
