//! The small world of the stories: one engine, a clock that only the story moves, and commands in a few words. Every
//! turn settles what is due, decides, evolves, looks at the invariants, and notes the time if anything happened.

use lockstep_engine::{
    AttributeChanges, DeduplicationScope, Engine, Event, GroupDelivery, RedriveChange, RedrivePolicy, Rejected,
    command::{
        Abandon, ChangeVisibility, Claim, Command, Commit, CommitTarget, Context, CreateQueue, Delete, DeleteQueue,
        DropReader, GroupOutcome, OpenReader, Output, Park, PurgeQueue, QueueRef, ReaderRef, Receive, Rest, Send,
        SendEntry, SetQueueAttributes, Space, TakeClaim, Unpark, ValueChange,
    },
    reply::{Accepted, Claimed, Committed, Deleted, Delivered, OpenClaim, QueueCreated, ReaderOpened, Unparked},
    view::{ClaimContents, QueueView, StoredValue},
    words::{
        AttemptKey, ClaimNumber, ContentDigest, DeduplicationKey, Epoch, GroupId, Label, QueueGeneration, QueueName,
        ReaderId, Receipt, SequenceNumber, Tags, Timestamp, ValueKey,
    },
};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
/// The queue of most stories.
pub(crate) const QUEUE: &str = "orders.fifo";

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) journal: Vec<Event>,
    pub(crate) now: u64,
    pub(crate) space: Space,
    /// Whether the invariants are looked at after every event; big stories look once, at their end.
    pub(crate) watchful: bool,
    frame: u64,
    made: u64,
}

/// Attributes for a queue that hands out groups as SQS does.
pub(crate) fn prefix() -> AttributeChanges {
    AttributeChanges { delivery: Some(GroupDelivery::Prefix), ..AttributeChanges::default() }
}

/// Attributes for a queue whose groups have one holder at a time.
pub(crate) fn strict() -> AttributeChanges {
    AttributeChanges { delivery: Some(GroupDelivery::Strict), ..AttributeChanges::default() }
}

/// Attributes whose messages become dead letters after so many receives.
pub(crate) fn redrive(to: &str, max_receives: u32) -> AttributeChanges {
    let policy = RedrivePolicy { dead_letter_queue: queue_name(to), max_receives };
    AttributeChanges { redrive: Some(RedriveChange::Set(policy)), ..AttributeChanges::default() }
}

/// The same with a deduplication scope.
pub(crate) fn scoped(scope: DeduplicationScope) -> AttributeChanges {
    AttributeChanges { scope: Some(scope), ..AttributeChanges::default() }
}

pub(crate) fn queue(name: &str) -> QueueRef {
    QueueRef { name: queue_name(name), generation: None }
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::parse(name).expect("a queue name")
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId::parse(name).expect("a group id")
}

pub(crate) fn label(name: &str) -> Label {
    Label::parse(name).expect("a label")
}

pub(crate) fn value_key(name: &str) -> ValueKey {
    ValueKey::parse(name).expect("a value key")
}

/// A stand-in for the shell's hash.
pub(crate) fn key(text: &str) -> DeduplicationKey {
    let hash =
        |offset: u64| text.bytes().fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&hash(0xcbf2_9ce4_8422_2325).to_be_bytes());
    bytes[8..].copy_from_slice(&hash(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    DeduplicationKey(bytes)
}

/// An entry with an explicit deduplication id.
pub(crate) fn entry(of: &str, id: &str) -> SendEntry {
    SendEntry {
        group: group(of),
        explicit_id: true,
        queue_key: key(id),
        group_key: key(&format!("{of} {id}")),
        size: 100,
        delay: None,
    }
}

/// An entry without an id: the shell gives the keys of the body's hash.
pub(crate) fn bare(of: &str, body: &str) -> SendEntry {
    SendEntry { explicit_id: false, ..entry(of, body) }
}

/// The receipt of a delivery.
pub(crate) fn receipt(delivered: &Delivered) -> Receipt {
    Receipt { generation: delivered.generation, sequence: delivered.sequence, epoch: delivered.epoch }
}

pub(crate) fn receipts(delivered: &[Delivered]) -> Vec<Receipt> {
    delivered.iter().map(receipt).collect()
}

pub(crate) fn sequences(delivered: &[Delivered]) -> Vec<u64> {
    delivered.iter().map(|message| message.sequence.0).collect()
}

/// The groups of deliveries, in a word.
pub(crate) fn groups(delivered: &[Delivered]) -> String {
    let names: Vec<&str> = delivered.iter().map(|message| message.group.as_str()).collect();
    names.join(" ")
}

pub(crate) fn value(of: Option<&str>, name: &str, size: Option<u32>) -> ValueChange {
    ValueChange { group: of.map(group), key: value_key(name), size }
}

pub(crate) fn output(to: &str, entry: SendEntry) -> Output {
    Output { queue: queue_name(to), entry }
}

impl World {
    /// With the queue of most stories.
    pub(crate) fn with(attributes: AttributeChanges) -> Self {
        let mut world = Self::empty();
        world.create(QUEUE, attributes).expect("a new queue");
        world
    }

    pub(crate) fn empty() -> Self {
        Self {
            engine: Engine::new(),
            journal: Vec::new(),
            now: 1_700_000_000_000,
            space: Space::UNLIMITED,
            watchful: true,
            frame: 0,
            made: 0,
        }
    }

    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
    }

    fn evolve(&mut self, events: Vec<Event>) {
        for event in events {
            self.engine.evolve(&event);
            self.journal.push(event);
        }
        if self.watchful {
            self.engine.check().expect("the invariants hold");
        }
    }

    /// Settles what is due; how many turns it took.
    pub(crate) fn settle(&mut self) -> usize {
        for turn in 1..10_000 {
            let settlement = self.engine.settle(Timestamp(self.now));
            let happened = !settlement.events.is_empty();
            self.evolve(settlement.events);
            if happened {
                self.tick();
            }
            if settlement.complete {
                self.redrive();
                return turn;
            }
        }
        panic!("settling does not end");
    }

    /// What move tasks do, until none is due.
    fn redrive(&mut self) {
        for _ in 0..1_000 {
            let events = self.engine.redrive(Timestamp(self.now), self.space);
            if events.is_empty() {
                return;
            }
            self.evolve(events);
            self.tick();
        }
        panic!("the move tasks do not rest");
    }

    fn tick(&mut self) {
        let tick = self.engine.tick(Timestamp(self.now));
        self.evolve(tick.into_iter().collect());
    }

    /// What an idle broker does beside settling (H2).
    pub(crate) fn heartbeat(&mut self) {
        if self.engine.tick_due(Timestamp(self.now)) {
            self.tick();
        }
    }

    /// One turn with one command.
    pub(crate) fn ask<C: Command>(&mut self, command: &C) -> Result<C::Reply, Rejected> {
        self.settle();
        self.frame += 1;
        let context = Context { now: Timestamp(self.now), frame: self.frame, next_body: 0, space: self.space };
        let decision = self.engine.decide(command, &context);
        assert!(decision.reply.is_ok() || decision.events.is_empty(), "a refused command has events");
        if !decision.events.is_empty() {
            self.evolve(decision.events);
            self.tick();
        }
        decision.reply
    }

    /// The broker ends and starts again: the state comes from the journal alone.
    pub(crate) fn restart_after(&mut self, downtime: u64) {
        let mut again = Engine::new();
        self.journal.iter().for_each(|event| again.evolve(event));
        assert_eq!(again, self.engine, "live is replayed");
        self.engine = again;
        self.now += downtime;
        let resumed = self.engine.resume(Timestamp(self.now));
        self.evolve(vec![resumed]);
    }

    pub(crate) fn create(&mut self, name: &str, attributes: AttributeChanges) -> Result<QueueCreated, Rejected> {
        self.ask(&CreateQueue { name: queue_name(name), attributes, tags: Tags::default() })
    }

    pub(crate) fn set(&mut self, changes: AttributeChanges) -> Result<(), Rejected> {
        self.ask(&SetQueueAttributes { queue: queue(QUEUE), changes })
    }

    pub(crate) fn purge(&mut self) -> u64 {
        self.ask(&PurgeQueue { queue: queue(QUEUE) }).expect("a purge")
    }

    pub(crate) fn delete_queue(&mut self, name: &str) {
        self.ask(&DeleteQueue { queue: queue(name) }).expect("a queue to delete");
    }

    pub(crate) fn generation(&self) -> QueueGeneration {
        self.engine.generation(&queue_name(QUEUE)).expect("the queue is there")
    }

    pub(crate) fn describe(&self) -> QueueView {
        self.engine.describe(&queue(QUEUE)).expect("the queue is there")
    }

    pub(crate) fn send_all(&mut self, entries: Vec<SendEntry>) -> Vec<Result<Accepted, Rejected>> {
        self.ask(&Send { queue: queue(QUEUE), session: None, entries }).expect("the queue is there")
    }

    pub(crate) fn send(&mut self, entry: SendEntry) -> Result<Accepted, Rejected> {
        self.send_all(vec![entry]).pop().expect("one outcome")
    }

    /// Sends a new message into each of the named groups; the last sequence number.
    pub(crate) fn fill(&mut self, names: &str) -> u64 {
        let entries: Vec<SendEntry> = names
            .split_whitespace()
            .map(|name| {
                self.made += 1;
                entry(name, &format!("made-{}", self.made))
            })
            .collect();
        let outcomes = self.send_all(entries);
        outcomes.into_iter().map(|outcome| outcome.expect("accepted").sequence.0).max().expect("one at least")
    }

    /// A receive from another queue than that of most stories.
    pub(crate) fn receive_of(&mut self, name: &str, max_messages: u32) -> Vec<Delivered> {
        self.ask(&Receive { queue: queue(name), max_messages, visibility: None, attempt: None }).expect("a receive")
    }

    pub(crate) fn park(&mut self, of: &str) -> bool {
        self.ask(&Park { queue: queue(QUEUE), group: group(of) }).expect("the queue is there")
    }

    pub(crate) fn unpark(&mut self, of: Option<&str>) -> Unparked {
        self.ask(&Unpark { queue: queue(QUEUE), group: of.map(group) }).expect("the queue is there")
    }

    /// Commits a claim with outcomes: group, done through, rest.
    pub(crate) fn finish_with(
        &mut self,
        claim: &OpenClaim,
        outcomes: &[(&str, Option<u64>, Rest)],
    ) -> Result<Committed, Rejected> {
        let outcomes = outcomes.iter().map(|(of, through, rest)| GroupOutcome {
            group: group(of),
            done_through: through.map(SequenceNumber),
            rest: *rest,
        });
        let (number, epoch) = (claim.number, claim.epoch);
        let outcomes = outcomes.collect();
        let target = CommitTarget::Claim { reader: pool(None), number, epoch, record: None, outcomes };
        self.ask(&Commit { target, ..commit_of(claim) })
    }

    pub(crate) fn receive(&mut self, max_messages: u32) -> Vec<Delivered> {
        self.ask(&Receive { queue: queue(QUEUE), max_messages, visibility: None, attempt: None }).expect("a receive")
    }

    pub(crate) fn receive_for(&mut self, max_messages: u32, visibility: u64) -> Vec<Delivered> {
        self.ask(&Receive { queue: queue(QUEUE), max_messages, visibility: Some(visibility), attempt: None })
            .expect("a receive")
    }

    /// A receive that may be repeated (R7).
    pub(crate) fn attempt(&mut self, id: u8, max_messages: u32, visibility: u64) -> Result<Vec<Delivered>, Rejected> {
        let (visibility, attempt) = (Some(visibility), Some(AttemptKey([id; 16])));
        self.ask(&Receive { queue: queue(QUEUE), max_messages, visibility, attempt })
    }

    pub(crate) fn delete_all(&mut self, receipts: Vec<Receipt>) -> Vec<Result<Deleted, Rejected>> {
        self.ask(&Delete { queue: queue(QUEUE), receipts }).expect("the queue is there")
    }

    pub(crate) fn delete(&mut self, delivered: &Delivered) -> Result<Deleted, Rejected> {
        self.delete_all(vec![receipt(delivered)]).pop().expect("one outcome")
    }

    pub(crate) fn change(&mut self, delivered: &Delivered, timeout: u64) -> Result<Timestamp, Rejected> {
        let entries = vec![(receipt(delivered), timeout)];
        let outcomes = self.ask(&ChangeVisibility { queue: queue(QUEUE), entries });
        outcomes.expect("the queue is there").pop().expect("one outcome")
    }

    pub(crate) fn open_reader(&mut self, instance: &str) -> ReaderOpened {
        self.open_limited(instance, None)
    }

    pub(crate) fn open_limited(&mut self, instance: &str, claim_limit: Option<u64>) -> ReaderOpened {
        let (reader, instance) = (label("pool"), label(instance));
        self.ask(&OpenReader { queue: queue(QUEUE), reader, instance, claim_limit }).expect("a strict queue")
    }

    pub(crate) fn drop_reader(&mut self, id: Option<ReaderId>) -> Result<(), Rejected> {
        self.ask(&DropReader { queue: queue(QUEUE), reader: label("pool"), id })
    }

    /// A claim by the reader's present controller.
    pub(crate) fn claim(&mut self, number: u64, max_messages: u32) -> Result<Claimed, Rejected> {
        self.claim_as(None, number, max_messages)
    }

    pub(crate) fn claim_as(
        &mut self,
        generation: Option<Epoch>,
        number: u64,
        max_messages: u32,
    ) -> Result<Claimed, Rejected> {
        let (reader, number) = (pool(generation), ClaimNumber(number));
        self.ask(&Claim { reader, number, max_messages, max_bytes: 64 << 20, at_least: 1 })
    }

    pub(crate) fn claimed(&mut self, number: u64, max_messages: u32) -> OpenClaim {
        match self.claim(number, max_messages).expect("a claim") {
            Claimed::Open(claim) => claim,
            other @ (Claimed::Empty | Claimed::Committed(_) | Claimed::Burnt) => panic!("claim {number}: {other:?}"),
        }
    }

    pub(crate) fn take(&mut self, number: u64, worker: &str, previous_failed: bool) -> Result<OpenClaim, Rejected> {
        let (reader, number, worker) = (pool(None), ClaimNumber(number), label(worker));
        self.ask(&TakeClaim { reader, number, worker, previous_failed })
    }

    pub(crate) fn abandon(&mut self, number: Option<u64>) -> Result<Vec<ClaimNumber>, Rejected> {
        self.ask(&Abandon { reader: pool(None), number: number.map(ClaimNumber) })
    }

    pub(crate) fn contents(&self, number: u64, epoch: Epoch) -> ClaimContents {
        self.engine.claim_contents(&pool(None), ClaimNumber(number), epoch, 0, 1).expect("an open claim")
    }

    /// The sequence numbers of an open claim.
    pub(crate) fn claimed_messages(&self, claim: &OpenClaim) -> Vec<u64> {
        self.contents(claim.number.0, claim.epoch).messages.iter().map(|message| message.sequence.0).collect()
    }

    pub(crate) fn own_values(&self) -> Vec<StoredValue> {
        self.engine.values(&pool(None), None, "", "", usize::MAX, u64::MAX).expect("a reader")
    }

    /// Commits a claim without anything else.
    pub(crate) fn finish(&mut self, claim: &OpenClaim) -> Result<Committed, Rejected> {
        self.ask(&commit_of(claim))
    }

    /// How often each waiting message was received, by its sequence number.
    pub(crate) fn receives(&self) -> Vec<(u64, u32)> {
        let peeked = self.engine.peek(&queue(QUEUE), None, SequenceNumber(0), usize::MAX, u64::MAX);
        peeked.expect("a queue").iter().map(|message| (message.sequence.0, message.receives)).collect()
    }
}

/// The reader of most stories.
pub(crate) fn pool(generation: Option<Epoch>) -> ReaderRef {
    ReaderRef { queue: queue(QUEUE), name: label("pool"), generation }
}

/// A commit of a claim under the epoch it has.
pub(crate) fn commit_of(claim: &OpenClaim) -> Commit {
    Commit {
        queue: queue(QUEUE),
        id: label(&format!("claim-{}", claim.number)),
        digest: ContentDigest([1; 16]),
        target: CommitTarget::Claim {
            reader: pool(None),
            number: claim.number,
            epoch: claim.epoch,
            record: None,
            outcomes: Vec::new(),
        },
        values: Vec::new(),
        outputs: Vec::new(),
    }
}

/// A commit of deliveries.
pub(crate) fn commit_deliveries(id: &str, delivered: &[Delivered]) -> Commit {
    Commit {
        queue: queue(QUEUE),
        id: label(id),
        digest: ContentDigest([1; 16]),
        target: CommitTarget::Deliveries(receipts(delivered)),
        values: Vec::new(),
        outputs: Vec::new(),
    }
}
