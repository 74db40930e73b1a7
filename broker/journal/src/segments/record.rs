//! What stands around a frame in a file of segments: its head, and what the bytes after the last frame mean. Pure:
//! bytes in, bytes out.
//!
//! ```text
//! offset  size  field
//!      0     4  n, the length of the frame; 0 with a checksum of 0: the end
//!      4     4  checksum of the four bytes before
//!      8     n  the frame (see `encoding`), whose parts have checksums of their own
//! ```

use bytes::Buf;

use crate::directory::record::RECORD_BYTES;
use crate::encoding::MAX_FRAME_BYTES;

/// Where the first record begins: after the file's own header.
pub(super) const FIRST_OFFSET: u64 = RECORD_BYTES as u64;
/// The bytes before a frame.
pub(super) const HEAD_BYTES: usize = 8;

/// What the eight bytes at a record's place say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    /// Nothing was written from here on.
    End,
    /// A frame of so many bytes follows.
    Frame(u32),
    /// Neither.
    Bad(&'static str),
}

/// The head of a frame of `bytes` bytes.
pub(super) fn head(bytes: u32) -> [u8; HEAD_BYTES] {
    let length = bytes.to_be_bytes();
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length);
    head[4..].copy_from_slice(&crc32c::crc32c(&length).to_be_bytes());
    head
}

pub(super) fn parse(head: &[u8; HEAD_BYTES]) -> Head {
    let mut rest = &head[..];
    let (length, checksum) = (rest.get_u32(), rest.get_u32());
    if length == 0 && checksum == 0 {
        Head::End
    } else if checksum != crc32c::crc32c(&head[..4]) {
        Head::Bad("the checksum of its length is wrong")
    } else if length == 0 || length as usize > MAX_FRAME_BYTES {
        Head::Bad("its length is none that a frame has")
    } else {
        Head::Frame(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_every_flipped_bit_of_it_is_seen() {
        let bytes = head(77);
        assert_eq!(parse(&bytes), Head::Frame(77));
        assert_eq!(parse(&[0; 8]), Head::End);
        for bit in 0..64 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(&flipped), Head::Bad(_)), "bit {bit}");
            let mut flipped = [0; 8];
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(&flipped), Head::Bad(_)), "bit {bit} of an end");
        }
    }
}
