//! The model of what only SQS callers ask: names and purges that wait (A2, A3), batches whose entries stand alone (P4),
//! policies that are replaced (L12), and what their attributes must not be together (L8).

use lockstep_engine::{
    Attributes, DeduplicationScope, Rejected, ThroughputLimit,
    command::{CreateQueue, CreateSqsQueue, PurgeSqsQueue, ReplacePolicy, SendSeparately},
    reply::{Accepted, QueueCreated},
    words::QueueName,
};

use super::{Model, Turn};

const DISTANCE: u64 = 60_000;

/// Deletions and purges, none ever forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) deleted: Vec<(QueueName, u64)>,
    /// By generation.
    pub(crate) purged: Vec<(u64, u64)>,
}

fn is_near<T: PartialEq>(past: &[(T, u64)], of: &T, now: u64) -> bool {
    past.iter().any(|(known, at)| known == of && now - at < DISTANCE)
}

/// L8: a limit of each group wants ids of each group, as they are shown.
pub(super) fn judge_throughput(attributes: &Attributes) -> Result<(), Rejected> {
    let per_group = attributes.aws.throughput == ThroughputLimit::PerMessageGroup;
    let shown = attributes.aws.shown_scope.unwrap_or(attributes.scope);
    if per_group && shown == DeduplicationScope::Queue {
        let rule = "perMessageGroupId only where DeduplicationScope is messageGroup (L8)";
        return Err(Rejected::AttributeInvalid { attribute: "FifoThroughputLimit", rule });
    }
    Ok(())
}

impl Model {
    pub(crate) fn create_sqs(&mut self, command: &CreateSqsQueue, now: u64) -> Result<QueueCreated, Rejected> {
        let CreateQueue { name, attributes, tags } = &command.create;
        let there = self.queues.iter().any(|queue| queue.name == *name);
        if command.spaced && !there && is_near(&self.past.deleted, name, now) {
            return Err(Rejected::QueueDeletedRecently);
        }
        if there {
            return self.create(&command.create);
        }
        let mut attributes = attributes.clone();
        let given = attributes.delivery.is_some();
        if name.as_str().ends_with(".fifo") {
            attributes.delivery.get_or_insert(command.delivery);
        }
        let created = self.create(&CreateQueue { name: name.clone(), attributes, tags: tags.clone() })?;
        // A standard queue keeps the word although it means nothing there.
        let made = self.queues.last_mut().expect("just made");
        if !given {
            made.attributes.delivery = command.delivery;
        }
        Ok(created)
    }

    pub(crate) fn purge_sqs(&mut self, command: &PurgeSqsQueue, now: u64) -> Result<u64, Rejected> {
        let place = self.find(&command.purge.queue)?;
        if command.spaced && is_near(&self.past.purged, &self.queues[place].generation, now) {
            return Err(Rejected::PurgeInProgress);
        }
        self.purge(&command.purge, now)
    }

    pub(crate) fn replace_policy(&mut self, command: &ReplacePolicy) -> Result<(), Rejected> {
        let place = self.find(&command.queue)?;
        let policy = &mut self.queues[place].attributes.aws.policy;
        if *policy != command.seen {
            return Err(Rejected::PolicyChanged);
        }
        policy.clone_from(&command.policy);
        Ok(())
    }

    /// S1: one entry without an id refuses all; P4: any other refusal is its entry's alone.
    pub(crate) fn send_separately(
        &mut self,
        command: &SendSeparately,
        turn: &mut Turn,
    ) -> Result<Vec<Result<Accepted, Rejected>>, Rejected> {
        let place = self.find(&command.0.queue)?;
        let queue = &self.queues[place];
        let needs_id = queue.is_fifo() && !queue.attributes.content_based;
        if needs_id && command.0.entries.iter().any(|entry| !entry.explicit_id) {
            return Err(Rejected::DeduplicationIdMissing);
        }
        let entries = command.0.entries.iter().enumerate();
        Ok(entries.map(|(index, entry)| self.send_one(place, entry, index, turn)).collect())
    }
}
