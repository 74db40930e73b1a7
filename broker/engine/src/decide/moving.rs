//! Moving bodies to the present frame, so that an old frame may go in which hardly anything is named any more (H6).
//! Who wants it is the shell; a client notices nothing of it.

use crate::{
    Event, State,
    command::{Command, Context, Decision, MoveBodies},
    limits,
    words::{BodyRef, Position},
};

impl Command for MoveBodies {
    type Reply = u32;

    /// Moves those that still lie where the caller read them; the others went or were replaced meanwhile. What the
    /// reserve for finishing does not hold stays, too (H5).
    fn decide(&self, state: &State, context: &Context) -> Decision<u32> {
        let Some(queue) = state.queues.get(&self.queue) else { return Decision::unchanged(Ok(0)) };
        let mut space = context.space.for_finishes;
        let (mut moved, mut bodies, mut index) = (Vec::new(), Vec::new(), context.next_body);
        for ((owner, from), body) in self.bodies.iter().zip(0..) {
            let cost = u64::from(from.size) + limits::MESSAGE_OVERHEAD;
            if queue.body(owner) != Some(*from) || cost > space {
                continue;
            }
            space -= cost;
            let position = Position { frame: context.frame, index };
            moved.push((owner.clone(), BodyRef { position, size: from.size }));
            bodies.push(body);
            index += 1;
        }
        let count = index - context.next_body;
        if count == 0 {
            return Decision::unchanged(Ok(0));
        }
        Decision { events: vec![Event::BodiesMoved { queue: self.queue, bodies: moved }], bodies, reply: Ok(count) }
    }
}
