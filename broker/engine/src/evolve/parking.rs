//! How groups stop being parked (B7).

use crate::{
    state::{State, queue::Queue},
    words::{GroupId, QueueGeneration},
};

impl State {
    /// `None`: a group was not parked.
    pub(super) fn unpark(&mut self, queue: QueueGeneration, groups: &[GroupId]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        groups.iter().try_for_each(|group| found.unpark(group).map(|_| ()))
    }
}

impl Queue {
    /// Ends all parking: the queue is emptied.
    pub(super) fn unpark_all(&mut self) {
        for group in std::mem::take(&mut self.parked).into_keys() {
            self.refresh(&group);
        }
    }
}
