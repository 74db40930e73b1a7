//! Commit: B1, B9 as far as the engine keeps it, H5.

use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{Commit, CommitTarget, SendEntry, Space},
    limits,
    reply::OpenClaim,
    words::{CommitNumber, ContentDigest, Label, QueueGeneration},
};

use crate::world::{
    MINUTE, QUEUE, World, commit_deliveries, commit_of, entry, group, label, output, pool, prefix, queue, strict, value,
};

/// A strict queue, one claim on groups a and b, and a queue for outputs.
fn one_claim() -> (World, OpenClaim) {
    let mut world = World::with(strict());
    world.fill("a a b c");
    world.open_reader("controller");
    world.create("out.fifo", prefix()).expect("a new queue");
    let claim = world.claimed(1, 3);
    (world, claim)
}

/// A commit of reader-wide values.
fn own_values(id: &str) -> Commit {
    Commit {
        queue: queue(QUEUE),
        id: label(id),
        digest: ContentDigest([1; 16]),
        target: CommitTarget::Reader(pool(None)),
        values: vec![value(None, "position", Some(10))],
        outputs: Vec::new(),
    }
}

fn with_record(mut commit: Commit, size: u32) -> Commit {
    if let CommitTarget::Claim { record, .. } = &mut commit.target {
        *record = Some(size);
    }
    commit
}

fn out_count(world: &World) -> u64 {
    world.engine.queues("out", "", 1)[0].available
}

#[test]
fn b1_a_repeated_commit_gets_the_same_answer() {
    let (mut world, claim) = one_claim();
    let commit = Commit { outputs: vec![output("out.fifo", entry("o", "1"))], ..commit_of(&claim) };
    let done = world.ask(&commit).expect("held");
    assert!(!done.repeated);
    world.restart_after(MINUTE);
    world.open_reader("another");
    let again = world.ask(&commit).expect("done before");
    assert_eq!((again.commit, again.outputs, again.repeated), (done.commit, done.outputs, true));
    assert_eq!(out_count(&world), 1);
}

#[test]
fn b1_another_content_under_a_done_number_is_refused() {
    let (mut world, claim) = one_claim();
    world.finish(&claim).expect("held");
    let other_digest = Commit { digest: ContentDigest([2; 16]), ..commit_of(&claim) };
    assert_eq!(world.ask(&other_digest), Err(Rejected::CommitConflict));
    let other_id = Commit { id: label("other"), ..commit_of(&claim) };
    assert_eq!(world.ask(&other_id), Err(Rejected::CommitConflict));
}

#[test]
fn b1_the_checks_come_in_the_order_of_the_contract() {
    let (mut world, claim) = one_claim();
    let old = world.open_reader("controller").generation;
    let current = world.open_reader("another").generation;
    let everything_wrong = |id: &str, generation: Option<u64>| {
        let mut commit = Commit {
            id: label(id),
            values: vec![value(Some("c"), "state", Some(1))],
            outputs: vec![output("nowhere.fifo", entry("o", "1"))],
            ..commit_of(&claim)
        };
        commit.queue.generation = generation.map(QueueGeneration);
        commit.target = CommitTarget::Claim {
            reader: pool(Some(old)),
            number: claim.number,
            epoch: claim.epoch,
            record: None,
            outcomes: Vec::new(),
        };
        commit
    };
    let mut commit = everything_wrong("claim-1", Some(77));
    assert!(
        matches!(world.ask(&commit), Err(Rejected::QueueGenerationChanged { .. })),
        "first the queue's generation, wherever it is named"
    );
    commit.queue.generation = None;
    assert_eq!(world.ask(&commit), Err(Rejected::ReaderFenced { given: old, current }), "then the reader's");
    let epoch = world.open_reader("another").open[0].epoch;
    commit.target = CommitTarget::Claim {
        reader: pool(None),
        number: claim.number,
        epoch: claim.epoch,
        record: None,
        outcomes: Vec::new(),
    };
    assert_eq!(world.ask(&commit), Err(Rejected::ClaimFenced { given: claim.epoch, current: epoch }));
    commit.target =
        CommitTarget::Claim { reader: pool(None), number: claim.number, epoch, record: None, outcomes: Vec::new() };
    assert_eq!(world.ask(&commit), Err(Rejected::ValueOutsideClaim { key: "state".to_owned() }));
    commit.values.clear();
    assert!(matches!(world.ask(&commit), Err(Rejected::OutputRefused { .. })));
    commit.outputs.clear();
    let done = world.ask(&commit).expect("nothing is wrong any more");
    let mut again = everything_wrong("claim-1", None);
    assert_eq!(world.ask(&again).map(|again| again.commit), Ok(done.commit), "already committed comes before fencing");
    again.queue.generation = Some(QueueGeneration(77));
    assert!(matches!(world.ask(&again), Err(Rejected::QueueGenerationChanged { .. })), "but after the queue");
}

#[test]
fn b1_the_epoch_of_deliveries_is_checked_before_what_the_commit_stores() {
    let mut world = World::with(strict());
    world.fill("a");
    let delivered = world.receive_for(1, 1_000);
    world.pass(1_000);
    let values = vec![value(Some("a"), "state", Some(1))];
    let late = Commit { values: values.clone(), ..commit_deliveries("late", &delivered) };
    assert_eq!(world.ask(&late), Err(Rejected::ReceiptExpired));
    let again = world.receive(1);
    let commit = Commit { values, ..commit_deliveries("again", &again) };
    assert_eq!(world.ask(&commit), Err(Rejected::ValueOutsideClaim { key: "state".to_owned() }));
}

#[test]
fn b1_an_outcome_is_kept_for_the_thousand_below_and_forgotten_afterwards() {
    let (mut world, claim) = one_claim();
    world.finish(&claim).expect("held");
    for number in 2..=1_000 {
        world.fill("a");
        let next = world.claimed(number, 1);
        world.finish(&next).expect("held");
    }
    assert!(world.finish(&claim).expect("kept").repeated);
    world.fill("a");
    let next = world.claimed(1_001, 1);
    world.finish(&next).expect("held");
    assert_eq!(world.finish(&claim), Err(Rejected::OutcomeForgotten));
    assert_eq!(world.claim(1, 1), Err(Rejected::OutcomeForgotten));
    assert_eq!(world.claim(2, 1), Ok(lockstep_engine::reply::Claimed::Committed(CommitNumber(2))));
}

#[test]
fn b1_above_last_committed_every_outcome_is_kept() {
    let mut world = World::with(strict());
    world.fill("old");
    world.open_reader("controller");
    world.claimed(1, 1);
    world.fill("a");
    let second = world.claimed(2, 1);
    world.finish(&second).expect("held");
    for number in 3..=1_200 {
        world.fill("a");
        let next = world.claimed(number, 1);
        world.finish(&next).expect("held");
    }
    assert!(world.finish(&second).expect("the first claim is still open").repeated);
}

#[test]
fn b1_values_belong_to_the_groups_of_the_claim() {
    let (mut world, claim) = one_claim();
    let outside = |of: Option<&str>| Commit { values: vec![value(of, "state", Some(1))], ..commit_of(&claim) };
    let refused = Err(Rejected::ValueOutsideClaim { key: "state".to_owned() });
    assert_eq!(world.ask(&outside(Some("c"))), refused, "not claimed");
    assert_eq!(world.ask(&outside(None)), refused, "the reader's own are the controller's");
    let of_a_group = Commit { values: vec![value(Some("a"), "state", Some(1))], ..own_values("id") };
    assert_eq!(world.ask(&of_a_group), refused, "only the claim changes its groups' values");
    assert!(world.ask(&outside(Some("b"))).is_ok());
}

#[test]
fn b1_values_are_read_with_the_next_claim_of_their_group_and_an_absent_one_removes_the_key() {
    let (mut world, claim) = one_claim();
    let store = vec![value(Some("a"), "state", Some(7)), value(Some("b"), "state", Some(8))];
    world.ask(&Commit { values: store, ..commit_of(&claim) }).expect("held");
    world.fill("a b");
    let next = world.claimed(2, 10);
    let of = |world: &World, claim: &OpenClaim| -> Vec<(String, u32)> {
        let values = world.contents(claim.number.0, claim.epoch).values;
        values.iter().map(|v| (format!("{}/{}", v.group.as_ref().expect("a group"), v.key), v.body.size)).collect()
    };
    assert_eq!(of(&world, &next), [("a/state".to_owned(), 7), ("b/state".to_owned(), 8)]);
    let change = vec![value(Some("a"), "state", None), value(Some("b"), "state", Some(9))];
    world.ask(&Commit { values: change, ..commit_of(&next) }).expect("held");
    world.fill("a b");
    let last = world.claimed(3, 10);
    assert_eq!(of(&world, &last), [("b/state".to_owned(), 9)]);
}

#[test]
fn b1_reader_wide_values_are_the_controllers_under_the_reader_generation() {
    let (mut world, _) = one_claim();
    let old = world.open_reader("controller").generation;
    let current = world.open_reader("another").generation;
    let stale = Commit { target: CommitTarget::Reader(pool(Some(old))), ..own_values("one") };
    assert_eq!(world.ask(&stale), Err(Rejected::ReaderFenced { given: old, current }));
    let mine = Commit { target: CommitTarget::Reader(pool(Some(current))), ..own_values("one") };
    assert!(!world.ask(&mine).expect("mine").repeated);
    assert!(world.ask(&mine).expect("mine").repeated);
    assert_eq!(world.ask(&Commit { digest: ContentDigest([2; 16]), ..mine }), Err(Rejected::CommitConflict));
    assert_eq!(world.own_values().len(), 1);
}

#[test]
fn b1_a_value_has_64_kib_at_most() {
    let (mut world, claim) = one_claim();
    let sized = |size| Commit { values: vec![value(Some("a"), "state", Some(size))], ..commit_of(&claim) };
    assert_eq!(world.ask(&sized(65_537)), Err(Rejected::ValueTooLong { key: "state".to_owned() }));
    assert!(world.ask(&sized(65_536)).is_ok());
}

#[test]
fn b1_a_reader_has_256_mib_at_most_and_may_always_shrink() {
    let (mut world, _) = one_claim();
    let many = |id: String, from: u32, size: Option<u32>| Commit {
        values: (from..from + 16).map(|n| value(None, &format!("v{n}"), size)).collect(),
        ..own_values(&id)
    };
    for round in 0..256 {
        world.ask(&many(format!("fill-{round}"), round * 16, Some(65_536))).expect("it fits");
    }
    let reader = world.engine.reader(&queue(QUEUE), &label("pool")).expect("opened");
    assert_eq!(reader.value_bytes, limits::READER_BYTES);
    assert_eq!(world.ask(&many("over".to_owned(), 9_000, Some(1))), Err(Rejected::ReaderFull));
    assert!(world.ask(&many("same".to_owned(), 0, Some(65_536))).is_ok(), "in place of others");
    assert!(world.ask(&many("less".to_owned(), 0, None)).is_ok());
    assert!(world.ask(&many("again".to_owned(), 9_000, Some(1))).is_ok());
}

#[test]
fn b1_a_refused_output_is_named_and_nothing_else_happened() {
    let (mut world, claim) = one_claim();
    world.create("small.fifo", AttributeChanges { max_message_size: Some(1_024), ..prefix() }).expect("a new queue");
    let long = SendEntry { size: 2_000, ..entry("o", "2") };
    let refused = |to: &str, second: SendEntry| Commit {
        outputs: vec![output("out.fifo", entry("o", "1")), output(to, second)],
        values: vec![value(Some("a"), "state", Some(1))],
        ..commit_of(&claim)
    };
    let named = |reason| Err(Rejected::OutputRefused { index: 1, reason: Box::new(reason) });
    assert_eq!(world.ask(&refused("gone.fifo", entry("o", "2"))), named(Rejected::QueueNotFound));
    assert_eq!(world.ask(&refused("small.fifo", long)), named(Rejected::MessageTooLong { limit: 1_024 }));
    world.space = Space { for_sends: 500, ..Space::UNLIMITED };
    assert_eq!(world.ask(&refused("out.fifo", entry("o", "2"))), named(Rejected::StorageFull));
    assert_eq!((out_count(&world), world.describe().claimed), (0, 3));
    world.space = Space { for_sends: 0, ..Space::UNLIMITED };
    let without = Commit { outputs: Vec::new(), ..refused("out.fifo", entry("o", "2")) };
    assert!(world.ask(&without).is_ok(), "again without it");
}

#[test]
fn b1_a_duplicate_output_counts_as_accepted() {
    let (mut world, claim) = one_claim();
    let outputs = vec![
        output("out.fifo", entry("o", "1")),
        output("out.fifo", entry("o", "1")),
        output(QUEUE, entry("a", "made-1")),
    ];
    let done = world.ask(&Commit { outputs, ..commit_of(&claim) }).expect("held");
    let seen: Vec<_> = done.outputs.iter().map(|accepted| (accepted.sequence.0, accepted.duplicate)).collect();
    assert_eq!(seen, [(1, false), (1, true), (1, true)], "the last one is the claim's own first message");
    assert_eq!(out_count(&world), 1);
}

#[test]
fn b1_an_output_may_follow_in_the_group_that_is_finished() {
    let (mut world, claim) = one_claim();
    let outputs = vec![output(QUEUE, entry("a", "next"))];
    world.ask(&Commit { outputs, ..commit_of(&claim) }).expect("held");
    let next = world.claimed(2, 10);
    assert_eq!(world.claimed_messages(&next), [4, 5]);
}

#[test]
fn b1_a_commit_of_deliveries_stores_no_values_and_finishes_nothing_twice() {
    let mut world = World::with(strict());
    world.fill("a");
    let delivered = world.receive(1);
    world.ask(&commit_deliveries("once", &delivered)).expect("held");
    assert_eq!(world.ask(&commit_deliveries("twice", &delivered)), Err(Rejected::MessageNotInFlight));
}

#[test]
fn b9_the_commit_number_is_dense_and_its_record_is_kept_under_it() {
    let (mut world, first) = one_claim();
    let second = world.claimed(2, 1);
    let done = world.ask(&with_record(commit_of(&second), 300)).expect("held");
    assert_eq!(done.commit, Some(CommitNumber(1)));
    assert_eq!(world.ask(&with_record(commit_of(&first), 301)).expect("held").commit, Some(CommitNumber(2)));
    let records: Vec<_> = world.own_values().iter().map(|v| (v.key.as_str().to_owned(), v.body.size)).collect();
    let key = |c: u64| format!("published/{c:020}");
    assert_eq!(records, [(key(1), 300), (key(2), 301)], "in the order of commits");
    let remove = Commit { values: vec![value(None, &key(1), None)], ..own_values("line-1-is-synced") };
    world.ask(&remove).expect("the controller's");
    assert_eq!(world.own_values().len(), 1);
    assert_eq!(world.open_reader("controller").commits, CommitNumber(2), "the numbers go on");
}

#[test]
fn h5_a_commit_keeps_a_reserve_of_its_own_and_its_record_counts_in_it() {
    let (mut world, claim) = one_claim();
    let commit = with_record(Commit { values: vec![value(Some("a"), "state", Some(100))], ..commit_of(&claim) }, 50);
    for short in [99, 149] {
        world.space = Space { for_sends: u64::MAX, for_finishes: short };
        assert_eq!(world.ask(&commit), Err(Rejected::StorageFull), "{short} bytes");
    }
    world.space = Space { for_sends: 0, for_finishes: 150 };
    assert!(world.ask(&commit).is_ok());
}

#[test]
fn h5_without_space_sends_are_refused_and_everything_that_frees_some_is_not() {
    let mut world = World::with(strict());
    world.fill("a b c");
    world.open_reader("controller");
    let claim = world.claimed(1, 1);
    world.space = Space { for_sends: 0, for_finishes: 0 };
    assert_eq!(world.send(entry("a", "new")), Err(Rejected::StorageFull));
    assert!(world.send(entry("a", "made-1")).expect("a repeat").duplicate);
    let delivered = world.receive(10);
    assert!(world.delete(&delivered[0]).is_ok());
    assert!(world.ask(&commit_deliveries("rest", &delivered[1..])).is_ok());
    assert!(world.finish(&claim).is_ok());
    assert_eq!(world.describe().available, 0);
}

#[test]
fn h5_a_batch_is_stored_as_far_as_the_space_goes_and_no_message_overtakes() {
    let mut world = World::with(strict());
    world.space = Space { for_sends: 2 * (100 + limits::MESSAGE_OVERHEAD), for_finishes: 0 };
    let long = SendEntry { size: 200, ..entry("a", "2") };
    let outcomes = world.send_all(vec![entry("a", "1"), long, entry("a", "3"), entry("b", "4"), entry("b", "5")]);
    assert!(outcomes[0].is_ok() && outcomes[3].is_ok());
    assert_eq!(outcomes[1], Err(Rejected::StorageFull));
    assert_eq!(outcomes[2], Err(Rejected::EarlierRejected));
    assert_eq!(outcomes[4], Err(Rejected::StorageFull));
}

#[test]
fn b1_the_words_of_a_commit_have_their_rules() {
    assert!(Label::parse(&"x".repeat(80)).is_ok());
    for wrong in ["", "a b", "ä", &"x".repeat(81)] {
        assert!(Label::parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(group("a").as_str(), "a");
}
