//! A producer: it sends batches and retries them under the same ids, sometimes long after, and sometimes sends an id
//! again with another body.

use super::{closing, fresh_entry, one_in, pause, persist, some_queue};
use crate::{
    history::{Ask, Entry},
    world::Shared,
};

pub(super) async fn run(world: Shared) {
    let mut past: Vec<(usize, Entry)> = Vec::new();
    while !closing(&world) {
        let queue = some_queue(&world);
        if one_in(&world, 80) {
            persist(&world, Ask::Purge { queue }, 1).await;
        }
        if one_in(&world, 12) {
            persist(&world, Ask::Peek { queue }, 1).await;
        }
        let count = if one_in(&world, 3) { world.borrow_mut().rng.usize(2..6) } else { 1 };
        let mut entries: Vec<_> = (0..count).map(|_| entry(&world, queue, &past)).collect();
        if one_in(&world, 10) {
            entries.push(entries[0].clone());
        }
        past.extend(entries.iter().map(|entry| (queue, entry.clone())));
        let tries = world.borrow_mut().rng.u32(1..6);
        persist(&world, Ask::Send { queue, entries }, tries).await;
        pause(&world, 2_000).await;
    }
}

/// Mostly something new; now and then an earlier message again, or its id with another body.
fn entry(world: &Shared, queue: usize, past: &[(usize, Entry)]) -> Entry {
    let with_id = !one_in(world, 5);
    let entry = fresh_entry(world, with_id);
    if past.is_empty() || !one_in(world, 6) {
        return entry;
    }
    let index = world.borrow_mut().rng.usize(..past.len());
    let (of_queue, earlier) = &past[index];
    if *of_queue != queue {
        return entry;
    }
    if one_in(world, 2) { earlier.clone() } else { Entry { id: earlier.id.or(entry.id), ..entry } }
}
