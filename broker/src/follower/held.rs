//! Which frames the journal holds, how many bytes of each are still named by a message or a value, and so which may go
//! (H6). Arithmetic only: nothing is read, written or released here.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_engine::words::{BodyRef, Position};

use crate::limits;

/// What a body costs in its frame beside its bytes.
const BODY_OVERHEAD: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// How many bodies it holds; their indexes are below.
    bodies: u32,
    bytes: u64,
    /// Bytes of bodies that were named when it was last looked at.
    named: u64,
}

/// A frame that nothing needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Releasable {
    /// Its number.
    pub(crate) number: u64,
    /// What its release gives back.
    pub(crate) bytes: u64,
}

/// Bodies that are named and not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The place of the first one found.
    pub(crate) first: Position,
    /// How many there are.
    pub(crate) count: u64,
}

/// The frames that the journal holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    frames: BTreeMap<u64, Frame>,
    bytes: u64,
}

impl Held {
    /// Notes a frame with so many bodies and bytes in all.
    pub(crate) fn add(&mut self, number: u64, bodies: u32, bytes: u64) {
        self.bytes += bytes;
        self.frames.insert(number, Frame { bodies, bytes, named: 0 });
    }

    /// Bytes of all frames.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is named, but not held.
    pub(crate) fn missing(&self, named: impl Iterator<Item = BodyRef>) -> Option<Missing> {
        let absent = |place: &Position| self.frames.get(&place.frame).is_none_or(|frame| place.index >= frame.bodies);
        let mut absent = named.map(|body| body.position).filter(absent);
        let first = absent.next()?;
        Some(Missing { first, count: 1 + absent.count() as u64 })
    }

    /// Looks at all names anew; answers how many there are.
    pub(crate) fn look(&mut self, named: impl Iterator<Item = BodyRef>) -> u64 {
        self.frames.values_mut().for_each(|frame| frame.named = 0);
        let mut count = 0;
        // Neighbours mostly lie in the same frame: one search for each run of them.
        let mut run = (0, 0);
        for body in named {
            count += 1;
            if body.position.frame != run.0 {
                self.note(run);
                run = (body.position.frame, 0);
            }
            run.1 += u64::from(body.size) + BODY_OVERHEAD;
        }
        self.note(run);
        count
    }

    fn note(&mut self, (number, bytes): (u64, u64)) {
        if let Some(frame) = self.frames.get_mut(&number) {
            frame.named += bytes;
        }
    }

    /// Frames that follow each other, the oldest such run of about `group` bytes in which less than one byte in
    /// [`limits::MOVE_SHARE`] was named at the last look. Frames that went count with an average size: where a journal
    /// gives back whole files, the last body in one keeps it all.
    pub(crate) fn sparse(&self, covered: u64, group: u64) -> Option<BTreeSet<u64>> {
        let average = self.bytes / (self.frames.len() as u64).max(1);
        let (mut run, mut bytes, mut named) = (BTreeSet::new(), 0, 0);
        let mut before = None;
        for (number, frame) in self.frames.range(..=covered) {
            let gone = before.map_or(0, |before| number - before - 1);
            before = Some(*number);
            bytes += frame.bytes + gone * average;
            named += frame.named;
            run.insert(*number);
            if bytes >= group {
                if named * limits::MOVE_SHARE < bytes {
                    return Some(run);
                }
                (run, bytes, named) = (BTreeSet::new(), 0, 0);
            }
        }
        // Behind the last one everything went.
        bytes += before.map_or(0, |before| covered - before) * average;
        (bytes >= group && named * limits::MOVE_SHARE < bytes && !run.is_empty()).then_some(run)
    }

    /// Bytes of the frames after `covered` in which nothing was named at the last look: a checkpoint would let them go.
    pub(crate) fn idle_bytes(&self, covered: u64) -> u64 {
        let after = self.frames.range(covered + 1..);
        after.filter(|(_, frame)| frame.named == 0).map(|(_, frame)| frame.bytes).sum()
    }

    /// Bytes that were named at the last look.
    pub(crate) fn named_bytes(&self) -> u64 {
        self.frames.values().map(|frame| frame.named).sum()
    }

    /// Takes out the frames up to `covered` in which nothing was named at the last look.
    pub(crate) fn take_releasable(&mut self, covered: u64) -> Vec<Releasable> {
        let unnamed = self.frames.range(..=covered).filter(|(_, frame)| frame.named == 0);
        let releasable: Vec<_> =
            unnamed.map(|(number, frame)| Releasable { number: *number, bytes: frame.bytes }).collect();
        for frame in &releasable {
            self.frames.remove(&frame.number);
            self.bytes -= frame.bytes;
        }
        releasable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(frame: u64, index: u32, size: u32) -> BodyRef {
        BodyRef { position: Position { frame, index }, size }
    }

    #[test]
    fn what_is_covered_and_not_named_may_go() {
        let mut held = Held::default();
        for number in 1..=5 {
            held.add(number, 2, 1_000);
        }
        let named = [body(2, 0, 10), body(2, 1, 10), body(4, 0, 10), body(2, 0, 10)];
        assert_eq!(held.look(named.into_iter()), 4);
        let released: Vec<u64> = held.take_releasable(3).iter().map(|frame| frame.number).collect();
        assert_eq!(released, [1, 3]);
        assert_eq!(held.bytes(), 3_000);
        assert!(held.take_releasable(3).is_empty(), "once is enough");
        held.look([body(4, 0, 10)].into_iter());
        assert_eq!(held.take_releasable(5), [2, 5].map(|number| Releasable { number, bytes: 1_000 }));
    }

    #[test]
    fn the_oldest_run_in_which_little_is_named_is_sparse() {
        let mut held = Held::default();
        for number in 1..=40 {
            held.add(number, 10, 1_000);
        }
        // The first ten are full, of the next ten one body is left, the rest is full.
        let full = (1..=40).filter(|number| !(11..=20).contains(number));
        let named = full.flat_map(|number| (0..10).map(move |index| body(number, index, 36)));
        held.look(named.chain([body(15, 3, 36)]));
        assert_eq!(held.sparse(40, 10_000), Some((11..=20).collect()));
        assert_eq!(held.sparse(19, 10_000), None, "not before a checkpoint covers it");
        // The others went: it alone is left of its run, and keeps as much.
        held.take_releasable(40);
        assert_eq!(held.sparse(40, 10_000), Some([15].into_iter().chain(21..=21).collect()));
    }

    #[test]
    fn the_last_body_of_all_is_sparse_when_enough_went_behind_it() {
        let mut held = Held::default();
        for number in 1..=40 {
            held.add(number, 10, 1_000);
        }
        held.look([body(3, 0, 36)].into_iter());
        held.take_releasable(40);
        assert_eq!(held.sparse(40, 10_000), Some([3].into_iter().collect()));
        assert_eq!(held.sparse(9, 10_000), None);
    }

    #[test]
    fn what_is_named_must_be_held() {
        let mut held = Held::default();
        held.add(7, 2, 1_000);
        assert_eq!(held.missing([body(7, 0, 1), body(7, 1, 1)].into_iter()), None);
        let missing = held.missing([body(7, 0, 1), body(7, 2, 1), body(8, 0, 1)].into_iter());
        assert_eq!(missing, Some(Missing { first: Position { frame: 7, index: 2 }, count: 2 }));
    }
}
