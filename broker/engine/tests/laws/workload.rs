//! Random commands of every kind: few names, few groups and few ids, so that they meet. Most are sensible, because the
//! workload may look at the model; the rest are late, foreign, stale or repeated.

use lockstep_engine::{
    AttributeChanges, AwsChanges, Change, DeduplicationScope, GroupDelivery, RedriveAllow, RedriveChange,
    RedrivePolicy, ThroughputLimit,
    command::{
        Abandon, CancelMoveTask, ChangeVisibility, Claim, Commit, CommitTarget, CreateQueue, CreateSqsQueue, Delete,
        DeleteQueue, DropReader, ForgetProducer, GroupOutcome, MoveBodies, OpenProducer, OpenReader, Output, Park,
        PurgeQueue, PurgeSqsQueue, QueueRef, ReaderRef, Receive, ReplacePolicy, Rest, Send, SendEntry, SendSeparately,
        SendSession, SetQueueAttributes, StartMoveTask, TagQueue, TakeClaim, Unpark, UntagQueue, ValueChange,
    },
    words::{
        AttemptKey, BodyOwner, ClaimNumber, ContentDigest, DeduplicationKey, Epoch, GroupId, KmsKey, Label, Policy,
        QueueGeneration, QueueName, ReaderId, Receipt, SendNumber, SequenceNumber, TagKey, TagValue, Tags, TaskNumber,
        ValueKey,
    },
};

use crate::model::{Hold, Model, Queue, Reader};

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create(CreateQueue),
    Set(SetQueueAttributes),
    Purge(PurgeQueue),
    CreateSqs(CreateSqsQueue),
    PurgeSqs(PurgeSqsQueue),
    ReplacePolicy(ReplacePolicy),
    SendSeparately(SendSeparately),
    DeleteQueue(DeleteQueue),
    Send(Send),
    Receive(Receive),
    Delete(Delete),
    ChangeVisibility(ChangeVisibility),
    OpenProducer(OpenProducer),
    ForgetProducer(ForgetProducer),
    OpenReader(OpenReader),
    Claim(Claim),
    TakeClaim(TakeClaim),
    Abandon(Abandon),
    DropReader(DropReader),
    Commit(Commit),
    MoveBodies(MoveBodies),
    Park(Park),
    Unpark(Unpark),
    Tag(TagQueue),
    Untag(UntagQueue),
    StartMove(StartMoveTask),
    CancelMove(CancelMoveTask),
    /// The broker ends, and starts again after a while.
    Restart {
        downtime: u64,
        clock_behind: u64,
        from_checkpoint: bool,
    },
    /// Nothing but time.
    Wait,
}

const NAMES: [&str; 5] = ["strict.fifo", "prefix.fifo", "either.fifo", "plain", "letters"];
const GROUPS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LABELS: [&str; 3] = ["one", "two", "three"];
const TIMEOUTS: [u64; 8] = [0, 1, 1_000, 5_000, 5_000, 30_000, 60_000, 43_200_000];

pub(crate) struct Workload {
    pub(crate) rng: fastrand::Rng,
    /// Everything that was ever delivered, the oldest forgotten.
    pub(crate) receipts: Vec<Receipt>,
    sends: Vec<Send>,
    commits: Vec<Commit>,
}

fn queue_name(text: &str) -> QueueName {
    QueueName::parse(text).expect("a queue name")
}

fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

fn group(text: &str) -> GroupId {
    GroupId::parse(text).expect("a group")
}

fn key(id: u64, group: u64) -> DeduplicationKey {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes[8..].copy_from_slice(&group.to_be_bytes());
    DeduplicationKey(bytes)
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { rng, receipts: Vec::new(), sends: Vec::new(), commits: Vec::new() }
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.rng.u64(0..n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { Some(&of[self.rng.usize(0..of.len())]) }
    }

    fn pick_of<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        of[self.rng.usize(0..N)]
    }

    /// How much time passes before the next step: none, a little, to an exact boundary, or long.
    pub(crate) fn pause(&mut self, now: u64, model: &Model) -> u64 {
        match self.rng.u32(0..100) {
            0..40 => 0,
            40..75 => self.rng.u64(1..2_000),
            75..90 => {
                let reach = now + if self.one_in(20) { 50_000_000 } else { 700_000 };
                let instants: Vec<u64> =
                    model.instants().into_iter().filter(|at| (now + 1..reach).contains(at)).collect();
                let nearest = instants.iter().min().copied();
                let other = self.pick(&instants).copied();
                let wanted = if self.one_in(6) { other } else { nearest };
                wanted.map_or(0, |at| (at - now) - u64::from(self.one_in(3)))
            }
            90..98 => self.rng.u64(5_000..40_000),
            98.. => self.pick_of([60_000, 60_000, 120_000, 300_000, 301_000, 700_000, 43_200_000]),
        }
    }

    pub(crate) fn space(&mut self) -> (u64, u64) {
        let for_sends = if self.one_in(12) { self.rng.u64(0..3_000) } else { u64::MAX };
        let for_finishes = if self.one_in(15) { self.rng.u64(0..500) } else { u64::MAX };
        (for_sends, for_finishes)
    }

    pub(crate) fn next(&mut self, model: &Model) -> Step {
        let missing = NAMES.iter().find(|name| model.queues.iter().all(|queue| queue.name.as_str() != **name));
        if let Some(name) = missing
            && (model.queues.is_empty() || self.one_in(10))
        {
            return self.create_of_a_kind(name);
        }
        let Some(place) = self.pick_queue(model) else { return Step::Wait };
        let queue = &model.queues[place];
        let reference = self.reference(queue);
        match self.rng.u32(0..1_000) {
            0..140 => Step::Send(self.send(reference)),
            140..160 => Step::SendSeparately(SendSeparately(self.send(reference))),
            160..230 => Step::Send(self.send_numbered(queue, reference)),
            230..247 => Step::OpenProducer(OpenProducer {
                queue: reference,
                producer: label(self.pick_of(["day", "day", "night"])),
                instance: label(self.pick_of(["first", "first", "second"])),
            }),
            247..250 => Step::ForgetProducer(ForgetProducer {
                queue: reference,
                producer: label(self.pick_of(["day", "night"])),
                epoch: if self.rng.bool() { Some(Epoch(self.rng.u64(0..queue.last_epoch + 2))) } else { None },
            }),
            250..420 => Step::Receive(Receive {
                queue: reference,
                max_messages: self.pick_of([1, 1, 2, 3, 5, 10, 1_000]),
                visibility: if self.rng.bool() { Some(self.pick_of(TIMEOUTS)) } else { None },
                attempt: if self.one_in(3) { Some(AttemptKey([self.rng.u8(0..4); 16])) } else { None },
            }),
            420..550 => Step::Delete(Delete { queue: reference, receipts: self.some_receipts(queue) }),
            550..630 => {
                let receipts = self.some_receipts(queue).into_iter();
                let entries = receipts.map(|receipt| (receipt, self.pick_of(TIMEOUTS))).collect();
                Step::ChangeVisibility(ChangeVisibility { queue: reference, entries })
            }
            630..670 => Step::OpenReader(OpenReader {
                queue: reference,
                reader: label(self.pick_of(["pool", "pool", "spark"])),
                instance: label(self.pick_of(LABELS)),
                claim_limit: if self.rng.bool() { Some(self.pick_of([1_000, 20_000, 600_000])) } else { None },
            }),
            670..770 => Step::Claim(self.claim(queue, reference)),
            770..810 => Step::TakeClaim(TakeClaim {
                number: self.number(queue),
                reader: self.reader(queue, reference),
                worker: label(self.pick_of(LABELS)),
                previous_failed: self.rng.bool(),
            }),
            810..910 => Step::Commit(self.commit(queue, reference)),
            910..930 => {
                let number = if self.one_in(4) { None } else { Some(self.number(queue)) };
                Step::Abandon(Abandon { reader: self.reader(queue, reference), number })
            }
            930..935 => Step::DropReader(DropReader {
                queue: reference,
                reader: label(self.pick_of(["pool", "spark"])),
                id: if self.rng.bool() { Some(ReaderId(self.rng.u64(1..4))) } else { None },
            }),
            935..947 => {
                Step::Set(SetQueueAttributes { changes: self.attributes_of(&reference.name), queue: reference })
            }
            947..948 => Step::ReplacePolicy(self.replace_policy(queue, reference)),
            948..950 => {
                let purge = PurgeQueue { queue: reference };
                let spaced = self.rng.bool();
                if self.one_in(3) { Step::Purge(purge) } else { Step::PurgeSqs(PurgeSqsQueue { purge, spaced }) }
            }
            950..952 => Step::DeleteQueue(DeleteQueue { queue: reference }),
            952..957 => self.create_of_a_kind(queue.name.as_str()),
            957..970 => Step::Restart {
                downtime: self.pick_of([0, 1, 3_000, 61_000, 400_000]),
                clock_behind: if self.one_in(5) { 5_000 } else { 0 },
                from_checkpoint: self.rng.bool(),
            },
            970..975 => Step::MoveBodies(self.moves(queue)),
            975..983 => Step::StartMove(self.start_move(model, reference)),
            983..985 => Step::CancelMove(CancelMoveTask {
                queue: QueueGeneration(queue.generation),
                task: TaskNumber(self.rng.u64(0..queue.tasks.len() as u64 + 2)),
            }),
            985..988 => Step::Park(Park { queue: reference, group: group(self.pick_of(GROUPS)) }),
            988..995 => {
                let one = group(self.pick_of(GROUPS));
                Step::Unpark(Unpark { queue: reference, group: if self.one_in(3) { None } else { Some(one) } })
            }
            995..997 => Step::Tag(TagQueue { queue: reference, tags: self.tags() }),
            997..998 => Step::Untag(UntagQueue { queue: reference, keys: self.tags().into_keys().collect() }),
            998.. => Step::Wait,
        }
    }

    /// Mostly of a queue that is somebody's dead-letter queue.
    fn start_move(&mut self, model: &Model, reference: QueueRef) -> StartMoveTask {
        let policies = model.queues.iter().filter_map(|queue| queue.attributes.redrive.as_ref());
        let named: Vec<_> = policies.map(|policy| policy.dead_letter_queue.clone()).collect();
        let named = self.pick(&named).cloned().filter(|_| self.rng.u32(0..5) > 0);
        let source = named.map_or(reference, |name| QueueRef { name, generation: None });
        let destination = if self.rng.bool() { Some(queue_name(self.pick_of(NAMES))) } else { None };
        StartMoveTask { source, destination, rate: self.pick_of([1, 1, 2, 3, 7, 500, 0, 501]) }
    }

    /// Some bodies of messages and values, most of them from where they are.
    fn moves(&mut self, queue: &Queue) -> MoveBodies {
        let messages = queue.messages.iter();
        let messages = messages.map(|message| (BodyOwner::Message(SequenceNumber(message.sequence)), message.body));
        let values = queue.readers.iter().flat_map(|reader| {
            reader.values.iter().map(|((group, key), body)| {
                let owner = BodyOwner::Value { reader: ReaderId(reader.id), group: group.clone(), key: key.clone() };
                (owner, *body)
            })
        });
        let mut bodies: Vec<_> = messages.chain(values).collect();
        bodies.retain(|_| self.rng.u32(0..3) == 0);
        if let Some((_, body)) = bodies.first_mut().filter(|_| self.rng.bool()) {
            body.position.frame += 1;
        }
        MoveBodies { queue: QueueGeneration(queue.generation), bodies }
    }

    /// Mostly the strict queue, where there is more to do.
    fn pick_queue(&mut self, model: &Model) -> Option<usize> {
        let strict = model.queues.iter().position(|queue| queue.is_strict());
        let any = (!model.queues.is_empty()).then(|| self.rng.usize(0..model.queues.len()));
        if self.rng.bool() { strict.or(any) } else { any }
    }

    fn reference(&mut self, queue: &Queue) -> QueueRef {
        let generation = match self.rng.u32(0..30) {
            0..15 => None,
            15..29 => Some(queue.generation),
            29.. => Some(self.rng.u64(0..queue.generation + 2)),
        };
        QueueRef { name: queue.name.clone(), generation: generation.map(QueueGeneration) }
    }

    fn attributes(&mut self) -> AttributeChanges {
        let mut changes = AttributeChanges::default();
        if self.rng.bool() {
            changes.content_based = Some(self.rng.bool());
        }
        if self.rng.bool() {
            changes.window = Some(self.pick_of([300_000, 301_000, 600_000, 299_999]));
        }
        if self.rng.bool() {
            changes.visibility = Some(self.pick_of([0, 2_000, 10_000, 43_200_000, 43_200_001]));
        }
        if self.rng.bool() {
            changes.retention = Some(self.pick_of([60_000, 120_000, 1_000_000, 1_209_600_000]));
        }
        if self.one_in(3) {
            changes.max_message_size = Some(self.pick_of([1_024, 2_000, 1_048_576, 1_048_577]));
        }
        if self.one_in(4) {
            changes.delay = Some(self.pick_of([0, 0, 1_000, 30_000, 900_000, 900_001]));
        }
        if self.one_in(6) {
            changes.delivery = Some(self.pick_of([GroupDelivery::Strict, GroupDelivery::Prefix]));
        }
        if self.one_in(6) {
            changes.scope = Some(self.pick_of([DeduplicationScope::Queue, DeduplicationScope::MessageGroup]));
        }
        if self.one_in(2) {
            changes.redrive = Some(self.redrive());
        }
        if self.one_in(8) {
            let sources = (0..self.rng.usize(0..3)).map(|place| queue_name(NAMES[place])).collect();
            let (all, none) = (RedriveAllow::AllowAll, RedriveAllow::DenyAll);
            changes.redrive_allow = self.pick(&[all, none, RedriveAllow::ByQueue(sources)]).cloned();
        }
        if self.one_in(4) {
            changes.aws = self.aws();
        }
        changes
    }

    /// Policies and keys of two kinds, limits that fit the scope and others.
    fn aws(&mut self) -> AwsChanges {
        let mut changes = AwsChanges::default();
        if self.rng.bool() {
            changes.policy = Some(self.policy().map_or(Change::Remove, Change::Set));
        }
        if self.one_in(3) {
            let key = KmsKey::parse(self.pick_of(["alias/one", "alias/two"])).expect("a key");
            changes.kms_key = Some(if self.rng.bool() { Change::Set(key) } else { Change::Remove });
        }
        if self.one_in(3) {
            changes.kms_reuse = Some(self.pick_of([60_000, 300_000, 86_400_000, 59_000]));
        }
        if self.one_in(3) {
            changes.managed_sse = Some(self.rng.bool());
        }
        if self.one_in(3) {
            changes.throughput = Some(self.pick_of([ThroughputLimit::PerQueue, ThroughputLimit::PerMessageGroup]));
        }
        if self.one_in(3) {
            changes.shown_scope = Some(self.pick_of([DeduplicationScope::Queue, DeduplicationScope::MessageGroup]));
        }
        changes
    }

    fn policy(&mut self) -> Option<Policy> {
        let text = self.pick_of(["", "{}", "{\"Id\":\"1\"}"]);
        Policy::parse(text).ok()
    }

    /// Mostly of the policy that is there.
    fn replace_policy(&mut self, known: &Queue, queue: QueueRef) -> ReplacePolicy {
        let seen = if self.one_in(4) { self.policy() } else { known.attributes.aws.policy.clone() };
        ReplacePolicy { queue, seen, policy: self.policy() }
    }

    /// As gRPC does it, or as SQS does.
    fn create_of_a_kind(&mut self, name: &str) -> Step {
        let mut create = self.create(name);
        if self.rng.bool() {
            return Step::Create(create);
        }
        if name == "either.fifo" && self.rng.bool() {
            create.attributes.delivery = None;
        }
        let delivery = self.pick_of([GroupDelivery::Strict, GroupDelivery::Prefix]);
        Step::CreateSqs(CreateSqsQueue { create, delivery, spaced: self.rng.bool() })
    }

    /// Mostly without what a standard queue does not have.
    fn attributes_of(&mut self, name: &QueueName) -> AttributeChanges {
        let changes = self.attributes();
        if name.is_fifo() || self.one_in(8) {
            return changes;
        }
        let aws = AwsChanges { throughput: None, shown_scope: None, ..changes.aws };
        AttributeChanges { delivery: None, content_based: None, scope: None, window: None, aws, ..changes }
    }

    fn redrive(&mut self) -> RedriveChange {
        if self.one_in(4) {
            return RedriveChange::Remove;
        }
        let dead_letter_queue = queue_name(self.pick_of(NAMES));
        let max_receives = self.pick_of([1, 1, 2, 2, 3, 4, 1_000, 0, 1_001]);
        RedriveChange::Set(RedrivePolicy { dead_letter_queue, max_receives })
    }

    fn create(&mut self, name: &str) -> CreateQueue {
        let name = queue_name(name);
        let mut attributes = self.attributes_of(&name);
        attributes.delivery = match name.as_str() {
            "strict.fifo" => Some(GroupDelivery::Strict),
            "prefix.fifo" => Some(GroupDelivery::Prefix),
            _ => attributes.delivery,
        };
        if name.is_fifo() && self.rng.bool() {
            attributes.scope = Some(DeduplicationScope::MessageGroup);
        }
        let tags = if self.one_in(3) { self.tags() } else { Tags::new() };
        CreateQueue { name, attributes, tags }
    }

    /// Few, or nearly as many as a queue may have, or one more.
    fn tags(&mut self) -> Tags {
        let many = self.pick_of([1, 2, 3, 30, 50, 51]);
        let tag = |n: u64| {
            let key = TagKey::parse(&format!("key-{}", n + self.rng.u64(0..3))).expect("a key");
            (key, TagValue::parse(self.pick_of(["", "blue", "red"])).expect("a value"))
        };
        (0..many).map(tag).collect()
    }

    fn entry(&mut self) -> SendEntry {
        let of = self.rng.usize(0..GROUPS.len());
        let explicit_id = !self.one_in(4);
        let id = if explicit_id { self.rng.u64(0..60) } else { 1_000 + self.rng.u64(0..20) };
        // The same body has the same size.
        let content = if explicit_id { self.rng.u64(0..40) } else { id - 1_000 };
        let size = match content {
            0 => 1_048_576,
            1 => 1_024,
            2 => 1_025,
            small => u32::try_from(small * 13).expect("small"),
        };
        SendEntry {
            group: group(GROUPS[of]),
            explicit_id,
            queue_key: key(id, 0),
            group_key: key(id, 1 + of as u64),
            size,
            delay: if self.one_in(30) { Some(self.pick_of([0, 0, 1_000])) } else { None },
        }
    }

    /// New messages, or a request of long ago once more.
    fn send(&mut self, queue: QueueRef) -> Send {
        if self.one_in(8)
            && let Some(again) = self.pick(&self.sends.clone())
        {
            return again.clone();
        }
        let many = self.pick_of([1, 1, 2, 4]);
        let mut entries: Vec<SendEntry> = (0..many).map(|_| self.entry()).collect();
        if !queue.name.is_fifo() {
            for entry in &mut entries {
                entry.explicit_id = self.one_in(12);
                entry.delay = if self.one_in(4) { Some(self.pick_of([0, 1_000, 30_000])) } else { None };
            }
        }
        let send = Send { queue, session: None, entries };
        self.remember(send)
    }

    fn remember(&mut self, send: Send) -> Send {
        self.sends.push(send.clone());
        if self.sends.len() > 30 {
            self.sends.remove(0);
        }
        send
    }

    /// Messages under the next numbers of a session; or under earlier ones, some of them changed; or under a gap.
    fn send_numbered(&mut self, queue: &Queue, reference: QueueRef) -> Send {
        let Some(producer) = self.pick(&queue.producers).cloned() else { return self.send(reference) };
        let many = if self.one_in(40) { 600 } else { self.pick_of([1, 1, 2, 4]) };
        let last = producer.used.len() as u64;
        let first = match self.rng.u32(0..20) {
            0..14 => last + 1,
            14..18 => last.saturating_sub(self.rng.u64(0..3)).max(1),
            18 => self.rng.u64(1..last + 3),
            19.. => last + 2,
        };
        let again = self.pick(&self.sends.clone()).filter(|send| send.session.is_some() && self.rng.bool()).cloned();
        if let Some(again) = again {
            return again;
        }
        let mut entries: Vec<SendEntry> = (0..many).map(|_| self.entry()).collect();
        if many > 4 {
            entries.iter_mut().for_each(|entry| entry.size = entry.size.min(20));
        }
        let digests = (first..).zip(&entries).map(|(number, _)| self.numbered_digest(&producer.used, number));
        let digests = digests.collect();
        let epoch = if self.one_in(12) { self.rng.u64(0..queue.last_epoch + 2) } else { producer.epoch };
        let session = SendSession { producer: producer.name, epoch: Epoch(epoch), first: SendNumber(first), digests };
        let send = Send { queue: reference, session: Some(session), entries };
        if many > 4 { send } else { self.remember(send) }
    }

    /// Mostly the digest that a used number has.
    fn numbered_digest<T>(&mut self, used: &[(ContentDigest, T)], number: u64) -> ContentDigest {
        let known = used.get(usize::try_from(number - 1).expect("few numbers")).map(|(digest, _)| *digest);
        known.filter(|_| !self.one_in(15)).unwrap_or_else(|| ContentDigest([self.rng.u8(1..4); 16]))
    }

    /// Of the receipts that live mostly; sometimes an old one, or one that never was.
    fn some_receipts(&mut self, queue: &Queue) -> Vec<Receipt> {
        let generation = QueueGeneration(queue.generation);
        let living = queue.messages.iter().filter_map(|message| match message.hold {
            Hold::Leased { epoch, .. } => {
                Some(Receipt { generation, sequence: SequenceNumber(message.sequence), epoch: Epoch(epoch) })
            }
            Hold::Free | Hold::Delayed { .. } | Hold::Claimed { .. } => None,
        });
        let living: Vec<Receipt> = living.collect();
        let mut receipts = Vec::new();
        if !living.is_empty() && !self.one_in(5) {
            let from = if self.one_in(3) { self.rng.usize(0..living.len()) } else { 0 };
            let many = self.rng.usize(1..=living.len() - from);
            receipts.extend_from_slice(&living[from..from + many]);
        }
        if receipts.is_empty() || self.one_in(6) {
            receipts.extend(self.pick(&self.receipts.clone()));
        }
        if receipts.is_empty() || self.one_in(20) {
            let (sequence, epoch) = (SequenceNumber(self.rng.u64(1..200)), Epoch(self.rng.u64(0..50)));
            receipts.push(Receipt { generation, sequence, epoch });
        }
        if self.one_in(4) {
            self.rng.shuffle(&mut receipts);
        }
        receipts
    }

    fn a_reader<'a>(&mut self, queue: &'a Queue) -> Option<&'a Reader> {
        self.pick(&queue.readers)
    }

    /// A reader by name; its generation is mostly the present one.
    fn reader(&mut self, queue: &Queue, reference: QueueRef) -> ReaderRef {
        let Some(reader) = self.a_reader(queue) else {
            return ReaderRef { queue: reference, name: label("nobody"), generation: None };
        };
        let generation = match self.rng.u32(0..12) {
            0 => None,
            1 => Some(Epoch(self.rng.u64(1..queue.last_epoch + 2))),
            2.. => Some(Epoch(reader.generation)),
        };
        ReaderRef { queue: reference, name: reader.name.clone(), generation }
    }

    /// Mostly a number that some reader has.
    fn number(&mut self, queue: &Queue) -> ClaimNumber {
        let open = queue.readers.iter().flat_map(|reader| reader.claims.iter().filter(|claim| claim.is_open()));
        let open: Vec<u64> = open.map(|claim| claim.number).collect();
        let some = self.pick(&open).copied().filter(|_| !self.one_in(6));
        ClaimNumber(some.unwrap_or_else(|| self.rng.u64(0..8)))
    }

    fn claim(&mut self, queue: &Queue, reference: QueueRef) -> Claim {
        let reader = self.reader(queue, reference);
        let known = queue.readers.iter().find(|known| known.name == reader.name);
        let next = known.map_or(1, |known| known.claims.len() as u64 + 1);
        let number = if self.one_in(4) { self.number(queue) } else { ClaimNumber(next) };
        // Bytes that bind leave a choice among equals; then nothing is asked for at least.
        let (max_bytes, at_least) = self.pick_of([(300, 1), (1 << 20, 1), (1 << 26, 1), (1 << 26, 0), (1 << 26, 3)]);
        let max_messages = self.pick_of([1, 2, 4, 10, 10_000]);
        Claim { reader, number, max_messages, max_bytes, at_least }
    }

    fn values(&mut self, groups: &[GroupId]) -> Vec<ValueChange> {
        let many = self.pick_of([0, 0, 1, 3]);
        let change = |_| {
            let of = match self.rng.u32(0..12) {
                0 => None,
                1 => Some(group(self.pick_of(GROUPS))),
                2.. => self.pick(groups).cloned(),
            };
            let size = self.pick_of([None, Some(0), Some(100), Some(300), Some(65_536), Some(65_537)]);
            let size = size.filter(|size| *size <= 65_536 || self.one_in(4));
            let key = ValueKey::parse(self.pick_of(["state", "turns", "of/it"])).expect("a key");
            ValueChange { group: of, key, size }
        };
        (0..many).map(change).collect()
    }

    /// A commit of a claim, of deliveries, of the reader's own values, or one of long ago once more.
    fn commit(&mut self, queue: &Queue, reference: QueueRef) -> Commit {
        if self.one_in(6)
            && let Some(again) = self.pick(&self.commits.clone())
        {
            let digest = if self.one_in(4) { ContentDigest([9; 16]) } else { again.digest };
            return Commit { digest, ..again.clone() };
        }
        let (target, groups) = match self.rng.u32(0..10) {
            0..6 => self.claim_target(queue),
            6..9 => (CommitTarget::Deliveries(self.some_receipts(queue)), Vec::new()),
            9.. => (CommitTarget::Reader(self.reader(queue, reference.clone())), Vec::new()),
        };
        let wants_values = !matches!(target, CommitTarget::Deliveries(_)) || self.one_in(8);
        let values = if wants_values { self.values(&groups) } else { Vec::new() };
        let many = self.pick_of([0, 0, 1, 2]);
        let output =
            |_| Output { queue: QueueName::parse(self.pick_of(NAMES)).expect("a queue name"), entry: self.entry() };
        let outputs = (0..many).map(output).collect();
        let id = label(&format!("commit-{}", self.rng.u64(0..400)));
        let commit = Commit { queue: reference, id, digest: ContentDigest([1; 16]), target, values, outputs };
        self.commits.push(commit.clone());
        if self.commits.len() > 20 {
            self.commits.remove(0);
        }
        commit
    }

    /// Mostly all is done; else some groups are not, and sometimes one that is not there.
    fn outcomes(&mut self, messages: &[u64], groups: &[GroupId]) -> Vec<GroupOutcome> {
        if self.rng.bool() {
            return Vec::new();
        }
        let mut named = groups.to_vec();
        named.sort();
        named.dedup();
        if self.one_in(12) {
            named.push(group(self.pick_of(GROUPS)));
        }
        named.retain(|_| self.rng.bool());
        let mut outcome = |group: GroupId| {
            let of_group = messages.iter().zip(groups).filter(|(_, of)| **of == group).map(|(sequence, _)| *sequence);
            let of_group: Vec<u64> = of_group.collect();
            let through = if self.one_in(10) { self.pick(messages) } else { self.pick(&of_group) };
            let done_through = through.copied().filter(|_| self.rng.bool()).map(SequenceNumber);
            let rest = self.pick_of([Rest::GivenBack, Rest::HeadDeadLettered, Rest::HeadDeadLettered, Rest::Parked]);
            GroupOutcome { group, done_through, rest }
        };
        named.into_iter().map(&mut outcome).collect()
    }

    fn claim_target(&mut self, queue: &Queue) -> (CommitTarget, Vec<GroupId>) {
        let reference = self.reference(queue);
        let mut reader = self.reader(queue, reference.clone());
        let mut number = self.number(queue);
        let claims = queue.readers.iter().flat_map(|reader| reader.claims.iter().map(move |claim| (reader, claim)));
        let open: Vec<_> = claims.filter(|(_, claim)| claim.is_open()).collect();
        if let Some((holder, claim)) = self.pick(&open).copied().filter(|_| !self.one_in(4)) {
            let generation = Some(Epoch(holder.generation));
            reader = ReaderRef { queue: reference, name: holder.name.clone(), generation };
            number = ClaimNumber(claim.number);
        }
        let known = queue.readers.iter().find(|known| known.name == reader.name);
        let claim = known.and_then(|known| known.claim(number.0));
        let messages = claim.map(|claim| claim.messages.clone()).unwrap_or_default();
        let groups: Vec<_> =
            messages.iter().filter_map(|sequence| queue.message(*sequence)).map(|m| m.group.clone()).collect();
        let epoch = claim.map_or(0, |claim| claim.epoch);
        let epoch = Epoch(if self.one_in(8) { self.rng.u64(0..queue.last_epoch + 2) } else { epoch });
        let record = self.pick_of([None, Some(0), Some(200), Some(200), Some(65_537)]);
        let record = record.filter(|size| *size < 65_537 || self.one_in(4));
        let outcomes = self.outcomes(&messages, &groups);
        (CommitTarget::Claim { reader, number, epoch, record, outcomes }, groups)
    }
}
