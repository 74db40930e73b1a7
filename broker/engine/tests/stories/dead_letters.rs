//! Dead letters (Q1 to Q5, H10).

use lockstep_engine::{
    AttributeChanges, Event, RedriveAllow, RedriveChange, Rejected,
    command::{ChangeVisibility, Receive, Send, SetQueueAttributes, Space},
    limits,
    reply::{Claimed, Delivered, Origin},
    words::{SequenceNumber, Timestamp},
};

use crate::world::{
    DAY, MINUTE, QUEUE, SECOND, World, entry, groups, prefix, queue, queue_name, receipt, redrive, sequences, strict,
};

const DEAD: &str = "dead.fifo";

/// A queue whose messages become dead letters after so many receives.
fn with_letters(max_receives: u32) -> World {
    let mut world = World::empty();
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, max_receives)).expect("a new queue");
    world
}

/// Receives what is there and gives it back, so many times.
fn fail(world: &mut World, max_messages: u32, times: u32) -> Vec<Delivered> {
    let mut last = Vec::new();
    for _ in 0..times {
        last = world.receive(max_messages);
        let entries = last.iter().map(|delivered| (receipt(delivered), 0)).collect();
        let _ = world.ask(&ChangeVisibility { queue: queue(QUEUE), entries });
    }
    last
}

#[test]
fn q2_the_receive_after_the_last_moves_the_message_and_the_group_goes_on() {
    let mut world = with_letters(2);
    world.fill("g g h");
    fail(&mut world, 1, 1);
    world.receive_for(1, SECOND);
    assert_eq!(world.receives(), [(1, 1), (2, 0), (3, 1)], "the group that was given back went to the end");
    world.pass(SECOND);
    fail(&mut world, 1, 1);
    world.pass(DAY);
    world.settle();
    assert_eq!(world.receives(), [(1, 2), (2, 0), (3, 1)], "never by a timer");
    assert_eq!(groups(&world.receive(10)), "h g", "number 3 is not returned, the group goes on with the next");
    let letters = world.receive_of(DEAD, 10);
    assert_eq!((sequences(&letters), letters[0].receives), (vec![1], 3), "receives go on (R8)");
}

#[test]
fn q2_q3_what_a_dead_letter_keeps_and_what_begins_anew() {
    let mut world = with_letters(1);
    world.fill("x g");
    let before = fail(&mut world, 10, 1).remove(1);
    let first_received_at = before.first_received_at;
    world.pass(3 * DAY);
    assert_eq!(world.receive(10), [], "both moved");
    let source = world.generation();
    world.pass(DAY + 1);
    let letter = world.receive_of(DEAD, 10).remove(1);
    let origin = Origin { generation: source, sequence: SequenceNumber(2), source: queue_name(QUEUE) };
    assert_eq!(letter.origin, Some(origin), "its id is that of the message it was (H9)");
    assert_eq!((letter.body, letter.group, letter.first_received_at), (before.body, before.group, first_received_at));
    assert_eq!(letter.sent_at, Timestamp(world.now - DAY - 1), "its retention began again (Q3)");
    world.pass(3 * DAY);
    world.settle();
    assert_eq!(world.engine.describe(&queue(DEAD)).expect("there").available, 0, "and it ends");
}

#[test]
fn q3_the_keys_of_the_dead_letter_queue_swallow_nothing() {
    let mut world = with_letters(1);
    world.ask(&Send { queue: queue(DEAD), session: None, entries: vec![entry("g", "same")] }).expect("sent")[0]
        .clone()
        .expect("new");
    world.send(entry("g", "same")).expect("new");
    fail(&mut world, 1, 1);
    assert_eq!(world.receive(1), []);
    assert_eq!(sequences(&world.receive_of(DEAD, 10)), [1, 2]);
    assert!(world.send(entry("g", "same")).expect("known").duplicate, "its own key lives on in its queue (S5)");
}

#[test]
fn h9_a_letter_of_a_letter_keeps_the_first_name_and_names_the_last_queue() {
    let mut world = World::empty();
    world.create("grave.fifo", strict()).expect("a new queue");
    world.create(DEAD, redrive("grave.fifo", 1)).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, 1)).expect("a new queue");
    world.fill("g");
    fail(&mut world, 1, 1);
    assert_eq!(world.receive(1), []);
    assert_eq!(world.receive_of(DEAD, 1), [], "received too often across all queues");
    let letter = world.receive_of("grave.fifo", 1).remove(0);
    let origin = Origin { generation: world.generation(), sequence: SequenceNumber(1), source: queue_name(DEAD) };
    assert_eq!((letter.origin, letter.receives), (Some(origin), 2));
}

#[test]
fn h10_a_target_that_is_gone_or_full_leaves_the_message_deliverable() {
    let mut world = with_letters(1);
    world.fill("g");
    fail(&mut world, 1, 1);
    world.space = Space { for_sends: limits::MESSAGE_OVERHEAD - 1, for_finishes: 0 };
    assert_eq!(fail(&mut world, 1, 1)[0].receives, 2, "full");
    world.space = Space::UNLIMITED;
    world.delete_queue(DEAD);
    assert_eq!(fail(&mut world, 1, 1)[0].receives, 3, "gone");
    world.create(DEAD, prefix()).expect("a new queue");
    assert_eq!(world.receive(1), [], "the policy means whoever has the name");
    assert_eq!(world.receive_of(DEAD, 1)[0].receives, 4);
}

#[test]
fn q2_only_what_a_receive_reaches_is_moved() {
    let mut world = with_letters(1);
    world.fill("a a b");
    fail(&mut world, 10, 1);
    // The first message of `a` was given back and counts; the second one's receive never was.
    assert_eq!(world.receives(), [(1, 1), (2, 0), (3, 1)]);
    assert_eq!(sequences(&world.receive(1)), [2], "the room was full before `b` was looked at");
    assert_eq!(world.engine.describe(&queue(DEAD)).expect("there").available, 1);
    let capped = world.ask(&Receive { queue: queue(QUEUE), max_messages: 0, visibility: None, attempt: None });
    assert_eq!(capped, Ok(vec![]));
    assert_eq!(world.engine.describe(&queue(DEAD)).expect("there").available, 1, "who takes nothing moves nothing");
}

#[test]
fn q2_on_a_prefix_queue_a_head_that_was_given_back_may_go_while_later_ones_are_held() {
    let mut world = World::empty();
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, AttributeChanges { redrive: redrive(DEAD, 1).redrive, ..prefix() }).expect("a new queue");
    world.fill("g g g");
    let held = world.receive(2);
    world.change(&held[0], 0).expect("held");
    assert_eq!(world.receive(10), [], "the head moved, the second is held, the third waits (O3)");
    world.delete(&held[1]).expect("held");
    assert_eq!(sequences(&world.receive(10)), [3]);
}

#[test]
fn b6_a_claim_moves_what_it_would_take_once_too_often() {
    let mut world = with_letters(1);
    world.open_reader("one");
    world.fill("g g h");
    world.claimed(1, 10);
    world.abandon(None).expect("open");
    world.fill("g");
    let claim = world.claimed(2, 10);
    assert_eq!(world.claimed_messages(&claim), [4], "the others were received as often as allowed");
    world.abandon(None).expect("open");
    assert_eq!(world.claim(3, 10), Ok(Claimed::Empty), "and what moved took no number");
    assert_eq!(world.engine.describe(&queue(DEAD)).expect("there").available, 4);
}

#[test]
fn h3_a_thousand_at_once_and_the_next_receive_goes_on() {
    let mut world = with_letters(1);
    world.watchful = false;
    for _ in 0..25 {
        world.fill(&(0..100).map(|n| format!("g{n} ")).collect::<String>());
    }
    world.open_reader("one");
    world.claimed(1, 10_000);
    world.abandon(None).expect("open");
    for left in [1_500, 500, 0] {
        assert_eq!(world.receive(10), []);
        assert_eq!(world.describe().available, left);
    }
    world.engine.check().expect("the invariants hold");
}

#[test]
fn q1_q5_a_policy_names_another_queue_that_is_there_and_lets_itself_be_named() {
    let mut world = World::with(strict());
    let missing = Rejected::DeadLetterQueueNotFound { name: queue_name(DEAD) };
    assert_eq!(world.set(redrive(DEAD, 1)), Err(missing.clone()));
    assert_eq!(world.create("new.fifo", redrive(DEAD, 1)), Err(missing));
    assert_eq!(world.set(redrive(QUEUE, 1)), Err(Rejected::DeadLetterQueueIsSelf));
    let only = |names: &[&str]| AttributeChanges {
        redrive_allow: Some(RedriveAllow::ByQueue(names.iter().map(|name| queue_name(name)).collect())),
        ..AttributeChanges::default()
    };
    world.create(DEAD, only(&["new.fifo"])).expect("a new queue");
    let refused = Err(Rejected::RedriveNotAllowed { name: queue_name(DEAD) });
    assert_eq!(world.set(redrive(DEAD, 1)), refused);
    world.create("new.fifo", redrive(DEAD, 1_000)).expect("it is named");
    let deny = AttributeChanges { redrive_allow: Some(RedriveAllow::DenyAll), ..AttributeChanges::default() };
    world.ask(&SetQueueAttributes { queue: queue(DEAD), changes: deny }).expect("changed");
    assert_eq!(world.engine.dead_letter_sources(&queue(DEAD), "", 10), Ok(vec![queue_name("new.fifo")]), "it stays");
    for bad in [0, 1_001] {
        let rejected = world.set(redrive(DEAD, bad)).expect_err("out of range");
        assert!(matches!(rejected, Rejected::AttributeInvalid { attribute: "RedrivePolicy", .. }), "{rejected}");
    }
    for bad in [0, 11] {
        let names = vec![queue_name(QUEUE); bad];
        let changes = AttributeChanges { redrive_allow: Some(RedriveAllow::ByQueue(names)), ..strict() };
        let rejected = world.set(changes).expect_err("out of range");
        assert!(matches!(rejected, Rejected::AttributeInvalid { attribute: "RedriveAllowPolicy", .. }), "{rejected}");
    }
}

#[test]
fn q1_a_policy_that_is_removed_moves_nothing() {
    let mut world = with_letters(1);
    world.fill("g");
    fail(&mut world, 1, 1);
    world.set(AttributeChanges { redrive: Some(RedriveChange::Remove), ..AttributeChanges::default() }).expect("set");
    assert_eq!(world.receive(1)[0].receives, 2);
    let moved = world.journal.iter().any(|event| matches!(event, Event::MessagesDeadLettered { .. }));
    assert!(!moved && world.engine.dead_letter_sources(&queue(DEAD), "", 10) == Ok(vec![]));
}

#[test]
fn q2_one_fact_for_both_queues_survives_a_restart() {
    let mut world = with_letters(1);
    world.fill("g g");
    fail(&mut world, 1, 1);
    assert_eq!(sequences(&world.receive(1)), [2]);
    world.restart_after(MINUTE);
    assert_eq!(sequences(&world.receive_of(DEAD, 1)), [1]);
    assert_eq!(world.receives(), [(2, 1)]);
}
