//! Outcomes per group in Commit, and parked groups (B7).

use lockstep_engine::{
    Rejected,
    command::{Park, Rest, Space},
    explain::{Reason, Subject},
    reply::{Claimed, Unparked},
    view::{MessageState, ParkedGroup},
    words::{SequenceNumber, Timestamp},
};

use crate::world::{
    DAY, HOUR, MINUTE, QUEUE, World, commit_of, entry, group, groups, output, pool, queue, redrive, sequences, strict,
};

const DEAD: &str = "dead.fifo";

/// A claim of all that is in the named groups, on a queue with dead letters after five receives.
fn claimed(names: &str) -> (World, lockstep_engine::reply::OpenClaim) {
    let mut world = World::empty();
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, 5)).expect("a new queue");
    world.open_reader("one");
    world.fill(names);
    let claim = world.claimed(1, 100);
    (world, claim)
}

fn states(world: &World) -> Vec<(u64, MessageState)> {
    let peeked = world.engine.peek(&queue(QUEUE), None, SequenceNumber(0), 100, u64::MAX).expect("a queue");
    peeked.into_iter().map(|message| (message.sequence.0, message.state)).collect()
}

#[test]
fn b7_done_through_a_number_and_the_rest_goes_back_in_order() {
    let (mut world, claim) = claimed("g g g g h");
    world.finish_with(&claim, &[("g", Some(2), Rest::GivenBack)]).expect("committed");
    assert_eq!(world.receives(), [(3, 1), (4, 0)], "the failed one was received; the one behind it was not tried");
    assert_eq!(sequences(&world.receive(10)), [3, 4], "h is done as a whole");
    assert!(world.finish_with(&claim, &[("g", Some(2), Rest::GivenBack)]).expect("a repeat").repeated);
}

#[test]
fn b7_a_head_goes_to_the_dead_letter_queue_in_the_same_fact_and_the_rest_goes_back() {
    let (mut world, claim) = claimed("g g g h h");
    let facts = world.journal.len();
    let outcomes = [("g", Some(1), Rest::HeadDeadLettered), ("h", None, Rest::HeadDeadLettered)];
    world.finish_with(&claim, &outcomes).expect("committed");
    assert_eq!(world.journal.len(), facts + 1, "one event");
    let letters = world.receive_of(DEAD, 10);
    assert_eq!(groups(&letters), "g h");
    assert_eq!(
        letters.iter().map(|letter| letter.origin.as_ref().map(|o| o.sequence.0)).collect::<Vec<_>>(),
        [Some(2), Some(4)]
    );
    assert_eq!(world.receives(), [(3, 0), (5, 0)]);
}

#[test]
fn b7_letters_and_outputs_to_one_queue_do_not_get_in_each_others_way() {
    let (mut world, claim) = claimed("g g");
    let mut commit = commit_of(&claim);
    commit.outputs = vec![output(DEAD, entry("x", "one")), output(DEAD, entry("x", "two"))];
    if let lockstep_engine::command::CommitTarget::Claim { outcomes, .. } = &mut commit.target {
        let (group, rest) = (group("g"), Rest::HeadDeadLettered);
        outcomes.push(lockstep_engine::command::GroupOutcome { group, done_through: None, rest });
    }
    world.ask(&commit).expect("committed");
    assert_eq!(sequences(&world.receive_of(DEAD, 10)), [1, 2, 3]);
}

#[test]
fn b7_a_parked_group_delivers_nothing_until_it_is_unparked_and_others_flow() {
    let (mut world, claim) = claimed("g g h");
    world.finish_with(&claim, &[("g", None, Rest::Parked)]).expect("committed");
    let parked_at = Timestamp(world.now);
    world.fill("g h");
    assert_eq!(groups(&world.receive(10)), "h", "sends to g are accepted, and wait");
    assert_eq!(world.claim(2, 10), Ok(Claimed::Empty));
    let parked = MessageState::Parked;
    assert_eq!(states(&world)[..3], [(1, parked.clone()), (2, parked.clone()), (4, parked)]);
    let seen = world.engine.parked_groups(&queue(QUEUE), None, 10).expect("a queue");
    let first = Some(SequenceNumber(1));
    assert_eq!(seen, [ParkedGroup { group: group("g"), since: parked_at, messages: 3, first }]);
    assert_eq!((world.describe().parked_groups, world.describe().groups), (1, 2));
    let why = |subject| world.engine.explain(&queue(QUEUE), &subject, Timestamp(world.now)).expect("a queue").reason;
    assert_eq!(why(Subject::Group(group("g"))), Reason::Parked);
    assert_eq!(why(Subject::Message(SequenceNumber(4))), Reason::Parked);
    world.restart_after(HOUR);
    assert_eq!(world.receive(10), [], "durable");
    assert_eq!(world.unpark(Some("g")), Unparked { groups: 1, more: false });
    assert_eq!(world.unpark(Some("g")), Unparked { groups: 0, more: false }, "harmless to repeat");
    assert_eq!(sequences(&world.receive(10)), [1, 2, 4]);
    assert_eq!(world.receives()[..2], [(1, 2), (2, 1)], "the head was received in vain, the second was not tried");
}

#[test]
fn b7_an_operator_parks_what_may_be_held_or_not_even_there() {
    let mut world = World::with(strict());
    world.fill("g g");
    let held = world.receive(1).remove(0);
    assert!(world.park("g") && world.park("nobody") && !world.park("g"));
    world.delete(&held).expect("its holder keeps what it has");
    world.fill("nobody");
    assert_eq!(world.receive(10), []);
    assert_eq!(world.unpark(None), Unparked { groups: 2, more: false });
    assert_eq!(groups(&world.receive(10)), "g nobody");
}

#[test]
fn b7_retention_goes_on_while_parked_and_purge_ends_it() {
    let mut world = World::with(strict());
    world.fill("g");
    world.park("g");
    world.pass(4 * DAY);
    world.settle();
    assert_eq!((world.describe().available, world.describe().parked_groups), (0, 1), "emptied, and still parked (R9)");
    world.fill("g");
    assert_eq!(world.receive(1), []);
    assert_eq!(world.purge(), 1);
    assert_eq!(world.describe().parked_groups, 0);
    world.fill("g");
    assert_eq!(sequences(&world.receive(1)), [3]);
}

#[test]
fn b7_what_an_outcome_cannot_mean_is_refused_as_a_whole() {
    let (mut world, claim) = claimed("g g h");
    let before = world.receives();
    let bad: [&[(&str, Option<u64>, Rest)]; 5] = [
        &[("x", None, Rest::Parked)],
        &[("g", None, Rest::Parked), ("g", None, Rest::GivenBack)],
        &[("g", Some(3), Rest::GivenBack)],
        &[("g", Some(9), Rest::GivenBack)],
        &[("h", None, Rest::Parked), ("g", Some(2), Rest::HeadDeadLettered)],
    ];
    for outcomes in bad {
        let rejected = world.finish_with(&claim, outcomes).expect_err("it means nothing");
        assert!(matches!(rejected, Rejected::OutcomeInvalid { .. }), "{rejected}");
    }
    let letter = [("g", None, Rest::HeadDeadLettered)];
    world.space = Space { for_sends: 0, for_finishes: 0 };
    assert_eq!(world.finish_with(&claim, &letter), Err(Rejected::StorageFull));
    world.space = Space::UNLIMITED;
    world.delete_queue(DEAD);
    assert_eq!(world.finish_with(&claim, &letter), Err(Rejected::NoDeadLetterQueue));
    assert_eq!((world.receives(), world.describe().parked_groups), (before, 0), "all or nothing (B1)");
    world.finish_with(&claim, &[("g", None, Rest::Parked)]).expect("parked instead");
    assert_eq!(world.engine.reader(&pool(None).queue, &pool(None).name).expect("there").last_committed.0, 1);
}

#[test]
fn b7_ten_thousand_parked_groups_are_the_most_and_are_unparked_a_thousand_at_once() {
    let mut world = World::with(strict());
    world.watchful = false;
    for n in 0..10_000 {
        assert!(world.park(&format!("g{n}")));
    }
    let one_more = Park { queue: queue(QUEUE), group: group("one-more") };
    assert_eq!(world.ask(&one_more), Err(Rejected::TooManyParked));
    for left in (0..10).rev() {
        assert_eq!(world.unpark(None), Unparked { groups: 1_000, more: left > 0 });
    }
    world.pass(MINUTE);
    world.engine.check().expect("the invariants hold");
}

#[test]
fn h10_explain_says_what_a_dead_letter_waits_for() {
    let mut world = World::empty();
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, 1)).expect("a new queue");
    world.fill("g");
    let held = world.receive(1).remove(0);
    world.change(&held, 0).expect("held");
    let why = |world: &World| {
        let subject = Subject::Group(group("g"));
        world.engine.explain(&queue(QUEUE), &subject, Timestamp(world.now)).expect("a queue").reason
    };
    assert_eq!((why(&world), why(&world).rule()), (Reason::DeadLetterDue, "Q2"));
    world.delete_queue(DEAD);
    assert_eq!((why(&world), why(&world).rule()), (Reason::DeadLetterQueueGone, "H10"));
}
