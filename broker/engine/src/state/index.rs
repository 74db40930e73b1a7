//! Numbers by the hash of what they stand for: a flat table of eight bytes a slot, in parts that grow one by one, so
//! that no insert waits for a large copy. The hash comes from outside and only finds; whether a number is the right one is
//! its owner's to say. Nothing is ever listed from it, so behaviour does not depend on the hash.

/// A table with more numbers than this has [`PARTS`] parts.
const WHOLE: usize = 16 * 1_024;
/// Into how many parts a large table is cut, by the highest bits of the hash.
const PARTS: usize = 256;
/// The slots of the smallest part that is not empty.
const SMALLEST: usize = 8;

/// A table from hashes to numbers below `u32::MAX`, of which several may have the same hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// None, one or [`PARTS`].
    parts: Vec<Part>,
    len: usize,
}

/// An open table: a number lies at its hash's place or behind it, with no empty slot between.
#[derive(Debug, Default)]
struct Part {
    /// As many as a power of two; each is empty (0), or a hash in the upper half and a number plus one in the lower.
    slots: Vec<u64>,
    used: usize,
}

const fn slot(hash: u32, number: u32) -> u64 {
    (hash as u64) << 32 | (number as u64 + 1)
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves of a slot")]
const fn halves(slot: u64) -> (u32, u32) {
    ((slot >> 32) as u32, (slot as u32) - 1)
}

impl Index {
    /// The number of this hash that `is_it` accepts.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let part = self.parts.get(self.part_of(hash))?;
        part.find(hash, is_it).map(|place| halves(part.slots[place]).1)
    }

    /// Puts a number in place of the one of this hash that `is_it` accepts, or adds it.
    pub(super) fn put(&mut self, hash: u32, number: u32, is_it: impl Fn(u32) -> bool) {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        let index = self.part_of(hash);
        let part = &mut self.parts[index];
        match part.find(hash, is_it) {
            Some(place) => part.slots[place] = slot(hash, number),
            None => {
                part.add(slot(hash, number));
                self.len += 1;
                if self.len > WHOLE && self.parts.len() == 1 {
                    self.cut();
                }
            }
        }
    }

    /// Removes this number of this hash, if it is there.
    pub(super) fn remove(&mut self, hash: u32, number: u32) {
        let index = self.part_of(hash);
        let Some(part) = self.parts.get_mut(index) else { return };
        if let Some(place) = part.find(hash, |found| found == number) {
            part.remove(place);
            self.len -= 1;
            if self.len == 0 {
                *self = Self::default();
            }
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn part_of(&self, hash: u32) -> usize {
        if self.parts.len() == PARTS { (hash >> 24) as usize } else { 0 }
    }

    fn cut(&mut self) {
        let whole = std::mem::take(&mut self.parts);
        self.parts.resize_with(PARTS, Part::default);
        for slot in whole.into_iter().flat_map(|part| part.slots).filter(|slot| *slot != 0) {
            let part = self.part_of(halves(slot).0);
            self.parts[part].add(slot);
        }
    }
}

impl Part {
    fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut place = self.place(hash)?;
        loop {
            let slot = self.slots[place];
            if slot == 0 {
                return None;
            }
            let (theirs, number) = halves(slot);
            if theirs == hash && is_it(number) {
                return Some(place);
            }
            place = self.behind(place);
        }
    }

    fn add(&mut self, slot: u64) {
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.resize((self.slots.len() * 2).max(SMALLEST));
        }
        self.used += 1;
        self.settle(slot);
    }

    /// Closes the gap: what lies behind it moves up, as far as its own place allows.
    fn remove(&mut self, mut gap: usize) {
        let mut place = self.behind(gap);
        while self.slots[place] != 0 {
            let home = self.place(halves(self.slots[place]).0).unwrap_or(place);
            let last = self.slots.len() - 1;
            if (place.wrapping_sub(home) & last) >= (place.wrapping_sub(gap) & last) {
                self.slots[gap] = self.slots[place];
                gap = place;
            }
            place = self.behind(place);
        }
        self.slots[gap] = 0;
        self.used -= 1;
        if self.slots.len() > SMALLEST && self.used * 8 < self.slots.len() {
            self.resize(self.slots.len() / 4);
        }
    }

    fn resize(&mut self, slots: usize) {
        let before = std::mem::replace(&mut self.slots, vec![0; slots.max(SMALLEST)]);
        before.into_iter().filter(|slot| *slot != 0).for_each(|slot| self.settle(slot));
    }

    /// Puts a slot's content where it belongs; there is room.
    fn settle(&mut self, slot: u64) {
        let mut place = self.place(halves(slot).0).expect("the table has slots");
        while self.slots[place] != 0 {
            place = self.behind(place);
        }
        self.slots[place] = slot;
    }

    fn place(&self, hash: u32) -> Option<usize> {
        Some(hash as usize & self.slots.len().checked_sub(1)?)
    }

    fn behind(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As a map would, also where many hashes are alike and the table is cut into parts.
    #[test]
    fn finds_what_a_plain_map_finds() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let hash = |key: u32| if key.is_multiple_of(3) { key % 7 } else { key.wrapping_mul(0x9E37_79B9) };
        let (mut index, mut plain) = (Index::default(), BTreeMap::new());
        // Numbers stand for their key by the key itself.
        for round in 0..200_000_u32 {
            let key = u32::try_from(next() % 40_000).expect("small");
            let grows = round < 100_000;
            if grows && !next().is_multiple_of(4) || !grows && next().is_multiple_of(4) {
                index.put(hash(key), key, |other| other == key);
                plain.insert(key, hash(key));
            } else {
                index.remove(hash(key), key);
                plain.remove(&key);
            }
            assert_eq!(index.len(), plain.len());
            let asked = u32::try_from(next() % 40_000).expect("small");
            let found = index.find(hash(asked), |number| number == asked);
            assert_eq!(found.is_some(), plain.contains_key(&asked), "round {round}, {asked}");
        }
        plain.iter().for_each(|(key, hash)| index.remove(*hash, *key));
        assert_eq!(index.len(), 0);
    }
}
