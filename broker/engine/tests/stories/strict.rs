//! The strict discipline: one holder a group, taken back with its later ones, deleted in order. And B2.

use lockstep_engine::{
    Rejected,
    command::ChangeVisibility,
    words::{SequenceNumber, Timestamp},
};

use crate::world::{
    HOUR, MINUTE, QUEUE, SECOND, World, commit_deliveries, entry, output, prefix, queue, receipt, receipts, sequences,
    strict,
};

/// A strict queue with three messages of one group, received together.
fn three_received() -> (World, Vec<lockstep_engine::reply::Delivered>) {
    let mut world = World::with(strict());
    world.fill("g g g");
    let delivered = world.receive_for(3, MINUTE);
    (world, delivered)
}

#[test]
fn strict_one_holder_at_a_time() {
    let (mut world, delivered) = three_received();
    world.fill("g");
    assert_eq!(world.receive(10), []);
    world.delete(&delivered[0]).expect("held");
    assert_eq!(world.receive(10), [], "the grant goes on with its second message");
    world.delete_all(receipts(&delivered[1..]));
    assert_eq!(sequences(&world.receive(10)), [4], "it ended with its last one");
}

#[test]
fn strict_what_is_given_back_takes_the_later_ones_with_it_uncounted() {
    let (mut world, delivered) = three_received();
    world.change(&delivered[1], 0).expect("held");
    assert_eq!(world.receives(), [(1, 1), (2, 1), (3, 0)]);
    assert_eq!(world.delete(&delivered[2]), Err(Rejected::ReceiptExpired), "its receipt died");
    assert_eq!(world.receive(10), [], "the first one is still held");
    world.delete(&delivered[0]).expect("held");
    let again = world.receive(10);
    assert_eq!(sequences(&again), [2, 3]);
    assert_eq!([again[0].receives, again[1].receives], [2, 1]);
    assert_eq!(again[1].first_received_at, Timestamp(world.now), "the receive that was taken back never was");
}

#[test]
fn strict_what_lapses_takes_the_later_ones_with_it_and_only_its_receive_counts() {
    let (mut world, delivered) = three_received();
    world.change(&delivered[2], HOUR).expect("held");
    world.pass(MINUTE);
    world.settle();
    assert_eq!(world.receives(), [(1, 1), (2, 0), (3, 0)]);
    assert_eq!(world.delete(&delivered[2]), Err(Rejected::ReceiptExpired), "although its own lease was longer");
    assert_eq!(sequences(&world.receive(10)), [1, 2, 3]);
}

#[test]
fn strict_an_extension_reaches_the_later_ones_and_not_the_earlier() {
    let (mut world, delivered) = three_received();
    world.change(&delivered[2], 5 * MINUTE).expect("held");
    world.change(&delivered[1], 3 * MINUTE).expect("held");
    world.change(&delivered[0], 2 * MINUTE).expect("held");
    world.pass(MINUTE);
    assert!(world.delete(&delivered[0]).is_ok());
    world.pass(MINUTE);
    assert!(world.delete(&delivered[1]).is_ok(), "its own extension reaches further");
    world.pass(2 * MINUTE);
    assert!(world.delete(&delivered[2]).is_ok(), "no extension shortened it");
}

#[test]
fn strict_extending_the_first_keeps_them_all() {
    let (mut world, delivered) = three_received();
    world.pass(MINUTE - 1);
    world.change(&delivered[0], MINUTE).expect("held");
    world.pass(MINUTE - 1);
    assert!(world.delete_all(receipts(&delivered)).iter().all(Result::is_ok));
}

#[test]
fn strict_a_delete_that_would_leave_a_hole_names_what_is_in_the_way() {
    let (mut world, delivered) = three_received();
    let blocking = SequenceNumber(1);
    assert_eq!(world.delete(&delivered[2]), Err(Rejected::EarlierInFlight { blocking }));
    assert_eq!(world.describe().in_flight, 3, "lease and handle are as they were");
    world.delete(&delivered[0]).expect("held");
    assert_eq!(world.delete(&delivered[2]), Err(Rejected::EarlierInFlight { blocking: SequenceNumber(2) }));
    world.delete(&delivered[1]).expect("held");
    assert!(world.delete(&delivered[2]).is_ok());
}

#[test]
fn strict_a_batch_of_deletes_is_judged_as_a_set() {
    let (mut world, delivered) = three_received();
    let backwards: Vec<_> = receipts(&delivered).into_iter().rev().collect();
    assert!(world.delete_all(backwards).iter().all(Result::is_ok));
    assert_eq!(world.describe().groups, 0);
}

#[test]
fn strict_in_a_batch_only_those_behind_the_hole_fail() {
    let mut world = World::with(strict());
    world.fill("g g g h");
    let delivered = receipts(&world.receive(4));
    let outcomes = world.delete_all(vec![delivered[2], delivered[0], delivered[3]]);
    assert_eq!(outcomes[0], Err(Rejected::EarlierInFlight { blocking: SequenceNumber(2) }));
    assert!(outcomes[1].is_ok() && outcomes[2].is_ok());
    assert_eq!(world.receives(), [(2, 1), (3, 1)]);
}

#[test]
fn strict_a_commit_of_deliveries_is_all_or_nothing() {
    let (mut world, delivered) = three_received();
    world.create("out.fifo", prefix()).expect("a new queue");
    let mut hole = commit_deliveries("hole", &delivered[1..]);
    hole.outputs = vec![output("out.fifo", entry("o", "1"))];
    assert_eq!(world.ask(&hole), Err(Rejected::EarlierInFlight { blocking: SequenceNumber(1) }));
    assert_eq!(world.engine.queues("out", "", 1)[0].available, 0, "nothing was sent");
    assert_eq!(world.describe().in_flight, 3);
    let mut whole = commit_deliveries("whole", &delivered);
    whole.outputs = vec![output("out.fifo", entry("o", "1"))];
    let done = world.ask(&whole).expect("all are held");
    assert!(!done.repeated && done.outputs.len() == 1);
    let again = world.ask(&whole).expect("the same answer");
    assert!(again.repeated && again.outputs == done.outputs);
    assert_eq!(world.engine.queues("out", "", 1)[0].available, 1, "sent once");
}

#[test]
fn strict_a_commit_with_one_dead_receipt_does_nothing() {
    let (mut world, delivered) = three_received();
    world.change(&delivered[2], 0).expect("held");
    assert_eq!(world.ask(&commit_deliveries("late", &delivered)), Err(Rejected::ReceiptExpired));
    assert!(world.ask(&commit_deliveries("in-time", &delivered[..2])).is_ok());
    assert_eq!(sequences(&world.receive(10)), [3]);
}

#[test]
fn strict_a_prefix_queue_takes_no_commit_and_no_reader() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive(1);
    assert_eq!(world.ask(&commit_deliveries("id", &delivered)), Err(Rejected::NotStrict));
    assert_eq!(world.engine.readers(&queue(QUEUE), "", 9), Err(Rejected::NotStrict));
    assert_eq!(world.claim(1, 1), Err(Rejected::NotStrict));
}

#[test]
fn b2_each_grant_has_a_higher_epoch_and_an_old_one_does_nothing() {
    let mut world = World::with(strict());
    world.fill("g h");
    let mut newest = 0;
    let mut stale = Vec::new();
    for _ in 0..3 {
        let delivered = world.receive_for(2, SECOND);
        for message in &delivered {
            assert!(message.epoch.0 > newest, "one rising counter for the whole queue");
            newest = message.epoch.0;
        }
        stale.push(delivered);
        world.pass(SECOND);
    }
    let held = world.receive(2);
    for delivered in &stale {
        assert_eq!(world.delete(&delivered[0]), Err(Rejected::ReceiptExpired));
        assert_eq!(world.change(&delivered[0], MINUTE), Err(Rejected::ReceiptExpired));
        assert_eq!(world.ask(&commit_deliveries("stale", delivered)), Err(Rejected::ReceiptExpired));
    }
    assert_eq!(world.delete_all(vec![receipt(&held[0]), receipt(&held[1])]).len(), 2);
    assert_eq!(world.describe().groups, 0);
}

#[test]
fn r5_a_batch_gives_every_message_of_a_grant_back_though_the_first_takes_the_others_with_it() {
    let (mut world, delivered) = three_received();
    let change = |index: usize, timeout| (receipt(&delivered[index]), timeout);
    let entries = vec![change(0, 0), change(1, 0), change(2, SECOND), change(1, 0)];
    let outcomes = world.ask(&ChangeVisibility { queue: queue(QUEUE), entries }).expect("a queue");
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!(outcomes[2], Err(Rejected::ReceiptExpired));
    assert_eq!(sequences(&world.receive(3)), [1, 2, 3]);
}
