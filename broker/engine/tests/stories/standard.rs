//! Standard queues (B5): at least once, in no promised order, nothing deduplicated, and what the rules say of them
//! beside a FIFO queue.

use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{ChangeVisibility, CreateQueue, Delete, OpenProducer, OpenReader, Park, Receive, Send, SendEntry},
    limits,
    reply::{Accepted, Deleted, Delivered},
    words::{QueueName, Receipt, Timestamp},
};

use crate::world::*;

const PLAIN: &str = "orders";

fn world() -> World {
    let mut world = World::empty();
    world.create(PLAIN, AttributeChanges::default()).expect("a new queue");
    world
}

fn send(world: &mut World, entries: Vec<SendEntry>) -> Vec<Result<Accepted, Rejected>> {
    world.ask(&Send { queue: queue(PLAIN), session: None, entries }).expect("the queue is there")
}

fn receive(world: &mut World, max_messages: u32, visibility: u64) -> Result<Vec<Delivered>, Rejected> {
    world.ask(&Receive { queue: queue(PLAIN), max_messages, visibility: Some(visibility), attempt: None })
}

fn delete(world: &mut World, receipt: Receipt) -> Result<Deleted, Rejected> {
    let delete = Delete { queue: queue(PLAIN), receipts: vec![receipt] };
    world.ask(&delete).expect("the queue is there").remove(0)
}

fn change(world: &mut World, receipt: Receipt, timeout: u64) -> Result<Timestamp, Rejected> {
    let change = ChangeVisibility { queue: queue(PLAIN), entries: vec![(receipt, timeout)] };
    world.ask(&change).expect("the queue is there").remove(0)
}

#[test]
fn l1_a_name_without_the_suffix_is_that_of_a_standard_queue() {
    for (name, fifo) in [("orders", false), ("fifo", false), ("a-fifo", false), ("a.fifo", true)] {
        assert_eq!(QueueName::parse(name).expect("a name").is_fifo(), fifo, "{name}");
    }
    let longest = "a".repeat(80);
    assert!(QueueName::parse(&longest).is_ok());
    for bad in ["", "a.b", "a.fifo.fifo", ".fifo", "a b", "a.FIFO", &format!("{longest}a")] {
        assert!(QueueName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn b5_no_message_blocks_another_of_its_group() {
    let mut world = world();
    send(&mut world, vec![bare("g", "1"), bare("g", "2"), bare("g", "3")]).iter().for_each(|it| assert!(it.is_ok()));
    let first = receive(&mut world, 1, MINUTE).expect("one");
    assert_eq!(sequences(&first), [1]);
    assert_eq!(sequences(&receive(&mut world, 10, MINUTE).expect("the rest")), [2, 3]);
    assert_eq!(delete(&mut world, receipt(&first[0])), Ok(Deleted { already_gone: false }));
}

#[test]
fn b5_nothing_is_a_duplicate_and_a_deduplication_id_is_refused() {
    let mut world = world();
    let sent = send(&mut world, vec![bare("g", "same"), bare("g", "same"), entry("g", "id"), bare("g", "same")]);
    assert_eq!(sent[2], Err(Rejected::DeduplicationIdNotAllowed));
    let accepted: Vec<_> = sent.iter().flatten().map(|it| (it.sequence.0, it.duplicate)).collect();
    assert_eq!(accepted, [(1, false), (2, false), (3, false)], "a refused entry stops nobody");
}

#[test]
fn l8_attributes_of_groups_and_deduplication_are_unknown() {
    let mut world = world();
    let content_based = AttributeChanges { content_based: Some(false), ..AttributeChanges::default() };
    let window = AttributeChanges { window: Some(limits::MIN_WINDOW), ..AttributeChanges::default() };
    for (attribute, changes) in
        [("ContentBasedDeduplication", content_based), ("DeduplicationWindow", window), ("GroupDelivery", strict())]
    {
        let create = CreateQueue { name: queue_name("another"), attributes: changes, tags: Default::default() };
        assert_eq!(world.ask(&create), Err(Rejected::AttributeUnknown { attribute }));
    }
}

#[test]
fn s10_a_message_may_have_a_delay_of_its_own() {
    let mut world = World::empty();
    let attributes = AttributeChanges { delay: Some(MINUTE), ..AttributeChanges::default() };
    world.create(PLAIN, attributes).expect("a new queue");
    let delayed = |delay| SendEntry { delay, ..bare("g", "body") };
    send(&mut world, vec![delayed(Some(2 * MINUTE)), delayed(None), delayed(Some(0))]);
    assert_eq!(sequences(&receive(&mut world, 10, HOUR).expect("a receive")), [3], "0 is no delay at all");
    world.pass(MINUTE);
    assert_eq!(sequences(&receive(&mut world, 10, HOUR).expect("a receive")), [2], "the queue's");
    world.pass(MINUTE);
    assert_eq!(sequences(&receive(&mut world, 10, HOUR).expect("a receive")), [1], "its own");
}

#[test]
fn r3_a_delete_after_the_lease_ended_works() {
    let mut world = world();
    send(&mut world, vec![bare("g", "body")]);
    let late = receipt(&receive(&mut world, 1, MINUTE).expect("a receive")[0]);
    world.pass(2 * MINUTE);
    assert_eq!(sequences(&receive(&mut world, 1, MINUTE).expect("again")), [1]);
    assert_eq!(delete(&mut world, late), Ok(Deleted { already_gone: false }), "though another holds it");
    assert_eq!(delete(&mut world, late), Ok(Deleted { already_gone: true }), "R4");
    assert_eq!(change(&mut world, late, MINUTE), Err(Rejected::MessageNotInFlight), "R5");
}

#[test]
fn r5_a_change_after_the_lease_ended_is_accepted_and_says_when_the_message_is_visible() {
    let mut world = world();
    send(&mut world, vec![bare("g", "body")]);
    let late = receipt(&receive(&mut world, 1, MINUTE).expect("a receive")[0]);
    world.pass(2 * MINUTE);
    assert_eq!(change(&mut world, late, HOUR), Ok(Timestamp(world.now)), "it is visible already");
    let again = receive(&mut world, 1, 5 * MINUTE).expect("a receive");
    assert_eq!(sequences(&again), [1]);
    assert_eq!(change(&mut world, late, HOUR), Ok(Timestamp(world.now + 5 * MINUTE)), "another's lease stays");
    assert_eq!(change(&mut world, receipt(&again[0]), HOUR), Ok(Timestamp(world.now + HOUR)));
    assert_eq!(change(&mut world, late, 13 * HOUR), Err(Rejected::VisibilityTooLong));
}

#[test]
fn l10_at_the_cap_a_receive_is_refused() {
    let mut world = world();
    world.watchful = false;
    let cap = usize::try_from(limits::IN_FLIGHT).expect("a small number");
    for _ in 0..=cap / 1_000 {
        send(&mut world, (0..1_000).map(|_| bare("g", "body")).collect());
    }
    let mut held = Vec::new();
    for _ in 0..cap / 1_000 {
        held = receive(&mut world, 1_000, HOUR).expect("below the cap");
    }
    assert_eq!(receive(&mut world, 1, HOUR), Err(Rejected::OverLimit));
    delete(&mut world, receipt(&held[0])).expect("it is there");
    assert_eq!(receive(&mut world, 10, HOUR).expect("there is room").len(), 1);
    world.engine.check().expect("the invariants hold");
}

#[test]
fn q1_q3_a_dead_letter_goes_to_a_standard_queue_and_keeps_its_age() {
    let mut world = World::empty();
    let kept = AttributeChanges { retention: Some(10 * MINUTE), ..AttributeChanges::default() };
    world.create("dead", kept).expect("a new queue");
    world.create("dead.fifo", AttributeChanges::default()).expect("a new queue");
    let kind = Rejected::DeadLetterQueueKind { name: queue_name("dead.fifo") };
    assert_eq!(world.create(PLAIN, redrive("dead.fifo", 1)), Err(kind));
    world.create(PLAIN, redrive("dead", 1)).expect("a new queue");
    send(&mut world, vec![bare("g", "old")]);
    world.pass(MINUTE);
    world.ask(&Send { queue: queue("dead"), session: None, entries: vec![bare("g", "young")] }).expect("sent");
    receive(&mut world, 1, 0).expect("a receive");
    world.pass(MINUTE);
    assert_eq!(receive(&mut world, 1, 0), Ok(Vec::new()), "moved, not delivered");
    let waiting = |world: &World| world.engine.describe(&queue("dead")).expect("there").available;
    assert_eq!(waiting(&world), 2);
    world.pass(8 * MINUTE);
    world.settle();
    assert_eq!(waiting(&world), 1, "the letter is ten minutes old, behind a younger message");
    world.pass(MINUTE);
    world.settle();
    assert_eq!(waiting(&world), 0);
}

#[test]
fn b5_readers_sessions_and_parking_are_for_fifo_queues() {
    let mut world = world();
    let (reader, instance) = (label("pool"), label("one"));
    let open = OpenReader { queue: queue(PLAIN), reader, instance: instance.clone(), claim_limit: None };
    assert_eq!(world.ask(&open), Err(Rejected::NotStrict));
    let open = OpenProducer { queue: queue(PLAIN), producer: label("day"), instance };
    assert_eq!(world.ask(&open), Err(Rejected::NotFifo));
    assert_eq!(world.ask(&Park { queue: queue(PLAIN), group: group("g") }), Err(Rejected::NotFifo));
}
