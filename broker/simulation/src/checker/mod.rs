//! Judges a history by the contract alone: what was asked, what was answered, when. It shares no code with the engine
//! and sees nothing that a client could not see. Where an outcome is unknown it allows both; where the contract leaves
//! no choice it names the rule. It stops at the first violation.

mod asks;
mod attempts;
mod claims;
mod deliveries;
mod ending;
mod leases;
mod sends;
mod sessions;
mod state;
mod travels;

use std::collections::BTreeMap;

use self::state::{Body, Moment, Queue, Sending};
use crate::history::{Answer, Ask, Call, History, What};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's number in the contract, or in `docs/guarantees.md`.
    pub rule: &'static str,
    /// The event at which it shows.
    pub event: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at event {}: {}", self.rule, self.event, self.what)
    }
}

type Judged = Result<(), Violation>;

/// What a history that keeps every rule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Questions that reached the broker.
    pub calls: u64,
    /// Messages known to have been stored.
    pub messages: u64,
    /// Deliveries, those of claims apart.
    pub deliveries: u64,
    /// Claims that were committed.
    pub commits: u64,
    /// Crashes and stops.
    pub ends: u64,
    /// Outcomes that stayed unknown.
    pub unknown: u64,
    /// Messages that were seen in a dead-letter queue.
    pub dead_letters: u64,
    /// Messages that a move task brought, or may have.
    pub moved: u64,
    /// Receives that were answered again (R7).
    pub repeats: u64,
}

/// A question that reached the broker.
struct Question<'a> {
    ask: &'a Ask,
    asked: Moment,
    /// The highest sequence number and epoch of its queue, and its reader's generation, known when it was asked.
    /// All downtime until then: answers of that life count with it.
    downtime: u64,
    sequence_floor: u64,
    epoch_floor: u64,
    generation_floor: u64,
    claim_floor: u64,
    /// What was known of its producer.
    producer: state::Producer,
    /// Its sendings are those from here on.
    first_sending: usize,
}

struct Checker<'a> {
    now: Moment,
    /// All downtime so far (H2).
    downtime: u64,
    ended_at: Option<u64>,
    /// When each life began, and what it counted as downtime.
    lives: Vec<(u64, u64)>,
    questions: BTreeMap<Call, Question<'a>>,
    queues: Vec<Queue>,
    sendings: Vec<Sending>,
    bodies: BTreeMap<u64, Body>,
    summary: Summary,
    may_fill: bool,
}

/// Judges a history.
///
/// # Errors
/// The first [`Violation`].
pub fn check(history: &History) -> Result<Summary, Violation> {
    let mut checker = Checker {
        now: Moment::default(),
        downtime: 0,
        ended_at: None,
        lives: Vec::new(),
        questions: BTreeMap::new(),
        queues: history.queues.iter().map(|facts| Queue::new(facts.clone())).collect(),
        sendings: Vec::new(),
        bodies: BTreeMap::new(),
        summary: Summary::default(),
        may_fill: history.may_fill,
    };
    for (event, number) in history.events.iter().zip(0..) {
        checker.now = Moment { event: number, at: event.at, active: event.at - checker.downtime };
        checker.event(&event.what)?;
    }
    checker.summary.messages = checker.queues.iter().map(|queue| queue.messages.len() as u64).sum();
    checker.summary.unknown = checker.questions.len() as u64;
    Ok(checker.summary)
}

impl<'a> Checker<'a> {
    fn violated(&self, rule: &'static str, what: impl Into<String>) -> Violation {
        Violation { rule, event: self.now.event, what: what.into() }
    }

    fn event(&mut self, what: &'a What) -> Judged {
        match what {
            What::Asked(call, ask) => {
                self.asked(*call, ask);
                Ok(())
            }
            What::Answered(call, answer) => {
                let Some(question) = self.questions.remove(call) else {
                    return Err(self.violated("H4", format!("call {call} was answered without a question")));
                };
                if *answer == Answer::Unavailable {
                    // Either may be: what it may have done stays possible.
                    self.unknown(&question);
                    self.questions.insert(*call, question);
                    return Ok(());
                }
                self.answered(*call, &question, answer)
            }
            What::Left(call) => {
                if let Some(question) = self.questions.remove(call) {
                    self.unknown(&question);
                    self.questions.insert(*call, question);
                }
                Ok(())
            }
            What::Ended => {
                self.summary.ends += 1;
                self.ended_at = Some(self.now.at);
                Ok(())
            }
            What::Started { last, gap } => self.started(*last, *gap),
            What::RefusedToStart(reason) => Err(self.violated("H7", format!("it does not start again: {reason}"))),
            What::Stuck(what) => Err(self.violated("R2", format!("time passes, and nothing happens: {what}"))),
            What::Drained => self.drained(),
        }
    }

    /// The downtime that a start counts covers at least the time it was down (H2). What an earlier start counted and
    /// never made durable is counted again by the next.
    fn started(&mut self, last: u64, gap: u64) -> Judged {
        let down = self.ended_at.take().map_or(0, |ended| self.now.at - ended);
        // A journal that holds nothing has no past to resume.
        let past = self.queues.iter().any(|queue| !queue.messages.is_empty());
        if gap < down && past {
            return Err(self.violated("H2", format!("down for {down} ms, and only {gap} ms were counted as downtime")));
        }
        self.lives.retain(|(resumed_at, _)| *resumed_at <= last);
        self.lives.push((self.now.at, gap));
        self.downtime = self.lives.iter().map(|(_, gap)| gap).sum();
        Ok(())
    }

    fn asked(&mut self, call: Call, ask: &'a Ask) {
        self.summary.calls += 1;
        let queue = &self.queues[ask.queue()];
        let generation = ask.reader().map_or(0, |reader| queue.generation_of(reader));
        let claim = ask.claim().and_then(|claim| queue.claims.get(&claim));
        let question = Question {
            ask,
            asked: self.now,
            downtime: self.downtime,
            sequence_floor: queue.highest_sequence,
            epoch_floor: queue.highest_epoch,
            generation_floor: generation,
            claim_floor: claim.map_or(0, |claim| claim.epoch),
            producer: ask.producer().and_then(|producer| queue.producers.get(&producer)).copied().unwrap_or_default(),
            first_sending: self.sendings.len(),
        };
        self.questions.insert(call, question);
        match ask {
            Ask::Send { queue, entries } => {
                for entry in entries {
                    self.sending(call, *queue, entry, None);
                }
            }
            Ask::Numbered { queue, producer, first, entries, .. } => {
                self.numbered_sends(call, *queue, *producer, *first, entries);
            }
            Ask::Park { queue, group } => {
                let park = state::Parking { asked: self.now.event, answered: None, group: Some(*group) };
                self.queues[*queue].parks.insert(call, park);
            }
            Ask::Unpark { queue, group } => {
                let unpark = state::Parking { asked: self.now.event, answered: None, group: *group };
                self.queues[*queue].unparks.insert(call, unpark);
            }
            Ask::Delete { queue, receipts } => self.may_remove(call, *queue, receipts),
            Ask::Change { queue, entries } => self.changing(*queue, entries),
            Ask::Finish { queue, id, receipts, outputs } => {
                self.may_remove(call, *queue, receipts);
                for ((target, entry), index) in outputs.iter().zip(0..) {
                    self.sending(call, *target, entry, Some((*queue, None, *id, index)));
                }
            }
            Ask::Commit { .. } => self.committing(call, ask),
            Ask::Abandon { reader, number } => {
                let claim = self.queues[reader.queue].claims.entry((reader.reader, *number)).or_default();
                claim.enders.insert(call);
            }
            Ask::Claim { reader, number, .. } => {
                let now = self.now;
                self.queues[reader.queue].takings += 1;
                let claim = self.queues[reader.queue].claims.entry((reader.reader, *number)).or_default();
                claim.asked.get_or_insert(now);
            }
            Ask::Purge { queue } => {
                let purge = state::Purge { asked: self.now.event, answered: None };
                self.queues[*queue].purges.insert(call, purge);
            }
            Ask::Receive { queue, attempt, .. } => {
                self.queues[*queue].silent.insert(call);
                self.attempted(*queue, *attempt);
            }
            Ask::Take { reader, .. } => self.queues[reader.queue].takings += 1,
            Ask::Delay { queue, delay } => {
                let delay = state::Delay { asked: self.now.event, answered: None, value: *delay };
                self.queues[*queue].delays.insert(call, delay);
            }
            Ask::Move { queue, to, .. } => drop(self.queues[*queue].tasks.insert(call, *to)),
            Ask::OpenProducer { .. }
            | Ask::Peek { .. }
            | Ask::Count { .. }
            | Ask::Open { .. }
            | Ask::Read { .. }
            | Ask::Values { .. } => {}
        }
    }

    fn answered(&mut self, call: Call, question: &Question<'a>, answer: &'a Answer) -> Judged {
        match (question.ask, answer) {
            (_, Answer::Refused(refusal)) => self.refused(call, question, refusal),
            (Ask::Send { queue, entries }, Answer::Sent(outcomes)) => {
                self.sent(call, question, *queue, entries, outcomes)
            }
            (Ask::Numbered { .. }, Answer::Sent(outcomes)) => self.sent_numbered(call, question, outcomes),
            (Ask::OpenProducer { .. }, Answer::Producer { epoch, last }) => {
                self.producer_opened(question, *epoch, *last)
            }
            (Ask::Park { queue, .. } | Ask::Unpark { queue, .. }, Answer::Done) => {
                let (now, state) = (self.now.event, &mut self.queues[*queue]);
                for parking in [&mut state.parks, &mut state.unparks].into_iter().filter_map(|all| all.get_mut(&call)) {
                    parking.answered = Some(now);
                }
                Ok(())
            }
            (Ask::Receive { queue, .. }, Answer::Received(delivered)) => {
                self.queues[*queue].silent.remove(&call);
                self.received(question, delivered)
            }
            (Ask::Delete { queue, receipts }, Answer::Deleted(outcomes)) => {
                self.deleted(call, question, *queue, receipts, outcomes)
            }
            (Ask::Change { queue, entries }, Answer::Changed(outcomes)) => {
                self.changed(question, *queue, entries, outcomes)
            }
            (Ask::Purge { queue }, Answer::Purged(_)) => {
                self.purged(call, question, *queue);
                Ok(())
            }
            (Ask::Delay { queue, .. }, Answer::Done) => {
                let (delays, now) = (&mut self.queues[*queue].delays, self.now.event);
                delays.entry(call).and_modify(|delay| delay.answered = Some(now));
                Ok(())
            }
            (Ask::Move { .. }, Answer::Moving(_)) => Ok(()),
            (Ask::Peek { queue }, Answer::Peeked(seen)) => self.peeked(question, *queue, seen),
            (Ask::Count { .. }, Answer::Counted(_)) => Ok(()),
            (Ask::Open { .. }, Answer::Opened { generation, open, .. }) => self.opened(question, *generation, open),
            (Ask::Claim { .. }, Answer::Claimed(claimed)) => self.claimed(question, *claimed),
            (Ask::Take { .. }, Answer::Taken { epoch }) => self.taken(question, *epoch),
            (Ask::Read { .. }, Answer::Contents { values, messages }) => self.contents(question, values, messages),
            (Ask::Commit { .. }, Answer::Committed { commit, outputs, repeated }) => {
                self.committed(call, question, *commit, outputs, *repeated)
            }
            (Ask::Finish { .. }, Answer::Committed { outputs, repeated, .. }) => {
                self.finished(question, outputs, *repeated)
            }
            (Ask::Abandon { .. }, Answer::Abandoned(numbers)) => self.abandoned(call, question, numbers),
            (Ask::Values { reader, group }, Answer::Values(values)) => {
                self.valued(question, *reader, *group, values.first().map_or(&[], Vec::as_slice))
            }
            (ask, answer) => Err(self.violated("H4", format!("{answer:?} is no answer to {ask:?}"))),
        }
    }

    /// Nothing happened: what the call might have done it did not.
    fn refused(&mut self, call: Call, question: &Question<'a>, refusal: &str) -> Judged {
        if refusal == "Damaged" {
            return Err(self.violated("H6", "a body cannot be read, and nothing damaged it"));
        }
        self.refuse_sendings(call, question);
        match question.ask {
            Ask::Delete { queue, receipts } | Ask::Finish { queue, receipts, .. } => {
                for (sequence, _) in receipts {
                    self.queues[*queue].did_not_remove(call, *sequence);
                }
            }
            Ask::Change { queue, entries } => {
                for (receipt, _) in entries {
                    self.did_not_change(*queue, *receipt);
                }
            }
            Ask::Purge { queue } => drop(self.queues[*queue].purges.remove(&call)),
            Ask::Commit { reader, number, .. } | Ask::Abandon { reader, number } => {
                self.queues[reader.queue].did_not_end(call, (reader.reader, *number));
            }
            Ask::Delay { queue, .. } => drop(self.queues[*queue].delays.remove(&call)),
            Ask::Move { queue, .. } => drop(self.queues[*queue].tasks.remove(&call)),
            Ask::Receive { queue, attempt, .. } => {
                self.queues[*queue].silent.remove(&call);
                return self.not_repeated(question, *queue, *attempt, refusal);
            }
            Ask::Park { queue, .. } => drop(self.queues[*queue].parks.remove(&call)),
            Ask::Unpark { queue, .. } => drop(self.queues[*queue].unparks.remove(&call)),
            Ask::Numbered { first, .. } => return self.not_numbered(question, *first, refusal),
            Ask::Send { .. }
            | Ask::OpenProducer { .. }
            | Ask::Peek { .. }
            | Ask::Count { .. }
            | Ask::Open { .. }
            | Ask::Claim { .. }
            | Ask::Take { .. }
            | Ask::Read { .. }
            | Ask::Values { .. } => {}
        }
        Ok(())
    }

    fn unknown(&mut self, question: &Question<'a>) {
        if let Ask::Change { queue, entries } = question.ask {
            for (receipt, _) in entries {
                if let Some(lease) = self.queues[*queue].lease_mut(*receipt) {
                    lease.upper = u64::MAX;
                }
            }
        }
    }
}
