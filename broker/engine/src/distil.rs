//! A state as a list of events that build it again: `replay(distilled(s)) == s`. A checkpoint is such a list; there is
//! no second format.

use crate::{
    event::{Event, Restored, RestoredLease, RestoredOutcome},
    state::{
        State,
        queue::Queue,
        reader::{Outcome, Reader},
    },
    words::Label,
};

impl State {
    /// The pieces, lazily: a follower may write them in slices (H6).
    pub(crate) fn distilled(&self) -> impl Iterator<Item = Event> {
        let clock = Restored::Clock { time: self.time, downtime: self.downtime, last_generation: self.last_generation };
        let deletions = self.deletions.iter().map(|(at, name)| Restored::Deletion { name: name.clone(), at });
        std::iter::once(clock).chain(deletions).chain(self.queues.values().flat_map(distilled_queue)).map(Event::from)
    }
}

fn distilled_queue(queue: &Queue) -> impl Iterator<Item = Restored> {
    let generation = queue.generation;
    let head = Restored::Queue {
        queue: generation,
        name: queue.name.clone(),
        attributes: queue.attributes.clone(),
        created_at: queue.created_at,
        modified_at: queue.modified_at,
        last_sequence: queue.last_sequence,
        last_epoch: queue.last_epoch,
        last_reader: queue.last_reader,
        next_turn: queue.next_turn,
        purged_at: queue.purged_at,
    };
    let keys = queue.keys.in_order().map(move |(key, value)| Restored::Key {
        queue: generation,
        key,
        sequence: value.sequence,
        expires_at: value.expires_at,
    });
    let attempts = queue.attempts.in_order().map(move |(attempt, noted)| Restored::Attempt {
        queue: generation,
        attempt,
        expires_at: noted.expires_at,
        messages: noted.messages,
    });
    let commits = queue.commits.in_order().map(move |(id, past)| Restored::PastCommit {
        queue: generation,
        id: id.clone(),
        digest: past.digest,
        outputs: past.outputs.clone(),
    });
    let producers = queue.producers.iter().map(move |(name, producer)| Restored::Producer {
        queue: generation,
        producer: name.clone(),
        epoch: producer.epoch,
        instance: producer.instance.clone(),
        opened_at: producer.opened_at,
        last: producer.last,
        uses: producer.uses.iter().copied().collect(),
    });
    let tasks = queue.move_tasks.iter().map(move |task| Restored::MoveTask { queue: generation, task: task.clone() });
    let free = queue.groups.by_turn().map(move |(turn, place)| Restored::FreeGroup {
        queue: generation,
        group: queue.groups.at(place).id.clone(),
        turn,
    });
    let parked = queue.parked.iter().map(move |(group, at)| Restored::ParkedGroup {
        queue: generation,
        group: group.clone(),
        at: *at,
    });
    let tags = (!queue.tags.is_empty()).then(|| Restored::Tags { queue: generation, tags: queue.tags.clone() });
    std::iter::once(head)
        .chain(tags)
        .chain(parked)
        .chain(distilled_messages(queue))
        .chain(keys)
        .chain(attempts)
        .chain(commits)
        .chain(producers)
        .chain(tasks)
        .chain(queue.readers.iter().flat_map(move |(name, reader)| distilled_reader(queue, name, reader)))
        .chain(free)
}

fn distilled_messages(queue: &Queue) -> impl Iterator<Item = Restored> {
    queue.messages.iter().map(move |(sequence, message)| Restored::Message {
        queue: queue.generation,
        sequence,
        group: queue.group_of(message).clone(),
        body: message.body,
        sent_at: message.sent_at,
        first_received_at: message.first_received_at,
        receives: message.receives,
        lease: message.lease().map(|lease| RestoredLease {
            epoch: lease.epoch,
            received_at: lease.received_at,
            visible_at: lease.visible_at,
        }),
        origin: message.origin(),
        delayed_until: message.delayed_until(),
    })
}

fn distilled_reader(queue: &Queue, name: &Label, reader: &Reader) -> impl Iterator<Item = Restored> {
    let (generation, id) = (queue.generation, reader.id);
    let head = Restored::Reader {
        queue: generation,
        reader: id,
        name: name.clone(),
        generation: reader.generation,
        instance: reader.instance.clone(),
        claim_limit: reader.claim_limit,
        last_number: reader.last_number,
        last_ended: reader.last_ended,
        commits: reader.commits,
    };
    let claims = reader.open.iter().map(move |(number, claim)| Restored::Claim {
        queue: generation,
        reader: id,
        number: *number,
        epoch: claim.epoch,
        worker: claim.worker.clone(),
        opened_at: claim.opened_at,
        lapses_at: claim.lapses_at,
        messages: claim.messages.clone(),
    });
    let ended = reader.ended.iter().map(move |(number, outcome)| Restored::EndedClaim {
        queue: generation,
        reader: id,
        number: *number,
        outcome: match outcome {
            Outcome::Committed { id, digest, commit, outputs } => RestoredOutcome::Committed {
                id: id.clone(),
                digest: *digest,
                commit: *commit,
                outputs: outputs.clone(),
            },
            Outcome::Burnt => RestoredOutcome::Burnt,
        },
    });
    let values = reader.values.iter().map(move |((group, key), body)| Restored::Value {
        queue: generation,
        reader: id,
        group: group.clone(),
        key: key.clone(),
        body: *body,
    });
    std::iter::once(head).chain(claims).chain(ended).chain(values)
}
