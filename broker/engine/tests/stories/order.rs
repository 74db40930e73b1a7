//! Order and delivery: O1 to O6, O8, the recorded cases to the letter, on a prefix queue.

use lockstep_engine::{
    command::{Receive, SendEntry},
    words::SequenceNumber,
};

use crate::world::{QUEUE, SECOND, World, entry, groups, prefix, queue, receipts, sequences, strict};

#[test]
fn o1_as_many_as_possible_of_one_group_then_of_the_next() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g1 g2 g1 g1");
        assert_eq!(groups(&world.receive(10)), "g1 g1 g1 g2");
    }
}

#[test]
fn o1_a_cut_ends_the_receive_inside_the_group() {
    let mut world = World::with(prefix());
    world.fill("g1 g2 g1 g1");
    assert_eq!(sequences(&world.receive(2)), [1, 3]);
    assert_eq!(sequences(&world.receive(2)), [2], "g1 is held, g2 is next");
}

#[test]
fn o2_the_group_that_waits_for_longest_comes_first() {
    let mut world = World::with(prefix());
    world.fill("g1 g1 g1 g1 g2 g3");
    assert_eq!(groups(&world.receive_for(5, SECOND)), "g1 g1 g1 g1 g2");
    world.pass(SECOND);
    let rotated = world.receive(10);
    assert_eq!(groups(&rotated), "g3 g1 g1 g1 g1 g2", "as recorded: the one that was free before the lapse is first");
}

#[test]
fn o2_a_busy_group_starves_no_other() {
    let mut world = World::with(strict());
    world.fill("busy other");
    let mut seen = Vec::new();
    for _ in 0..4 {
        let delivered = world.receive(1);
        seen.push(groups(&delivered));
        world.delete(&delivered[0]).expect("held");
        world.fill("busy");
    }
    assert_eq!(seen, ["busy", "other", "busy", "busy"]);
}

#[test]
fn o2_leases_that_lapse_before_one_turn_free_their_groups_in_the_order_of_their_deadlines() {
    let mut world = World::with(prefix());
    world.fill("slow quick");
    assert_eq!(groups(&world.receive_for(1, 9 * SECOND)), "slow");
    assert_eq!(groups(&world.receive_for(1, 3 * SECOND)), "quick");
    world.pass(10 * SECOND);
    assert_eq!(groups(&world.receive(2)), "quick slow", "quick is free for longer");
}

#[test]
fn o3_what_is_extended_withholds_all_behind_it() {
    // Recorded: three received, the lease of one extended, the others expire.
    for (extended, expected) in [(0, vec![]), (1, vec![1]), (2, vec![1, 2])] {
        let mut world = World::with(prefix());
        world.fill("g g g");
        let delivered = world.receive_for(3, 2 * SECOND);
        world.change(&delivered[extended], 30 * SECOND).expect("held");
        world.pass(2 * SECOND);
        assert_eq!(sequences(&world.receive(10)), expected, "#{extended} extended");
    }
}

#[test]
fn o3_a_message_given_back_is_delivered_alone_while_the_next_is_in_flight() {
    let mut world = World::with(prefix());
    world.fill("g g");
    let delivered = world.receive(2);
    world.change(&delivered[0], 0).expect("held");
    assert_eq!(sequences(&world.receive(10)), [1]);
}

#[test]
fn o3_a_message_behind_one_in_flight_is_withheld_although_the_first_was_deleted() {
    let mut world = World::with(prefix());
    world.fill("g g g");
    let delivered = world.receive(2);
    world.delete(&delivered[0]).expect("held");
    assert_eq!(world.receive(10), []);
    world.delete(&delivered[1]).expect("held");
    assert_eq!(sequences(&world.receive(10)), [3]);
}

#[test]
fn o4_a_send_never_frees_its_group_and_the_last_delete_does_at_once() {
    let mut world = World::with(prefix());
    world.fill("g");
    let delivered = world.receive(1);
    world.fill("g");
    assert_eq!(world.receive(10), []);
    world.delete(&delivered[0]).expect("held");
    assert_eq!(sequences(&world.receive(10)), [2]);
}

#[test]
fn o5_after_expiry_the_order_is_the_old_one() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g g g");
        world.receive_for(3, SECOND);
        world.pass(SECOND);
        assert_eq!(sequences(&world.receive(10)), [1, 2, 3]);
    }
}

#[test]
fn o5_a_receive_with_no_timeout_leaves_the_messages_free_and_names_none_twice() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.fill("g g h");
        assert_eq!(sequences(&world.receive_for(10, 0)), [1, 2, 3]);
        assert_eq!(sequences(&world.receive_for(10, 0)), [1, 2, 3]);
        assert_eq!(world.describe().in_flight, 2 + 1, "until the next turn");
        world.settle();
        assert_eq!(world.describe().available, 3);
    }
}

#[test]
fn o6_on_a_prefix_queue_deletes_may_come_in_any_order() {
    let mut world = World::with(prefix());
    world.fill("g g g");
    let delivered = world.receive(3);
    for index in [2, 0, 1] {
        assert!(!world.delete(&delivered[index]).expect("held").already_gone);
    }
    assert_eq!(world.describe().groups, 0);
}

#[test]
fn o8_messages_behind_one_in_flight_count_as_available() {
    let mut world = World::with(prefix());
    world.fill("g1 g1 g2 g2 g3 g3");
    let first = world.receive(1);
    let second = world.receive(1);
    assert_eq!(groups(&[first, second].concat()), "g1 g2");
    let seen = world.describe();
    assert_eq!((seen.available, seen.in_flight), (4, 2));
}

#[test]
fn h1_an_answer_holds_three_mebibytes_and_at_least_one_message() {
    let mut world = World::with(prefix());
    let big = |id: &str| SendEntry { size: 1 << 20, ..entry("g", id) };
    world.send_all(vec![big("1"), big("2"), big("3"), entry("g", "4"), entry("h", "5")]);
    let all = Receive { queue: queue(QUEUE), max_messages: 10, visibility: None, attempt: None };
    let delivered = world.ask(&all).expect("a receive");
    assert_eq!(sequences(&delivered), [1, 2, 3], "the fourth would pass the limit");
    world.delete_all(receipts(&delivered));
    assert_eq!(sequences(&world.receive(10)), [5, 4]);
}

#[test]
fn s12_numbers_rise_over_groups_and_restarts() {
    let mut world = World::with(strict());
    assert_eq!(world.fill("a b"), 2);
    world.purge();
    world.restart_after(SECOND);
    assert_eq!(world.fill("a"), 3);
    assert_eq!(world.describe().last_sequence, SequenceNumber(3));
}
