//! Batch claims and readers: B6 sentence by sentence, B8, B2 for claims.

use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{Claim, PurgeQueue, QueueRef, ReaderRef},
    reply::Claimed,
    words::{ClaimNumber, CommitNumber, Epoch, QueueGeneration, ReaderId},
};

use crate::world::{
    HOUR, MINUTE, QUEUE, SECOND, World, commit_of, entry, label, pool, queue, queue_name, sequences, strict,
};

/// A strict queue with these groups filled, and a reader.
fn opened(names: &str) -> World {
    let mut world = World::with(strict());
    if !names.is_empty() {
        world.fill(names);
    }
    world.open_reader("controller");
    world
}

#[test]
fn b6_the_same_instance_gets_the_same_generation_back() {
    let mut world = opened("a");
    let first = world.open_reader("controller");
    let claim = world.claimed(1, 10);
    let again = world.open_reader("controller");
    assert_eq!((first.id, first.generation), (again.id, again.generation));
    assert_eq!(again.open, [claim], "and its claim's epoch is what it was");
    assert_eq!((again.last_committed, again.last_number), (ClaimNumber(0), ClaimNumber(1)));
}

#[test]
fn b6_another_instance_fences_the_older_and_raises_the_epoch_of_every_open_claim() {
    let mut world = opened("a b");
    let old = world.open_reader("controller");
    let (first, second) = (world.claimed(1, 1), world.claimed(2, 1));
    let taken = world.take(1, "worker", false).expect("open");
    let new = world.open_reader("other");
    assert_eq!(new.id, old.id);
    assert!(new.generation > old.generation && new.generation > taken.epoch);
    assert!(new.open[0].epoch > taken.epoch && new.open[1].epoch > second.epoch);
    assert!(new.open.iter().all(|claim| claim.worker.is_none() && claim.epoch > first.epoch));
    let (given, current) = (old.generation, new.generation);
    assert_eq!(world.claim_as(Some(given), 3, 1), Err(Rejected::ReaderFenced { given, current }));
    let fenced = Rejected::ClaimFenced { given: taken.epoch, current: new.open[0].epoch };
    assert_eq!(world.finish(&taken), Err(fenced), "its workers are fenced too");
    assert!(world.finish(&new.open[0]).is_ok());
    let back = world.open_reader("controller");
    assert!(back.generation > new.generation, "the old instance is a new one when it comes back");
}

#[test]
fn b6_the_same_number_gives_the_same_messages_also_after_a_restart() {
    let mut world = opened("a a b");
    let claim = world.claimed(1, 2);
    assert_eq!(world.claimed_messages(&claim), [1, 2]);
    world.fill("a b");
    assert_eq!(world.claimed(1, 100), claim, "whatever the repeat asks for");
    world.restart_after(HOUR);
    assert_eq!(world.claimed(1, 100), claim);
    assert_eq!(world.claimed_messages(&claim), [1, 2]);
    assert_eq!(world.receives()[0], (1, 1), "a repeat counts no receive");
}

#[test]
fn b6_the_next_number_is_last_plus_one() {
    let mut world = opened("a b");
    let invalid = |next| Err(Rejected::ClaimNumberInvalid { next: ClaimNumber(next) });
    assert_eq!(world.claim(2, 1), invalid(1));
    world.claimed(1, 1);
    assert_eq!(world.claim(3, 1), invalid(2));
    assert_eq!(world.claim(0, 1), invalid(2), "numbers begin with 1");
}

#[test]
fn b6_an_empty_claim_takes_no_number() {
    let mut world = opened("");
    assert_eq!(world.claim(1, 10), Ok(Claimed::Empty));
    world.fill("a");
    world.claimed(1, 10);
    assert_eq!(world.claim(2, 10), Ok(Claimed::Empty), "its only group is held");
    let reader = world.open_reader("controller");
    assert_eq!(reader.last_number, ClaimNumber(1));
}

#[test]
fn b6_less_than_asked_for_at_least_is_nothing() {
    let mut world = opened("a b");
    let claim =
        |at_least| Claim { reader: pool(None), number: ClaimNumber(1), max_messages: 10, max_bytes: 1 << 20, at_least };
    assert_eq!(world.ask(&claim(3)), Ok(Claimed::Empty));
    assert!(matches!(world.ask(&claim(2)), Ok(Claimed::Open(_))));
}

#[test]
fn b6_a_claim_takes_prefixes_of_free_groups_and_holds_those_groups() {
    let mut world = opened("a b a b a c");
    let claim = world.claimed(1, 4);
    assert_eq!(world.claimed_messages(&claim), [1, 2, 3, 5], "all of a, and b cut");
    assert_eq!((claim.messages, claim.groups), (4, 2));
    assert_eq!(sequences(&world.receive(10)), [6], "what was cut off b waits behind the claim");
    assert_eq!(world.claim(2, 10), Ok(Claimed::Empty), "claims are disjoint in groups");
    world.finish(&claim).expect("held");
    let rest = world.claimed(2, 10);
    assert_eq!(world.claimed_messages(&rest), [4]);
}

fn open(claimed: Claimed) -> lockstep_engine::reply::OpenClaim {
    match claimed {
        Claimed::Open(claim) => claim,
        other @ (Claimed::Empty | Claimed::Committed(_) | Claimed::Burnt) => panic!("{other:?}"),
    }
}

#[test]
fn b6_one_message_always_fits_and_bytes_cut_a_prefix() {
    let mut world = opened("a a b");
    let reader = pool(None);
    let small = Claim { reader, number: ClaimNumber(1), max_messages: 10, max_bytes: 1, at_least: 1 };
    let claim = world.ask(&small).map(open).expect("one message");
    assert_eq!(world.claimed_messages(&claim), [1]);
}

#[test]
fn b6_what_a_receiver_holds_no_claim_takes() {
    let mut world = opened("a b");
    let delivered = world.receive_for(1, SECOND);
    let claim = world.claimed(1, 10);
    assert_eq!(world.claimed_messages(&claim), [2]);
    world.pass(SECOND);
    let next = world.claimed(2, 10);
    assert_eq!(world.claimed_messages(&next), [1]);
    assert_eq!(world.delete(&delivered[0]), Err(Rejected::ReceiptExpired), "the claim holds it now");
}

#[test]
fn b6_claims_commit_in_any_order_and_last_committed_is_the_highest_without_a_gap() {
    let mut world = opened("a b c");
    let claims: Vec<_> = (1..=3).map(|number| world.claimed(number, 1)).collect();
    let last = |world: &mut World| world.open_reader("controller").last_committed;
    assert_eq!(world.finish(&claims[2]).expect("held").commit, Some(CommitNumber(1)), "dense in order of commits");
    assert_eq!(last(&mut world), ClaimNumber(0));
    world.abandon(Some(1)).expect("open");
    assert_eq!(last(&mut world), ClaimNumber(1), "a burnt one counts");
    assert_eq!(world.finish(&claims[1]).expect("held").commit, Some(CommitNumber(2)));
    assert_eq!(last(&mut world), ClaimNumber(3));
}

#[test]
fn b6_an_ended_number_answers_how_it_ended() {
    let mut world = opened("a b");
    let (first, second) = (world.claimed(1, 1), world.claimed(2, 1));
    world.finish(&first).expect("held");
    world.abandon(Some(2)).expect("open");
    assert_eq!(world.claim(1, 1), Ok(Claimed::Committed(CommitNumber(1))));
    assert_eq!(world.claim(2, 1), Ok(Claimed::Burnt));
    assert_eq!(world.finish(&second), Err(Rejected::ClaimBurnt));
    assert_eq!(world.take(2, "worker", true), Err(Rejected::ClaimBurnt));
    assert_eq!(world.take(1, "worker", true), Err(Rejected::ClaimNotOpen));
    assert_eq!(world.take(9, "worker", true), Err(Rejected::ClaimNotOpen));
}

#[test]
fn b6_abandon_gives_the_messages_back_in_order_and_may_be_repeated() {
    let mut world = opened("a a b");
    world.claimed(1, 10);
    world.fill("a");
    assert_eq!(world.abandon(Some(1)), Ok(vec![ClaimNumber(1)]));
    assert_eq!(world.abandon(Some(1)), Ok(vec![ClaimNumber(1)]));
    assert_eq!(world.receives(), [(1, 1), (2, 1), (3, 1), (4, 0)], "the receive of the claim counted");
    let again = world.claimed(2, 10);
    assert_eq!(world.claimed_messages(&again), [1, 2, 3, 4]);
}

#[test]
fn b6_abandon_without_a_number_burns_every_open_one() {
    let mut world = opened("a b c");
    let claims: Vec<_> = (1..=3).map(|number| world.claimed(number, 1)).collect();
    world.finish(&claims[1]).expect("held");
    assert_eq!(world.abandon(None), Ok(vec![ClaimNumber(1), ClaimNumber(3)]));
    assert_eq!(world.describe().claimed, 0);
}

#[test]
fn b6_sixty_four_claims_are_open_at_most() {
    let mut world = opened("");
    let names: Vec<String> = (0..70).map(|n| format!("g{n}")).collect();
    world.fill(&names.join(" "));
    let first = world.claimed(1, 1);
    for number in 2..=64 {
        world.claimed(number, 1);
    }
    assert_eq!(world.claim(65, 1), Err(Rejected::TooManyOpenClaims));
    assert!(matches!(world.claim(64, 1), Ok(Claimed::Open(_))), "an open one may be asked for again");
    world.finish(&first).expect("held");
    world.claimed(65, 1);
}

#[test]
fn b6_take_claim_fences_only_its_previous_holder() {
    let mut world = opened("a b");
    let (first, second) = (world.claimed(1, 1), world.claimed(2, 1));
    let taken = world.take(1, "one", false).expect("open");
    assert!(taken.epoch > first.epoch && taken.epoch > second.epoch);
    assert_eq!(taken.worker, Some(label("one")));
    assert_eq!(world.finish(&first), Err(Rejected::ClaimFenced { given: first.epoch, current: taken.epoch }));
    assert!(world.finish(&second).is_ok());
    assert!(world.finish(&taken).is_ok());
}

#[test]
fn b6_take_claim_counts_a_receive_only_where_a_holder_failed() {
    let mut world = opened("a");
    world.claimed(1, 1);
    let count = |world: &World| world.receives()[0].1;
    assert_eq!(count(&world), 1, "the claim itself counts the first receive");
    let one = world.take(1, "one", true).expect("open");
    assert_eq!(count(&world), 1, "nobody held it before");
    assert_eq!(world.take(1, "one", true).expect("open").epoch, one.epoch, "the same worker, the same epoch");
    assert_eq!(count(&world), 1);
    world.take(1, "two", false).expect("open");
    assert_eq!(count(&world), 1, "scale-in is no failure");
    world.take(1, "three", true).expect("open");
    assert_eq!(count(&world), 2);
    world.open_reader("other");
    world.take(1, "four", true).expect("open");
    assert_eq!(count(&world), 2, "a controller restart is none either");
}

#[test]
fn b6_a_dropped_reader_gives_back_and_its_name_gets_a_new_id() {
    let mut world = opened("a");
    let old = world.open_reader("controller");
    let claim = world.claimed(1, 1);
    assert_eq!(world.drop_reader(Some(ReaderId(7))), Err(Rejected::ReaderNotFound), "another id is not meant");
    world.drop_reader(Some(old.id)).expect("there");
    assert_eq!(world.describe().claimed, 0);
    assert_eq!(world.finish(&claim), Err(Rejected::ReaderNotFound));
    let new = world.open_reader("controller");
    assert!(new.id > old.id && new.generation > old.generation);
    assert_eq!((new.last_number, new.open.len()), (ClaimNumber(0), 0));
    let again = world.claimed(1, 1);
    assert!(again.epoch > claim.epoch);
    let current = again.epoch;
    assert_eq!(world.finish(&claim), Err(Rejected::ClaimFenced { given: claim.epoch, current }));
}

#[test]
fn b6_a_claim_does_not_lapse_by_time() {
    let mut world = opened("a");
    let claim = world.claimed(1, 1);
    world.pass(3 * 24 * HOUR);
    assert!(world.finish(&claim).is_ok());
}

#[test]
fn b6_with_a_limit_it_lapses_at_exactly_the_limit() {
    let mut world = World::with(strict());
    world.fill("a");
    world.open_limited("controller", Some(MINUTE));
    let claim = world.claimed(1, 1);
    world.pass(MINUTE - 1);
    assert_eq!(world.claimed(1, 1), claim);
    world.pass(1);
    assert_eq!(world.claim(1, 1), Ok(Claimed::Burnt));
    assert_eq!(world.finish(&claim), Err(Rejected::ClaimBurnt));
    assert_eq!(world.receives(), [(1, 1)]);
}

#[test]
fn b6_each_group_is_in_one_shard_in_order() {
    let mut world = opened("a b c d a b c d");
    let claim = world.claimed(1, 100);
    let (mut seen, mut messages) = (Vec::new(), 0);
    for shard in 0..3 {
        let contents = world.engine.claim_contents(&pool(None), ClaimNumber(1), claim.epoch, shard, 3).expect("open");
        let mine: Vec<_> = contents.messages.iter().map(|message| message.sequence.0).collect();
        assert!(mine.is_sorted());
        for message in &contents.messages {
            assert!(!seen.contains(&message.group), "{} is in two shards", message.group);
        }
        messages += contents.messages.len();
        seen.extend(contents.messages.into_iter().map(|message| message.group));
    }
    assert_eq!(messages, 8, "every message is in a shard");
}

#[test]
fn b2_only_the_holder_of_the_epoch_reads_a_claim() {
    let mut world = opened("a");
    let claim = world.claimed(1, 1);
    let taken = world.take(1, "worker", false).expect("open");
    let read = |epoch| world.engine.claim_contents(&pool(None), ClaimNumber(1), epoch, 0, 1);
    assert_eq!(read(claim.epoch), Err(Rejected::ClaimFenced { given: claim.epoch, current: taken.epoch }));
    assert_eq!(read(taken.epoch).map(|contents| contents.messages.len()), Ok(1));
}

#[test]
fn b8_purge_and_retention_skip_what_is_claimed() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.fill("a a b");
    world.open_reader("controller");
    let claim = world.claimed(1, 1);
    assert_eq!(world.purge(), 2);
    world.pass(HOUR);
    world.settle();
    assert_eq!(world.claimed_messages(&claim), [1]);
    assert!(world.finish(&claim).is_ok());
}

#[test]
fn b8_retention_is_judged_when_the_messages_are_given_back() {
    let mut world = World::with(AttributeChanges { retention: Some(MINUTE), ..strict() });
    world.fill("a");
    world.open_limited("controller", Some(2 * MINUTE));
    world.claimed(1, 1);
    world.pass(2 * MINUTE);
    assert_eq!(world.receive(10), [], "the claim lapsed, and the message is too old, in one turn");
    assert_eq!(world.describe().groups, 0);
}

#[test]
fn b8_deleting_the_queue_ends_claims_and_later_calls_hear_of_it() {
    let mut world = opened("a");
    let wanted = world.generation();
    let mine = ReaderRef { queue: QueueRef { name: queue_name(QUEUE), generation: Some(wanted) }, ..pool(None) };
    let claim = world.claimed(1, 1);
    let call = |world: &mut World| {
        let claim = Claim { reader: mine.clone(), number: ClaimNumber(1), max_messages: 1, max_bytes: 1, at_least: 1 };
        world.ask(&claim)
    };
    world.delete_queue(QUEUE);
    assert_eq!(call(&mut world), Err(Rejected::QueueGenerationChanged { wanted, current: None }));
    world.create(QUEUE, strict()).expect("made anew");
    let current = Some(world.generation());
    assert_eq!(call(&mut world), Err(Rejected::QueueGenerationChanged { wanted, current }));
    let mut commit = commit_of(&claim);
    commit.queue.generation = Some(wanted);
    assert_eq!(world.ask(&commit), Err(Rejected::QueueGenerationChanged { wanted, current }));
    assert_eq!(world.claim(1, 1), Err(Rejected::ReaderNotFound), "reader, numbers and values ended with it");
}

#[test]
fn b8_a_purge_that_names_a_generation_eats_no_new_messages() {
    let mut world = opened("a");
    let old = QueueRef { generation: Some(QueueGeneration(9)), ..queue(QUEUE) };
    assert!(matches!(world.ask(&PurgeQueue { queue: old }), Err(Rejected::QueueGenerationChanged { .. })));
    assert_eq!(world.describe().available, 1);
    assert!(world.send(entry("a", "x")).is_ok());
}

#[test]
fn b6_epochs_of_grants_claims_and_readers_come_from_one_counter() {
    let mut world = opened("a b");
    let reader = world.open_reader("controller");
    let grant = world.receive(1)[0].epoch;
    let claim = world.claimed(1, 1).epoch;
    let taken = world.take(1, "worker", false).expect("open").epoch;
    assert_eq!([reader.generation, grant, claim, taken], [Epoch(1), Epoch(2), Epoch(3), Epoch(4)]);
}
