//! Where each frame lies: eight bytes a frame in memory, rebuilt from the files at each open, shared with the readers.
//! It knows numbers and offsets; the files are touched elsewhere.

use std::collections::BTreeMap;

use super::record::HEAD_BYTES;
use crate::frame::{FrameNumber, KeptFrame};

/// The place of one frame in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// Where its record begins.
    offset: u32,
    /// How many bodies it has; the highest bit says that it was released.
    bodies: u32,
}

const RELEASED: u32 = 1 << 31;
const DAMAGED: u32 = RELEASED - 1;

impl Slot {
    pub(super) const fn new(offset: u32, bodies: u32) -> Self {
        Self { offset, bodies }
    }

    /// A frame whose header is damaged: how many bodies it has is not known.
    pub(super) const fn damaged(offset: u32) -> Self {
        Self { offset, bodies: DAMAGED }
    }

    pub(super) fn offset(self) -> u64 {
        u64::from(self.offset)
    }

    /// Whether someone may still read a body of it.
    const fn holds_bodies(self) -> bool {
        self.bodies & RELEASED == 0 && self.bodies > 0
    }
}

/// One file of segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Its frames, from its first on, without a gap.
    pub(super) slots: Vec<Slot>,
    /// Where its last record ends.
    pub(super) end: u64,
    /// How many of its frames may still be needed for their bodies.
    live: u32,
}

impl Segment {
    /// A segment with nothing in it, whose first record will begin at `end`.
    pub(super) const fn empty(end: u64) -> Self {
        Self { slots: Vec::new(), end, live: 0 }
    }

    /// A frame follows, up to `end`.
    pub(super) fn push(&mut self, slot: Slot, end: u64) {
        self.live += u32::from(slot.holds_bodies());
        self.slots.push(slot);
        self.end = end;
    }

    /// The last frame is not there: the segment ends before it. Says where its record began.
    pub(super) fn pop(&mut self) -> Option<u64> {
        let slot = self.slots.pop()?;
        self.live -= u32::from(slot.holds_bodies());
        self.end = slot.offset();
        Some(self.end)
    }
}

/// Every segment by the number of its first frame.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Index {
    segments: BTreeMap<FrameNumber, Segment>,
}

/// A frame that was found: the first frame of its segment, and its slot there.
pub(super) type Found = (FrameNumber, Slot);

impl Index {
    /// Takes a segment over as a scan found it, or a new one that has no frame yet.
    pub(super) fn add(&mut self, first: FrameNumber, segment: Segment) {
        self.segments.insert(first, segment);
    }

    /// A frame was appended to the segment that begins with `first`, up to `end`.
    pub(super) fn push(&mut self, first: FrameNumber, slot: Slot, end: u64) {
        if let Some(segment) = self.segments.get_mut(&first) {
            segment.push(slot, end);
        }
    }

    /// A frame that was not released.
    pub(super) fn find(&self, frame: FrameNumber) -> Option<Found> {
        let (first, segment) = self.segments.range(..=frame).next_back()?;
        let slot = segment.slots.get(usize::try_from(frame.0 - first.0).ok()?)?;
        (slot.bodies & RELEASED == 0).then_some((*first, *slot))
    }

    /// Marks a frame as no longer needed.
    pub(super) fn release(&mut self, frame: FrameNumber) {
        if let Some((first, segment)) = self.segments.range_mut(..=frame).next_back()
            && let Ok(at) = usize::try_from(frame.0 - first.0)
            && let Some(slot) = segment.slots.get_mut(at)
        {
            segment.live -= u32::from(slot.holds_bodies());
            slot.bodies |= RELEASED;
        }
    }

    /// The segments, but the newest, in which nothing lives: a checkpoint covers their events and no body is needed.
    pub(super) fn dead(&self, covered: Option<FrameNumber>) -> Vec<FrameNumber> {
        let newest = self.segments.last_key_value().map(|(first, _)| *first);
        self.segments
            .iter()
            .filter(|(first, segment)| {
                Some(**first) != newest && segment.live == 0 && last(**first, segment) <= covered
            })
            .map(|(first, _)| *first)
            .collect()
    }

    pub(super) fn remove(&mut self, first: FrameNumber) {
        self.segments.remove(&first);
    }

    /// The frames up to `covered` that are still held for their bodies; `Err` where a header is damaged.
    pub(super) fn kept(&self, covered: Option<FrameNumber>) -> Vec<Result<KeptFrame, FrameNumber>> {
        let mut kept = Vec::new();
        for (first, segment) in self.segments.iter().take_while(|(first, _)| Some(**first) <= covered) {
            let ends = segment.slots.iter().skip(1).map(|slot| slot.offset()).chain([segment.end]);
            for ((slot, end), number) in segment.slots.iter().zip(ends).zip(first.0..) {
                let number = FrameNumber(number);
                if Some(number) > covered {
                    break;
                }
                if slot.bodies == DAMAGED {
                    kept.push(Err(number));
                } else if slot.holds_bodies() {
                    let bytes = end - slot.offset() - HEAD_BYTES as u64;
                    kept.push(Ok(KeptFrame { number, bodies: slot.bodies, bytes }));
                }
            }
        }
        kept
    }

    /// Where the last record of a segment ends.
    pub(super) fn end(&self, first: FrameNumber) -> u64 {
        self.segments.get(&first).map_or(0, |segment| segment.end)
    }

    /// The bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.end).sum()
    }
}

/// The last frame of a segment; the one before its first when it has none.
fn last(first: FrameNumber, segment: &Segment) -> Option<FrameNumber> {
    Some(FrameNumber(first.0 + segment.slots.len() as u64 - 1)).filter(|last| last.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_dies_when_it_is_covered_and_every_body_in_it_was_released() {
        let mut index = Index::default();
        for (first, bodies) in [(1, [2, 0]), (3, [1, 1]), (5, [0, 0])] {
            index.add(FrameNumber(first), Segment::empty(44));
            for (bodies, offset) in bodies.into_iter().zip([44, 144]) {
                index.push(FrameNumber(first), Slot::new(offset, bodies), u64::from(offset) + 100);
            }
        }
        let covered = Some(FrameNumber(3));
        let kept = |number, bodies| Ok(KeptFrame { number: FrameNumber(number), bodies, bytes: 92 });
        assert_eq!(index.kept(covered), [kept(1, 2), kept(3, 1)]);
        assert_eq!(index.dead(covered), []);
        index.release(FrameNumber(1));
        index.release(FrameNumber(3));
        assert_eq!(index.dead(covered), [FrameNumber(1)], "frame 4 is not covered");
        index.release(FrameNumber(4));
        assert_eq!(index.dead(Some(FrameNumber(6))), [FrameNumber(1), FrameNumber(3)], "the newest stays");
        index.remove(FrameNumber(1));
        assert_eq!(index.find(FrameNumber(2)), None);
        assert_eq!(index.find(FrameNumber(6)), Some((FrameNumber(5), Slot::new(144, 0))));
        assert_eq!(index.find(FrameNumber(7)), None);
        assert_eq!(index.bytes(), 488);
        assert!(size_of::<Slot>() <= 8);
    }
}
