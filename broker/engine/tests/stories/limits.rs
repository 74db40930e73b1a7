//! What is bounded: L10, H1, H3, and the caps on readers and remembered commits.

use lockstep_engine::{
    AttributeChanges, Event, Rejected,
    command::{Claim, OpenReader, SendEntry},
    explain::{Reason, Subject},
    limits,
    reply::Claimed,
    words::{ClaimNumber, Timestamp},
};

use crate::world::{
    HOUR, MINUTE, QUEUE, SECOND, World, commit_deliveries, entry, group, label, pool, prefix, queue, receipts, strict,
};

/// Sends so many messages, each into the group that the function names.
fn fill(world: &mut World, messages: usize, group: impl Fn(usize) -> String) {
    for start in (0..messages).step_by(limits::BATCH_ENTRIES) {
        let many = start..(start + limits::BATCH_ENTRIES).min(messages);
        let entries: Vec<SendEntry> = many.map(|n| entry(&group(n), &format!("id-{n}"))).collect();
        assert!(world.send_all(entries).iter().all(Result::is_ok));
    }
}

#[test]
fn l10_at_the_cap_a_receive_answers_nothing_and_no_error() {
    let mut world = World::with(prefix());
    world.watchful = false;
    let cap = usize::try_from(limits::IN_FLIGHT).expect("a small number");
    fill(&mut world, cap + 1_500, |n| format!("g{}", n / 1_000));
    let mut held = Vec::new();
    for _ in 1..cap / 1_000 {
        held = world.receive_for(1_000, HOUR);
        assert_eq!(held.len(), 1_000);
    }
    world.receive_for(600, HOUR);
    assert_eq!(world.receive_for(1_000, HOUR).len(), 400, "up to the cap");
    assert_eq!(world.receive(10), []);
    assert_eq!(world.describe().in_flight, limits::IN_FLIGHT);
    assert!(world.describe().free_groups > 0, "it is the cap that holds them back");
    let last = Subject::Group(group(&format!("g{}", (cap + 1_499) / 1_000)));
    let explained = world.engine.explain(&queue(QUEUE), &last, Timestamp(world.now)).expect("a queue");
    assert_eq!((explained.reason, explained.reason.rule()), (Reason::InFlightCap, "L10"), "and B4 says so");
    world.delete(&held[0]).expect("held");
    assert_eq!(world.receive_for(10, HOUR).len(), 1, "as many as there is room for");
    world.engine.check().expect("the invariants hold");
}

#[test]
fn l10_claims_have_their_own_limit() {
    let mut world = World::with(strict());
    world.watchful = false;
    let cap = usize::try_from(limits::IN_FLIGHT).expect("a small number");
    fill(&mut world, cap + 10, |n| format!("g{}", n / 1_000));
    for _ in 0..cap / 1_000 {
        world.receive_for(1_000, HOUR);
    }
    assert_eq!(world.receive(10), []);
    world.open_reader("controller");
    assert_eq!(world.claimed(1, 100).messages, 10);
}

#[test]
fn h1_a_claim_has_a_thousand_groups_and_ten_thousand_messages_at_most() {
    let mut world = World::with(strict());
    world.watchful = false;
    fill(&mut world, 1_200, |n| format!("small-{n}"));
    fill(&mut world, 13_000, |n| format!("large-{}", n % 2));
    world.open_reader("controller");
    let claim = |world: &mut World, number| {
        let number = ClaimNumber(number);
        let claim = Claim { reader: pool(None), number, max_messages: u32::MAX, max_bytes: u64::MAX, at_least: 1 };
        match world.ask(&claim).expect("a claim") {
            Claimed::Open(claim) => (claim.groups, claim.messages),
            other @ (Claimed::Empty | Claimed::Committed(_) | Claimed::Burnt) => panic!("{other:?}"),
        }
    };
    assert_eq!(claim(&mut world, 1), (1_000, 1_000));
    assert_eq!(claim(&mut world, 2), (202, 10_000));
    world.engine.check().expect("the invariants hold");
}

#[test]
fn h3_lapsed_leases_are_settled_a_thousand_at_a_time_and_all_of_them_before_a_command() {
    for attributes in [prefix(), strict()] {
        let mut world = World::with(attributes);
        world.watchful = false;
        fill(&mut world, 2_500, |n| format!("g{n}"));
        for _ in 0..3 {
            world.receive_for(1_000, MINUTE);
        }
        world.pass(MINUTE);
        let first = world.engine.settle(Timestamp(world.now));
        assert!(!first.complete, "no command may be decided after this turn");
        let returned: usize = first
            .events
            .iter()
            .map(|event| if let Event::MessagesReturned { messages, .. } = event { messages.len() } else { 0 })
            .sum();
        assert_eq!(returned, limits::SETTLED_IN_A_TURN);
        assert_eq!(world.settle(), 3);
        assert_eq!(world.describe().available, 2_500);
        world.engine.check().expect("the invariants hold");
    }
}

#[test]
fn h3_a_thousand_expired_messages_at_a_time() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.watchful = false;
    fill(&mut world, 2_500, |n| format!("g{}", n % 7));
    world.pass(MINUTE);
    assert_eq!(world.settle(), 3);
    assert_eq!(world.describe().available, 0);
}

#[test]
fn h3_the_watermark_frees_memory_once_a_second_and_judges_nothing() {
    let mut world = World::with(strict());
    let marks =
        |world: &World| world.journal.iter().filter(|event| matches!(event, Event::KeysForgotten { .. })).count();
    for n in 0..20 {
        world.send(entry("g", &format!("id-{n}"))).expect("accepted");
        world.pass(100);
    }
    world.pass(5 * MINUTE - 2 * SECOND);
    assert!(!world.send(entry("g", "id-0")).expect("accepted").duplicate, "expired, although still in memory");
    assert_eq!(marks(&world), 0);
    for _ in 0..40 {
        world.pass(100);
        world.settle();
    }
    assert!((1..=4).contains(&marks(&world)), "{} watermarks in four seconds", marks(&world));
    assert_eq!(world.describe().deduplication_keys, 1);
    assert!(world.send(entry("g", "id-0")).expect("accepted").duplicate, "the younger key of the same id stays");
}

#[test]
fn h3_freeing_keys_ends_also_after_the_window_was_lowered() {
    let mut world = World::with(AttributeChanges { window: Some(HOUR), ..strict() });
    world.watchful = false;
    world.send(entry("g", "long")).expect("accepted");
    world.set(AttributeChanges { window: Some(5 * MINUTE), ..AttributeChanges::default() }).expect("changed");
    world.pass(54 * MINUTE);
    fill(&mut world, limits::KEYS_FORGOTTEN_AT_ONCE + 10, |_| "g".to_owned());
    world.pass(6 * MINUTE + 2 * SECOND);
    for _ in 0..5 {
        world.settle();
    }
    assert_eq!(world.describe().deduplication_keys, 0, "the oldest key expired last, and went first");
    assert!(world.engine.settle(Timestamp(world.now)).events.is_empty(), "nothing is left to say");
}

#[test]
fn a_queue_has_a_thousand_readers_at_most() {
    let mut world = World::with(strict());
    world.watchful = false;
    let mut open = |n: usize| {
        let (reader, instance) = (label(&format!("reader-{n}")), label("controller"));
        world.ask(&OpenReader { queue: queue(QUEUE), reader, instance, claim_limit: None })
    };
    for n in 0..limits::READERS {
        open(n).expect("room for it");
    }
    assert_eq!(open(limits::READERS), Err(Rejected::TooManyReaders));
    assert!(open(0).is_ok(), "one that is there may be opened again");
}

#[test]
fn b1_a_commit_of_deliveries_is_remembered_for_a_thousand_more() {
    let mut world = World::with(strict());
    world.watchful = false;
    let mut first = None;
    for n in 0..=1_000 {
        world.fill("g");
        let delivered = world.receive(1);
        let commit = commit_deliveries(&format!("commit-{n}"), &delivered);
        assert_eq!(receipts(&delivered).len(), 1);
        world.ask(&commit).expect("held");
        let oldest = first.get_or_insert(commit);
        let again = world.ask(oldest);
        if n < 1_000 {
            assert!(again.expect("remembered").repeated);
        } else {
            assert_eq!(again, Err(Rejected::MessageNotInFlight), "forgotten, and never redone");
        }
    }
}
