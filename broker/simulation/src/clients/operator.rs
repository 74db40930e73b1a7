//! An operator: now and then a delay is changed, dead letters are sent back, a group is parked, a queue is looked at.

use super::{GROUPS, closing, pause, persist, some_queue};
use crate::{history::Ask, world::Shared};

pub(super) async fn run(world: Shared) {
    while !closing(&world) {
        pause(&world, 40_000).await;
        let queue = some_queue(&world);
        let ask = {
            let world = &mut *world.borrow_mut();
            let queues = world.history.queues.len();
            let group = world.rng.u64(..GROUPS);
            match world.rng.u32(..10) {
                0 => Ask::Delay { queue, delay: world.rng.u64(..120) * 1_000 },
                1 => Ask::Delay { queue, delay: 0 },
                2..5 if queues > 1 => {
                    let to = world.rng.bool().then(|| world.rng.usize(1..queues));
                    Ask::Move { queue: 0, to, rate: world.rng.u32(1..20) }
                }
                5 => Ask::Park { queue, group },
                6 => Ask::Unpark { queue, group: Some(group) },
                7 => Ask::Unpark { queue, group: None },
                _ => Ask::Peek { queue },
            }
        };
        let tries = world.borrow_mut().rng.u32(1..3);
        persist(&world, ask, tries).await;
    }
}
