//! The engine: `apply(command, now) = settle(now) + decide(&self) -> events + evolve(&mut self, &event)`. The shell
//! calls these in that order; nothing here knows a clock, a disk or a thread.

use std::collections::BTreeSet;

use crate::{
    Event, State,
    command::{Command, Context, Decision, QueueRef, ReaderRef, Space},
    decide::due::Settlement,
    event::MoveTask,
    limits,
    reply::Rejected,
    view::{ClaimContents, ParkedGroup, PeekedMessage, ProducerView, QueueView, ReaderView, StoredValue, TimeJump},
    words::{
        BodyOwner, BodyRef, ClaimNumber, Epoch, GroupId, Label, QueueGeneration, QueueName, SequenceNumber, Tags,
        Timestamp,
    },
};

/// The broker's state machine. Two engines that evolved through the same events are equal.
#[derive(Debug, Default, PartialEq)]
pub struct Engine {
    state: State,
}

impl Engine {
    /// An engine without queues, at time 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// Applies a fact. Replay is nothing else.
    pub fn evolve(&mut self, event: &Event) {
        self.state.evolve(event);
    }

    /// Judges a command; the caller evolves the events, in order, before the next decision.
    #[must_use]
    pub fn decide<C: Command>(&self, command: &C, context: &Context) -> Decision<C::Reply> {
        command.decide(&self.state, context)
    }

    /// What is due at `now`; to be evolved before any command is decided (H3).
    #[must_use]
    pub fn settle(&self, now: Timestamp) -> Settlement {
        self.state.settle(now)
    }

    /// What move tasks do at `now`, once all is settled: bounded, because what is left is due in the next turn; no
    /// command waits for it (Q7, H3). Empty when none is due.
    #[must_use]
    pub fn redrive(&self, now: Timestamp, space: Space) -> Vec<Event> {
        self.state.redrive(now, space)
    }

    /// The instant itself, when it is later than the newest journalled one (H2).
    #[must_use]
    pub fn tick(&self, now: Timestamp) -> Option<Event> {
        (now > self.state.time).then_some(Event::Ticked { at: now })
    }

    /// Whether time should be journalled although nothing else happens (H2).
    #[must_use]
    pub fn tick_due(&self, now: Timestamp) -> bool {
        self.state.wants_ticks() && now.0 >= self.state.time.0 + limits::TICK
    }

    /// The first event after a start with history: the downtime since the newest journalled instant (H2).
    #[must_use]
    pub fn resume(&self, wall: Timestamp) -> Event {
        let at = wall.max(self.state.time);
        Event::Resumed { at, gap: at.0 - self.state.time.0 }
    }

    /// Messages that a downtime of more than a day would expire at once (H2).
    #[must_use]
    pub fn expired_by_gap(&self, wall: Timestamp) -> Option<TimeJump> {
        self.state.expired_by_gap(wall)
    }

    /// The newest journalled instant.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.state.time
    }

    /// When the engine next wants a turn of its own.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.next_deadline()
    }

    /// When [`Self::settle`] or [`Self::redrive`] next has something to do; ticks aside.
    #[must_use]
    pub fn next_settlement(&self) -> Option<Timestamp> {
        self.state.next_settlement()
    }

    /// The state as events that build it again (H6).
    pub fn distilled(&self) -> impl Iterator<Item = Event> {
        self.state.distilled()
    }

    /// Every body that a message or a stored value names: their frames must be kept (H6).
    pub fn bodies(&self) -> impl Iterator<Item = BodyRef> {
        self.state.bodies()
    }

    /// Who names a body in one of these frames.
    pub fn owners(&self, frames: &BTreeSet<u64>) -> impl Iterator<Item = (QueueGeneration, BodyOwner, BodyRef)> {
        self.state.owners(frames)
    }

    /// Where an owner's body lies now; `None` when the owner is gone.
    #[must_use]
    pub fn body(&self, queue: QueueGeneration, owner: &BodyOwner) -> Option<BodyRef> {
        self.state.body(queue, owner)
    }

    /// Checks every invariant.
    ///
    /// # Errors
    /// Names the first violation.
    pub fn check(&self) -> Result<(), String> {
        self.state.check()
    }

    /// The present generation of a queue name.
    #[must_use]
    pub fn generation(&self, name: &QueueName) -> Option<QueueGeneration> {
        self.state.names.get(name).copied()
    }

    /// A queue's attributes and counts.
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn describe(&self, queue: &QueueRef) -> Result<QueueView, Rejected> {
        self.state.describe(queue)
    }

    /// A queue's tags (L12).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn tags(&self, queue: &QueueRef) -> Result<Tags, Rejected> {
        self.state.find(queue).map(|queue| queue.tags.clone())
    }

    /// Queues in the order of their names: those with the prefix, after a name, at most `max`.
    #[must_use]
    pub fn queues(&self, prefix: &str, after: &str, max: usize) -> Vec<QueueView> {
        self.state.list(prefix, after, max)
    }

    /// Parked groups of a queue by name, after a name; at most `max` (B7).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn parked_groups(
        &self,
        queue: &QueueRef,
        after: Option<&GroupId>,
        max: usize,
    ) -> Result<Vec<ParkedGroup>, Rejected> {
        self.state.parked_groups(queue, after, max)
    }

    /// The queues that name a queue as their dead-letter queue, by name, after a name; at most `max` (Q5).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn dead_letter_sources(&self, queue: &QueueRef, after: &str, max: usize) -> Result<Vec<QueueName>, Rejected> {
        self.state.dead_letter_sources(queue, after, max)
    }

    /// The newest move tasks of a queue, the newest first; at most `max` (Q7).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn move_tasks(&self, queue: &QueueRef, max: usize) -> Result<Vec<MoveTask>, Rejected> {
        Ok(self.state.find(queue)?.move_tasks.iter().rev().take(max).cloned().collect())
    }

    /// Messages in order, without taking them; at most `max`, and `max_bytes` of bodies (one always fits).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn peek(
        &self,
        queue: &QueueRef,
        group: Option<&GroupId>,
        after: SequenceNumber,
        max: usize,
        max_bytes: u64,
    ) -> Result<Vec<PeekedMessage>, Rejected> {
        self.state.peek(queue, group, after, max, max_bytes)
    }

    /// An open claim's messages in order, and its groups' stored values, for the holder of `epoch`; each group is in
    /// one of `shards` (B6).
    ///
    /// # Errors
    /// [`Rejected::ClaimFenced`], [`Rejected::ClaimBurnt`], [`Rejected::ClaimNotOpen`], or that queue or reader are
    /// not there.
    pub fn claim_contents(
        &self,
        reader: &ReaderRef,
        number: ClaimNumber,
        epoch: Epoch,
        shard: u32,
        shards: u32,
    ) -> Result<ClaimContents, Rejected> {
        self.state.claim_contents(reader, number, epoch, shard, shards)
    }

    /// Stored values of a group, or the reader's own, in the order of their keys; at most `max`, and `max_bytes`
    /// (one always fits).
    ///
    /// # Errors
    /// When queue or reader are not there.
    pub fn values(
        &self,
        reader: &ReaderRef,
        group: Option<&GroupId>,
        prefix: &str,
        after: &str,
        max: usize,
        max_bytes: u64,
    ) -> Result<Vec<StoredValue>, Rejected> {
        self.state.values(reader, group, prefix, after, max, max_bytes)
    }

    /// The producer sessions of a queue, by name: those after a name, at most `max` (B3).
    ///
    /// # Errors
    /// When the queue is not there.
    pub fn producers(&self, queue: &QueueRef, after: &str, max: usize) -> Result<Vec<ProducerView>, Rejected> {
        self.state.producers(queue, after, max)
    }

    /// The readers of a queue, by name: those after a name, at most `max`.
    ///
    /// # Errors
    /// When the queue is not there, or not strict.
    pub fn readers(&self, queue: &QueueRef, after: &str, max: usize) -> Result<Vec<ReaderView>, Rejected> {
        self.state.readers(queue, after, max)
    }

    /// One reader.
    ///
    /// # Errors
    /// As [`Self::readers`], and [`Rejected::ReaderNotFound`].
    pub fn reader(&self, queue: &QueueRef, name: &Label) -> Result<ReaderView, Rejected> {
        self.state.reader(queue, name)
    }
}
