//! The books of every message, kept from the events alone: each accepted message is waiting, or ended in exactly one
//! way; sequence numbers and epochs only rise; what was deleted is never delivered again; a strict group has one holder
//! and loses no place in its order. The ledger knows neither the engine's state nor the model.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_engine::{
    Engine, Event, GroupDelivery,
    command::QueueRef,
    event::{MoveTaskFact, NumberUsed, Outcomes},
    words::{AttemptKey, Epoch, GroupId, Label, QueueGeneration, QueueName, SequenceNumber},
};

use crate::model::ensure;

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Deleted,
    Committed,
    Purged,
    Expired,
    DeadLettered,
    MovedBack,
}

/// A message that waits, and the epoch of the grant or claim that holds it.
#[derive(Debug)]
struct Waiting {
    group: GroupId,
    holder: Option<u64>,
    delayed: bool,
}

#[derive(Debug)]
struct Book {
    name: QueueName,
    strict: bool,
    waiting: BTreeMap<u64, Waiting>,
    ended: BTreeMap<u64, Fate>,
    claims: BTreeMap<(u64, u64), Vec<u64>>,
    /// Of each epoch in force: the producer's name, and its last number.
    sessions: BTreeMap<u64, (Label, u64)>,
    /// Messages that were stored under a number.
    numbered: BTreeSet<u64>,
    attempts: BTreeMap<AttemptKey, Vec<(SequenceNumber, Epoch)>>,
    last_sequence: u64,
    last_epoch: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    books: BTreeMap<QueueGeneration, Book>,
    last_generation: u64,
}

impl Ledger {
    /// Enters one event.
    pub(crate) fn enter(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Ticked { .. } | Event::Resumed { .. } => Ok(()),
            Event::QueueCreated { queue, name, attributes, .. } => {
                ensure!(queue.0 > self.last_generation, "generation {queue} was used before");
                self.last_generation = queue.0;
                let strict = name.is_fifo() && attributes.delivery == GroupDelivery::Strict;
                self.books.insert(*queue, Book::new(name.clone(), strict));
                Ok(())
            }
            Event::QueueDeleted { queue, .. } => {
                let book = self.books.remove(queue).ok_or("a queue was deleted twice")?;
                book.balance()
            }
            Event::MessagesDeadLettered { queue, to, messages, .. } => {
                self.carry(*queue, *to, messages, Fate::DeadLettered)
            }
            Event::MoveTask { queue, fact, .. } => match &**fact {
                MoveTaskFact::Moved { to, messages, .. } => {
                    let held = |sequence: &SequenceNumber| {
                        let waiting = self.books.get(queue).and_then(|book| book.waiting.get(&sequence.0));
                        waiting.is_some_and(|waiting| waiting.holder.is_some() || waiting.delayed)
                    };
                    ensure!(!messages.iter().any(|(from, _)| held(from)), "a held message was moved back");
                    self.carry(*queue, *to, messages, Fate::MovedBack)
                }
                MoveTaskFact::Started(_) | MoveTaskFact::Advanced { .. } | MoveTaskFact::Ended { .. } => {
                    self.books.get_mut(queue).ok_or("an event of no queue")?.enter(event)
                }
            },
            Event::ClaimCommitted { queue, outcomes, .. } => {
                self.books.get_mut(queue).ok_or("an event of no queue")?.enter(event)?;
                outcomes
                    .letters
                    .iter()
                    .try_for_each(|letters| self.carry(*queue, letters.to, &letters.messages, Fate::DeadLettered))
            }
            Event::Restored(_) => Err("a distilled piece in the journal".to_owned()),
            Event::QueueChanged { queue, .. }
            | Event::QueuePurged { queue, .. }
            | Event::MessageSent { queue, .. }
            | Event::BodiesMoved { queue, .. }
            | Event::DelaysElapsed { queue, .. }
            | Event::MessagesReceived { queue, .. }
            | Event::AttemptNoted { queue, .. }
            | Event::AttemptRepeated { queue, .. }
            | Event::MessagesReturned { queue, .. }
            | Event::MessagesDeleted { queue, .. }
            | Event::VisibilityChanged { queue, .. }
            | Event::MessagesExpired { queue, .. }
            | Event::KeysForgotten { queue, .. }
            | Event::ProducerOpened { queue, .. }
            | Event::NumbersUsed { queue, .. }
            | Event::ProducerForgotten { queue, .. }
            | Event::ReaderOpened { queue, .. }
            | Event::ReaderDropped { queue, .. }
            | Event::ClaimOpened { queue, .. }
            | Event::ClaimTaken { queue, .. }
            | Event::ClaimBurnt { queue, .. }
            | Event::QueueTagged { queue, .. }
            | Event::GroupParked { queue, .. }
            | Event::GroupsUnparked { queue, .. }
            | Event::DeliveriesCommitted { queue, .. }
            | Event::ValuesCommitted { queue, .. } => {
                self.books.get_mut(queue).ok_or("an event of no queue")?.enter(event)
            }
        }
    }

    /// Leaves one book and stands in the other at once: the same group, a new number (Q2, Q7).
    fn carry(
        &mut self,
        queue: QueueGeneration,
        to: QueueGeneration,
        messages: &[(SequenceNumber, SequenceNumber)],
        fate: Fate,
    ) -> Result<(), String> {
        for (from, place) in messages {
            let book = self.books.get_mut(&queue).ok_or("dead letters of no queue")?;
            let group = book.waiting.get(&from.0).map(|waiting| waiting.group.clone());
            book.end(&[*from], fate)?;
            let target = self.books.get_mut(&to).ok_or("dead letters to no queue")?;
            let group = group.expect("it ended only now");
            let group = if target.name.is_fifo() { group } else { GroupId::alone(*place) };
            target.accept(*place, group, false)?;
        }
        Ok(())
    }

    /// What waits in the books is what waits in the engine, and nothing was forgotten.
    pub(crate) fn balance(&self, engine: &Engine) -> Result<(), String> {
        for (generation, book) in &self.books {
            book.balance()?;
            let queue = QueueRef { name: book.name.clone(), generation: Some(*generation) };
            let peeked = engine.peek(&queue, None, SequenceNumber(0), usize::MAX, u64::MAX);
            let peeked = peeked.map_err(|rejected| rejected.to_string())?;
            let same = peeked.iter().map(|message| message.sequence.0).eq(book.waiting.keys().copied());
            ensure!(same, "{}: the engine keeps other messages than the books", book.name);
        }
        Ok(())
    }
}

impl Book {
    fn new(name: QueueName, strict: bool) -> Self {
        let (waiting, ended, claims) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (sessions, numbered) = (BTreeMap::new(), BTreeSet::new());
        let attempts = BTreeMap::new();
        Self { name, strict, waiting, ended, claims, attempts, sessions, numbered, last_sequence: 0, last_epoch: 0 }
    }

    fn enter(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::MessageSent { sequence, group, delayed_until, .. } => {
                self.accept(*sequence, group.clone(), delayed_until.is_some())
            }
            Event::MessagesReceived { epoch, messages, .. } => {
                self.raise(*epoch)?;
                messages.iter().try_for_each(|(sequence, _)| self.deliver(sequence.0, *epoch))
            }
            Event::AttemptNoted { attempt, messages, .. } => {
                self.attempts.insert(*attempt, messages.clone());
                self.held_as(messages)
            }
            Event::AttemptRepeated { attempt, .. } => {
                let messages = self.attempts.get(attempt).ok_or("an unknown attempt was repeated")?;
                self.held_as(messages)
            }
            Event::ClaimOpened { reader, number, epoch, messages, .. } => {
                self.raise(*epoch)?;
                let sequences = messages.iter().map(|(sequence, _)| sequence.0).collect();
                ensure!(
                    self.claims.insert((reader.0, number.0), sequences).is_none(),
                    "claim {number} was opened twice"
                );
                messages.iter().try_for_each(|(sequence, _)| self.deliver(sequence.0, *epoch))
            }
            Event::DelaysElapsed { messages, .. } => messages.iter().try_for_each(|sequence| {
                let waiting = self.waiting.get_mut(&sequence.0).ok_or("a delay of a message that is gone")?;
                ensure!(waiting.delayed, "the delay of {sequence} elapsed twice");
                waiting.delayed = false;
                Ok(())
            }),
            Event::MessagesReturned { messages, .. } => {
                messages.iter().try_for_each(|(sequence, _)| self.give_back(sequence.0))
            }
            Event::ClaimBurnt { reader, number, .. } => {
                let messages = self.claims.remove(&(reader.0, number.0)).ok_or("a claim ended twice")?;
                messages.into_iter().try_for_each(|sequence| self.give_back(sequence))
            }
            Event::ReaderDropped { reader, .. } => {
                let dropped: Vec<_> = self.claims.keys().filter(|(of, _)| *of == reader.0).copied().collect();
                let messages: Vec<_> = dropped.iter().filter_map(|claim| self.claims.remove(claim)).flatten().collect();
                messages.into_iter().try_for_each(|sequence| self.give_back(sequence))
            }
            Event::MessagesDeleted { messages, .. } => self.end(messages, Fate::Deleted),
            Event::DeliveriesCommitted { messages, .. } => self.end(messages, Fate::Committed),
            Event::MessagesExpired { messages, .. } => {
                let claimed =
                    self.claims.values().flatten().any(|claimed| messages.contains(&SequenceNumber(*claimed)));
                ensure!(!claimed, "a claimed message expired (B8)");
                self.end(messages, Fate::Expired)
            }
            Event::ClaimCommitted { reader, number, outcomes, .. } => {
                let Outcomes { returned, letters, .. } = &**outcomes;
                let messages = self.claims.remove(&(reader.0, number.0)).ok_or("a claim ended twice")?;
                let leaves = |sequence: &SequenceNumber| {
                    let letters = letters.iter().flat_map(|letters| &letters.messages).map(|(from, _)| from);
                    returned.iter().map(|(back, _)| back).chain(letters).any(|other| other == sequence)
                };
                let messages: Vec<_> = messages.into_iter().map(SequenceNumber).collect();
                let done: Vec<_> = messages.iter().copied().filter(|sequence| !leaves(sequence)).collect();
                let strange = returned.iter().find(|(back, _)| !messages.contains(back));
                ensure!(strange.is_none(), "{strange:?} went back, but was not of the claim");
                self.end(&done, Fate::Committed)?;
                returned.iter().try_for_each(|(sequence, _)| self.give_back(sequence.0))
            }
            Event::QueuePurged { .. } => {
                let claimed = |sequence: &u64| self.claims.values().flatten().any(|claimed| claimed == sequence);
                let gone: Vec<_> =
                    self.waiting.keys().filter(|sequence| !claimed(sequence)).copied().map(SequenceNumber).collect();
                self.end(&gone, Fate::Purged)
            }
            Event::ReaderOpened { generation, epochs, .. } => {
                self.raise(*generation)?;
                epochs.iter().try_for_each(|(_, epoch)| self.raise(*epoch))
            }
            Event::ClaimTaken { epoch, .. } => self.raise(*epoch),
            Event::ProducerOpened { producer, epoch, .. } => {
                self.raise(*epoch)?;
                let last = self.sessions.iter().find(|(_, (name, _))| name == producer).map(|(epoch, _)| *epoch);
                let last = last.and_then(|epoch| self.sessions.remove(&epoch)).map_or(0, |(_, last)| last);
                self.sessions.insert(epoch.0, (producer.clone(), last));
                Ok(())
            }
            Event::NumbersUsed { epoch, first, uses, .. } => self.use_numbers(*epoch, first.0, uses),
            Event::ProducerForgotten { epoch, .. } => {
                self.sessions.remove(&epoch.0).map(drop).ok_or_else(|| "a session was forgotten twice".to_owned())
            }
            Event::Ticked { .. }
            | Event::Resumed { .. }
            | Event::QueueCreated { .. }
            | Event::QueueChanged { .. }
            | Event::QueueDeleted { .. }
            | Event::VisibilityChanged { .. }
            | Event::KeysForgotten { .. }
            | Event::BodiesMoved { .. }
            | Event::MessagesDeadLettered { .. }
            | Event::QueueTagged { .. }
            | Event::MoveTask { .. }
            | Event::GroupParked { .. }
            | Event::GroupsUnparked { .. }
            | Event::ValuesCommitted { .. }
            | Event::Restored(_) => Ok(()),
        }
    }

    fn accept(&mut self, sequence: SequenceNumber, group: GroupId, delayed: bool) -> Result<(), String> {
        ensure!(sequence.0 > self.last_sequence, "sequence number {sequence} was used before");
        self.last_sequence = sequence.0;
        self.waiting.insert(sequence.0, Waiting { group, holder: None, delayed });
        Ok(())
    }

    /// Numbers of a session are used once each, without a gap, under its newest epoch; what is stored under one was
    /// accepted, and is no other number's unless it is a duplicate (B3).
    fn use_numbers(&mut self, epoch: Epoch, first: u64, uses: &[NumberUsed]) -> Result<(), String> {
        let (name, last) = self.sessions.get_mut(&epoch.0).ok_or("numbers of a fenced epoch")?;
        ensure!(first == *last + 1, "number {first} of {name} after {last}");
        *last += uses.len() as u64;
        for (sequence, duplicate) in uses.iter().filter_map(|used| used.outcome.ok()) {
            ensure!(sequence.0 <= self.last_sequence, "{sequence} has a number, but was never stored");
            ensure!(duplicate || self.numbered.insert(sequence.0), "{sequence} has two numbers");
        }
        Ok(())
    }

    /// One rising counter for every epoch of a queue (B2).
    fn raise(&mut self, epoch: Epoch) -> Result<(), String> {
        ensure!(epoch.0 > self.last_epoch, "epoch {epoch} after {}", self.last_epoch);
        self.last_epoch = epoch.0;
        Ok(())
    }

    /// Only what waits is delivered, behind nothing that somebody else holds, and skipping nothing.
    fn deliver(&mut self, sequence: u64, epoch: Epoch) -> Result<(), String> {
        let found = self.waiting.get(&sequence);
        let waiting =
            found.ok_or_else(|| format!("{sequence} was delivered, its end: {:?}", self.ended.get(&sequence)))?;
        ensure!(waiting.holder.is_none(), "{sequence} was delivered while it was held");
        ensure!(!waiting.delayed, "{sequence} was delivered while it was delayed");
        let of_group = self.waiting.iter().filter(|(_, other)| other.group == waiting.group);
        for (other, theirs) in of_group {
            let mine = theirs.holder == Some(epoch.0);
            ensure!(*other >= sequence || mine, "{sequence} was delivered before {other}, which is not deleted");
            ensure!(!self.strict || theirs.holder.is_none() || mine, "two holders of group {}", waiting.group);
        }
        self.waiting.get_mut(&sequence).expect("found above").holder = Some(epoch.0);
        Ok(())
    }

    /// R7: nothing is delivered twice but what its first receiver still holds.
    fn held_as(&self, messages: &[(SequenceNumber, Epoch)]) -> Result<(), String> {
        for (sequence, epoch) in messages {
            let holder = self.waiting.get(&sequence.0).and_then(|waiting| waiting.holder);
            ensure!(holder == Some(epoch.0), "{sequence} of an attempt is held by {holder:?}");
        }
        Ok(())
    }

    fn give_back(&mut self, sequence: u64) -> Result<(), String> {
        let waiting = self.waiting.get_mut(&sequence).ok_or_else(|| format!("{sequence} went back, but is gone"))?;
        ensure!(waiting.holder.take().is_some(), "{sequence} went back, but nobody held it");
        Ok(())
    }

    fn end(&mut self, messages: &[SequenceNumber], fate: Fate) -> Result<(), String> {
        for sequence in messages {
            let before = self.ended.insert(sequence.0, fate);
            ensure!(before.is_none(), "{sequence} ended twice: {before:?}, {fate:?}");
            let waiting = self.waiting.remove(&sequence.0).ok_or_else(|| format!("{sequence} was never accepted"))?;
            // A standard queue's messages may be deleted after their lease ended (R3).
            let finished = matches!(fate, Fate::Deleted | Fate::Committed) && self.name.is_fifo();
            ensure!(!finished || waiting.holder.is_some(), "{sequence} was finished by nobody who held it");
            let earlier = self.waiting.range(..sequence.0).find(|(_, other)| other.group == waiting.group);
            let hole = finished
                && self.strict
                && earlier.is_some_and(|(other, _)| !messages.contains(&SequenceNumber(*other)));
            ensure!(!hole, "{sequence} was finished before {earlier:?}");
        }
        Ok(())
    }

    /// Every number that was given out is in the books once.
    fn balance(&self) -> Result<(), String> {
        let entries = self.waiting.len() + self.ended.len();
        ensure!(entries as u64 == self.last_sequence, "{}: {entries} entries for {}", self.name, self.last_sequence);
        Ok(())
    }
}
