//! What callers of the SQS wire ask otherwise than gRPC does: names and purges that must wait (A2, A3), batches whose
//! entries stand alone (P4), policies that are replaced (L12).

use crate::{
    Attributes, Event, State,
    command::{
        Command, Context, CreateSqsQueue, Decision, PurgeSqsQueue, ReplacePolicy, Send, SendEntry, SendSeparately,
    },
    decide::{catalog, send::Sending},
    limits,
    reply::{Accepted, QueueCreated, Rejected},
    state::queue::Queue,
    words::Timestamp,
};

/// Whether something that happened `at` is too near.
fn is_near(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.0 < at.0 + limits::AWS_DISTANCE)
}

impl Command for CreateSqsQueue {
    type Reply = QueueCreated;

    fn decide(&self, state: &State, context: &Context) -> Decision<QueueCreated> {
        let name = &self.create.name;
        let taken = state.names.contains_key(name);
        if self.spaced && !taken && is_near(state.deletions.of(name), context.now) {
            return Decision::unchanged(Err(Rejected::QueueDeletedRecently));
        }
        let base = Attributes { delivery: self.delivery, ..Attributes::default() };
        catalog::create(&self.create, &base, state, context)
    }
}

impl Command for PurgeSqsQueue {
    /// How many messages went.
    type Reply = u64;

    fn decide(&self, state: &State, context: &Context) -> Decision<u64> {
        match state.find(&self.purge.queue) {
            Ok(queue) if self.spaced && is_near(queue.purged_at, context.now) => {
                Decision::unchanged(Err(Rejected::PurgeInProgress))
            }
            Ok(_) | Err(_) => self.purge.decide(state, context),
        }
    }
}

impl Command for ReplacePolicy {
    type Reply = ();

    fn decide(&self, state: &State, context: &Context) -> Decision<()> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        if queue.attributes.aws.policy != self.seen {
            return Decision::unchanged(Err(Rejected::PolicyChanged));
        }
        if self.policy == self.seen {
            return Decision::unchanged(Ok(()));
        }
        let mut attributes = queue.attributes.clone();
        attributes.aws.policy.clone_from(&self.policy);
        Decision::new(
            vec![Event::QueueChanged { queue: queue.generation, attributes: Box::new(attributes), at: context.now }],
            (),
        )
    }
}

impl Command for SendSeparately {
    /// One outcome for each entry, in their order.
    type Reply = <Send as Command>::Reply;

    fn decide(&self, state: &State, context: &Context) -> Decision<Self::Reply> {
        let Self(Send { queue, session: _, entries }) = self;
        let queue = match state.find(queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        if entries.iter().any(|entry| lacks_id(queue, entry)) {
            return Decision::unchanged(Err(Rejected::DeduplicationIdMissing));
        }
        let mut sending = Sending::new(state, context);
        let outcomes = entries.iter().zip(0..).map(|(entry, index)| sending.send(queue, entry, index)).collect();
        Decision { events: sending.events, bodies: sending.bodies, reply: Ok(outcomes) }
    }

    fn duplicates(reply: &Self::Reply) -> Vec<Accepted> {
        Send::duplicates(reply)
    }
}

/// Whether an entry needs a deduplication id and has none (S2).
fn lacks_id(queue: &Queue, entry: &SendEntry) -> bool {
    queue.is_fifo() && !entry.explicit_id && !queue.attributes.content_based
}
