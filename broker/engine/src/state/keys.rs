//! The deduplication keys of a queue: judged by their own time, freed by watermarks (S4, H3). Some fifty bytes a key.

use super::{index::Index, log::Log};
use crate::words::{ActiveTime, DeduplicationKey, QueueGeneration, SequenceNumber};

/// What a live key remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) sequence: SequenceNumber,
    pub(crate) expires_at: ActiveTime,
}

/// Keys in the order in which they were stored, and an index to the newest entry of each value. A key stored anew leaves
/// its older entry in the order; freeing that one does no harm.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    order: Log<(DeduplicationKey, Key)>,
    newest: Index,
}

impl PartialEq for Keys {
    /// The index follows from the order.
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order && self.newest.len() == other.newest.len()
    }
}

/// The index holds the numbers of the order cut to this: far fewer keys than that are live at a time.
const NUMBERS: u64 = u32::MAX as u64;

impl Keys {
    pub(crate) fn insert(&mut self, value: DeduplicationKey, key: Key) {
        let number = self.order.push((value, key));
        let order = &self.order;
        self.newest.put(hash(value), cut(number), |other| is_of(order, other, value));
    }

    /// The message of an equal key whose window has not ended at `now` (S4: it ends at exactly t0 + window).
    pub(crate) fn live(&self, value: DeduplicationKey, now: ActiveTime) -> Option<SequenceNumber> {
        let number = self.newest.find(hash(value), |number| is_of(&self.order, number, value))?;
        let (_, key) = self.order.get(whole(&self.order, number))?;
        (now < key.expires_at).then_some(key.sequence)
    }

    /// Frees the oldest keys as long as they expired up to `through`.
    pub(crate) fn forget(&mut self, through: ActiveTime) {
        while let Some((number, (value, key))) = self.order.front() {
            if key.expires_at > through {
                return;
            }
            // Nothing happens where a newer entry of the same value is in the index.
            self.newest.remove(hash(*value), cut(number));
            self.order.pop();
        }
    }

    /// When the `index`-th oldest key expires.
    pub(crate) fn expiry(&self, index: usize) -> Option<ActiveTime> {
        self.order.get(self.order.first() + index as u64).map(|(_, key)| key.expires_at)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.newest.len()
    }

    pub(crate) fn in_order(&self) -> impl Iterator<Item = (DeduplicationKey, Key)> {
        self.order.iter().copied()
    }
}

/// Keys that are not stored yet: of the messages of one command.
#[derive(Debug, Default)]
pub(crate) struct NewKeys {
    keys: Vec<(QueueGeneration, DeduplicationKey, SequenceNumber)>,
    /// All of them, once there are more than [`NewKeys::FEW`].
    index: Index,
}

impl NewKeys {
    const FEW: usize = 8;

    pub(crate) fn get(&self, queue: QueueGeneration, value: DeduplicationKey) -> Option<SequenceNumber> {
        let is_it = |(of, key, _): &(QueueGeneration, DeduplicationKey, SequenceNumber)| *of == queue && *key == value;
        let found = if self.keys.len() <= Self::FEW {
            self.keys.iter().find(|key| is_it(key))
        } else {
            let number = self.index.find(hash(value), |number| is_it(&self.keys[number as usize]));
            number.map(|number| &self.keys[number as usize])
        };
        found.map(|(_, _, sequence)| *sequence)
    }

    /// Adds a key that is not among them.
    pub(crate) fn insert(&mut self, queue: QueueGeneration, value: DeduplicationKey, sequence: SequenceNumber) {
        self.keys.push((queue, value, sequence));
        let unlisted = if self.keys.len() <= Self::FEW { self.keys.len() } else { self.index.len() };
        for (number, (_, value, _)) in (0..).zip(&self.keys).skip(unlisted) {
            self.index.put(hash(*value), number, |_| false);
        }
    }
}

/// A key is a part of a SHA-256: any of its bits will do.
fn hash(value: DeduplicationKey) -> u32 {
    let DeduplicationKey([a, b, c, d, ..]) = value;
    u32::from_le_bytes([a, b, c, d])
}

fn cut(number: u64) -> u32 {
    u32::try_from(number % NUMBERS).expect("less than 2^32")
}

/// The number of the order that was cut: the one that is not before its first.
fn whole(order: &Log<(DeduplicationKey, Key)>, number: u32) -> u64 {
    let first = order.first();
    first + (u64::from(number) + NUMBERS - first % NUMBERS) % NUMBERS
}

fn is_of(order: &Log<(DeduplicationKey, Key)>, number: u32, value: DeduplicationKey) -> bool {
    order.get(whole(order, number)).is_some_and(|(other, _)| *other == value)
}
