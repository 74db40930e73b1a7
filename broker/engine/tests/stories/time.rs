//! Time across restarts: H2, and queues in time: A1, A3.

use lockstep_engine::{
    AttributeChanges, Engine, Event, Rejected,
    words::{QueueGeneration, Timestamp},
};

use crate::world::{DAY, HOUR, MINUTE, QUEUE, SECOND, World, entry, prefix, sequences, strict};

#[test]
fn h2_downtime_does_not_count_against_a_deduplication_key() {
    let mut world = World::with(strict());
    world.send(entry("g", "id")).expect("accepted");
    world.restart_after(HOUR);
    world.pass(5 * MINUTE - 1);
    assert!(world.send(entry("g", "id")).expect("accepted").duplicate);
    world.pass(1);
    assert!(!world.send(entry("g", "id")).expect("accepted").duplicate);
}

#[test]
fn h2_downtime_does_not_count_against_a_lease() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g g");
        let delivered = world.receive_for(2, MINUTE);
        world.restart_after(HOUR);
        world.restart_after(HOUR);
        world.pass(MINUTE - 1);
        assert!(world.delete(&delivered[0]).is_ok());
        world.pass(1);
        assert_eq!(world.delete(&delivered[1]), Err(Rejected::ReceiptExpired));
    }
}

#[test]
fn h2_downtime_does_not_count_against_the_limit_of_a_claim() {
    let mut world = World::with(strict());
    world.fill("g");
    world.open_limited("controller", Some(MINUTE));
    let claim = world.claimed(1, 1);
    world.restart_after(DAY / 2);
    world.pass(MINUTE - 1);
    assert_eq!(world.claimed(1, 1), claim);
    world.pass(1);
    assert_eq!(world.finish(&claim), Err(Rejected::ClaimBurnt));
}

#[test]
fn h2_nor_against_the_twelve_hours_of_a_delivery() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive_for(1, HOUR);
    world.restart_after(20 * HOUR);
    assert!(world.change(&delivered[0], 12 * HOUR).is_ok());
}

#[test]
fn h2_downtime_counts_for_retention() {
    let mut world = World::with(AttributeChanges { retention: Some(HOUR), ..strict() });
    world.fill("g");
    world.restart_after(HOUR);
    assert_eq!(world.receive(1), []);
}

#[test]
fn h2_a_clock_that_is_behind_resumes_at_the_journalled_time() {
    let mut world = World::with(strict());
    world.fill("g");
    let resumed = world.engine.resume(Timestamp(world.now - HOUR));
    assert_eq!(resumed, Event::Resumed { at: Timestamp(world.now), gap: 0 });
}

#[test]
fn h2_the_gap_counts_from_the_last_journalled_instant() {
    let mut world = World::with(strict());
    world.fill("g");
    world.pass(7 * SECOND);
    world.settle();
    let resumed = world.engine.resume(Timestamp(world.now + HOUR));
    assert_eq!(resumed, Event::Resumed { at: Timestamp(world.now + HOUR), gap: HOUR + 7 * SECOND });
}

#[test]
fn h2_while_a_lease_or_a_key_lives_time_is_journalled_every_ten_seconds() {
    let mut world = World::with(strict());
    assert!(!world.engine.tick_due(Timestamp(world.now + HOUR)), "nothing that downtime could hurt");
    assert_eq!(world.engine.next_deadline(), None);
    world.send(entry("g", "id")).expect("accepted");
    assert!(!world.engine.tick_due(Timestamp(world.now + 10 * SECOND - 1)));
    assert!(world.engine.tick_due(Timestamp(world.now + 10 * SECOND)));
    assert_eq!(world.engine.next_deadline(), Some(Timestamp(world.now + 10 * SECOND)));
    world.pass(5 * MINUTE + SECOND);
    world.settle();
    assert!(!world.engine.tick_due(Timestamp(world.now + HOUR)), "the key is gone");
    world.receive_for(1, HOUR);
    assert!(world.engine.tick_due(Timestamp(world.now + 10 * SECOND)), "a lease lives");
    assert_eq!(world.engine.tick(Timestamp(world.now)), None, "an instant is journalled once");
}

#[test]
fn h2_a_long_gap_that_would_expire_messages_is_named() {
    let mut world = World::with(AttributeChanges { retention: Some(2 * DAY), ..strict() });
    world.fill("g h");
    let after = |days: u64| Timestamp(world.now + days * DAY);
    assert_eq!(world.engine.expired_by_gap(after(1)), None);
    let jump = world.engine.expired_by_gap(after(2)).expect("both would be gone");
    assert_eq!((jump.gap, jump.queue.as_str(), jump.messages), (2 * DAY, QUEUE, 2));
    assert_eq!(Engine::new().expired_by_gap(after(9)), None, "without history there is no gap");
}

#[test]
fn r2_the_engine_asks_for_a_turn_at_the_end_of_each_lease() {
    let mut world = World::with(prefix());
    world.fill("g h");
    world.receive_for(1, 5 * SECOND);
    world.receive_for(1, 3 * SECOND);
    assert_eq!(world.engine.next_deadline(), Some(Timestamp(world.now + 3 * SECOND)));
    world.pass(3 * SECOND);
    assert_eq!(sequences(&world.receive_for(10, MINUTE)), [2]);
    assert_eq!(world.engine.next_deadline(), Some(Timestamp(world.now + 2 * SECOND)));
}

#[test]
fn a1_the_same_name_with_equal_given_attributes_is_the_queue_that_is_there() {
    let mut world = World::with(AttributeChanges { visibility: Some(MINUTE), ..strict() });
    let generation = world.generation();
    let again = world.create(QUEUE, AttributeChanges::default()).expect("fewer attributes are fine");
    assert!(!again.created && again.generation == generation);
    let changes = AttributeChanges { visibility: Some(HOUR), ..AttributeChanges::default() };
    assert_eq!(world.create(QUEUE, changes.clone()), Err(Rejected::QueueExists { attribute: "VisibilityTimeout" }));
    world.set(changes.clone()).expect("changed");
    assert!(!world.create(QUEUE, changes).expect("equal to what is there now").created);
    assert_eq!(world.create(QUEUE, prefix()), Err(Rejected::QueueExists { attribute: "GroupDelivery" }));
}

#[test]
fn a3_a_purge_removes_what_is_in_flight_too() {
    let mut world = World::with(prefix());
    world.fill("g g h");
    let delivered = world.receive(1);
    assert_eq!(world.purge(), 3);
    assert!(world.delete(&delivered[0]).expect("a valid handle").already_gone);
    assert_eq!(world.change(&delivered[0], MINUTE), Err(Rejected::MessageNotInFlight));
    assert_eq!(world.receive(10), []);
}

#[test]
fn b8_a_generation_is_never_used_again() {
    let mut world = World::with(strict());
    assert_eq!(world.generation(), QueueGeneration(1));
    world.delete_queue(QUEUE);
    world.restart_after(SECOND);
    world.create(QUEUE, strict()).expect("made anew");
    assert_eq!(world.generation(), QueueGeneration(2));
}
