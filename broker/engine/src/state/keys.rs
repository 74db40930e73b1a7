//! The deduplication keys of a queue: judged by their own time, freed by watermarks (S4, H3).

use std::collections::{BTreeMap, VecDeque};

use crate::words::{ActiveTime, DeduplicationKey, SequenceNumber};

/// What a live key remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) sequence: SequenceNumber,
    pub(crate) expires_at: ActiveTime,
}

/// Keys by value, and in the order in which they were stored. A key stored anew leaves its older entry in the order;
/// freeing that one does no harm.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Keys {
    by_value: BTreeMap<DeduplicationKey, Key>,
    order: VecDeque<(DeduplicationKey, Key)>,
}

impl Keys {
    pub(crate) fn insert(&mut self, value: DeduplicationKey, key: Key) {
        self.by_value.insert(value, key);
        self.order.push_back((value, key));
    }

    /// The message of an equal key whose window has not ended at `now` (S4: it ends at exactly t0 + window).
    pub(crate) fn live(&self, value: DeduplicationKey, now: ActiveTime) -> Option<SequenceNumber> {
        self.by_value.get(&value).filter(|key| now < key.expires_at).map(|key| key.sequence)
    }

    /// Frees the oldest keys as long as they expired up to `through`.
    pub(crate) fn forget(&mut self, through: ActiveTime) {
        while let Some(&(value, key)) = self.order.front() {
            if key.expires_at > through {
                return;
            }
            self.order.pop_front();
            if self.by_value.get(&value) == Some(&key) {
                self.by_value.remove(&value);
            }
        }
    }

    /// When the `index`-th oldest key expires.
    pub(crate) fn expiry(&self, index: usize) -> Option<ActiveTime> {
        self.order.get(index).map(|(_, key)| key.expires_at)
    }

    pub(crate) fn clear(&mut self) {
        self.by_value.clear();
        self.order.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.by_value.len()
    }

    pub(crate) fn in_order(&self) -> impl Iterator<Item = (DeduplicationKey, Key)> {
        self.order.iter().copied()
    }
}
