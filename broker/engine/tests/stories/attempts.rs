//! Receives that are repeated under their attempt id: R7.

use lockstep_engine::{AttributeChanges, Event, Rejected, limits, words::Timestamp};

use crate::world::{HOUR, MINUTE, SECOND, World, prefix, receipts, sequences, strict};

const INVALID: Rejected = Rejected::ReceiveAttemptInvalid;

#[test]
fn r7_a_repeat_gives_the_same_messages_under_the_same_receipts_and_hides_them_anew() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g g h i");
        let first = world.attempt(1, 3, MINUTE).expect("received");
        world.pass(50 * SECOND);
        // The number that the repeat asks for does not matter.
        let again = world.attempt(1, 1, MINUTE).expect("repeated");
        assert_eq!((sequences(&again), receipts(&again)), (vec![1, 2, 3], receipts(&first)));
        assert!(again.iter().all(|message| message.receives == 1), "not counted");
        assert!(again.iter().all(|message| message.visible_at == Timestamp(world.now + MINUTE)));
        world.pass(50 * SECOND);
        assert!(world.delete_all(receipts(&first)).iter().all(Result::is_ok));
        assert_eq!(sequences(&world.receive(10)), [4]);
    }
}

#[test]
fn r7_another_attempt_id_and_none_take_other_messages() {
    let mut world = World::with(strict());
    world.fill("g h i");
    assert_eq!(sequences(&world.attempt(1, 1, HOUR).expect("received")), [1]);
    assert_eq!(sequences(&world.attempt(2, 1, HOUR).expect("received")), [2]);
    assert_eq!(sequences(&world.receive(1)), [3]);
}

#[test]
fn r7_a_deleted_message_ends_the_attempt() {
    let mut world = World::with(strict());
    world.fill("g h");
    let first = world.attempt(1, 2, HOUR).expect("received");
    world.delete(&first[0]).expect("deleted");
    assert_eq!(world.attempt(1, 2, HOUR), Err(INVALID));
}

#[test]
fn r7_a_changed_visibility_ends_the_attempt() {
    for timeout in [0, HOUR, 2 * HOUR] {
        let mut world = World::with(strict());
        world.fill("g h");
        let first = world.attempt(1, 2, HOUR).expect("received");
        world.change(&first[1], timeout).expect("changed");
        assert_eq!(world.attempt(1, 2, HOUR), Err(INVALID));
    }
}

#[test]
fn r7_a_lapsed_lease_ends_the_attempt_also_when_it_is_held_again() {
    let mut world = World::with(prefix());
    world.fill("g");
    world.attempt(1, 1, SECOND).expect("received");
    world.pass(SECOND);
    assert_eq!(world.attempt(1, 1, HOUR), Err(INVALID));
    assert_eq!(sequences(&world.receive(1)), [1]);
    assert_eq!(world.attempt(1, 1, HOUR), Err(INVALID));
}

#[test]
fn r7_a_purge_and_retention_end_the_attempt() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.fill("g");
    world.attempt(1, 1, HOUR).expect("received");
    world.purge();
    assert_eq!(world.attempt(1, 1, HOUR), Err(INVALID));
    world.fill("g");
    world.attempt(2, 1, HOUR).expect("received");
    world.pass(MINUTE);
    assert_eq!(world.attempt(2, 1, HOUR), Err(INVALID));
}

#[test]
fn r7_an_empty_answer_makes_the_repeat_a_fresh_receive() {
    let mut world = World::with(strict());
    assert_eq!(world.attempt(1, 1, HOUR), Ok(Vec::new()));
    world.fill("g");
    assert_eq!(sequences(&world.attempt(1, 1, HOUR).expect("received")), [1]);
}

#[test]
fn r7_after_five_minutes_the_id_is_fresh_again() {
    let mut world = World::with(strict());
    world.fill("g h");
    world.attempt(1, 1, HOUR).expect("received");
    world.pass(5 * MINUTE - 1);
    assert_eq!(sequences(&world.attempt(1, 1, HOUR).expect("repeated")), [1]);
    world.pass(1);
    assert_eq!(sequences(&world.attempt(1, 1, HOUR).expect("received")), [2]);
}

#[test]
fn r6_a_repeat_hides_nothing_past_twelve_hours_since_the_receive() {
    let mut world = World::with(strict());
    world.fill("g");
    let first = world.attempt(1, 1, 12 * HOUR).expect("received");
    world.pass(MINUTE);
    let again = world.attempt(1, 1, 12 * HOUR).expect("repeated");
    assert_eq!(again[0].visible_at, first[0].visible_at);
}

#[test]
fn h2_downtime_does_not_count_against_an_attempt() {
    let mut world = World::with(strict());
    world.fill("g h");
    let first = world.attempt(1, 1, HOUR).expect("received");
    world.restart_after(HOUR);
    world.pass(5 * MINUTE - 1);
    assert_eq!(receipts(&world.attempt(1, 1, HOUR).expect("repeated")), receipts(&first));
}

#[test]
fn h3_expired_attempts_are_freed_by_a_watermark() {
    let mut world = World::with(strict());
    world.fill("g");
    world.attempt(1, 1, HOUR).expect("received");
    world.pass(5 * MINUTE + limits::KEY_LINGER);
    world.settle();
    assert!(matches!(world.journal[world.journal.len() - 2], Event::KeysForgotten { .. }));
    world.pass(2 * HOUR);
    world.settle();
    assert_eq!(world.engine.next_deadline().map(|at| at.0 > world.now + HOUR), Some(true), "only retention is left");
}

#[test]
fn r7_past_the_limit_the_oldest_attempt_is_forgotten() {
    let mut world = World::with(prefix());
    world.watchful = false;
    world.fill("g h");
    let queue = world.generation();
    let first = world.attempt(1, 1, HOUR).expect("received");
    for number in 0..limits::ATTEMPTS as u64 {
        let mut key = [0xff; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        let attempt = lockstep_engine::words::AttemptKey(key);
        let expires_at = lockstep_engine::words::ActiveTime(world.now + 5 * MINUTE);
        world.engine.evolve(&Event::AttemptNoted { queue, attempt, expires_at, messages: Vec::new() });
    }
    let second = world.attempt(1, 1, HOUR).expect("received");
    assert_eq!((sequences(&first), sequences(&second)), (vec![1], vec![2]));
    world.engine.check().expect("the invariants hold");
}
