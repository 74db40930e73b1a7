//! Creating, changing, purging and deleting queues (A1, A3, B8).

use super::tags;
use crate::{
    AttributeChanges, Attributes, DeduplicationScope, Event, RedriveChange, RedrivePolicy, State, ThroughputLimit,
    command::{Command, Context, CreateQueue, Decision, DeleteQueue, PurgeQueue, SetQueueAttributes},
    reply::{QueueCreated, Rejected},
    words::{QueueGeneration, QueueName},
};

impl Command for CreateQueue {
    type Reply = QueueCreated;

    /// The same name with equal given attributes answers the queue that is there (A1).
    fn decide(&self, state: &State, context: &Context) -> Decision<QueueCreated> {
        create(self, &Attributes::default(), state, context)
    }
}

/// Creates a queue, which has the attributes of `base` where none are given.
pub(super) fn create(
    command: &CreateQueue,
    base: &Attributes,
    state: &State,
    context: &Context,
) -> Decision<QueueCreated> {
    match created(command, base, state) {
        Ok(Creation::Known(generation)) => Decision::unchanged(Ok(QueueCreated { generation, created: false })),
        Ok(Creation::New(attributes)) => {
            let queue = state.last_generation.next();
            let event = Event::QueueCreated {
                queue,
                name: command.name.clone(),
                attributes: Box::new(attributes),
                at: context.now,
            };
            let tagged = Event::QueueTagged { queue, tags: command.tags.clone() };
            let events = if command.tags.is_empty() { vec![event] } else { vec![event, tagged] };
            Decision::new(events, QueueCreated { generation: queue, created: true })
        }
        Err(rejected) => Decision::unchanged(Err(rejected)),
    }
}

/// What a creation comes to.
enum Creation {
    /// The queue is there.
    Known(QueueGeneration),
    /// It is to be made with these.
    New(Attributes),
}

fn created(command: &CreateQueue, base: &Attributes, state: &State) -> Result<Creation, Rejected> {
    let CreateQueue { name, attributes: given, tags } = command;
    given.check()?;
    tags::check(tags)?;
    check_kind(given, name)?;
    if let Some(queue) = state.names.get(name).and_then(|generation| state.queues.get(generation)) {
        return match given.first_difference(&queue.attributes) {
            Some(attribute) => Err(Rejected::QueueExists { attribute }),
            None => Ok(Creation::Known(queue.generation)),
        };
    }
    check_dead_letter_queue(given, state, name)?;
    let attributes = given.applied_to(base);
    check_throughput(&attributes)?;
    Ok(Creation::New(attributes))
}

/// A throughput limit of each message group wants ids of each message group, as SQS callers are told them (L8).
fn check_throughput(attributes: &Attributes) -> Result<(), Rejected> {
    match (attributes.aws.throughput, attributes.shown_scope()) {
        (ThroughputLimit::PerMessageGroup, DeduplicationScope::Queue) => Err(Rejected::AttributeInvalid {
            attribute: "FifoThroughputLimit",
            rule: "perMessageGroupId only where DeduplicationScope is messageGroup (L8)",
        }),
        (ThroughputLimit::PerMessageGroup, DeduplicationScope::MessageGroup) | (ThroughputLimit::PerQueue, _) => Ok(()),
    }
}

impl Command for SetQueueAttributes {
    type Reply = ();

    fn decide(&self, state: &State, context: &Context) -> Decision<()> {
        match changed(&self.changes, state, self) {
            Ok(None) => Decision::unchanged(Ok(())),
            Ok(Some((queue, attributes))) => Decision::new(
                vec![Event::QueueChanged { queue, attributes: Box::new(attributes), at: context.now }],
                (),
            ),
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

/// The attributes after a change, unless nothing changes; the fixed ones may only be given as they are (S8).
fn changed(
    changes: &AttributeChanges,
    state: &State,
    command: &SetQueueAttributes,
) -> Result<Option<(QueueGeneration, Attributes)>, Rejected> {
    changes.check()?;
    let queue = state.find(&command.queue)?;
    check_kind(changes, &queue.name)?;
    let fixed = AttributeChanges { delivery: changes.delivery, scope: changes.scope, ..AttributeChanges::default() };
    if let Some(attribute) = fixed.first_difference(&queue.attributes) {
        return Err(Rejected::AttributeFixed { attribute });
    }
    check_dead_letter_queue(changes, state, &queue.name)?;
    let attributes = changes.applied_to(&queue.attributes);
    check_throughput(&attributes)?;
    Ok((attributes != queue.attributes).then_some((queue.generation, attributes)))
}

/// Groups and deduplication have no attributes on a standard queue (L8).
fn check_kind(changes: &AttributeChanges, name: &QueueName) -> Result<(), Rejected> {
    if name.is_fifo() {
        return Ok(());
    }
    let given = [
        ("GroupDelivery", changes.delivery.is_some()),
        ("ContentBasedDeduplication", changes.content_based.is_some()),
        ("DeduplicationScope", changes.scope.is_some()),
        ("DeduplicationScope", changes.aws.shown_scope.is_some()),
        ("FifoThroughputLimit", changes.aws.throughput.is_some()),
        ("DeduplicationWindow", changes.window.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((attribute, _)) => Err(Rejected::AttributeUnknown { attribute }),
        None => Ok(()),
    }
}

/// A policy that is given names another queue of the same kind that is there and lets itself be named (Q1, Q5).
fn check_dead_letter_queue(changes: &AttributeChanges, state: &State, source: &QueueName) -> Result<(), Rejected> {
    let Some(RedriveChange::Set(RedrivePolicy { dead_letter_queue: name, .. })) = &changes.redrive else {
        return Ok(());
    };
    if name == source {
        return Err(Rejected::DeadLetterQueueIsSelf);
    }
    if name.is_fifo() != source.is_fifo() {
        return Err(Rejected::DeadLetterQueueKind { name: name.clone() });
    }
    let target = state.names.get(name).and_then(|generation| state.queues.get(generation));
    match target {
        None => Err(Rejected::DeadLetterQueueNotFound { name: name.clone() }),
        Some(target) if !target.attributes.redrive_allow.allows(source) => {
            Err(Rejected::RedriveNotAllowed { name: name.clone() })
        }
        Some(_) => Ok(()),
    }
}

impl Command for PurgeQueue {
    /// How many messages went.
    type Reply = u64;

    /// At once and as one; messages that a claim holds stay (A3, B8).
    fn decide(&self, state: &State, context: &Context) -> Decision<u64> {
        match state.find(&self.queue) {
            Ok(queue) => {
                let purged = queue.messages.len() as u64 - queue.claimed;
                Decision::new(vec![Event::QueuePurged { queue: queue.generation, at: context.now }], purged)
            }
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

impl Command for DeleteQueue {
    type Reply = ();

    fn decide(&self, state: &State, context: &Context) -> Decision<()> {
        match state.find(&self.queue) {
            Ok(queue) => Decision::new(vec![Event::QueueDeleted { queue: queue.generation, at: context.now }], ()),
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}
