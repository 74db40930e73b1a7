//! What a block may hold, and what the others wait for: the line's order without anything being sent.

use tokio::sync::oneshot::Receiver;

use super::*;

type Outcome = Receiver<Result<Sent, Error>>;

fn push(lanes: &mut Lanes, group: &str, id: &str, body: usize) -> Outcome {
    let (answer, outcome) = oneshot::channel();
    let wire = v1::SendEntry {
        message_group_id: group.to_owned(),
        message_deduplication_id: id.to_owned(),
        body: vec![b'x'; body].into(),
        ..v1::SendEntry::default()
    };
    lanes.push(Entry::new(wire, answer, None));
    outcome
}

fn ids(block: &[Entry]) -> Vec<&str> {
    block.iter().map(|entry| entry.wire.message_deduplication_id.as_str()).collect()
}

fn accept(lanes: &mut Lanes, block: Vec<Entry>) {
    let sent = |_| Ok(Sent { message_id: String::new(), sequence_number: 1, duplicate: false });
    let outcomes = block.iter().map(sent).collect();
    lanes.answered(block, outcomes);
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
    let mut first = push(&mut lanes, "a", "a1", 1);
    let block = lanes.next_block().unwrap();
    let mut behind = push(&mut lanes, "a", "a2", 1);
    lanes.answered(block, vec![Err(refused())]);
    assert_eq!(first.try_recv().unwrap(), Err(refused()));
    assert_eq!(behind.try_recv().unwrap().unwrap_err().reason(), Some(EARLIER_REJECTED));
    let mut later = push(&mut lanes, "a", "a3", 1);
    assert_eq!(later.try_recv().unwrap().unwrap_err().reason(), Some(EARLIER_REJECTED));
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
    assert_eq!(block.len(), 3);
    let _late = push(&mut lanes, "b", "b2", 1);
    lanes.turned_away(block);
    for expected in ["a1", "b1", "a2", "b2"] {
        let block = lanes.next_block().unwrap();
        assert_eq!(ids(&block), [expected]);
        accept(&mut lanes, block);
    }
}

#[test]
fn a_group_with_nothing_to_remember_is_forgotten() {
    let mut lanes = Lanes::new(9);
    let _outcome = push(&mut lanes, "a", "a1", 1);
    let block = lanes.next_block().unwrap();
    accept(&mut lanes, block);
    assert!(lanes.lanes.is_empty() && lanes.ready.is_empty() && lanes.blocks == 0);
}
