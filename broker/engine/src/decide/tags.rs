//! Tags of queues: they name things for people and decide nothing (L12). All of it is harmless to repeat.

use crate::{
    Event, State,
    command::{Command, Context, Decision, QueueRef, TagQueue, UntagQueue},
    limits,
    reply::Rejected,
    words::Tags,
};

impl Command for TagQueue {
    type Reply = ();

    fn decide(&self, state: &State, _context: &Context) -> Decision<()> {
        change(state, &self.queue, |tags| tags.extend(self.tags.clone()))
    }
}

impl Command for UntagQueue {
    type Reply = ();

    fn decide(&self, state: &State, _context: &Context) -> Decision<()> {
        change(state, &self.queue, |tags| {
            for key in &self.keys {
                tags.remove(key);
            }
        })
    }
}

/// The fact is all tags that the queue has from now on.
fn change(state: &State, queue: &QueueRef, change: impl FnOnce(&mut Tags)) -> Decision<()> {
    let queue = match state.find(queue) {
        Ok(queue) => queue,
        Err(rejected) => return Decision::unchanged(Err(rejected)),
    };
    let mut tags = queue.tags.clone();
    change(&mut tags);
    match check(&tags) {
        Ok(()) if tags == queue.tags => Decision::unchanged(Ok(())),
        Ok(()) => Decision::new(vec![Event::QueueTagged { queue: queue.generation, tags }], ()),
        Err(rejected) => Decision::unchanged(Err(rejected)),
    }
}

/// Whether a queue may have so many.
pub(super) fn check(tags: &Tags) -> Result<(), Rejected> {
    if tags.len() <= limits::TAGS { Ok(()) } else { Err(Rejected::TooManyTags { tags: tags.len() }) }
}
