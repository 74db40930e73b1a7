//! The 44 bytes that FORMAT, CLEAN, each slot of ACKED and the begin of each file of segments are made of. Pure: bytes in, bytes out.
//!
//! All integers are big-endian, both checksums CRC32C:
//!
//! ```text
//! offset  size  field
//!      0     8  magic: "LKFORMAT", "LKJCLEAN", "LKJACKED", "LKSEGMNT" or "LKCHKPNT"
//!      8     4  version of the directory, 1
//!     12     4  checksum of bytes 0 to 12
//!     16    16  identity of the journal
//!     32     8  number of a frame; 0: none (in FORMAT the kind of the journal: 0 sled, 1 segments)
//!     40     4  checksum of bytes 0 to 40
//! ```
//!
//! The first 16 bytes keep their meaning in every later version, so that a newer directory is told from a damaged one.

use bytes::{Buf, BufMut};

use crate::frame::{FrameNumber, JournalId};

/// The version of the directory's layout that this crate writes, and the latest it opens.
pub const DIRECTORY_VERSION: u32 = 1;

pub(crate) const RECORD_BYTES: usize = 44;

/// Which file a record stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Format,
    Clean,
    Acknowledged,
    Segment,
    Checkpoint,
}

impl Kind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Format => b"LKFORMAT",
            Self::Clean => b"LKJCLEAN",
            Self::Acknowledged => b"LKJACKED",
            Self::Segment => b"LKSEGMNT",
            Self::Checkpoint => b"LKCHKPNT",
        }
    }
}

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) journal: JournalId,
    pub(crate) frame: Option<FrameNumber>,
}

/// Why bytes are not a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoRecord {
    Newer(u32),
    Damaged(&'static str),
}

impl Record {
    pub(crate) fn encode(&self, kind: Kind) -> [u8; RECORD_BYTES] {
        self.encode_version(kind, DIRECTORY_VERSION)
    }

    pub(crate) fn encode_version(&self, kind: Kind, version: u32) -> [u8; RECORD_BYTES] {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        bytes.put_slice(kind.magic());
        bytes.put_u32(version);
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes.put_slice(&self.journal.0);
        bytes.put_u64(self.frame.map_or(0, |frame| frame.0));
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes.try_into().expect("the fields add up to 44 bytes")
    }

    pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, NoRecord> {
        if bytes.len() < 16 || &bytes[..8] != kind.magic() {
            return Err(NoRecord::Damaged("it does not begin as this file does"));
        }
        if (&bytes[12..]).get_u32() != crc32c::crc32c(&bytes[..12]) {
            return Err(NoRecord::Damaged("the checksum of its version is wrong"));
        }
        let version = (&bytes[8..]).get_u32();
        if version > DIRECTORY_VERSION {
            return Err(NoRecord::Newer(version));
        }
        if bytes.len() < RECORD_BYTES || (&bytes[40..]).get_u32() != crc32c::crc32c(&bytes[..40]) {
            return Err(NoRecord::Damaged("its checksum is wrong"));
        }
        let mut rest = &bytes[16..];
        let mut journal = [0; 16];
        rest.copy_to_slice(&mut journal);
        let frame = Some(FrameNumber(rest.get_u64())).filter(|frame| frame.0 > 0);
        Ok(Self { journal: JournalId(journal), frame })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_every_flipped_bit_is_seen() {
        let record = Record { journal: JournalId([3; 16]), frame: Some(FrameNumber(77)) };
        let bytes = record.encode(Kind::Clean);
        assert_eq!(Record::parse(Kind::Clean, &bytes), Ok(record));
        assert!(Record::parse(Kind::Format, &bytes).is_err());
        for bit in 0..RECORD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Record::parse(Kind::Clean, &bytes), Err(NoRecord::Damaged(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage_whatever_follows() {
        let record = Record { journal: JournalId([3; 16]), frame: None };
        let mut bytes = record.encode_version(Kind::Format, 9).to_vec();
        bytes.truncate(20);
        assert_eq!(Record::parse(Kind::Format, &bytes), Err(NoRecord::Newer(9)));
    }
}
