//! Which names of queues were freed not long ago, and when (A2). What is older than the rule asks for is forgotten as
//! time is journalled; whether a deletion still counts is judged by its own time, not here.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    limits,
    words::{QueueName, Timestamp},
};

/// Deletions of the last minute, the newest of each name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Deletions {
    by_name: BTreeMap<QueueName, Timestamp>,
    by_time: BTreeSet<(Timestamp, QueueName)>,
}

impl Deletions {
    /// Notes that a queue was deleted.
    pub(crate) fn insert(&mut self, name: &QueueName, at: Timestamp) {
        if let Some(before) = self.by_name.insert(name.clone(), at) {
            self.by_time.remove(&(before, name.clone()));
        }
        self.by_time.insert((at, name.clone()));
    }

    /// When a queue of this name was deleted last, if that is remembered.
    pub(crate) fn of(&self, name: &QueueName) -> Option<Timestamp> {
        self.by_name.get(name).copied()
    }

    /// Forgets what counts no more at `now`.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let is_over = |at: Timestamp| at.0 + limits::AWS_DISTANCE <= now.0;
        while self.by_time.first().is_some_and(|(at, _)| is_over(*at))
            && let Some((_, name)) = self.by_time.pop_first()
        {
            self.by_name.remove(&name);
        }
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timestamp, &QueueName)> {
        self.by_time.iter().map(|(at, name)| (*at, name))
    }

    /// Whether the two orders hold the same.
    pub(crate) fn check(&self) -> Result<(), String> {
        let same = self.by_time.len() == self.by_name.len()
            && self.by_time.iter().all(|(at, name)| self.by_name.get(name) == Some(at));
        if same { Ok(()) } else { Err("deletions by name and by time differ".to_owned()) }
    }
}
