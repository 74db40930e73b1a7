//! B4: why a queue, a group or a message delivers nothing now.

use std::collections::BTreeMap;

use lockstep_engine::{
    Rejected,
    explain::{Explanation, Holder, Reason, Subject},
    words::{SequenceNumber, Timestamp},
};

use crate::world::{DAY, MINUTE, QUEUE, SECOND, World, group, label, prefix, queue, receipt, strict};

fn ask(world: &World, subject: &Subject) -> Explanation {
    world.engine.explain(&queue(QUEUE), subject, Timestamp(world.now)).expect("the queue is there")
}

fn of_group(world: &World, name: &str) -> Explanation {
    ask(world, &Subject::Group(group(name)))
}

fn of_message(world: &World, number: u64) -> Explanation {
    ask(world, &Subject::Message(SequenceNumber(number)))
}

#[test]
fn b4_an_in_flight_head_says_who_until_when_and_by_which_rule() {
    let mut world = World::with(strict());
    world.fill("g g g");
    world.pass(SECOND);
    let received_at = world.now;
    let first = world.receive_for(1, MINUTE).remove(0);
    world.pass(SECOND);
    let head = of_group(&world, "g");
    assert_eq!((head.reason, head.reason.rule(), head.count), (Reason::InFlight, "O3", 3));
    let blocking = head.blocking.expect("the head is held");
    assert_eq!((blocking.sequence, blocking.receives), (SequenceNumber(1), 1));
    let (since, until) = (Timestamp(received_at), Timestamp(received_at + MINUTE));
    assert_eq!(blocking.holder, Holder::Receiver { epoch: first.epoch, since, until });
    let third = of_message(&world, 3);
    assert_eq!((third.reason, third.count), (Reason::BehindInFlight, 2));
    assert_eq!(third.blocking.expect("held back").sequence, SequenceNumber(1));
    // The downtime of a restart moves the lease, and so the answer (H2).
    world.restart_after(DAY);
    let Some(Holder::Receiver { until, .. }) = of_group(&world, "g").blocking.map(|blocking| blocking.holder) else {
        panic!("still in flight")
    };
    assert!(until.0 > world.now && until.0 <= world.now + MINUTE);
    world.delete(&first).expect("held");
    assert_eq!(of_group(&world, "g").reason, Reason::Available);
    assert_eq!(of_message(&world, 1).reason, Reason::MessageGone);
    assert_eq!(of_message(&world, 4).reason, Reason::MessageNotSent);
}

#[test]
fn b6_a_lost_reader_never_blocks_in_silence() {
    let mut world = World::with(strict());
    world.fill("g g h");
    world.open_limited("controller-1", Some(5 * MINUTE));
    let claim = world.claimed(1, 2);
    world.take(1, "worker-7", false).expect("open");
    let head = of_group(&world, "g");
    assert_eq!((head.reason, head.reason.rule()), (Reason::Claimed, "B6"));
    let Some(Holder::Claim { reader, instance, number, worker, since, lapses_at, .. }) =
        head.blocking.map(|blocking| blocking.holder)
    else {
        panic!("a claim holds it")
    };
    assert_eq!((reader, instance, worker), (label("pool"), label("controller-1"), Some(label("worker-7"))));
    assert_eq!((number, since), (claim.number, claim.opened_at));
    assert_eq!(lapses_at, Some(Timestamp(claim.opened_at.0 + 5 * MINUTE)));
    world.fill("g");
    assert_eq!(of_message(&world, 4).reason, Reason::BehindClaim);
    assert_eq!(of_group(&world, "h").reason, Reason::Available);
    world.abandon(None).expect("open");
    assert_eq!(of_group(&world, "g").reason, Reason::Available);
}

#[test]
fn o3_of_a_prefix_group_that_would_deliver_the_rest_is_explained_too() {
    let mut world = World::with(prefix());
    world.fill("g g g");
    let received = world.receive_for(2, MINUTE);
    world.change(&received[0], 0).expect("given back");
    let explained = of_group(&world, "g");
    assert_eq!(explained.reason, Reason::Available);
    assert_eq!(explained.blocking.map(|blocking| blocking.sequence), Some(SequenceNumber(2)));
    assert_eq!(of_message(&world, 1).reason, Reason::Available);
    assert_eq!(of_message(&world, 3).reason, Reason::BehindInFlight);
}

#[test]
fn r3_a_receipt_is_explained_while_it_holds_and_after() {
    let mut world = World::with(strict());
    world.fill("g");
    let first = world.receive_for(1, MINUTE).remove(0);
    let subject = Subject::Receipt(receipt(&first));
    let held = ask(&world, &subject);
    assert_eq!((held.reason, held.receipt_holds), (Reason::InFlight, Some(true)));
    world.pass(MINUTE);
    world.settle();
    let dead = ask(&world, &subject);
    assert_eq!((dead.reason, dead.receipt_holds), (Reason::Available, Some(false)));
    world.delete_queue(QUEUE);
    world.create(QUEUE, strict()).expect("a new life");
    let foreign = world.engine.explain(&queue(QUEUE), &subject, Timestamp(world.now));
    assert_eq!(foreign, Err(Rejected::ReceiptForeign));
}

#[test]
fn b4_the_groups_of_a_queue_come_in_pages_with_counts() {
    let mut world = World::with(strict());
    world.fill("a b c d e");
    world.receive_for(2, MINUTE);
    let page = |after: Option<&str>, max| {
        let after = after.map(group);
        world.engine.explain_groups(&queue(QUEUE), after.as_ref(), max, Timestamp(world.now)).expect("a queue")
    };
    let all = page(None, 10);
    assert_eq!(all.counts, BTreeMap::from([(Reason::Available, 3), (Reason::InFlight, 2)]));
    assert_eq!((all.blocked.len(), all.next), (2, None));
    let first = page(None, 3);
    assert_eq!((first.counts.values().sum::<u64>(), first.next), (3, Some(group("c"))));
    let rest = page(Some("c"), 3);
    assert_eq!((rest.counts.values().sum::<u64>(), rest.next), (2, None));
    assert_eq!(of_group(&world, "z").reason, Reason::NoSuchGroup);
}
