//! Producer sessions (B3): the numbers close the hole that a deduplication window leaves (S13).

use lockstep_engine::{
    AttributeChanges, Event, Rejected,
    command::{ForgetProducer, OpenProducer, Send, SendEntry, SendSession, Space},
    limits,
    reply::{Accepted, ProducerOpened},
    words::{ContentDigest, DeduplicationKey, Epoch, SendNumber},
};

use crate::world::{DAY, QUEUE, World, entry, label, queue, sequences, strict};

fn open(world: &mut World, name: &str, instance: &str) -> ProducerOpened {
    let command = OpenProducer { queue: queue(QUEUE), producer: label(name), instance: label(instance) };
    world.ask(&command).expect("opened")
}

/// A message without a deduplication id: the shell gives it a key that no other has.
fn unkeyed(of: &str, n: u64) -> SendEntry {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&n.to_be_bytes());
    SendEntry { queue_key: DeduplicationKey(key), group_key: DeduplicationKey(key), ..entry(of, "") }
}

fn send_as(
    world: &mut World,
    epoch: Epoch,
    first: u64,
    entries: Vec<SendEntry>,
    content: u8,
) -> Result<Vec<Result<Accepted, Rejected>>, Rejected> {
    let digests = entries.iter().map(|_| ContentDigest([content; 16])).collect();
    let session = SendSession { producer: label("day"), epoch, first: SendNumber(first), digests };
    world.ask(&Send { queue: queue(QUEUE), session: Some(session), entries })
}

/// Sends one message of group `g` under a number; its sequence number and whether it was there before.
fn send(world: &mut World, epoch: Epoch, number: u64) -> Result<(u64, bool), Rejected> {
    let outcomes = send_as(world, epoch, number, vec![unkeyed("g", epoch.0 << 32 | number)], 1)?;
    let accepted = outcomes.into_iter().next().expect("one outcome")?;
    Ok((accepted.sequence.0, accepted.duplicate))
}

fn forget(world: &mut World, epoch: Option<Epoch>) -> Result<(), Rejected> {
    world.ask(&ForgetProducer { queue: queue(QUEUE), producer: label("day"), epoch })
}

#[test]
fn b3_s13_a_repeat_is_recognised_long_after_every_window() {
    let mut world = World::with(AttributeChanges { retention: Some(14 * DAY), ..strict() });
    let epoch = open(&mut world, "day", "one").epoch;
    assert_eq!(send(&mut world, epoch, 1), Ok((1, false)));
    world.pass(10 * DAY);
    assert_eq!(send(&mut world, epoch, 1), Ok((1, true)), "the answer of the first time");
    let delivered = world.receive(10);
    assert_eq!(sequences(&delivered), [1], "stored once");
    world.delete(&delivered[0]).expect("held");
    world.pass(30 * DAY);
    assert_eq!(send(&mut world, epoch, 1), Ok((1, true)), "also when the message is gone");
    assert_eq!(world.describe().available, 0);
}

#[test]
fn b3_after_a_restart_the_producer_asks_where_it_stopped() {
    let mut world = World::with(strict());
    let first = open(&mut world, "day", "one");
    assert_eq!(first.last, SendNumber(0));
    for number in 1..=3 {
        send(&mut world, first.epoch, number).expect("accepted");
    }
    world.restart_after(DAY);
    let again = open(&mut world, "day", "one");
    assert_eq!(again, ProducerOpened { last: SendNumber(3), ..first }, "the same instance, the same epoch");
    let other = open(&mut world, "day", "two");
    assert_eq!(other.last, SendNumber(3));
    assert!(other.epoch > first.epoch);
    let fenced = Rejected::ProducerFenced { given: first.epoch, current: other.epoch };
    assert_eq!(send(&mut world, first.epoch, 4), Err(fenced), "the older instance is fenced");
    assert_eq!(send(&mut world, other.epoch, 4), Ok((4, false)));
    assert_eq!(send(&mut world, other.epoch, 2), Ok((2, true)), "what the older one sent is known");
}

#[test]
fn b3_a_gap_and_another_content_are_refused_and_nothing_is_stored() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    send(&mut world, epoch, 1).expect("accepted");
    let gap = Rejected::SendNumberInvalid { given: SendNumber(3), next: SendNumber(2) };
    assert_eq!(send(&mut world, epoch, 3), Err(gap));
    let batch = vec![unkeyed("g", 1), unkeyed("g", 2)];
    let conflict = Rejected::SendNumberConflict { number: SendNumber(1) };
    assert_eq!(send_as(&mut world, epoch, 1, batch, 9), Err(conflict), "number 1 was another message");
    assert_eq!(world.describe().available, 1, "not even number 2 was stored");
    assert_eq!(send(&mut world, epoch, 2), Ok((2, false)));
}

#[test]
fn b3_a_batch_may_begin_with_what_is_known() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    send(&mut world, epoch, 1).expect("accepted");
    let batch = (1..=3).map(|number| unkeyed("g", number)).collect();
    let outcomes = send_as(&mut world, epoch, 1, batch, 1).expect("judged");
    let seen: Vec<_> =
        outcomes.into_iter().map(|o| o.expect("accepted")).map(|a| (a.sequence.0, a.duplicate)).collect();
    assert_eq!(seen, [(1, true), (2, false), (3, false)]);
}

#[test]
fn b3_a_rejected_message_consumes_its_number_and_a_repeat_hears_the_same() {
    let mut world = World::with(AttributeChanges { max_message_size: Some(1_024), ..strict() });
    let epoch = open(&mut world, "day", "one").epoch;
    let long = SendEntry { size: 2_000, ..unkeyed("g", 1) };
    let batch = vec![long, unkeyed("g", 2), unkeyed("h", 3)];
    let outcomes = send_as(&mut world, epoch, 1, batch.clone(), 1).expect("judged");
    assert_eq!(outcomes[0], Err(Rejected::MessageTooLong { limit: 1_024 }));
    assert_eq!(outcomes[1], Err(Rejected::EarlierRejected), "H1");
    assert!(outcomes[2].is_ok());
    // What was refused stays refused, although it would be taken now; also by a replay and from a checkpoint.
    world.set(AttributeChanges { max_message_size: Some(4_096), ..AttributeChanges::default() }).expect("changed");
    world.restart_after(DAY);
    let again = send_as(&mut world, epoch, 1, batch, 1).expect("judged");
    assert_eq!(again[..2], outcomes[..2]);
    assert_eq!(again[2].as_ref().map(|accepted| accepted.duplicate), Ok(true));
    assert_eq!(send(&mut world, epoch, 4), Ok((2, false)));
}

#[test]
fn b3_h5_want_of_space_uses_no_number_and_nothing_goes_after_it() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    world.space = Space { for_sends: 400, ..Space::UNLIMITED };
    let batch: Vec<_> = (1..=3).map(|number| unkeyed(&format!("g{number}"), number)).collect();
    let outcomes = send_as(&mut world, epoch, 1, batch.clone(), 1).expect("judged");
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1], Err(Rejected::StorageFull));
    let gap = Rejected::SendNumberInvalid { given: SendNumber(3), next: SendNumber(2) };
    assert_eq!(outcomes[2], Err(gap), "another group, and small enough: it would overtake number 2 of the session");
    world.space = Space::UNLIMITED;
    let outcomes = send_as(&mut world, epoch, 1, batch, 1).expect("judged");
    assert!(outcomes.iter().all(Result::is_ok), "the same numbers, once there is space: {outcomes:?}");
}

#[test]
fn b3_answers_are_kept_for_the_last_thousand_and_older_numbers_are_still_known() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    for hundred in 0..11 {
        let batch = (1..=100).map(|n| unkeyed("g", hundred * 100 + n)).collect();
        send_as(&mut world, epoch, hundred * 100 + 1, batch, 1).expect("judged");
    }
    world.restart_after(DAY);
    assert_eq!(send(&mut world, epoch, 101), Ok((101, true)), "the oldest of the last 1,000");
    assert_eq!(send(&mut world, epoch, 100), Err(Rejected::AlreadyAccepted));
    let batch = vec![unkeyed("g", 99), unkeyed("g", 100), unkeyed("g", 101)];
    let outcomes = send_as(&mut world, epoch, 99, batch, 1).expect("judged");
    assert_eq!(outcomes[1], Err(Rejected::AlreadyAccepted));
    assert!(outcomes[2].is_ok(), "what is long accepted stops nothing behind it");
    assert_eq!(world.describe().last_sequence.0, 1_100, "nothing new was stored");
}

#[test]
fn b3_with_a_deduplication_id_both_rules_hold() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    let plain = world.send(entry("g", "id")).expect("sent without a session");
    let outcomes = send_as(&mut world, epoch, 1, vec![entry("g", "id")], 1).expect("judged");
    let known = outcomes[0].clone().expect("accepted");
    assert_eq!((known.sequence, known.duplicate), (plain.sequence, true), "S6: the id is known, and uses the number");
    world.pass(DAY);
    assert_eq!(send_as(&mut world, epoch, 1, vec![entry("g", "id")], 1).expect("judged")[0], Ok(known), "B3: for ever");
    let outcomes = send_as(&mut world, epoch, 2, vec![entry("g", "id")], 1).expect("judged");
    assert!(outcomes[0].as_ref().is_ok_and(|accepted| !accepted.duplicate), "S4: a new number, and the window is over");
}

#[test]
fn b3_a_purge_forgets_messages_but_no_number() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    send(&mut world, epoch, 1).expect("accepted");
    assert_eq!(world.purge(), 1);
    assert_eq!(send(&mut world, epoch, 1), Ok((1, true)), "a repeat does not bring a purged message back");
    world.delete_queue(QUEUE);
    world.create(QUEUE, strict()).expect("made anew");
    assert_eq!(send(&mut world, epoch, 2), Err(Rejected::ProducerNotFound), "B8: it ended with its generation");
}

#[test]
fn b3_at_the_cap_a_new_session_is_refused_loudly_and_none_is_forgotten() {
    let mut world = World::with(strict());
    world.watchful = false;
    let epoch = open(&mut world, "day", "one").epoch;
    send(&mut world, epoch, 1).expect("accepted");
    for n in 1..limits::PRODUCERS {
        open(&mut world, &format!("p{n}"), "one");
    }
    let one_more = OpenProducer { queue: queue(QUEUE), producer: label("more"), instance: label("one") };
    assert_eq!(world.ask(&one_more), Err(Rejected::TooManyProducers));
    assert_eq!(open(&mut world, "day", "two").last, SendNumber(1), "a known one is opened still");
    forget(&mut world, None).expect("by hand");
    assert_eq!(world.ask(&one_more).expect("there is room").last, SendNumber(0));
}

#[test]
fn b3_a_forgotten_session_begins_anew_and_its_old_epoch_stays_fenced() {
    let mut world = World::with(strict());
    let old = open(&mut world, "day", "one").epoch;
    send(&mut world, old, 1).expect("accepted");
    let stale = Rejected::ProducerFenced { given: Epoch(old.0 + 9), current: old };
    assert_eq!(forget(&mut world, Some(Epoch(old.0 + 9))), Err(stale), "the one that was meant is not there");
    assert_eq!(forget(&mut world, Some(old)), Ok(()));
    assert_eq!(forget(&mut world, None), Err(Rejected::ProducerNotFound));
    let new = open(&mut world, "day", "one");
    assert_eq!(new.last, SendNumber(0));
    assert!(matches!(send(&mut world, old, 2), Err(Rejected::ProducerFenced { .. })));
    assert_eq!(send(&mut world, new.epoch, 1), Ok((2, false)), "number 1 of another life");
}

#[test]
fn b3_the_uses_of_a_batch_are_one_fact() {
    let mut world = World::with(strict());
    let epoch = open(&mut world, "day", "one").epoch;
    let batch = (1..=5).map(|number| unkeyed("g", number)).collect();
    send_as(&mut world, epoch, 1, batch, 1).expect("judged");
    let uses = world.journal.iter().filter(|event| matches!(event, Event::NumbersUsed { uses, .. } if uses.len() == 5));
    assert_eq!(uses.count(), 1);
}
