//! How groups stop being parked (B7).

use crate::{
    state::State,
    words::{GroupId, QueueGeneration},
};

impl State {
    /// `None`: a group was not parked.
    pub(super) fn unpark(&mut self, queue: QueueGeneration, groups: &[GroupId]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        groups.iter().try_for_each(|group| found.unpark(group).map(|_| ()))
    }
}
