//! What callers of the SQS wire have otherwise: names and purges that wait (A2, A3), attributes that are shown and decide
//! nothing (L8, L9, L12, S8), batches whose entries stand alone (P4, S1).

use lockstep_engine::{
    AttributeChanges, AwsChanges, Change, DeduplicationScope, Engine, GroupDelivery, Rejected, ThroughputLimit,
    command::{
        CreateQueue, CreateSqsQueue, DeleteQueue, PurgeQueue, PurgeSqsQueue, ReplacePolicy, Send, SendEntry,
        SendSeparately,
    },
    reply::QueueCreated,
    words::{KmsKey, Policy, Tags},
};

use crate::world::{
    HOUR, MINUTE, QUEUE, SECOND, World, bare, entry, prefix, queue, queue_name, scoped, sequences, strict,
};

fn create(attributes: AttributeChanges, spaced: bool) -> CreateSqsQueue {
    let create = CreateQueue { name: queue_name(QUEUE), attributes, tags: Tags::default() };
    CreateSqsQueue { create, delivery: GroupDelivery::Prefix, spaced }
}

fn made(world: &mut World, spaced: bool) -> Result<QueueCreated, Rejected> {
    world.ask(&create(AttributeChanges::default(), spaced))
}

fn aws(aws: AwsChanges) -> AttributeChanges {
    AttributeChanges { aws, ..AttributeChanges::default() }
}

fn policy(text: &str) -> Policy {
    Policy::parse(text).expect("a policy")
}

fn key(text: &str) -> KmsKey {
    KmsKey::parse(text).expect("a key")
}

fn purge(world: &mut World, spaced: bool) -> Result<u64, Rejected> {
    world.ask(&PurgeSqsQueue { purge: PurgeQueue { queue: queue(QUEUE) }, spaced })
}

/// The state as a checkpoint builds it again.
fn from_checkpoint(world: &mut World) {
    let mut again = Engine::new();
    world.engine.distilled().for_each(|event| again.evolve(&event));
    assert_eq!(again, world.engine);
    world.engine = again;
}

#[test]
fn a1_a_default_delivery_is_not_compared_with_a_queue_that_is_there() {
    let mut world = World::with(strict());
    let there = made(&mut world, true).expect("it is there, and strict");
    assert!(!there.created);
    let explicit = world.ask(&create(prefix(), true));
    assert_eq!(explicit, Err(Rejected::QueueExists { attribute: "GroupDelivery" }));
    world.delete_queue(QUEUE);
    assert!(made(&mut world, false).expect("a new queue").created);
    assert_eq!(world.describe().attributes.delivery, GroupDelivery::Prefix);
    world.delete_queue(QUEUE);
    assert!(world.ask(&create(strict(), false)).expect("a new queue").created);
    assert_eq!(world.describe().attributes.delivery, GroupDelivery::Strict, "what is given counts");
}

#[test]
fn a2_a_name_is_free_60_seconds_after_its_queue_was_deleted() {
    let mut world = World::with(strict());
    world.pass(HOUR);
    world.delete_queue(QUEUE);
    assert_eq!(made(&mut world, true), Err(Rejected::QueueDeletedRecently));
    world.pass(30 * SECOND);
    from_checkpoint(&mut world);
    world.restart_after(30 * SECOND - 1);
    assert_eq!(made(&mut world, true), Err(Rejected::QueueDeletedRecently), "downtime counts, to the millisecond");
    let mut other = World::with(strict());
    other.delete_queue(QUEUE);
    assert!(made(&mut other, false).expect("without AWS's timing at once").created);
    world.pass(1);
    assert!(made(&mut world, true).expect("a minute is over").created);
    assert!(!made(&mut world, true).expect("what is there is answered").created);
}

#[test]
fn a2_the_newest_deletion_counts_and_old_ones_are_forgotten() {
    let mut world = World::empty();
    for minute in 0..3 {
        assert!(made(&mut world, false).expect("a new queue").created, "{minute}");
        world.pass(40 * SECOND);
        world.delete_queue(QUEUE);
    }
    world.pass(59 * SECOND);
    assert_eq!(made(&mut world, true), Err(Rejected::QueueDeletedRecently));
    assert_eq!(world.engine.distilled().count(), 2, "the clock, and one deletion");
    world.pass(SECOND);
    world.heartbeat();
    world.create("other.fifo", strict()).expect("a new queue");
    assert_eq!(world.engine.distilled().count(), 2, "the clock, and the other queue");
}

#[test]
fn a3_a_second_purge_within_60_seconds_is_refused_whoever_did_the_first() {
    let mut world = World::with(strict());
    world.fill("g g");
    assert_eq!(world.purge(), 2, "by gRPC");
    world.fill("g");
    assert_eq!(purge(&mut world, true), Err(Rejected::PurgeInProgress));
    assert_eq!(purge(&mut world, false), Ok(1), "without AWS's timing at once");
    from_checkpoint(&mut world);
    world.restart_after(MINUTE - 1);
    assert_eq!(purge(&mut world, true), Err(Rejected::PurgeInProgress), "after a restart, to the millisecond");
    world.pass(1);
    assert_eq!(purge(&mut world, true), Ok(0));
    world.delete_queue(QUEUE);
    made(&mut world, false).expect("a new queue");
    assert_eq!(purge(&mut world, true), Ok(0), "a queue made anew was never purged");
    let nobody = PurgeQueue { queue: queue("nobody.fifo") };
    assert_eq!(world.ask(&PurgeSqsQueue { purge: nobody, spaced: true }), Err(Rejected::QueueNotFound));
}

#[test]
fn l9_attributes_that_only_sqs_callers_see_are_kept_and_compared() {
    let mut world = World::empty();
    let given = AwsChanges {
        policy: Some(Change::Set(policy("{}"))),
        kms_key: Some(Change::Set(key("alias/k"))),
        kms_reuse: Some(300 * SECOND),
        ..AwsChanges::default()
    };
    assert!(world.ask(&create(aws(given.clone()), false)).expect("a new queue").created);
    assert!(!world.ask(&create(aws(given.clone()), false)).expect("equal").created);
    let others = [
        ("Policy", AwsChanges { policy: Some(Change::Remove), ..given.clone() }),
        ("KmsMasterKeyId", AwsChanges { kms_key: Some(Change::Set(key("alias/l"))), ..given.clone() }),
        ("KmsDataKeyReusePeriodSeconds", AwsChanges { kms_reuse: Some(60 * SECOND), ..given.clone() }),
        ("FifoThroughputLimit", AwsChanges { throughput: Some(ThroughputLimit::PerMessageGroup), ..given }),
    ];
    for (attribute, other) in others {
        assert_eq!(world.ask(&create(aws(other), false)), Err(Rejected::QueueExists { attribute }));
    }
    from_checkpoint(&mut world);
    world.restart_after(HOUR);
    let created_at = world.describe().created_at;
    let seen = world.describe().attributes.aws;
    assert_eq!((seen.kms_key, seen.managed_sse, seen.kms_reuse), (Some(key("alias/k")), false, Some(300 * SECOND)));
    world.set(aws(AwsChanges { managed_sse: Some(true), ..AwsChanges::default() })).expect("changed");
    let seen = world.describe();
    assert_eq!((seen.attributes.aws.kms_key, seen.attributes.aws.managed_sse), (None, true), "one kind at a time");
    assert_eq!((seen.created_at, seen.modified_at.0), (created_at, world.now), "the change was noted");
    for period in [59, 86_401] {
        let refused = world.set(aws(AwsChanges { kms_reuse: Some(period * SECOND), ..AwsChanges::default() }));
        assert!(matches!(refused, Err(Rejected::AttributeInvalid { attribute: "KmsDataKeyReusePeriodSeconds", .. })));
    }
    let (kms_key, managed_sse) = (Some(Change::Set(key("k"))), Some(true));
    let both = world.set(aws(AwsChanges { kms_key, managed_sse, ..AwsChanges::default() }));
    assert!(matches!(both, Err(Rejected::AttributeInvalid { attribute: "SqsManagedSseEnabled", .. })));
}

#[test]
fn l8_a_throughput_limit_of_each_group_wants_ids_of_each_group() {
    let per_group = || AwsChanges { throughput: Some(ThroughputLimit::PerMessageGroup), ..AwsChanges::default() };
    let refused = |outcome| matches!(outcome, Err(Rejected::AttributeInvalid { attribute: "FifoThroughputLimit", .. }));
    let mut world = World::empty();
    assert!(refused(world.ask(&create(aws(per_group()), false)).map(drop)));
    let scope = Some(DeduplicationScope::MessageGroup);
    let both = AttributeChanges { scope, aws: per_group(), ..AttributeChanges::default() };
    world.ask(&create(both, false)).expect("a new queue");
    let shown_scope = Some(DeduplicationScope::Queue);
    let narrowed = AwsChanges { shown_scope, ..AwsChanges::default() };
    assert!(refused(world.set(aws(narrowed.clone()))));
    let throughput = Some(ThroughputLimit::PerQueue);
    world.set(aws(AwsChanges { throughput, ..narrowed })).expect("both together");
    world.create("plain", AttributeChanges::default()).expect("a standard queue");
    for (attribute, changes) in [
        ("FifoThroughputLimit", per_group()),
        ("DeduplicationScope", AwsChanges { shown_scope, ..AwsChanges::default() }),
    ] {
        assert_eq!(world.create("plain", aws(changes)), Err(Rejected::AttributeUnknown { attribute }));
    }
}

#[test]
fn s8_a_changed_scope_is_shown_and_decides_nothing() {
    use DeduplicationScope::{MessageGroup, Queue};
    for (fixed, shown, duplicate) in [(Queue, MessageGroup, true), (MessageGroup, Queue, false)] {
        let mut world = World::with(scoped(fixed));
        world.send(entry("g1", "id")).expect("accepted");
        world.set(aws(AwsChanges { shown_scope: Some(shown), ..AwsChanges::default() })).expect("changed");
        let seen = world.describe().attributes;
        assert_eq!((seen.shown_scope(), seen.scope), (shown, fixed));
        assert_eq!(world.send(entry("g2", "id")).expect("accepted").duplicate, duplicate, "as it was created");
        let asked = |scope| {
            let aws = AwsChanges { shown_scope: Some(scope), ..AwsChanges::default() };
            create(AttributeChanges { scope: Some(scope), aws, ..AttributeChanges::default() }, false)
        };
        assert!(!world.ask(&asked(shown)).expect("A1 compares with what is shown").created);
        assert_eq!(world.ask(&asked(fixed)), Err(Rejected::QueueExists { attribute: "DeduplicationScope" }));
        world.set(aws(AwsChanges { shown_scope: Some(fixed), ..AwsChanges::default() })).expect("changed back");
        assert_eq!(world.describe().attributes.aws.shown_scope, None);
    }
}

#[test]
fn l12_a_policy_is_replaced_only_by_who_saw_it() {
    let mut world = World::with(strict());
    let replace = |seen: Option<&str>, next: Option<&str>| ReplacePolicy {
        queue: queue(QUEUE),
        seen: seen.map(policy),
        policy: next.map(policy),
    };
    world.ask(&replace(None, Some("{1}"))).expect("the first one");
    assert_eq!(world.ask(&replace(None, Some("{2}"))), Err(Rejected::PolicyChanged));
    assert_eq!(world.ask(&replace(Some("{2}"), None)), Err(Rejected::PolicyChanged));
    let facts = world.journal.len();
    world.ask(&replace(Some("{1}"), Some("{1}"))).expect("harmless");
    assert_eq!(world.journal.len(), facts, "nothing changed");
    world.pass(SECOND);
    world.ask(&replace(Some("{1}"), None)).expect("removed");
    let seen = world.describe();
    assert_eq!((seen.attributes.aws.policy, seen.modified_at.0), (None, world.now));
    let long = "x".repeat(8_193);
    assert_eq!([Policy::parse(&long).is_ok(), Policy::parse(&long[1..]).is_ok()], [false, true]);
}

#[test]
fn p4_a_refused_entry_of_an_sqs_batch_refuses_no_other() {
    let mut world = World::with(AttributeChanges { max_message_size: Some(1_024), ..prefix() });
    let batch = |entries| SendSeparately(Send { queue: queue(QUEUE), session: None, entries });
    let long = SendEntry { size: 1_025, ..entry("g", "long") };
    let outcomes = world.ask(&batch(vec![entry("g", "1"), long, entry("g", "1"), entry("g", "2")])).expect("a batch");
    let seen: Vec<_> = outcomes.into_iter().map(|it| it.map(|it| (it.sequence.0, it.duplicate))).collect();
    assert_eq!(seen, [Ok((1, false)), Err(Rejected::MessageTooLong { limit: 1_024 }), Ok((1, true)), Ok((2, false))]);
    assert_eq!(sequences(&world.receive(10)), [1, 2]);
}

#[test]
fn s1_one_entry_without_an_id_refuses_a_whole_sqs_batch() {
    let mut world = World::with(prefix());
    let batch = |entries| SendSeparately(Send { queue: queue(QUEUE), session: None, entries });
    let refused = world.ask(&batch(vec![entry("g", "1"), bare("g", "body")]));
    assert_eq!(refused, Err(Rejected::DeduplicationIdMissing));
    assert_eq!(world.describe().available, 0, "nothing was stored");
    world.set(AttributeChanges { content_based: Some(true), ..AttributeChanges::default() }).expect("changed");
    assert_eq!(world.ask(&batch(vec![entry("g", "1"), bare("g", "body")])).expect("a batch").len(), 2);
    world.ask(&DeleteQueue { queue: queue(QUEUE) }).expect("deleted");
    assert_eq!(world.ask(&batch(vec![entry("g", "1")])), Err(Rejected::QueueNotFound));
}
