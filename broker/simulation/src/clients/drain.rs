//! The end of a run: under a clear sky every claim is finished, every message received and deleted, every value read.
//! What does not come out here is lost, or stuck.

use super::{GROUPS, persist, pool};
use crate::{
    history::{Answer, Ask, ReaderAt, What},
    world::{Shared, sleep},
};

/// Rounds after which what is left does not come out any more.
const MOST_ROUNDS: u32 = 500;
/// Tries of a call that must come through.
const TRIES: u32 = 1_000;

pub(super) async fn run(world: &Shared, strict: &[usize], readers: u64) {
    // Polls that nobody waits for any more must not take what is drained.
    sleep(world, 60_000).await;
    let queues = world.borrow().history.queues.len();
    for queue in 0..queues {
        persist(world, Ask::Unpark { queue, group: None }, TRIES).await;
    }
    let mut open = Vec::new();
    for queue in strict {
        for reader in 0..readers {
            if let Some(at) = finish_claims(world, *queue, reader).await {
                open.push(at);
            }
        }
    }
    // Dead letters and move tasks fill what was empty.
    let mut full = true;
    while full {
        full = false;
        for queue in 0..queues {
            match empty(world, queue).await {
                Some(found) => full |= found,
                None => return world.borrow_mut().note(What::Stuck(format!("queue {queue} cannot be emptied"))),
            }
        }
    }
    for reader in open {
        for group in 0..GROUPS {
            persist(world, Ask::Values { reader, group }, TRIES).await;
        }
    }
    for queue in 0..queues {
        persist(world, Ask::Peek { queue }, TRIES).await;
    }
    world.borrow_mut().note(What::Drained);
    if world.borrow().weather.backlog.is_some() && !takes_more(world).await {
        world.borrow_mut().note(What::Stuck("everything is drained, and no space comes back".to_owned()));
    }
}

/// Whether a journal that is empty takes a message, at once or after a while (H5).
async fn takes_more(world: &Shared) -> bool {
    for _ in 0..MOST_ROUNDS {
        let entries = vec![super::fresh_entry(world, true)];
        let sent = persist(world, Ask::Send { queue: 0, entries }, TRIES).await;
        if matches!(&sent, Answer::Sent(outcomes) if outcomes[0].is_ok()) {
            return true;
        }
        sleep(world, 5_000).await;
    }
    false
}

async fn finish_claims(world: &Shared, queue: usize, reader: u64) -> Option<ReaderAt> {
    for _ in 0..MOST_ROUNDS {
        let (at, open, _) = pool::open(world, queue, reader, TRIES).await?;
        if open.is_empty() {
            return Some(at);
        }
        for (number, _) in open {
            pool::work_on(world, at, number, false, TRIES).await;
        }
    }
    None
}

/// Receives and deletes until nothing is left; whether anything was there. Absent: it does not come to an end.
async fn empty(world: &Shared, queue: usize) -> Option<bool> {
    let mut found = false;
    for _ in 0..MOST_ROUNDS {
        let receive = Ask::Receive { queue, max: 100, visibility: Some(60_000), wait: 0, attempt: None };
        let received = persist(world, receive, TRIES).await;
        if let Answer::Received(delivered) = received
            && !delivered.is_empty()
        {
            let receipts = delivered.iter().map(|each| (each.seen.sequence, each.epoch)).collect();
            persist(world, Ask::Delete { queue, receipts }, TRIES).await;
            found = true;
            continue;
        }
        if persist(world, Ask::Count { queue }, TRIES).await == Answer::Counted(0) {
            return Some(found);
        }
        found = true;
        sleep(world, 5_000).await;
    }
    None
}
