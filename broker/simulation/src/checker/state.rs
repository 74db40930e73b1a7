//! What the checker knows of queues, messages, leases and claims: plain records and questions to them. No rule is
//! judged here.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Call, QueueFacts, Receipt};

/// An event's place, its time, and its time less all downtime.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) event: usize,
    pub(super) at: u64,
    pub(super) active: u64,
}

/// What makes two sends one message (S6, S7, B1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Id(Option<u64>, u64),
    Content(Option<u64>, u64),
    /// An output without an id: source queue, claim's reader or none, claim or commit id, index.
    Output(usize, Option<u64>, u64, usize),
    /// A number of a producer's session (B3).
    Number(u64, u64),
}

/// What became of one entry of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unknown,
    Refused,
    Stored(u64),
    Duplicate(u64),
}

/// One entry of one call.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) call: Call,
    pub(super) queue: usize,
    pub(super) group: u64,
    pub(super) key: Key,
    pub(super) asked: Moment,
    pub(super) fate: Fate,
}

/// Every sending of a body, and where it was seen.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) sendings: Vec<usize>,
    /// The messages that have it, by queue and number.
    pub(super) places: Vec<(usize, u64)>,
    /// Since when a message with it is known to be finished.
    pub(super) finished: Option<usize>,
}

/// A delivery.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) epoch: u64,
    pub(super) answered: Moment,
    /// It lives at least until here, in active time, unless an earlier message of its grant goes back (strict).
    pub(super) lower: u64,
    /// It is over from here on, in active time.
    pub(super) upper: u64,
    /// Changes of its visibility that are under way or unknown.
    pub(super) changing: u32,
    /// Two changes overlapped: only the worst is known.
    pub(super) blurred: bool,
    /// A change was asked for.
    pub(super) touched: bool,
}

/// A message that is known to have been stored.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) group: Option<u64>,
    pub(super) body: Option<u64>,
    /// It was stored between these.
    pub(super) earliest: Moment,
    pub(super) known: Moment,
    /// An answer said that it was new.
    pub(super) was_new: bool,
    pub(super) leases: Vec<Lease>,
    /// Calls that may have removed it, with the epoch under which they would.
    pub(super) removers: BTreeMap<Call, u64>,
    /// Since when it is known to be gone, and under which epoch it went.
    pub(super) gone: Option<(usize, u64)>,
    /// The newest claim that held it.
    pub(super) claim: Option<(u64, u64)>,
    /// How it came here.
    pub(super) came: Came,
    /// Since when it is known to be in a dead-letter queue.
    pub(super) left: Option<usize>,
}

impl Message {
    /// A message of which nothing else is known.
    pub(super) const fn new(earliest: Moment, known: Moment, came: Came) -> Self {
        Self {
            group: None,
            body: None,
            earliest,
            known,
            was_new: false,
            leases: Vec::new(),
            removers: BTreeMap::new(),
            gone: None,
            claim: None,
            came,
            left: None,
        }
    }
}

/// How a message came to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A client sent it.
    Sent,
    /// As a dead letter, with its identity (Q2, H9).
    Letter(usize, u64),
    /// A move task brought it, or may have (Q7).
    Moved,
}

/// A receive under an attempt id (R7).
#[derive(Debug)]
pub(super) struct Attempt {
    /// When it was first asked, and the highest epoch known then.
    pub(super) first: Moment,
    pub(super) floor: u64,
    /// How often it was asked.
    pub(super) asks: u32,
    /// What it was answered, and since when that is known.
    pub(super) answer: Option<(usize, Vec<Receipt>)>,
}

/// What is known of a producer's session (B3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Producer {
    /// The highest epoch known.
    pub(super) epoch: u64,
    /// The highest number known to be used, and the highest that may be.
    pub(super) used: u64,
    pub(super) asked: u64,
}

/// A group, or all, parked or unparked (B7).
#[derive(Clone, Copy, Debug)]
pub(super) struct Parking {
    pub(super) asked: usize,
    pub(super) answered: Option<usize>,
    pub(super) group: Option<u64>,
}

/// A change of a queue's delay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay {
    pub(super) asked: usize,
    pub(super) answered: Option<usize>,
    pub(super) value: u64,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Committed,
    Burnt,
}

/// What is known of a claim.
#[derive(Debug, Default)]
pub(super) struct Claim {
    /// Its first question.
    pub(super) asked: Option<Moment>,
    /// Since when an answer said that it is open.
    pub(super) opened: Option<Moment>,
    /// The highest epoch known.
    pub(super) epoch: u64,
    pub(super) messages: Option<Vec<u64>>,
    /// Commits and abandons that may have ended it.
    pub(super) enders: BTreeSet<Call>,
    pub(super) ended: Option<End>,
    /// Since when an answer said that it ended.
    pub(super) ended_at: usize,
    /// The commit id that won, and the outputs and number it was answered.
    pub(super) winner: Option<(u64, Vec<u64>)>,
    /// Since when that is known.
    pub(super) won_at: usize,
    pub(super) commit: Option<u64>,
    /// Every commit's attempt: id, and whether an answer said that this one did it.
    pub(super) attempts: BTreeMap<Call, u64>,
    pub(super) was_new: bool,
    /// The messages that each commit finishes, by its id: not all, where it names outcomes (B7).
    pub(super) done: BTreeMap<u64, Vec<u64>>,
}

impl Claim {
    /// The messages that were finished, as far as it is known which commit did it.
    pub(super) fn finished(&self) -> Option<&[u64]> {
        let all = || self.messages.as_deref();
        match &self.winner {
            Some((id, _)) => self.done.get(id).map(Vec::as_slice).or_else(all),
            None => {
                let mut attempts = self.attempts.values().map(|id| self.done.get(id));
                let first = attempts.next()?;
                let same = attempts.all(|other| other == first);
                if same { first.map(Vec::as_slice).or_else(all) } else { None }
            }
        }
    }

    /// Every message that some commit would finish.
    pub(super) fn may_finish(&self) -> impl Iterator<Item = u64> {
        let ids: BTreeSet<u64> = match &self.winner {
            Some((id, _)) => [*id].into(),
            None => self.attempts.values().copied().collect(),
        };
        ids.into_iter().flat_map(|id| self.done.get(&id).or(self.messages.as_ref())).flatten().copied()
    }

    pub(super) fn end(&mut self, how: End, event: usize) {
        if self.ended.replace(how).is_none() {
            self.ended_at = event;
        }
    }
}

/// A purge that was not refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purge {
    pub(super) asked: usize,
    pub(super) answered: Option<usize>,
}

/// What is known of a queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) facts: QueueFacts,
    pub(super) messages: BTreeMap<u64, Message>,
    /// Messages of a group that are not known to be gone.
    pub(super) living: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) keys: BTreeMap<Key, Vec<u64>>,
    pub(super) sendings_of: BTreeMap<Key, Vec<usize>>,
    pub(super) purges: BTreeMap<Call, Purge>,
    pub(super) delays: BTreeMap<Call, Delay>,
    /// Move tasks out of this queue that were not refused, with their destination; absent: each message's own source.
    pub(super) tasks: BTreeMap<Call, Option<usize>>,
    pub(super) attempts: BTreeMap<u64, Attempt>,
    /// Receives without an answer, each of which may have delivered something.
    pub(super) silent: BTreeSet<Call>,
    /// Claims and takings of claims that were asked for, each of which may have counted a receive.
    pub(super) takings: usize,
    /// Messages that a commit named as dead letters (B7).
    pub(super) heads: BTreeSet<u64>,
    pub(super) producers: BTreeMap<u64, Producer>,
    /// The message of each number of a session.
    pub(super) numbers: BTreeMap<(u64, u64), u64>,
    pub(super) parks: BTreeMap<Call, Parking>,
    pub(super) unparks: BTreeMap<Call, Parking>,
    /// Dead letters by their identity.
    pub(super) letters: BTreeMap<(usize, u64), u64>,
    /// Messages of each grant.
    pub(super) grants: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) claims: BTreeMap<(u64, u64), Claim>,
    pub(super) generations: BTreeMap<u64, u64>,
    /// Commits of deliveries that an answer called new.
    pub(super) finished: BTreeMap<u64, bool>,
    /// The last value read of a reader's group.
    pub(super) values: BTreeMap<(u64, u64), Vec<u64>>,
    pub(super) highest_sequence: u64,
    pub(super) highest_epoch: u64,
}

impl Queue {
    pub(super) fn new(facts: QueueFacts) -> Self {
        Self {
            facts,
            messages: BTreeMap::new(),
            living: BTreeMap::new(),
            keys: BTreeMap::new(),
            sendings_of: BTreeMap::new(),
            purges: BTreeMap::new(),
            delays: BTreeMap::new(),
            tasks: BTreeMap::new(),
            attempts: BTreeMap::new(),
            silent: BTreeSet::new(),
            takings: 0,
            heads: BTreeSet::new(),
            producers: BTreeMap::new(),
            numbers: BTreeMap::new(),
            parks: BTreeMap::new(),
            unparks: BTreeMap::new(),
            letters: BTreeMap::new(),
            grants: BTreeMap::new(),
            claims: BTreeMap::new(),
            generations: BTreeMap::new(),
            finished: BTreeMap::new(),
            values: BTreeMap::new(),
            highest_sequence: 0,
            highest_epoch: 0,
        }
    }

    pub(super) fn generation_of(&self, reader: u64) -> u64 {
        self.generations.get(&reader).copied().unwrap_or(0)
    }

    pub(super) fn lease_mut(&mut self, (sequence, epoch): Receipt) -> Option<&mut Lease> {
        self.messages.get_mut(&sequence)?.leases.iter_mut().find(|lease| lease.epoch == epoch)
    }

    pub(super) fn lease(&self, (sequence, epoch): Receipt) -> Option<&Lease> {
        self.messages.get(&sequence)?.leases.iter().find(|lease| lease.epoch == epoch)
    }

    /// Whether a lease certainly lives at `active`: on a strict queue only while every earlier one of its grant does,
    /// or was finished under it.
    pub(super) fn lives(&self, sequence: u64, lease: &Lease, active: u64) -> bool {
        let finished = |earlier: u64| {
            let gone = self.messages.get(&earlier).and_then(|message| message.gone);
            gone.is_some_and(|(_, under)| under == lease.epoch)
        };
        let theirs = |earlier: u64| self.lease((earlier, lease.epoch)).is_some_and(|theirs| theirs.lower > active);
        let mut earlier =
            self.grants.get(&lease.epoch).into_iter().flatten().copied().take_while(|earlier| *earlier < sequence);
        lease.lower > active && (!self.facts.strict || earlier.all(|earlier| finished(earlier) || theirs(earlier)))
    }

    pub(super) fn did_not_remove(&mut self, call: Call, sequence: u64) {
        if let Some(message) = self.messages.get_mut(&sequence) {
            message.removers.remove(&call);
        }
    }

    pub(super) fn did_not_end(&mut self, call: Call, claim: (u64, u64)) {
        let Some(claim) = self.claims.get_mut(&claim) else { return };
        claim.enders.remove(&call);
        claim.attempts.remove(&call);
        for sequence in claim.messages.clone().into_iter().flatten() {
            self.did_not_remove(call, sequence);
        }
    }

    /// A message is known to be gone.
    pub(super) fn gone(&mut self, sequence: u64, event: usize, epoch: u64) {
        let Some(message) = self.messages.get_mut(&sequence) else { return };
        message.gone.get_or_insert((event, epoch));
        if let Some(living) = message.group.and_then(|group| self.living.get_mut(&group)) {
            living.remove(&sequence);
        }
    }

    /// Whether a purge may have come between two events.
    pub(super) fn purged_between(&self, from: usize, to: usize) -> bool {
        self.purges.values().any(|purge| purge.asked < to && purge.answered.is_none_or(|answered| answered > from))
    }

    /// Whether purge or retention may have taken a message by now.
    pub(super) fn may_have_passed(&self, message: &Message, now: Moment) -> bool {
        self.purged_between(message.earliest.event, now.event)
            || message.earliest.at.saturating_add(self.facts.retention) <= now.at
    }

    /// Whether a message may have gone to another queue: it may have been received so often that the next receive makes
    /// it a dead letter, or a move task may have taken it.
    pub(super) fn may_have_left(&self, sequence: u64, message: &Message) -> bool {
        let received = message.leases.len() + self.silent.len() + self.takings;
        !self.tasks.is_empty()
            || self.heads.contains(&sequence)
            || self.facts.redrive.is_some_and(|(_, most)| received >= most as usize)
    }

    /// The shortest delay that may have been in force at some time after an event (S11).
    pub(super) fn shortest_delay(&self, since: usize) -> u64 {
        let settled = |delay: &&Delay| delay.answered.is_some_and(|answered| answered < since);
        // What was settled before, by the last that was asked for.
        let last = self.delays.values().filter(settled).max_by_key(|delay| delay.asked);
        let superseded =
            |delay: &Delay| last.is_some_and(|last| delay.answered.is_some_and(|answered| answered < last.asked));
        let first = if last.is_some() { None } else { Some(self.facts.delay) };
        let possible = self.delays.values().filter(|delay| !superseded(delay)).map(|delay| delay.value);
        possible.chain(first).min().unwrap_or(0)
    }

    /// Whether a message was certainly there all the time since `since`.
    pub(super) fn certainly_there(&self, sequence: u64, message: &Message, since: usize, now: Moment) -> bool {
        message.known.event < since
            && message.gone.is_none()
            && message.left.is_none()
            && message.removers.is_empty()
            && !self.may_have_passed(message, now)
            && !self.may_have_left(sequence, message)
    }
}
