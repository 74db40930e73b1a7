//! A plain model of the broker: every queue is a `Vec` of messages, and every rule a loop over it. It is written from
//! the contract and shares no code with the engine but the words, so that the two can only agree by meaning the same.
//! Where the contract leaves a choice, the model judges the engine's choice instead of making one.

mod aws;
mod commit;
mod dead_letters;
mod messages;
mod moving;
mod parking;
mod producers;
mod readers;
mod redrive;
mod tags;

use lockstep_engine::{
    AttributeChanges, Attributes, Engine, GroupDelivery, Rejected,
    command::{CreateQueue, DeleteQueue, PurgeQueue, QueueRef, SetQueueAttributes},
    event::MoveTask,
    reply::{Origin, QueueCreated},
    view::MessageState,
    words::{
        AttemptKey, BodyRef, DeduplicationKey, GroupId, QueueGeneration, QueueName, SequenceNumber, TagKey, TagValue,
        Timestamp,
    },
};

pub(crate) use commit::PastCommit;
pub(crate) use producers::Producer;
pub(crate) use readers::Reader;

/// Fails with a text unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

/// Who holds a message. Instants are in active time: wall time less all downtime (H2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hold {
    Free,
    /// Until then, in wall time (O7).
    Delayed {
        until: u64,
    },
    Leased {
        epoch: u64,
        received_at: u64,
        visible_at: u64,
    },
    Claimed {
        reader: u64,
        number: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) sequence: u64,
    pub(crate) group: GroupId,
    pub(crate) body: BodyRef,
    pub(crate) sent_at: u64,
    pub(crate) first_received_at: Option<u64>,
    pub(crate) receives: u32,
    pub(crate) hold: Hold,
    /// Where a dead letter was sent to, and where it came from last.
    pub(crate) origin: Option<Origin>,
}

/// A receive that may be repeated (R7).
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) key: AttemptKey,
    pub(crate) expires_at: u64,
    pub(crate) messages: Vec<(u64, u64)>,
    /// None of its messages was touched since.
    pub(crate) whole: bool,
}

/// When a group became free: the instant in wall time, and the step in it. Equal stamps are equals by O2.
pub(crate) type Stamp = (u64, u64);

#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) generation: u64,
    pub(crate) attributes: Attributes,
    pub(crate) messages: Vec<Message>,
    pub(crate) keys: Vec<(DeduplicationKey, u64, u64)>,
    pub(crate) last_sequence: u64,
    pub(crate) last_epoch: u64,
    pub(crate) last_reader: u64,
    pub(crate) free_since: Vec<(GroupId, Stamp)>,
    pub(crate) producers: Vec<Producer>,
    /// Groups that deliver nothing, and since when (B7).
    pub(crate) parked: Vec<(GroupId, u64)>,
    pub(crate) readers: Vec<Reader>,
    pub(crate) commits: Vec<PastCommit>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) tags: Vec<(TagKey, TagValue)>,
    /// Every move task (Q6); the engine keeps the newest 10.
    pub(crate) tasks: Vec<MoveTask>,
}

/// What surrounds a command.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) now: u64,
    pub(crate) frame: u64,
    pub(crate) for_sends: u64,
    pub(crate) for_finishes: u64,
    /// The bodies that the command stores, as far as it is judged.
    pub(crate) bodies: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) queues: Vec<Queue>,
    pub(crate) last_generation: u64,
    pub(crate) downtime: u64,
    pub(crate) journalled: u64,
    pub(crate) step: u64,
    pub(crate) past: aws::Past,
    /// When it was last settled.
    pub(crate) settled: u64,
}

impl Model {
    pub(crate) fn active(&self, now: u64) -> u64 {
        now - self.downtime
    }

    pub(crate) fn stamp(&self, now: u64) -> Stamp {
        (now, self.step)
    }

    /// B8: a caller that names a generation wants no other.
    pub(crate) fn find(&self, queue: &QueueRef) -> Result<usize, Rejected> {
        let place = self.queues.iter().position(|known| known.name == queue.name);
        let current = place.map(|place| QueueGeneration(self.queues[place].generation));
        match queue.generation {
            Some(wanted) if current != Some(wanted) => Err(Rejected::QueueGenerationChanged { wanted, current }),
            Some(_) | None => place.ok_or(Rejected::QueueNotFound),
        }
    }

    pub(crate) fn find_strict(&self, queue: &QueueRef) -> Result<usize, Rejected> {
        let place = self.find(queue)?;
        if self.queues[place].is_strict() { Ok(place) } else { Err(Rejected::NotStrict) }
    }

    pub(crate) fn create(&mut self, command: &CreateQueue) -> Result<QueueCreated, Rejected> {
        command.attributes.check()?;
        let tags = tags::tagged(Vec::new(), &command.tags)?;
        judge_kind(&command.attributes, &command.name)?;
        if let Some(known) = self.queues.iter().find(|known| known.name == command.name) {
            return match command.attributes.first_difference(&known.attributes) {
                Some(attribute) => Err(Rejected::QueueExists { attribute }),
                None => Ok(QueueCreated { generation: QueueGeneration(known.generation), created: false }),
            };
        }
        self.judge_policy(&command.attributes, &command.name)?;
        let attributes = command.attributes.applied_to(&Attributes::default());
        aws::judge_throughput(&attributes)?;
        self.last_generation += 1;
        self.queues.push(Queue {
            name: command.name.clone(),
            generation: self.last_generation,
            attributes,
            messages: Vec::new(),
            keys: Vec::new(),
            last_sequence: 0,
            last_epoch: 0,
            last_reader: 0,
            free_since: Vec::new(),
            producers: Vec::new(),
            parked: Vec::new(),
            readers: Vec::new(),
            commits: Vec::new(),
            attempts: Vec::new(),
            tags,
            tasks: Vec::new(),
        });
        Ok(QueueCreated { generation: QueueGeneration(self.last_generation), created: true })
    }

    /// S8: delivery and scope may be given only as they are.
    pub(crate) fn set(&mut self, command: &SetQueueAttributes) -> Result<(), Rejected> {
        command.changes.check()?;
        let place = self.find(&command.queue)?;
        judge_kind(&command.changes, &command.queue.name)?;
        let AttributeChanges { delivery, scope, .. } = &command.changes;
        let current = &self.queues[place].attributes;
        if delivery.is_some_and(|delivery| delivery != current.delivery) {
            return Err(Rejected::AttributeFixed { attribute: "GroupDelivery" });
        }
        if scope.is_some_and(|scope| scope != current.scope) {
            return Err(Rejected::AttributeFixed { attribute: "DeduplicationScope" });
        }
        self.judge_policy(&command.changes, &command.queue.name)?;
        let attributes = command.changes.applied_to(&self.queues[place].attributes);
        aws::judge_throughput(&attributes)?;
        self.queues[place].attributes = attributes;
        self.queues[place].retime();
        Ok(())
    }

    /// A3, S5, B8: what no claim holds goes, and every deduplication key.
    pub(crate) fn purge(&mut self, command: &PurgeQueue, now: u64) -> Result<u64, Rejected> {
        let place = self.find(&command.queue)?;
        let stamp = self.stamp(now);
        let queue = &mut self.queues[place];
        let before = queue.messages.len();
        self.past.purged.push((queue.generation, now));
        queue.keys.clear();
        queue.parked.clear();
        queue.messages.retain(|message| matches!(message.hold, Hold::Claimed { .. }));
        queue.refresh(stamp);
        Ok((before - queue.messages.len()) as u64)
    }

    pub(crate) fn delete_queue(&mut self, command: &DeleteQueue, now: u64) -> Result<(), Rejected> {
        let place = self.find(&command.queue)?;
        let gone = self.queues.remove(place);
        self.past.deleted.push((gone.name, now));
        Ok(())
    }

    /// What time alone does: leases and claim limits end in the order of their deadlines, then retention (R3, R9).
    pub(crate) fn settle(&mut self, now: u64) {
        let (downtime, step) = (self.downtime, self.step);
        // A lowered delay may end in the past; its group was not free before the change all the same.
        let settled = std::mem::replace(&mut self.settled, now);
        for queue in &mut self.queues {
            while let Some((deadline, due)) = queue.next_due(downtime).filter(|(deadline, _)| *deadline <= now) {
                match due {
                    Due::Lease(sequence) => queue.take_back(sequence),
                    Due::Claim(reader, number) => queue.burn(reader, number),
                    Due::Delay(sequence) => queue.appear(sequence),
                }
                queue.refresh((deadline.max(settled), step));
            }
            // One after the other: a group whose head goes may show one that is held before it shows one that is free.
            while let Some(place) = queue.messages.iter().position(|message| {
                !matches!(message.hold, Hold::Claimed { .. }) && message.sent_at + queue.attributes.retention <= now
            }) {
                queue.messages.remove(place);
                queue.refresh((now, step));
            }
        }
    }

    /// Every instant at which something ends by itself, in wall time: where time steps like to land.
    pub(crate) fn instants(&self) -> Vec<u64> {
        let mut instants = Vec::new();
        for queue in &self.queues {
            let due = queue.next_due(self.downtime).map(|(deadline, _)| deadline);
            let attempts = queue.attempts.iter().map(|attempt| attempt.expires_at);
            let keys = queue.keys.iter().map(|(_, _, expires_at)| *expires_at);
            let keys = keys.chain(attempts).map(|expires_at| expires_at + self.downtime);
            let retention = queue.messages.iter().map(|message| message.sent_at + queue.attributes.retention);
            instants.extend(queue.tasks.iter().filter(|task| task.is_running()).map(|task| task.next_at.0));
            instants.extend(due.into_iter().chain(keys).chain(retention));
        }
        instants
    }

    /// Compares everything that can be seen of the engine.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), String> {
        ensure!(engine.time() == Timestamp(self.journalled), "time {} is not {}", engine.time(), self.journalled);
        let names = engine.queues("", "", usize::MAX);
        ensure!(names.len() == self.queues.len(), "{} queues, the model has {}", names.len(), self.queues.len());
        self.queues
            .iter()
            .try_for_each(|queue| self.compare_queue(engine, queue).map_err(|what| format!("{}: {what}", queue.name)))
    }

    fn compare_queue(&self, engine: &Engine, queue: &Queue) -> Result<(), String> {
        let reference = QueueRef { name: queue.name.clone(), generation: Some(QueueGeneration(queue.generation)) };
        let seen = engine.describe(&reference).map_err(|rejected| rejected.to_string())?;
        let held = |wanted: fn(&Hold) -> bool| queue.messages.iter().filter(|m| wanted(&m.hold)).count() as u64;
        let in_flight = held(|hold| matches!(hold, Hold::Leased { .. }));
        let claimed = held(|hold| matches!(hold, Hold::Claimed { .. }));
        let available = held(|hold| *hold == Hold::Free);
        let delayed = held(|hold| matches!(hold, Hold::Delayed { .. }));
        ensure!(
            (seen.available, seen.in_flight, seen.claimed, seen.delayed) == (available, in_flight, claimed, delayed),
            "counts {seen:?}, the model: {available} available, {in_flight} in flight, {claimed} claimed, {delayed} delayed"
        );
        ensure!(seen.attributes == queue.attributes, "attributes {:?}", seen.attributes);
        ensure!(seen.last_sequence == SequenceNumber(queue.last_sequence), "counter {}", seen.last_sequence);
        ensure!(seen.free_groups == queue.free_since.len() as u64, "{} free groups", seen.free_groups);
        let bytes: u64 = queue.messages.iter().map(|message| u64::from(message.body.size)).sum();
        ensure!(seen.bytes == bytes, "{} bytes, the model has {bytes}", seen.bytes);
        let peeked = engine
            .peek(&reference, None, SequenceNumber(0), usize::MAX, u64::MAX)
            .map_err(|rejected| rejected.to_string())?;
        ensure!(peeked.len() == queue.messages.len(), "{} messages of {}", peeked.len(), queue.messages.len());
        for (seen, message) in peeked.iter().zip(&queue.messages) {
            let same = seen.sequence.0 == message.sequence
                && seen.group == message.group
                && seen.body == message.body
                && seen.receives == message.receives
                && seen.sent_at.0 == message.sent_at
                && seen.origin == message.origin
                && seen.state == self.state_of(queue, message);
            ensure!(same, "{seen:?} is not {message:?}");
        }
        self.compare_parked(engine, queue, &reference)?;
        self.compare_tasks(engine, queue, &reference)?;
        let sources =
            engine.dead_letter_sources(&reference, "", usize::MAX).map_err(|rejected| rejected.to_string())?;
        ensure!(sources == self.sources_of(&queue.name), "dead-letter sources {sources:?}");
        tags::compare(engine, queue, &reference)?;
        producers::compare(engine, queue, &reference)?;
        self.compare_readers(engine, queue, &reference)
    }

    /// The visible-prefix rule, as a reader of the queue sees it (O3, O8).
    fn state_of(&self, queue: &Queue, message: &Message) -> MessageState {
        match message.hold {
            Hold::Leased { visible_at, .. } => MessageState::InFlight(Timestamp(visible_at + self.downtime)),
            Hold::Delayed { until } => MessageState::Delayed(Timestamp(until)),
            Hold::Claimed { reader, .. } => {
                let reader = queue.readers.iter().find(|known| known.id == reader).expect("a claim has a reader");
                MessageState::Claimed(reader.name.clone())
            }
            Hold::Free if queue.is_parked(&message.group) => MessageState::Parked,
            Hold::Free => {
                let mut earlier = queue.messages.iter().filter(|other| other.sequence < message.sequence);
                let blocked = earlier.any(|other| other.group == message.group && other.hold != Hold::Free);
                if blocked { MessageState::Blocked } else { MessageState::Available }
            }
        }
    }
}

/// L8: a standard queue has no attributes of groups and deduplication.
fn judge_kind(changes: &AttributeChanges, name: &QueueName) -> Result<(), Rejected> {
    let AttributeChanges { delivery, content_based, scope, window, aws, .. } = changes;
    let attribute = if name.as_str().ends_with(".fifo") {
        return Ok(());
    } else if delivery.is_some() {
        "GroupDelivery"
    } else if content_based.is_some() {
        "ContentBasedDeduplication"
    } else if scope.is_some() || aws.shown_scope.is_some() {
        "DeduplicationScope"
    } else if aws.throughput.is_some() {
        "FifoThroughputLimit"
    } else if window.is_some() {
        "DeduplicationWindow"
    } else {
        return Ok(());
    };
    Err(Rejected::AttributeUnknown { attribute })
}

/// What ends by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    Lease(u64),
    Claim(u64, u64),
    Delay(u64),
}

impl Queue {
    pub(crate) fn is_strict(&self) -> bool {
        self.is_fifo() && self.attributes.delivery == GroupDelivery::Strict
    }

    /// Otherwise each message is a group of its own (B5).
    pub(crate) fn is_fifo(&self) -> bool {
        self.name.as_str().ends_with(".fifo")
    }

    pub(crate) fn message(&self, sequence: u64) -> Option<&Message> {
        self.messages.iter().find(|message| message.sequence == sequence)
    }

    /// The earliest deadline, in wall time; of equals that of the earliest message.
    fn next_due(&self, downtime: u64) -> Option<(u64, Due)> {
        let leases = self.messages.iter().filter_map(|message| match message.hold {
            Hold::Leased { visible_at, .. } => Some((visible_at + downtime, Due::Lease(message.sequence))),
            Hold::Delayed { until } => Some((until, Due::Delay(message.sequence))),
            Hold::Free | Hold::Claimed { .. } => None,
        });
        let claims = self.readers.iter().flat_map(|reader| {
            let open = reader.claims.iter().filter(|claim| claim.is_open());
            open.filter_map(|claim| Some((claim.lapses_at? + downtime, Due::Claim(reader.id, claim.number))))
        });
        leases.chain(claims).min_by_key(|(deadline, _)| *deadline)
    }

    /// S11, on a FIFO queue: what is still delayed becomes visible so long after it was sent as the queue says now.
    fn retime(&mut self) {
        let delay = self.attributes.delay;
        if !self.is_fifo() {
            return;
        }
        for message in &mut self.messages {
            if let Hold::Delayed { until } = &mut message.hold {
                *until = message.sent_at + delay;
            }
        }
    }

    fn appear(&mut self, sequence: u64) {
        let message = self.messages.iter_mut().find(|message| message.sequence == sequence);
        message.expect("a delayed message").hold = Hold::Free;
    }

    /// R7: who holds another delivery than that of the attempt, or none, ends it.
    fn end_attempts(&mut self) {
        for attempt in &mut self.attempts {
            let held = |(sequence, epoch): &(u64, u64)| {
                let found = self.messages.iter().find(|message| message.sequence == *sequence);
                matches!(found.map(|found| found.hold), Some(Hold::Leased { epoch: held, .. }) if held == *epoch)
            };
            attempt.whole &= attempt.messages.iter().all(held);
        }
    }

    /// Notes since when each group's head is free, after anything happened.
    pub(crate) fn refresh(&mut self, stamp: Stamp) {
        self.end_attempts();
        let mut heads: Vec<&Message> = Vec::new();
        for message in &self.messages {
            if heads.iter().all(|head| head.group != message.group) {
                heads.push(message);
            }
        }
        let since = |group: &GroupId| self.free_since.iter().find(|(known, _)| known == group).map(|(_, since)| *since);
        let free = heads.into_iter().filter(|head| head.hold == Hold::Free && !self.is_parked(&head.group));
        self.free_since = free.map(|head| (head.group.clone(), since(&head.group).unwrap_or(stamp))).collect();
    }

    /// What may be delivered of a group: its leading visible messages (O3).
    pub(crate) fn leading_run(&self, group: &GroupId) -> Vec<(u64, u64)> {
        let of_group = self.messages.iter().filter(|message| message.group == *group);
        let visible = of_group.take_while(|message| message.hold == Hold::Free);
        visible.map(|message| (message.sequence, message.body.size.into())).collect()
    }
}
