//! The receives that were made under an attempt id and may be repeated (R7): judged by their own time, freed by the
//! watermarks that free deduplication keys (H3), and bounded.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    limits,
    words::{ActiveTime, AttemptKey, Epoch, SequenceNumber},
};

/// What one receive delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) expires_at: ActiveTime,
    /// In the order of the delivery; the epochs rise, and no other receive has one of them. Empty once one of them was
    /// deleted, lapsed or had its visibility changed: then it cannot be repeated any more, and holds no memory.
    pub(crate) messages: Vec<(SequenceNumber, Epoch)>,
}

/// Attempts by key, in the order in which they were made, and by the last of their epochs while they can be repeated.
/// A key used anew leaves its older entry in the order; freeing that one does no harm.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Attempts {
    by_key: BTreeMap<AttemptKey, Attempt>,
    by_epoch: BTreeMap<Epoch, AttemptKey>,
    order: VecDeque<(AttemptKey, ActiveTime)>,
}

impl Attempts {
    /// Notes a receive; past the limit the oldest is forgotten, and its repeat is a receive like any other.
    pub(crate) fn insert(&mut self, key: AttemptKey, attempt: Attempt) {
        self.end(key);
        self.order.push_back((key, attempt.expires_at));
        if let Some((_, last)) = attempt.messages.last() {
            self.by_epoch.insert(*last, key);
        }
        self.by_key.insert(key, attempt);
        while self.by_key.len() > limits::ATTEMPTS {
            self.forget_oldest();
        }
    }

    /// The attempt of a key whose 5 minutes have not ended at `now`.
    pub(crate) fn live(&self, key: AttemptKey, now: ActiveTime) -> Option<&Attempt> {
        self.by_key.get(&key).filter(|attempt| now < attempt.expires_at)
    }

    /// The newest attempt of a key, whatever its time.
    pub(crate) fn noted(&self, key: AttemptKey) -> Option<&Attempt> {
        self.by_key.get(&key)
    }

    /// A delivery of this epoch is not what it was: its receive cannot be repeated any more.
    pub(crate) fn touch(&mut self, epoch: Epoch) {
        let Some((_, &key)) = self.by_epoch.range(epoch..).next() else { return };
        let first = self.by_key.get(&key).and_then(|attempt| attempt.messages.first());
        if first.is_some_and(|(_, first)| *first <= epoch) {
            self.end(key);
        }
    }

    fn end(&mut self, key: AttemptKey) {
        let Some(attempt) = self.by_key.get_mut(&key) else { return };
        if let Some((_, last)) = std::mem::take(&mut attempt.messages).last() {
            self.by_epoch.remove(last);
        }
    }

    /// Frees the oldest attempts as long as they expired up to `through`.
    pub(crate) fn forget(&mut self, through: ActiveTime) {
        while self.oldest().is_some_and(|expires_at| expires_at <= through) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, expires_at)) = self.order.pop_front() else { return };
        if self.by_key.get(&key).is_some_and(|attempt| attempt.expires_at == expires_at) {
            self.end(key);
            self.by_key.remove(&key);
        }
    }

    /// When the oldest expires.
    pub(crate) fn oldest(&self) -> Option<ActiveTime> {
        self.order.front().map(|(_, expires_at)| *expires_at)
    }

    /// Those that can still be repeated.
    pub(crate) fn repeatable(&self) -> impl Iterator<Item = &Attempt> {
        self.by_epoch.values().filter_map(|key| self.by_key.get(key))
    }

    /// All, in the order of their making; one that was made anew has no messages in its older place.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (AttemptKey, Attempt)> {
        self.order.iter().map(|&(key, expires_at)| {
            let present = self.by_key.get(&key).filter(|attempt| attempt.expires_at == expires_at);
            (key, present.cloned().unwrap_or(Attempt { expires_at, messages: Vec::new() }))
        })
    }
}
