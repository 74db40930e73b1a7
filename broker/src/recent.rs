//! The newest durable facts, told for people: who watches a queue sees them as they come, and a message its life, as long
//! as they are remembered. A bounded ring of small records that the follower fills; after a start those of the frames
//! behind the checkpoint are there again. Which event tells what is `recent/telling`'s affair; how it is said a front's.

mod allowance;
mod telling;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lockstep_engine::words::{ClaimNumber, Epoch, GroupId, Label, QueueGeneration, SequenceNumber, Timestamp};
use tokio::sync::watch;

pub(crate) use self::{
    allowance::Allowance,
    telling::{tell, turned_away},
};
use crate::limits;

/// What happened to a message, a group or a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the engine's events of the same names say what they are")]
pub(crate) enum FactKind {
    Sent,
    /// It was sent again and was there already (S6). No event says so: it is noted when its answer is released, and not
    /// remembered over a restart.
    TurnedAway,
    Delayed,
    Elapsed,
    Leased,
    Extended,
    /// Given back.
    Returned,
    Lapsed,
    Deleted,
    Committed,
    /// It left this queue for the dead-letter queue.
    DeadLettered,
    /// It left this queue by a move task, or came to it from another.
    Moved,
    Expired,
    /// Of a whole queue.
    Purged,
    /// Of a group.
    Parked,
    /// Of a group.
    Unparked,
}

/// Who did it, or where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// Nobody that the broker knows.
    None,
    /// A receive, of which the broker knows no more than its grant.
    Receive(Epoch),
    /// A claim of a reader, by its name; the worker that took it.
    Claim(Label, ClaimNumber),
    /// A worker took the claim.
    Worker(Label, ClaimNumber),
    /// It came from there, under that number.
    From(QueueGeneration, SequenceNumber),
    /// It went there, under that number.
    To(QueueGeneration, SequenceNumber),
}

/// One of them. No text of its own: names are shared with the engine's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) frame: u64,
    pub(crate) at: Timestamp,
    pub(crate) kind: FactKind,
    pub(crate) queue: QueueGeneration,
    /// Absent where a group or a queue is meant.
    pub(crate) sequence: Option<SequenceNumber>,
    /// Absent where a queue is meant, or the message was gone.
    pub(crate) group: Option<GroupId>,
    pub(crate) who: Party,
    /// The end of a lease or of a delay.
    pub(crate) until: Option<Timestamp>,
}

/// Facts in order, and what is not remembered any more.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    facts: VecDeque<Fact>,
    /// The place of the next fact, of all that ever were noted.
    next: u64,
    /// All facts of the frames behind this one are remembered.
    from: u64,
    /// The newest frame whose facts are all noted.
    through: u64,
}

impl Ring {
    /// An empty one; what happened up to this frame is not remembered.
    pub(crate) fn after(frame: u64) -> Self {
        Self { from: frame, through: frame, ..Self::default() }
    }

    /// Notes the facts of a frame, or what belongs to it. They are taken out of `facts`.
    pub(crate) fn note(&mut self, frame: u64, facts: &mut Vec<Fact>) {
        self.through = self.through.max(frame);
        self.next += facts.len() as u64;
        self.facts.extend(facts.drain(..));
        while self.facts.len() > limits::RECENT_FACTS
            && let Some(forgotten) = self.facts.pop_front()
        {
            self.from = forgotten.frame;
        }
    }

    /// Nothing is told of a frame: what is remembered begins behind it.
    fn skip(&mut self, frame: u64) {
        self.facts.clear();
        (self.from, self.through) = (frame, self.through.max(frame));
    }

    fn first(&self) -> u64 {
        self.next - self.facts.len() as u64
    }
}

/// Where a reader of facts begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The place of the next fact.
    pub(crate) place: u64,
    /// Facts behind the first of these frames, up to the second, are not remembered.
    pub(crate) gap: Option<(u64, u64)>,
}

/// Facts from a place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Those that were wanted, at most as many.
    pub(crate) facts: Vec<Fact>,
    /// How many more were wanted.
    pub(crate) more: u64,
    /// The place behind all of them.
    pub(crate) place: u64,
    /// All facts up to this frame are before that place.
    pub(crate) through: u64,
    /// The reader was so slow that facts were forgotten: those of the frames up to this one.
    pub(crate) lost: Option<u64>,
}

struct Shared {
    ring: Mutex<Ring>,
    /// The newest durable frame.
    durable: AtomicU64,
    /// Told at each durable frame, and when its facts are noted.
    pulse: watch::Sender<()>,
}

/// The ring between the follower, the journal's thread and those who read. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recent(Arc<Shared>);

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").field("durable", &self.0.durable).finish_non_exhaustive()
    }
}

impl Recent {
    pub(crate) fn new(ring: Ring) -> Self {
        let durable = AtomicU64::new(ring.through);
        Self(Arc::new(Shared { ring: Mutex::new(ring), durable, pulse: watch::channel(()).0 }))
    }

    /// A frame is on disk.
    pub(crate) fn durable(&self, frame: u64) {
        self.0.durable.store(frame, Ordering::Release);
        self.beat();
    }

    /// The newest frame that is on disk.
    pub(crate) fn newest(&self) -> u64 {
        self.0.durable.load(Ordering::Acquire)
    }

    /// Notes facts; see [`Ring::note`].
    pub(crate) fn note(&self, frame: u64, facts: &mut Vec<Fact>) {
        let tells = !facts.is_empty();
        self.ring().note(frame, facts);
        if tells {
            self.beat();
        }
    }

    /// Nobody is told what a frame did, and nothing before it is remembered: there were too many facts, and nobody watches.
    pub(crate) fn skip(&self, frame: u64) {
        self.ring().skip(frame);
    }

    /// Whether somebody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.pulse.receiver_count() > 0
    }

    /// Ends a wait at the next durable frame, or when facts are noted.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.0.pulse.subscribe()
    }

    fn beat(&self) {
        // Nobody watches most of the time, and then it must cost next to nothing.
        if self.is_watched() {
            self.0.pulse.send_replace(());
        }
    }

    /// Where to begin: with what comes now, or behind a frame.
    pub(crate) fn begin(&self, after: Option<u64>) -> Begin {
        let ring = self.ring();
        let now = Begin { place: ring.next, gap: None };
        match after {
            None => now,
            // Another journal's frame, or a damaged number.
            Some(after) if after > ring.through => Begin { gap: Some((after, ring.through)), ..now },
            Some(after) => {
                let from = after.max(ring.from);
                let place = ring.first() + ring.facts.partition_point(|fact| fact.frame <= from) as u64;
                Begin { place, gap: (after < ring.from).then_some((after, ring.from)) }
            }
        }
    }

    /// The facts from a place on that are wanted, at most `max` of them.
    pub(crate) fn read(&self, place: u64, max: usize, mut wanted: impl FnMut(&Fact) -> bool) -> Read {
        let ring = self.ring();
        let lost = (place < ring.first()).then_some(ring.from);
        let skipped = usize::try_from(place.saturating_sub(ring.first())).unwrap_or(usize::MAX);
        let (mut facts, mut more) = (Vec::new(), 0);
        for fact in ring.facts.range(skipped.min(ring.facts.len())..).filter(|fact| wanted(fact)) {
            if facts.len() < max { facts.push(fact.clone()) } else { more += 1 }
        }
        Read { facts, more, place: ring.next, through: ring.through, lost }
    }

    /// All facts of one message.
    pub(crate) fn life(&self, queue: QueueGeneration, sequence: SequenceNumber) -> Vec<Fact> {
        let of_it = |fact: &&Fact| fact.queue == queue && fact.sequence == Some(sequence);
        self.ring().facts.iter().filter(of_it).cloned().collect()
    }

    /// The numbers of the messages of a queue that are remembered as sent.
    pub(crate) fn sent(&self, queue: QueueGeneration) -> Vec<SequenceNumber> {
        let sent = |fact: &&Fact| fact.queue == queue && fact.kind == FactKind::Sent;
        self.ring().facts.iter().filter(sent).filter_map(|fact| fact.sequence).collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Whoever panicked here left whole facts, of which at most the newest are missing.
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
