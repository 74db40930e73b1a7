//! All queues, and which of them have something that ends by itself: so a turn looks at those alone, however many
//! queues lie idle. What is due in a queue is judged in `decide/due`.

use std::collections::{BTreeMap, BTreeSet, btree_map::Values};
use std::ops::RangeBounds;

use crate::{state::queue::Queue, words::QueueGeneration};

/// Queues by generation.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    all: BTreeMap<QueueGeneration, Queue>,
    /// Those that have something that ends by itself; whether `written` belongs here is open.
    restless: BTreeSet<QueueGeneration>,
    /// The last one that somebody could write to.
    written: Option<QueueGeneration>,
}

impl PartialEq for Queues {
    /// The rest is known by the queues.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Queues {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, queue: &QueueGeneration) -> Option<&Queue> {
        self.all.get(queue)
    }

    pub(crate) fn contains_key(&self, queue: &QueueGeneration) -> bool {
        self.all.contains_key(queue)
    }

    pub(crate) fn values(&self) -> Values<'_, QueueGeneration, Queue> {
        self.all.values()
    }

    pub(crate) fn range(
        &self,
        generations: impl RangeBounds<QueueGeneration>,
    ) -> impl Iterator<Item = (&QueueGeneration, &Queue)> {
        self.all.range(generations)
    }

    /// Those in which something may end by itself, by generation: every one of which that is so, and at most one more.
    pub(crate) fn restless(&self) -> impl Iterator<Item = &Queue> {
        let written = self.written.filter(|written| !self.restless.contains(written));
        // The order of the queues decides which of two events of one instant comes first: it must not depend on who
        // was written last.
        let before = self.restless.range(..written.unwrap_or_default());
        let after = self.restless.range(written.unwrap_or_default()..);
        before.copied().chain(written).chain(after.copied()).filter_map(|queue| self.all.get(&queue))
    }

    pub(crate) fn get_mut(&mut self, queue: &QueueGeneration) -> Option<&mut Queue> {
        self.note_writer(*queue);
        self.all.get_mut(queue)
    }

    pub(crate) fn insert(&mut self, generation: QueueGeneration, queue: Queue) {
        self.note_writer(generation);
        self.all.insert(generation, queue);
    }

    pub(crate) fn remove(&mut self, queue: &QueueGeneration) -> Option<Queue> {
        self.restless.remove(queue);
        self.all.remove(queue)
    }

    /// Whoever was written to before is as it will stay, and is filed.
    fn note_writer(&mut self, queue: QueueGeneration) {
        if self.written == Some(queue) {
            return;
        }
        if let Some(before) = self.written.replace(queue) {
            match self.all.get(&before).is_some_and(Queue::is_restless) {
                true => self.restless.insert(before),
                false => self.restless.remove(&before),
            };
        }
    }

    /// Whether no queue in which something ends by itself is missed.
    pub(crate) fn knows_the_restless(&self) -> bool {
        let listed: BTreeSet<_> = self.restless().map(|queue| queue.generation).collect();
        let found = self.all.values().filter(|queue| queue.is_restless()).map(|queue| queue.generation);
        let mut idle = listed.iter().filter(|queue| !self.all.get(queue).is_some_and(Queue::is_restless));
        found.into_iter().all(|queue| listed.contains(&queue)) && idle.all(|queue| self.written == Some(*queue))
    }
}
