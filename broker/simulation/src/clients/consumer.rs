//! A consumer: it receives, and then does what consumers do: deletes in order or not, extends, gives back, commits
//! with outputs, hangs past its lease and comes back as a zombie, or is never heard of again.

use super::{closing, fresh_entry, one_in, pause, persist, some_queue};
use crate::{
    history::{Answer, Ask, Receipt},
    world::Shared,
};

pub(super) async fn run(world: Shared) {
    while !closing(&world) {
        let queue = some_queue(&world);
        let receive = receive(&world, queue);
        let tries = if matches!(receive, Ask::Receive { attempt: Some(_), .. }) { 3 } else { 1 };
        let received = persist(&world, receive, tries).await;
        let Answer::Received(delivered) = received else {
            pause(&world, 2_000).await;
            continue;
        };
        let receipts: Vec<Receipt> = delivered.iter().map(|each| (each.seen.sequence, each.epoch)).collect();
        if receipts.is_empty() {
            pause(&world, 3_000).await;
        } else {
            work(&world, queue, receipts).await;
        }
    }
}

fn receive(world: &Shared, queue: usize) -> Ask {
    let world = &mut *world.borrow_mut();
    let attempt = if world.rng.bool() { Some(world.name()) } else { None };
    let rng = &mut world.rng;
    let visibility = match rng.u32(..8) {
        0..3 => None,
        3..7 => Some(rng.u64(1..60_000)),
        _ => Some(rng.u64(..3)),
    };
    Ask::Receive { queue, max: rng.u32(1..8), visibility, wait: [0, 1_000, 20_000][rng.usize(..3)], attempt }
}

async fn work(world: &Shared, queue: usize, mut receipts: Vec<Receipt>) {
    let (kind, hangs) = {
        let rng = &mut world.borrow_mut().rng;
        (rng.u32(..12), rng.u32(..6) == 0)
    };
    if hangs {
        pause(world, 100_000).await;
    }
    match kind {
        0..4 => {
            persist(world, Ask::Delete { queue, receipts }, 3).await;
        }
        4 | 5 => {
            for receipt in receipts {
                pause(world, 2_000).await;
                persist(world, Ask::Delete { queue, receipts: vec![receipt] }, 3).await;
            }
        }
        6 => {
            world.borrow_mut().rng.shuffle(&mut receipts);
            for receipt in receipts {
                persist(world, Ask::Delete { queue, receipts: vec![receipt] }, 2).await;
            }
        }
        7 => change(world, queue, &receipts, true).await,
        8 => {
            change(world, queue, &receipts, false).await;
            pause(world, 60_000).await;
            persist(world, Ask::Delete { queue, receipts }, 2).await;
        }
        9 | 10 => finish(world, queue, receipts).await,
        _ => {}
    }
}

/// Gives back, or extends and shortens, some of what was received.
async fn change(world: &Shared, queue: usize, receipts: &[Receipt], back: bool) {
    let entries = {
        let rng = &mut world.borrow_mut().rng;
        let some: Vec<_> = receipts.iter().filter(|_| rng.bool()).copied().collect();
        let timeout = |rng: &mut fastrand::Rng| if back { 0 } else { rng.u64(1..100_000) };
        some.into_iter().map(|receipt| (receipt, timeout(rng))).collect::<Vec<_>>()
    };
    if !entries.is_empty() {
        persist(world, Ask::Change { queue, entries }, 2).await;
    }
}

/// Commits the deliveries, some of them, with outputs to a queue behind this one.
async fn finish(world: &Shared, queue: usize, mut receipts: Vec<Receipt>) {
    if one_in(world, 3) {
        receipts.truncate(1);
    }
    let id = world.borrow_mut().name();
    let outputs = outputs(world, queue);
    persist(world, Ask::Finish { queue, id, receipts, outputs }, 4).await;
}

/// New messages for a later queue.
pub(super) fn outputs(world: &Shared, queue: usize) -> Vec<(usize, crate::history::Entry)> {
    let later = queue + 1..world.borrow().history.queues.len();
    if later.is_empty() {
        return Vec::new();
    }
    let count = world.borrow_mut().rng.usize(..3);
    (0..count)
        .map(|_| {
            let target = world.borrow_mut().rng.usize(later.clone());
            let with_id = one_in(world, 2);
            (target, fresh_entry(world, with_id))
        })
        .collect()
}
