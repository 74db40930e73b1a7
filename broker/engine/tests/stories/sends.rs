//! Sending and deduplication: S2 to S9, H1, L2.

use lockstep_engine::{AttributeChanges, DeduplicationScope, Rejected, command::SendEntry};

use crate::world::{MINUTE, QUEUE, SECOND, World, bare, entry, scoped, strict};

/// Whether a send was a duplicate, and its sequence number.
fn sent(world: &mut World, entry: SendEntry) -> (u64, bool) {
    let accepted = world.send(entry).expect("accepted");
    (accepted.sequence.0, accepted.duplicate)
}

#[test]
fn s2_without_an_id_a_queue_that_is_not_content_based_refuses() {
    let mut world = World::with(strict());
    assert_eq!(world.send(bare("g", "body")), Err(Rejected::DeduplicationIdMissing));
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false), "nothing took a number");
}

#[test]
fn s3_the_content_is_the_id_and_an_explicit_id_of_the_same_hash_is_its_duplicate() {
    let mut world = World::with(AttributeChanges { content_based: Some(true), ..strict() });
    assert_eq!(sent(&mut world, bare("g", "body")), (1, false));
    assert_eq!(sent(&mut world, bare("g", "body")), (1, true));
    assert_eq!(sent(&mut world, entry("g", "body")), (1, true));
    assert_eq!(sent(&mut world, entry("g", "another id")), (2, false), "an explicit id overrides the computed one");
}

#[test]
fn s4_the_window_counts_from_the_first_accepted_send() {
    let mut world = World::with(strict());
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false));
    world.pass(2 * SECOND);
    assert_eq!(sent(&mut world, entry("g", "id")), (1, true));
    world.pass(6 * MINUTE - 2 * SECOND);
    assert_eq!(sent(&mut world, entry("g", "id")), (2, false), "the duplicate did not extend the window");
}

#[test]
fn s4_the_window_ends_at_exactly_its_length() {
    let mut world = World::with(strict());
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false));
    world.pass(5 * MINUTE - 1);
    assert_eq!(sent(&mut world, entry("g", "id")), (1, true));
    world.pass(1);
    assert_eq!(sent(&mut world, entry("g", "id")), (2, false));
    world.pass(5 * MINUTE - 1);
    assert_eq!(sent(&mut world, entry("g", "id")), (2, true), "the second send has a window of its own");
}

#[test]
fn s5_the_id_survives_receive_and_delete() {
    let mut world = World::with(strict());
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false));
    let delivered = world.receive(1);
    assert_eq!(sent(&mut world, entry("g", "id")), (1, true));
    world.delete(&delivered[0]).expect("held");
    assert_eq!(sent(&mut world, entry("g", "id")), (1, true));
    assert_eq!(world.receive(1), [], "and nothing is delivered again");
}

#[test]
fn s5_a_purge_forgets_the_ids_and_no_number_is_used_again() {
    let mut world = World::with(strict());
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false));
    assert_eq!(world.purge(), 1);
    assert_eq!(sent(&mut world, entry("g", "id")), (2, false));
    assert_eq!(world.receive(1)[0].sequence.0, 2);
}

#[test]
fn s5_a_queue_made_anew_knows_no_id() {
    let mut world = World::with(strict());
    let first = world.send(entry("g", "id")).expect("accepted");
    world.delete_queue(QUEUE);
    world.create(QUEUE, strict()).expect("made anew");
    let second = world.send(entry("g", "id")).expect("accepted");
    assert!(!second.duplicate);
    assert_ne!(first.generation, second.generation, "so its message id is another one");
}

#[test]
fn s6_a_duplicate_answers_the_original_whatever_became_of_it() {
    let mut world = World::with(strict());
    let original = world.send(entry("g", "id")).expect("accepted");
    world.fill("g g g");
    let again = world.send(entry("g", "id")).expect("accepted");
    assert_eq!((again.generation, again.sequence), (original.generation, original.sequence));
    assert!(again.duplicate);
    assert_eq!(world.describe().available, 4);
}

#[test]
fn s6_a_duplicate_succeeds_although_the_queue_now_takes_only_shorter_messages() {
    let mut world = World::with(strict());
    let long = SendEntry { size: 5_000, ..entry("g", "id") };
    world.send(long.clone()).expect("accepted");
    world.set(AttributeChanges { max_message_size: Some(1_024), ..AttributeChanges::default() }).expect("changed");
    assert!(world.send(long.clone()).expect("a repeat of what was accepted").duplicate);
    let other = SendEntry { size: 5_000, ..entry("g", "other") };
    assert_eq!(world.send(other), Err(Rejected::MessageTooLong { limit: 1_024 }));
}

#[test]
fn s7_in_the_scope_of_the_queue_another_group_is_no_excuse() {
    let mut world = World::with(scoped(DeduplicationScope::Queue));
    assert_eq!(sent(&mut world, entry("g1", "id")), (1, false));
    assert_eq!(sent(&mut world, entry("g2", "id")), (1, true));
}

#[test]
fn s7_in_the_scope_of_the_group_each_group_has_its_own_ids() {
    let mut world = World::with(scoped(DeduplicationScope::MessageGroup));
    assert_eq!(sent(&mut world, entry("g1", "id")), (1, false));
    assert_eq!(sent(&mut world, entry("g2", "id")), (2, false));
    assert_eq!(sent(&mut world, entry("g1", "id")), (1, true));
}

#[test]
fn s8_scope_and_delivery_are_fixed_at_creation() {
    let mut world = World::with(scoped(DeduplicationScope::Queue));
    let scope = Some(DeduplicationScope::MessageGroup);
    assert_eq!(
        world.set(AttributeChanges { scope, ..AttributeChanges::default() }),
        Err(Rejected::AttributeFixed { attribute: "DeduplicationScope" })
    );
    assert_eq!(
        world.set(crate::world::prefix()),
        Err(Rejected::AttributeFixed { attribute: "GroupDelivery" }),
        "strict is the default"
    );
    assert_eq!(world.set(scoped(DeduplicationScope::Queue)), Ok(()), "as it is, it may be given");
}

#[test]
fn s9_the_order_of_a_batch_is_the_order_in_the_queue_and_twins_are_stored_once() {
    let mut world = World::with(strict());
    let batch = vec![entry("g", "1"), entry("g", "2"), entry("g", "1"), entry("h", "3")];
    let outcomes = world.send_all(batch);
    let seen: Vec<(u64, bool)> =
        outcomes.into_iter().map(|outcome| outcome.expect("accepted")).map(|a| (a.sequence.0, a.duplicate)).collect();
    assert_eq!(seen, [(1, false), (2, false), (1, true), (3, false)]);
    assert_eq!(crate::world::sequences(&world.receive(10)), [1, 2, 3]);
}

#[test]
fn h1_a_rejected_entry_rejects_the_later_ones_of_its_group_only() {
    let mut world = World::with(AttributeChanges { max_message_size: Some(1_024), ..strict() });
    let long = SendEntry { size: 1_025, ..entry("g", "2") };
    let outcomes = world.send_all(vec![entry("g", "1"), long, entry("h", "3"), entry("g", "4"), entry("g", "1")]);
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1], Err(Rejected::MessageTooLong { limit: 1_024 }));
    assert!(outcomes[2].is_ok(), "another group goes on");
    assert_eq!(outcomes[3], Err(Rejected::EarlierRejected));
    assert_eq!(outcomes[4], Err(Rejected::EarlierRejected), "a duplicate, but behind the rejected one");
    assert!(world.send(entry("g", "4")).is_ok(), "the next request is judged anew");
}

#[test]
fn h11_the_window_is_an_attribute_of_each_queue_and_judged_as_it_was_at_the_send() {
    let mut world = World::with(AttributeChanges { window: Some(10 * MINUTE), ..strict() });
    assert_eq!(sent(&mut world, entry("g", "id")), (1, false));
    world.set(AttributeChanges { window: Some(5 * MINUTE), ..AttributeChanges::default() }).expect("changed");
    world.pass(10 * MINUTE - 1);
    assert_eq!(sent(&mut world, entry("g", "id")), (1, true), "an absolute fact: replay knows no attributes");
    world.pass(1);
    assert_eq!(sent(&mut world, entry("g", "id")), (2, false));
    for window in [5 * MINUTE - 1, 14 * crate::world::DAY + 1] {
        let changes = AttributeChanges { window: Some(window), ..AttributeChanges::default() };
        assert!(matches!(world.set(changes), Err(Rejected::AttributeInvalid { .. })));
    }
}
