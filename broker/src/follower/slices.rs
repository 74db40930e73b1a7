//! A state as the slices of a checkpoint: its events, encoded as those of a frame, cut at whole events. Pure.

use bytes::Bytes;
use lockstep_engine::Event;
use lockstep_journal::MAX_SLICE_BYTES;

use crate::codec::EventBuffer;

/// One slice, and whether it is the last.
pub(crate) struct Slice {
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
}

/// Cuts events into slices as they come; there is always a last one.
pub(crate) fn cut(events: impl Iterator<Item = Event>) -> impl Iterator<Item = Slice> {
    cut_at(events, MAX_SLICE_BYTES)
}

/// The same with slices of at most so many bytes; an event that is larger has one of its own.
pub(crate) fn cut_at(events: impl Iterator<Item = Event>, most_bytes: usize) -> impl Iterator<Item = Slice> {
    let mut events = events.fuse();
    let mut next = EventBuffer::default();
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        for event in events.by_ref() {
            let before = next.len();
            next.push(&event);
            if next.len() > most_bytes && before > 0 {
                let rest = next.split_off(before);
                let full = std::mem::replace(&mut next, rest);
                return Some(Slice { bytes: full.finish(), last: false });
            }
        }
        ended = true;
        Some(Slice { bytes: std::mem::take(&mut next).finish(), last: true })
    })
}

#[cfg(test)]
mod tests {
    use lockstep_engine::words::Timestamp;

    use super::*;
    use crate::codec::decode_frame;

    #[test]
    fn slices_are_cut_at_whole_events_below_the_limit() {
        let events = |count| (0..count).map(|n| Event::Ticked { at: Timestamp(n << 40) });
        assert!(cut(events(0)).map(|slice| (slice.bytes.len(), slice.last)).eq([(0, true)]));
        let slices: Vec<Slice> = cut(events(200_000)).collect();
        assert!(slices.len() > 1 && slices.iter().all(|slice| slice.bytes.len() <= MAX_SLICE_BYTES));
        assert_eq!(slices.iter().rposition(|slice| !slice.last), Some(slices.len() - 2));
        let decoded = slices.into_iter().flat_map(|slice| decode_frame(1, slice.bytes).expect("whole events"));
        assert!(decoded.eq(events(200_000)));
    }
}
