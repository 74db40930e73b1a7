//! A pool: one reader, a controller that opens it, claims and starts workers, and workers that take a claim, read it,
//! fold its messages into the groups' values and commit. Controllers restart, workers hang, two of them get one claim.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{closing, consumer, one_in, pause, persist, spawn};
use crate::{
    history::{Answer, Ask, Claimed, GroupValue, Outcome, ReaderAt, Rest, Seen},
    wire,
    world::Shared,
};

pub(super) async fn run(world: Shared, running: Rc<Cell<u32>>, queue: usize, reader: u64) {
    while !closing(&world) {
        let Some((at, open, mut next)) = open(&world, queue, reader, 3).await else {
            pause(&world, 2_000).await;
            continue;
        };
        for (number, _) in open {
            if one_in(&world, 5) {
                persist(&world, Ask::Abandon { reader: at, number }, 2).await;
            } else {
                start_worker(&world, &running, at, number, true);
            }
        }
        let rounds = world.borrow_mut().rng.u32(1..10);
        for _ in 0..rounds {
            if closing(&world) || !claim(&world, &running, at, &mut next).await {
                break;
            }
        }
        pause(&world, 5_000).await;
    }
}

/// Opens a reader as a new instance: where it stands, what is open, and the next number.
pub(super) async fn open(
    world: &Shared,
    queue: usize,
    reader: u64,
    tries: u32,
) -> Option<(ReaderAt, Vec<(u64, u64)>, u64)> {
    let instance = world.borrow_mut().name();
    let limit = world.borrow().history.queues[queue].claim_limit;
    match persist(world, Ask::Open { queue, reader, instance, limit }, tries).await {
        Answer::Opened { generation, open, last_number } => {
            Some((ReaderAt { queue, reader, generation }, open, last_number + 1))
        }
        _ => None,
    }
}

/// Claims the next number and hands it to a worker. False: this controller is fenced.
async fn claim(world: &Shared, running: &Rc<Cell<u32>>, at: ReaderAt, next: &mut u64) -> bool {
    let (max, wait) = {
        let rng = &mut world.borrow_mut().rng;
        (rng.u32(1..8), rng.u64(..5_000))
    };
    match wire::ask(world, Ask::Claim { reader: at, number: *next, max, wait }).await {
        Answer::Claimed(Claimed::Open { .. }) => {
            start_worker(world, running, at, *next, false);
            if one_in(world, 8) {
                // Impatience: a second worker for the same claim.
                pause(world, 20_000).await;
                start_worker(world, running, at, *next, true);
            }
            *next += 1;
            true
        }
        Answer::Claimed(Claimed::Committed { .. } | Claimed::Burnt) => {
            *next += 1;
            true
        }
        Answer::Claimed(Claimed::Empty) | Answer::Unavailable => {
            pause(world, 3_000).await;
            true
        }
        _ => false,
    }
}

fn start_worker(world: &Shared, running: &Rc<Cell<u32>>, at: ReaderAt, number: u64, failed: bool) {
    let work = Rc::clone(world);
    spawn(world, running, async move {
        work_on(&work, at, number, failed, 3).await;
    });
}

/// A worker's life with one claim. True: it is finished, by whomever.
pub(super) async fn work_on(world: &Shared, at: ReaderAt, number: u64, failed: bool, tries: u32) -> bool {
    let worker = world.borrow_mut().name();
    let Answer::Taken { epoch } = persist(world, Ask::Take { reader: at, number, worker, failed }, tries).await else {
        return false;
    };
    let read = persist(world, Ask::Read { reader: at, number, epoch }, tries).await;
    let Answer::Contents { values, messages } = read else { return false };
    let calm = closing(world);
    if !calm {
        if one_in(world, 4) {
            // It hangs, and comes back as if nothing had been.
            pause(world, 100_000).await;
        }
        if one_in(world, 10) {
            return false;
        }
        if one_in(world, 12) {
            persist(world, Ask::Abandon { reader: at, number }, tries).await;
            return false;
        }
    }
    let id = world.borrow_mut().name();
    let outputs = if calm { Vec::new() } else { consumer::outputs(world, at.queue) };
    let outcomes = if calm { Vec::new() } else { outcomes(world, &messages) };
    let done: Vec<Seen> = messages.iter().filter(|seen| is_done(&outcomes, seen)).copied().collect();
    let values = fold(values, &done);
    let commit = Ask::Commit { reader: at, number, epoch, id, outcomes, values, outputs };
    matches!(persist(world, commit, tries + 2).await, Answer::Committed { .. })
}

/// What could not be finished, of some claims: a part of a group, or all of it (B7).
fn outcomes(world: &Shared, messages: &[Seen]) -> Vec<Outcome> {
    let groups: BTreeSet<u64> = messages.iter().map(|seen| seen.group).collect();
    let mut outcomes = Vec::new();
    for group in groups {
        if !one_in(world, 4) {
            continue;
        }
        let of_group: Vec<u64> = messages.iter().filter(|seen| seen.group == group).map(|seen| seen.sequence).collect();
        let rng = &mut world.borrow_mut().rng;
        let through = rng.usize(..of_group.len()).checked_sub(1).map(|last| of_group[last]);
        let rest = [Rest::Back, Rest::Dead, Rest::Parked][rng.usize(..3)];
        outcomes.push(Outcome { group, through, rest });
    }
    outcomes
}

fn is_done(outcomes: &[Outcome], seen: &Seen) -> bool {
    let of_group = outcomes.iter().find(|outcome| outcome.group == seen.group);
    of_group.is_none_or(|outcome| outcome.through.is_some_and(|through| seen.sequence <= through))
}

/// Each group's value with the claim's messages behind what was there.
fn fold(values: Vec<GroupValue>, messages: &[Seen]) -> Vec<GroupValue> {
    let mut folded: BTreeMap<u64, Vec<u64>> = values.into_iter().collect();
    for seen in messages {
        folded.entry(seen.group).or_default().push(seen.sequence);
    }
    folded.into_iter().collect()
}
