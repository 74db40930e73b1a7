//! A backup as one file: who wrote it, the state, the bodies that it needs, and the small files beside the journal.
//! Every part has a checksum, and the last one counts them: a file that was cut short is no backup.
//!
//! All integers are big-endian, the checksums CRC32C:
//!
//! ```text
//! offset  size  field
//!      0     8  magic "LKBACKUP"
//!      8     4  version, 1
//!     12    16  identity of the journal
//!     28     8  the last frame
//!     36     4  checksum of bytes 0 to 36
//!     40        parts: kind (1), length n (4), checksum (4) of kind, length and content, content (n)
//! ```
//!
//! | kind | content |
//! |---|---|
//! | 1 | a small file: length of its name (1), name, bytes |
//! | 2 | a slice of the checkpoint |
//! | 3 | a body: frame (8), index (4), bytes |
//! | 4 | the end: how many parts came before (8) |

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, Bytes};

const MAGIC: &[u8; 8] = b"LKBACKUP";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
const PART_HEAD_BYTES: usize = 9;
/// The largest part: a body of 1 MiB and its ids, with room.
const MOST_BYTES: u32 = 4 << 20;

/// Who a backup is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) journal: [u8; 16],
    pub(crate) last: u64,
}

/// One part of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    File { name: String, bytes: Bytes },
    Slice(Bytes),
    Body { frame: u64, index: u32, bytes: Bytes },
}

/// Writes a backup.
pub(crate) struct Writer<W> {
    to: W,
    parts: u64,
}

impl<W: Write> Writer<W> {
    pub(crate) fn begin(mut to: W, origin: Origin) -> io::Result<Self> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.put_slice(MAGIC);
        header.put_u32(VERSION);
        header.put_slice(&origin.journal);
        header.put_u64(origin.last);
        header.put_u32(crc32c::crc32c(&header));
        to.write_all(&header)?;
        Ok(Self { to, parts: 0 })
    }

    fn put(&mut self, kind: u8, content: &[&[u8]]) -> io::Result<()> {
        let length: usize = content.iter().map(|piece| piece.len()).sum();
        let length = u32::try_from(length).ok().filter(|length| *length <= MOST_BYTES);
        let length = length.ok_or_else(|| io::Error::other("a part of a backup beyond 4 MiB"))?;
        let mut head = Vec::with_capacity(PART_HEAD_BYTES);
        head.put_u8(kind);
        head.put_u32(length);
        let checksum = content.iter().fold(crc32c::crc32c(&head), |sum, piece| crc32c::crc32c_append(sum, piece));
        head.put_u32(checksum);
        self.to.write_all(&head)?;
        self.parts += 1;
        content.iter().try_for_each(|piece| self.to.write_all(piece))
    }

    pub(crate) fn part(&mut self, part: &Part) -> io::Result<()> {
        match part {
            Part::File { name, bytes } => {
                let length = u8::try_from(name.len()).map_err(io::Error::other)?;
                self.put(1, &[&[length], name.as_bytes(), bytes])
            }
            Part::Slice(slice) => self.put(2, &[slice]),
            Part::Body { frame, index, bytes } => self.put(3, &[&frame.to_be_bytes(), &index.to_be_bytes(), bytes]),
        }
    }

    /// Ends it, and gives back what it was written to.
    pub(crate) fn end(mut self) -> io::Result<W> {
        let parts = self.parts;
        self.put(4, &[&parts.to_be_bytes()])?;
        Ok(self.to)
    }
}

/// Reads a backup; ends after the first doubt.
pub(crate) struct Reader<R> {
    from: R,
    parts: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn begin(mut from: R) -> Result<(Self, Origin), String> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).map_err(|error| format!("its header: {error}"))?;
        if &header[..8] != MAGIC {
            return Err("it does not begin as a backup does".to_owned());
        }
        let version = (&header[8..]).get_u32();
        if version != VERSION {
            return Err(format!("version {version}, this program knows {VERSION}"));
        }
        if (&header[36..]).get_u32() != crc32c::crc32c(&header[..36]) {
            return Err("the checksum of its header is wrong".to_owned());
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&header[12..28]);
        let origin = Origin { journal, last: (&header[28..]).get_u64() };
        Ok((Self { from, parts: 0, ended: false }, origin))
    }

    fn part(&mut self) -> Result<Option<Part>, String> {
        let number = self.parts;
        let failed = |error: io::Error| format!("part {number}: {error}");
        let mut head = [0; PART_HEAD_BYTES];
        self.from.read_exact(&mut head).map_err(failed)?;
        let mut fields = &head[..];
        let (kind, length, checksum) = (fields.get_u8(), fields.get_u32(), fields.get_u32());
        if length > MOST_BYTES {
            return Err(format!("part {number}: its length is damaged"));
        }
        let mut content = vec![0; length as usize];
        self.from.read_exact(&mut content).map_err(failed)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head[..5]), &content) != checksum {
            return Err(format!("part {number}: its checksum is wrong"));
        }
        self.parts += 1;
        let mut content = Bytes::from(content);
        let least = match kind {
            1 => 1,
            3 => 12,
            4 => 8,
            _ => 0,
        };
        if content.len() < least {
            return Err(format!("part {number}: too short"));
        }
        match kind {
            1 => {
                let length = usize::from(content.get_u8());
                if content.len() < length {
                    return Err(format!("part {number}: too short"));
                }
                let name = content.split_to(length);
                let name = String::from_utf8(name.to_vec()).map_err(|_| format!("part {number}: its name"))?;
                Ok(Some(Part::File { name, bytes: content }))
            }
            2 => Ok(Some(Part::Slice(content))),
            3 => Ok(Some(Part::Body { frame: content.get_u64(), index: content.get_u32(), bytes: content })),
            4 if content.get_u64() == number => Ok(None),
            _ => Err(format!("part {number}: nothing that this version knows")),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Part, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let part = self.part();
        self.ended = !matches!(part, Ok(Some(_)));
        part.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_comes_back_and_every_flipped_bit_and_every_cut_is_seen() {
        let origin = Origin { journal: [7; 16], last: 9 };
        let parts = [
            Part::File { name: "receipt.key".to_owned(), bytes: Bytes::from_static(&[1; 32]) },
            Part::Body { frame: 3, index: 2, bytes: Bytes::from_static(b"body") },
            Part::Slice(Bytes::from_static(b"slice")),
        ];
        let mut writer = Writer::begin(Vec::new(), origin).unwrap();
        parts.iter().for_each(|part| writer.part(part).unwrap());
        let bytes = writer.end().unwrap();
        let read = |bytes: &[u8]| {
            let (reader, origin) = Reader::begin(bytes)?;
            reader.collect::<Result<Vec<Part>, String>>().map(|parts| (parts, origin))
        };
        assert_eq!(read(&bytes).unwrap(), (parts.to_vec(), origin));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
        assert!((0..bytes.len()).all(|cut| read(&bytes[..cut]).is_err()));
    }
}
