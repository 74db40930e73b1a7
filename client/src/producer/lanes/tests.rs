//! What a block may hold, and what the others wait for: the line's order without anything being sent.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{super::ticket::Outcomes, *};

fn push(lanes: &mut Lanes, group: &str, id: &str, body: usize) -> Arc<Outcomes> {
    let outcome = Outcomes::of(1);
    let wire = v1::SendEntry {
        message_group_id: group.to_owned(),
        message_deduplication_id: id.to_owned(),
        body: vec![b'x'; body].into(),
        ..v1::SendEntry::default()
    };
    lanes.push(Entry::new(wire, Promise::new(&outcome, 0), body));
    outcome
}

fn told(outcome: &Outcomes) -> Option<Result<Sent, Error>> {
    match outcome.poll_one(0, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(super::super::ticket::told(outcome)),
        Poll::Pending => None,
    }
}

fn ids((wires, _): &Block) -> Vec<&str> {
    wires.iter().map(|wire| wire.message_deduplication_id.as_str()).collect()
}

fn accept(lanes: &mut Lanes, (_, places): Block) {
    let sent = |_| Ok(Sent { message_id: String::new(), sequence_number: 1, duplicate: false });
    let outcomes = places.iter().map(sent).collect();
    lanes.answered(places, outcomes);
}

fn refused() -> Error {
    Error::Refused { code: None, reason: "FULL".to_owned(), message: String::new(), rule: String::new() }
}

#[test]
fn a_block_holds_a_thousand_messages_and_no_more() {
    let mut lanes = Lanes::new(9);
    let _outcomes: Vec<_> =
        (0..1_001).map(|n| push(&mut lanes, &format!("g{}", n % 7), &format!("{n:04}"), 1)).collect();
    let block = lanes.next_block().unwrap();
    let expected: Vec<_> = (0..1_000).map(|n| format!("{n:04}")).collect();
    assert_eq!(ids(&block), expected, "oldest first, across groups");
    assert!(lanes.next_block().is_none(), "the last message's group has an unanswered block");
    accept(&mut lanes, block);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["1000"]);
}

#[test]
fn a_block_holds_a_mebibyte_of_bodies_and_ids_and_not_a_byte_more() {
    const HALF: usize = MAX_BATCH_BYTES / 2;
    let mut lanes = Lanes::new(9);
    let mut keep = vec![push(&mut lanes, "a", "1", HALF - 2), push(&mut lanes, "b", "2", HALF - 2)];
    let block = lanes.next_block().unwrap();
    assert_eq!(ids(&block), ["1", "2"], "exactly 1 MiB with the ids");
    keep.extend([push(&mut lanes, "c", "3", HALF - 2), push(&mut lanes, "d", "4", HALF - 1)]);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["3"]);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["4"]);
    keep.push(push(&mut lanes, "e", "5", MAX_BATCH_BYTES));
    assert_eq!(ids(&lanes.next_block().unwrap()), ["5"], "too large for a batch: alone");
}

#[test]
fn a_group_waits_for_its_answer_and_the_others_do_not() {
    let mut lanes = Lanes::new(9);
    let mut keep = vec![push(&mut lanes, "a", "a1", 1)];
    let first = lanes.next_block().unwrap();
    keep.extend([push(&mut lanes, "a", "a2", 1), push(&mut lanes, "b", "b1", 1), push(&mut lanes, "a", "a3", 1)]);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["b1"]);
    accept(&mut lanes, first);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["a2", "a3"]);
}

#[test]
fn no_more_blocks_than_allowed_are_unanswered() {
    let mut lanes = Lanes::new(2);
    let mut keep = Vec::new();
    let mut blocks = Vec::new();
    for group in ["a", "b"] {
        keep.push(push(&mut lanes, group, group, 1));
        blocks.push(lanes.next_block().unwrap());
    }
    keep.push(push(&mut lanes, "c", "c", 1));
    assert!(lanes.next_block().is_none());
    accept(&mut lanes, blocks.remove(0));
    assert_eq!(ids(&lanes.next_block().unwrap()), ["c"]);
}

#[test]
fn a_group_stops_at_its_first_failure_until_it_is_resumed() {
    let mut lanes = Lanes::new(9);
    let first = push(&mut lanes, "a", "a1", 1);
    let block = lanes.next_block().unwrap();
    let behind = push(&mut lanes, "a", "a2", 2);
    assert_eq!((told(&first), told(&behind)), (None, None));
    lanes.answered(block.1, vec![Err(refused())]);
    assert_eq!(told(&first), Some(Err(refused())));
    assert_eq!(told(&behind).unwrap().unwrap_err().reason(), Some(EARLIER_REJECTED));
    let later = push(&mut lanes, "a", "a3", 4);
    assert_eq!(told(&later).unwrap().unwrap_err().reason(), Some(EARLIER_REJECTED));
    assert_eq!((lanes.freed(), lanes.freed()), (7, 0), "each gave its room back, once");
    assert_eq!(lanes.stopped(), ["a"]);
    assert!(lanes.next_block().is_none());
    assert!(lanes.resume("a") && !lanes.resume("a") && !lanes.resume("unknown"));
    let _outcome = push(&mut lanes, "a", "a4", 1);
    assert_eq!(ids(&lanes.next_block().unwrap()), ["a4"]);
}

#[test]
fn a_block_turned_away_as_a_whole_is_asked_again_one_by_one_in_order() {
    let mut lanes = Lanes::new(1);
    let _outcomes: Vec<_> =
        [("a", "a1"), ("b", "b1"), ("a", "a2")].map(|(group, id)| push(&mut lanes, group, id, 1)).into();
    let block = lanes.next_block().unwrap();
    assert_eq!(block.0.len(), 3);
    let _late = push(&mut lanes, "b", "b2", 1);
    lanes.turned_away(block.0, block.1);
    for expected in ["a1", "b1", "a2", "b2"] {
        let block = lanes.next_block().unwrap();
        assert_eq!(ids(&block), [expected]);
        accept(&mut lanes, block);
    }
}

#[test]
fn groups_with_nothing_to_remember_are_forgotten_when_they_are_many() {
    let mut lanes = Lanes::new(9);
    let stopped = push(&mut lanes, "stopped", "0", 1);
    let block = lanes.next_block().unwrap();
    lanes.answered(block.1, vec![Err(refused())]);
    for n in 0..3 * MAX_IDLE {
        let _outcome = push(&mut lanes, &format!("g{n}"), "1", 1);
        let block = lanes.next_block().unwrap();
        accept(&mut lanes, block);
    }
    assert!(lanes.names.len() <= MAX_IDLE + 2 && lanes.lanes.len() <= MAX_IDLE + 2 && lanes.blocks == 0);
    assert!(told(&stopped).unwrap().is_err());
    assert_eq!(lanes.stopped(), ["stopped"], "a stop is something to remember");
}

#[test]
fn a_promise_that_is_broken_is_told() {
    let mut lanes = Lanes::new(1);
    let outcome = push(&mut lanes, "a", "1", 1);
    drop(lanes);
    assert!(told(&outcome).unwrap().unwrap_err().is_retryable());
}

/// Against a plain list: the same messages go out in the same order, whatever was answered how and when.
#[test]
fn it_sends_what_a_plain_list_of_messages_would() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut lanes = Lanes::new(random.usize(1..4));
        // Group and number of what waits, in the order of arrival; groups of each unanswered block.
        let (mut list, mut open) = (Vec::new(), Vec::<(Vec<usize>, Block)>::new());
        let mut keep = Vec::new();
        for number in 0..300 {
            let group = random.usize(..6);
            keep.push(push(&mut lanes, &group.to_string(), &number.to_string(), 1));
            list.push((group, number.to_string()));
            if random.bool()
                && let Some(block) = lanes.next_block()
            {
                let held = |group: &usize| open.iter().any(|(groups, _)| groups.contains(group));
                let (gone, left): (Vec<_>, Vec<_>) = list.into_iter().partition(|(group, _)| !held(group));
                list = left;
                assert_eq!(ids(&block), gone.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), "seed {seed}");
                open.push((gone.into_iter().map(|(group, _)| group).collect(), block));
            }
            if random.u8(..3) == 0 && !open.is_empty() {
                let (_, block) = open.swap_remove(random.usize(..open.len()));
                accept(&mut lanes, block);
            }
        }
    }
}
