//! Parking and unparking by an operator (B7). Both are harmless to repeat.

use crate::{
    Event, State,
    command::{Command, Context, Decision, Park, Unpark},
    limits,
    reply::{Rejected, Unparked},
};

impl Command for Park {
    /// Whether it was not parked before.
    type Reply = bool;

    fn decide(&self, state: &State, context: &Context) -> Decision<bool> {
        match state.find(&self.queue) {
            Ok(queue) if !queue.is_fifo() => Decision::unchanged(Err(Rejected::NotFifo)),
            Ok(queue) if queue.parked.contains_key(&self.group) => Decision::unchanged(Ok(false)),
            Ok(queue) if queue.parked.len() >= limits::PARKED_GROUPS => {
                Decision::unchanged(Err(Rejected::TooManyParked))
            }
            Ok(queue) => {
                let (queue, group) = (queue.generation, self.group.clone());
                Decision::new(vec![Event::GroupParked { queue, group, at: context.now }], true)
            }
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

impl Command for Unpark {
    type Reply = Unparked;

    fn decide(&self, state: &State, _context: &Context) -> Decision<Unparked> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        let groups: Vec<_> = match &self.group {
            Some(group) => queue.parked.get_key_value(group).map(|(group, _)| group.clone()).into_iter().collect(),
            None => queue.parked.keys().take(limits::UNPARKED_AT_ONCE).cloned().collect(),
        };
        if groups.is_empty() {
            return Decision::unchanged(Ok(Unparked { groups: 0, more: false }));
        }
        let more = self.group.is_none() && queue.parked.len() > groups.len();
        let reply = Unparked { groups: groups.len() as u64, more };
        Decision::new(vec![Event::GroupsUnparked { queue: queue.generation, groups }], reply)
    }
}
