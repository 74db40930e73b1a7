//! Messages that are not visible yet: S10, S11, O7.

use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{Send, SendEntry},
    explain::{Holder, Reason, Subject},
    reply::Claimed,
    view::MessageState,
    words::{SequenceNumber, Timestamp},
};

use crate::world::{
    HOUR, MINUTE, QUEUE, SECOND, World, commit_of, entry, group, output, prefix, queue, sequences, strict,
};

fn delaying(delay: u64) -> AttributeChanges {
    AttributeChanges { delay: Some(delay), ..AttributeChanges::default() }
}

fn with_delay(attributes: &AttributeChanges, delay: u64) -> World {
    World::with(AttributeChanges { delay: Some(delay), ..attributes.clone() })
}

fn own_delay(delay: u64) -> SendEntry {
    SendEntry { delay: Some(delay), ..entry("g", "own") }
}

#[test]
fn o7_a_delayed_message_is_invisible_until_its_delay_elapsed() {
    for attributes in [prefix(), strict()] {
        let mut world = with_delay(&attributes, 10 * SECOND);
        world.fill("g");
        let seen = world.describe();
        assert_eq!((seen.available, seen.in_flight, seen.delayed), (0, 0, 1));
        assert_eq!(world.engine.next_deadline().map(|at| at.0 <= world.now + 10 * SECOND), Some(true));
        world.pass(10 * SECOND - 1);
        assert!(world.receive(1).is_empty());
        world.pass(1);
        assert_eq!(sequences(&world.receive(1)), [1]);
        assert_eq!(world.describe().delayed, 0);
    }
}

#[test]
fn o7_a_delayed_tail_does_not_freeze_its_group() {
    for attributes in [prefix(), strict()] {
        let mut world = with_delay(&attributes, MINUTE);
        world.fill("g");
        world.pass(50 * SECOND);
        world.fill("g");
        world.pass(10 * SECOND);
        let first = world.receive(10);
        assert_eq!(sequences(&first), [1]);
        assert!(world.delete(&first[0]).is_ok());
        assert!(world.receive(10).is_empty());
        world.pass(50 * SECOND);
        assert_eq!(sequences(&world.receive(10)), [2]);
    }
}

#[test]
fn o7_a_message_that_becomes_visible_behind_a_held_one_waits_for_it() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g");
    world.pass(MINUTE);
    let first = world.receive_for(1, HOUR);
    world.fill("g");
    world.pass(MINUTE);
    assert!(world.receive(1).is_empty());
    assert!(world.delete(&first[0]).is_ok());
    assert_eq!(sequences(&world.receive(1)), [2]);
}

#[test]
fn o7_peek_says_until_when_a_message_is_delayed() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g");
    let peeked = world.engine.peek(&queue(QUEUE), None, SequenceNumber(0), 10, u64::MAX).expect("a queue");
    assert_eq!(peeked[0].state, MessageState::Delayed(Timestamp(world.now + MINUTE)));
}

#[test]
fn b4_explain_says_until_when_a_message_is_delayed() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g");
    let until = Timestamp(world.now + MINUTE);
    for subject in [Subject::Message(SequenceNumber(1)), Subject::Group(group("g"))] {
        let explained = world.engine.explain(&queue(QUEUE), &subject, Timestamp(world.now)).expect("a queue");
        assert_eq!(explained.reason, Reason::Delayed);
        let holder = explained.blocking.expect("it says why").holder;
        assert_eq!(holder, Holder::Delay { since: Timestamp(world.now), until });
    }
}

#[test]
fn o7_a_claim_takes_only_what_is_not_delayed() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g h");
    world.open_reader("controller");
    assert_eq!(world.claim(1, 10), Ok(Claimed::Empty));
    world.pass(30 * SECOND);
    world.fill("g");
    world.pass(30 * SECOND);
    let claim = world.claimed(1, 10);
    assert_eq!(world.claimed_messages(&claim), [1, 2]);
    assert!(world.finish(&claim).is_ok());
    assert_eq!(world.describe().delayed, 1);
}

#[test]
fn o7_an_output_of_a_commit_is_delayed_by_its_queue() {
    let mut world = World::with(strict());
    world.create("later.fifo", delaying(MINUTE)).expect("a new queue");
    world.fill("g");
    world.open_reader("controller");
    let claim = world.claimed(1, 1);
    let mut commit = commit_of(&claim);
    commit.outputs = vec![output("later.fifo", entry("g", "out"))];
    world.ask(&commit).expect("committed");
    assert_eq!(world.engine.describe(&queue("later.fifo")).expect("a queue").delayed, 1);
}

#[test]
fn s10_a_delay_of_its_own_is_refused_and_zero_means_that_of_the_queue() {
    let mut world = with_delay(&strict(), MINUTE);
    assert_eq!(world.send(own_delay(2 * SECOND)), Err(Rejected::DelayNotAllowed));
    assert!(world.send(own_delay(0)).is_ok());
    assert_eq!(world.describe().delayed, 1);
}

#[test]
fn s10_a_refused_delay_stops_the_later_entries_of_its_group() {
    let mut world = World::with(strict());
    let entries = vec![own_delay(SECOND), entry("g", "next"), entry("h", "other")];
    let outcomes = world.ask(&Send { queue: queue(QUEUE), session: None, entries }).expect("a queue");
    assert_eq!(outcomes[0], Err(Rejected::DelayNotAllowed));
    assert_eq!(outcomes[1], Err(Rejected::EarlierRejected));
    assert!(outcomes[2].is_ok());
}

#[test]
fn s11_a_lowered_delay_shows_what_is_delayed_sooner() {
    let mut world = with_delay(&strict(), 10 * MINUTE);
    world.fill("g");
    world.pass(SECOND);
    world.fill("g h");
    world.set(delaying(MINUTE)).expect("changed");
    world.pass(MINUTE - SECOND - 1);
    assert!(world.receive(10).is_empty());
    world.pass(1);
    assert_eq!(sequences(&world.receive(10)), [1]);
    world.pass(SECOND);
    assert_eq!(world.describe().delayed, 2);
    world.set(delaying(0)).expect("changed");
    world.settle();
    assert_eq!(world.describe().delayed, 0);
}

#[test]
fn s11_a_raised_delay_hides_what_is_delayed_longer_but_nothing_that_was_visible() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("seen");
    world.pass(30 * SECOND);
    world.fill("hidden");
    world.pass(30 * SECOND);
    world.settle();
    world.set(delaying(2 * MINUTE)).expect("changed");
    assert_eq!(sequences(&world.receive_for(10, HOUR)), [1]);
    world.pass(90 * SECOND - 1);
    assert!(world.receive(10).is_empty());
    world.pass(1);
    assert_eq!(sequences(&world.receive(10)), [2]);
}

#[test]
fn s11_a_message_that_was_delivered_once_is_never_delayed_again() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g g");
    world.pass(MINUTE);
    // Both are taken back, the second one uncounted: as if it had never been received.
    let delivered = world.receive_for(2, HOUR);
    world.change(&delivered[0], 0).expect("given back");
    world.set(delaying(15 * MINUTE)).expect("changed");
    assert_eq!(sequences(&world.receive(10)), [1, 2]);
}

#[test]
fn l4_a_delay_is_at_most_fifteen_minutes() {
    let mut world = World::with(strict());
    assert!(matches!(world.set(delaying(900_001)), Err(Rejected::AttributeInvalid { attribute: "DelaySeconds", .. })));
    assert!(world.set(delaying(900_000)).is_ok());
}

#[test]
fn h2_downtime_counts_for_a_delay() {
    let mut world = with_delay(&strict(), MINUTE);
    world.fill("g h");
    world.restart_after(MINUTE);
    assert_eq!(sequences(&world.receive(10)), [1, 2]);
}

#[test]
fn a3_a_purge_and_retention_take_delayed_messages_too() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.set(delaying(10 * MINUTE)).expect("changed");
    world.fill("g");
    assert_eq!(world.purge(), 1);
    world.fill("g");
    world.pass(MINUTE);
    world.settle();
    let seen = world.describe();
    assert_eq!((seen.available, seen.delayed), (0, 0));
}

#[test]
fn h3_many_delays_that_elapse_at_once_are_settled_in_slices() {
    let mut world = with_delay(&strict(), MINUTE);
    world.watchful = false;
    let groups: Vec<String> = (0..2_500).map(|number| format!("g{number}")).collect();
    world.fill(&groups.join(" "));
    world.pass(MINUTE);
    assert_eq!(world.settle(), 3);
    assert_eq!(world.describe().available, 2_500);
    world.engine.check().expect("the invariants hold");
}
