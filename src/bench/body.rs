//! What a body carries: its group, its number within the group, and when it was to be sent; then padding. Text, because
//! bodies are (L6), of fixed width, because it is written and read once for each message.

use bytes::{Bytes, BytesMut};

/// Hexadecimal digits of the group, of the number, and of the time in nanoseconds since the run began.
const WIDTHS: [usize; 3] = [6, 8, 14];
/// The bytes of all three.
pub(super) const HEADER: usize = 28;
/// The first of them name a message: its deduplication id.
const ID: usize = 14;
/// Bodies are cut from pieces of so many bytes.
const PIECE: usize = 256 * 1_024;

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) group: u32,
    /// 0 is the first of its group.
    pub(super) number: u32,
    /// Nanoseconds since the run began.
    pub(super) time: u64,
}

impl Stamp {
    /// Reads a body; `None` when no run of ours wrote it.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut rest = body.get(..HEADER)?;
        let [group, number, time] = WIDTHS.map(|width| {
            let (digits, behind) = rest.split_at(width);
            rest = behind;
            number(digits)
        });
        Some(Self { group: u32::try_from(group?).ok()?, number: u32::try_from(number?).ok()?, time: time? })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(value))
    })
}

/// Makes bodies of one size, with few allocations: they are cut from larger pieces.
#[derive(Debug)]
pub(super) struct Bodies {
    template: Vec<u8>,
    piece: BytesMut,
}

impl Bodies {
    /// Of `size` bytes, at least [`HEADER`].
    pub(super) fn new(size: usize) -> Self {
        // Padding that does not compress to nothing, should somebody compress.
        let padding = (0..size.max(HEADER)).map(|place| b'a' + u8::try_from(place * 7 % 26).unwrap_or(0));
        Self { template: padding.collect(), piece: BytesMut::new() }
    }

    pub(super) fn make(&mut self, stamp: Stamp) -> Bytes {
        let size = self.template.len();
        if self.piece.capacity() < size {
            self.piece = BytesMut::with_capacity(size.max(PIECE));
        }
        self.piece.extend_from_slice(&self.template);
        let header = &mut self.piece[..HEADER];
        let values = [u64::from(stamp.group), u64::from(stamp.number), stamp.time];
        let mut end = 0;
        for (width, mut value) in WIDTHS.into_iter().zip(values) {
            end += width;
            for digit in header[end - width..end].iter_mut().rev() {
                *digit = b"0123456789abcdef"[usize::try_from(value & 15).unwrap_or(0)];
                value >>= 4;
            }
        }
        self.piece.split_to(size).freeze()
    }
}

/// The deduplication id of a body: no other message of the run has it.
pub(super) fn id(body: &[u8]) -> &str {
    std::str::from_utf8(&body[..ID]).expect("digits are text")
}

/// The body as text.
pub(super) fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("a body is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_it_was_made_with() {
        let mut bodies = Bodies::new(64);
        let stamp = Stamp { group: 0xabcdef, number: u32::MAX, time: 123_456_789_012 };
        let body = bodies.make(stamp);
        assert_eq!((body.len(), Stamp::read(&body)), (64, Some(stamp)));
        assert_eq!(id(&body), "abcdefffffffff");
        let other = bodies.make(Stamp { number: 0, ..stamp });
        assert_ne!(id(&other), id(&body));
        assert_eq!(Stamp::read(&body), Some(stamp), "the next body is another one");
    }

    #[test]
    fn what_others_wrote_is_not_read() {
        assert_eq!(Stamp::read(b"hello"), None);
        assert_eq!(Stamp::read(&[b'z'; 64]), None);
    }
}
