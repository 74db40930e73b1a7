//! Receipts, leases and retention: R3 to R6, R9.

use lockstep_engine::{
    AttributeChanges, Rejected,
    command::ChangeVisibility,
    words::{Epoch, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};

use crate::world::{DAY, HOUR, MINUTE, QUEUE, SECOND, World, prefix, queue, receipt, receipts, sequences, strict};

#[test]
fn r3_every_receive_yields_a_new_handle() {
    let mut world = World::with(prefix());
    world.fill("g");
    let first = world.receive_for(1, SECOND);
    world.pass(SECOND);
    let second = world.receive(1);
    assert_ne!(receipt(&first[0]), receipt(&second[0]));
    assert_eq!(world.delete(&first[0]), Err(Rejected::ReceiptExpired));
    assert!(world.delete(&second[0]).is_ok());
}

#[test]
fn r3_the_handle_dies_with_its_lease_although_nobody_received_the_message_again() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g");
        let delivered = world.receive_for(1, SECOND);
        world.pass(SECOND);
        assert_eq!(world.delete(&delivered[0]), Err(Rejected::ReceiptExpired), "at exactly its end");
        assert_eq!(sequences(&world.receive(1)), [1]);
    }
}

#[test]
fn r3_inside_an_extension_the_delete_succeeds() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive_for(1, SECOND);
    world.change(&delivered[0], 5 * SECOND).expect("held");
    world.pass(5 * SECOND - 1);
    assert!(!world.delete(&delivered[0]).expect("held").already_gone);
}

#[test]
fn r4_deleting_twice_succeeds_twice() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g");
        let delivered = world.receive(1);
        assert!(!world.delete(&delivered[0]).expect("held").already_gone);
        assert!(world.delete(&delivered[0]).expect("it was a valid handle").already_gone);
    }
}

#[test]
fn r4_a_receipt_of_another_queue_or_of_no_message_yet_is_foreign() {
    let mut world = World::with(prefix());
    world.fill("g");
    let known = receipt(&world.receive(1)[0]);
    let other_life = Receipt { generation: QueueGeneration(9), ..known };
    let never_sent = Receipt { sequence: SequenceNumber(7), ..known };
    let other_grant = Receipt { epoch: Epoch(9), ..known };
    assert_eq!(
        world.delete_all(vec![other_life, never_sent, other_grant]),
        [Err(Rejected::ReceiptForeign), Err(Rejected::ReceiptForeign), Err(Rejected::ReceiptExpired)]
    );
}

#[test]
fn r5_changing_the_visibility_of_a_deleted_message_is_refused() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive(1);
    world.delete(&delivered[0]).expect("held");
    assert_eq!(world.change(&delivered[0], MINUTE), Err(Rejected::MessageNotInFlight));
}

#[test]
fn r5_an_expired_handle_changes_nothing() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive_for(1, SECOND);
    world.pass(SECOND);
    assert_eq!(world.change(&delivered[0], MINUTE), Err(Rejected::ReceiptExpired));
    assert_eq!(sequences(&world.receive(1)), [1]);
}

#[test]
fn r6_the_new_timeout_counts_from_the_call_and_is_not_remembered() {
    let mut world = World::with(AttributeChanges { visibility: Some(30 * SECOND), ..prefix() });
    world.fill("g");
    let delivered = world.receive(1);
    world.pass(20 * SECOND);
    let until = Timestamp(world.now + 5 * SECOND);
    assert_eq!(world.change(&delivered[0], 5 * SECOND), Ok(until), "shorter than before");
    world.pass(5 * SECOND);
    let again = world.receive(1);
    assert_eq!(again[0].visible_at, Timestamp(world.now + 30 * SECOND), "the queue's own again");
}

#[test]
fn r6_twelve_hours_since_the_receive_are_the_limit() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive(1);
    assert!(world.change(&delivered[0], 12 * HOUR).is_ok());
    world.pass(SECOND);
    assert_eq!(world.change(&delivered[0], 12 * HOUR), Err(Rejected::VisibilityTooLong));
    assert_eq!(world.change(&delivered[0], 12 * HOUR + 1), Err(Rejected::VisibilityTooLong));
    assert!(world.change(&delivered[0], 12 * HOUR - SECOND).is_ok());
    world.pass(12 * HOUR - SECOND);
    assert_eq!(world.change(&delivered[0], 1), Err(Rejected::ReceiptExpired));
}

#[test]
fn r6_a_batch_is_judged_entry_by_entry() {
    let mut world = World::with(prefix());
    world.fill("g g");
    let delivered = receipts(&world.receive(2));
    let entries = vec![(delivered[0], 0), (delivered[0], MINUTE), (delivered[1], 13 * HOUR), (delivered[1], MINUTE)];
    let outcomes = world.ask(&ChangeVisibility { queue: queue(QUEUE), entries }).expect("a queue");
    assert!(outcomes[0].is_ok() && outcomes[3].is_ok());
    assert_eq!(outcomes[1], Err(Rejected::ReceiptExpired), "it was given back by the entry before");
    assert_eq!(outcomes[2], Err(Rejected::VisibilityTooLong));
}

#[test]
fn r9_a_message_past_its_retention_is_gone_also_in_flight_and_deleting_it_succeeds() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..attributes });
        world.fill("g");
        world.pass(MINUTE - 1);
        let delivered = world.receive(1);
        assert_eq!(sequences(&delivered), [1]);
        world.pass(1);
        assert!(world.delete(&delivered[0]).expect("a valid handle").already_gone);
    }
}

#[test]
fn r9_a_lower_retention_expires_what_is_stored() {
    let mut world = World::with(strict());
    world.fill("g");
    world.pass(2 * MINUTE);
    world.fill("g");
    world.set(AttributeChanges { retention: Some(MINUTE), ..AttributeChanges::default() }).expect("changed");
    assert_eq!(sequences(&world.receive(10)), [2]);
}

#[test]
fn r9_when_the_head_in_flight_expires_its_group_goes_on_and_the_engine_asks_for_that_turn() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.fill("g");
    world.pass(MINUTE - 5 * SECOND);
    world.fill("g");
    world.receive_for(1, 12 * HOUR);
    let deadline = world.engine.next_deadline().expect("a lease lives");
    assert_eq!(deadline, Timestamp(world.now + 5 * SECOND), "whoever polls for the second message is woken then");
    world.pass(5 * SECOND);
    assert_eq!(sequences(&world.receive(10)), [2]);
}

#[test]
fn r9_what_nobody_asks_for_expires_nevertheless() {
    let mut world = World::with(AttributeChanges { retention: Some(DAY), ..strict() });
    world.fill("g");
    for _ in 0..100_000 {
        let Some(deadline) = world.engine.next_deadline() else { break };
        world.now = deadline.0.max(world.now + 1);
        world.settle();
        world.heartbeat();
    }
    assert_eq!(world.describe().available, 0, "an idle broker gives the space back");
    assert_eq!(world.engine.next_deadline(), None);
}
