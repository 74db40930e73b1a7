//! A producer with a session: it numbers what it sends, opens anew after doubt, and repeats old numbers, leaves gaps, uses
//! a number again for something else and speaks under an epoch that is over (B3).

use super::{closing, fresh_entry, pause, persist, some_queue};
use crate::{
    history::{Answer, Ask, Entry},
    world::Shared,
};

pub(super) async fn run(world: Shared) {
    let (queue, producer) = (some_queue(&world), world.borrow_mut().name());
    // What has which number, from 1.
    let mut sent: Vec<Entry> = Vec::new();
    let mut before = None;
    while !closing(&world) {
        // Time must pass even if everything is refused at once.
        pause(&world, 3_000).await;
        let instance = world.borrow_mut().name();
        let opened = persist(&world, Ask::OpenProducer { queue, producer, instance }, 3).await;
        let Answer::Producer { epoch, last } = opened else {
            continue;
        };
        // What was never used is free for something else: who might still use it is fenced.
        sent.truncate(usize::try_from(last).unwrap_or(usize::MAX));
        let old = before.replace(epoch);
        let rounds = world.borrow_mut().rng.u32(1..8);
        for _ in 0..rounds {
            if closing(&world) || !send(&world, queue, producer, epoch, &mut sent).await {
                break;
            }
            if let Some(epoch) = old {
                zombie(&world, queue, producer, epoch, &sent).await;
            }
            pause(&world, 8_000).await;
        }
    }
}

/// Sends what comes next. False: what became of it is not known, or it was not taken.
async fn send(world: &Shared, queue: usize, producer: u64, epoch: u64, sent: &mut Vec<Entry>) -> bool {
    let count = world.borrow_mut().rng.usize(1..4);
    let fresh: Vec<_> = (0..count).map(|_| fresh_entry(world, false)).collect();
    let kind = world.borrow_mut().rng.u32(..8);
    let next = sent.len() as u64 + 1;
    let (first, entries) = match kind {
        0 => (next + 1, fresh),
        1 if !sent.is_empty() => {
            let place = world.borrow_mut().rng.usize(..sent.len());
            (place as u64 + 1, sent[place..].iter().take(3).cloned().collect())
        }
        2 if !sent.is_empty() => (next - 1, fresh),
        _ => {
            sent.extend(fresh.iter().cloned());
            (next, fresh)
        }
    };
    match persist(world, Ask::Numbered { queue, producer, epoch, first, entries }, 4).await {
        Answer::Sent(outcomes) => outcomes.iter().all(Result::is_ok),
        Answer::Refused(_) => kind == 0 || kind == 2,
        _ => false,
    }
}

/// A process that was replaced sends something under the epoch it had.
async fn zombie(world: &Shared, queue: usize, producer: u64, epoch: u64, sent: &[Entry]) {
    if world.borrow_mut().rng.u32(..6) == 0 {
        let first = sent.len() as u64 + 1;
        let entries = vec![fresh_entry(world, false)];
        persist(world, Ask::Numbered { queue, producer, epoch, first, entries }, 1).await;
    }
}
