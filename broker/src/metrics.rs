//! What the broker counts about itself. Messages are counted frame by frame, once the frame is durable, from the facts
//! in it and the answers held for it: an attempt that came to nothing counts nothing. How it is shown is a front's
//! affair; what lies in the queues is asked of the engine.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use lockstep_engine::{command::Space, reply::Accepted, words::QueueGeneration};

use crate::limits;

/// A space that has an end: without a disk or a backlog it is all but endless.
pub(crate) fn limited(bytes: u64) -> Option<u64> {
    (bytes < u64::MAX / 2).then_some(bytes)
}

/// What is counted of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Messages stored.
    Sent,
    /// Messages that were to be sent and were there already (S6).
    Deduplicated,
    /// Messages delivered by receives.
    Received,
    /// Receives that were answered without a message.
    EmptyReceives,
    /// Messages taken by claims.
    Claimed,
    /// Messages finished: deleted or committed.
    Deleted,
    /// Messages given back: lapsed, nacked, or of claims that were burnt.
    Returned,
    /// Messages that retention ended (R9).
    Expired,
    /// Messages that went to the dead-letter queue, counted where they were (Q2); not as sent there (Q3).
    DeadLettered,
}

/// How many kinds there are.
const KINDS: usize = Kind::DeadLettered as usize + 1;

/// Counts of one queue, or of many together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts([u64; KINDS]);

impl Counts {
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    fn add(&mut self, kind: Kind, more: u64) {
        self.0[kind as usize] += more;
    }
}

/// What one turn adds, until its frame is durable.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<(QueueGeneration, Kind), u64>,
    /// The first messages that were sent again, one by one.
    pub(crate) turned_away: Vec<Accepted>,
}

impl Tally {
    pub(crate) fn add(&mut self, queue: QueueGeneration, kind: Kind, more: u64) {
        *self.counts.entry((queue, kind)).or_default() += more;
    }

    /// Notes messages that were sent again; they are counted by [`Self::add`].
    pub(crate) fn turn_away(&mut self, accepted: Vec<Accepted>) {
        let room = limits::RECENT_TURNED_AWAY.saturating_sub(self.turned_away.len());
        self.turned_away.extend(accepted.into_iter().take(room));
    }
}

/// Upper bounds of the time that an append took, in microseconds.
const BOUNDS: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// How long appends took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// One for each bound, and one beyond.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

/// A distribution, to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    /// In seconds.
    pub(crate) sum: f64,
    /// Upper bounds in seconds, the last of them endless, each with the count above the bound before.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Times {
    fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.microseconds.fetch_add(micros, Relaxed);
    }

    fn read(&self) -> Distribution {
        let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
        let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::MAX]);
        Distribution {
            sum: seconds(self.microseconds.load(Relaxed)),
            buckets: bounds.zip(self.buckets.iter().map(|count| count.load(Relaxed))).collect(),
        }
    }
}

/// Counts by queue, for so many queues as are shown one by one; the rest together.
#[derive(Debug, Default)]
struct Counted {
    own: BTreeMap<QueueGeneration, Counts>,
    others: Counts,
}

impl Counted {
    fn of(&mut self, queue: QueueGeneration) -> &mut Counts {
        if self.own.len() < limits::SHOWN_QUEUES || self.own.contains_key(&queue) {
            self.own.entry(queue).or_default()
        } else {
            &mut self.others
        }
    }
}

/// The broker's own figures, shared by its threads and read by fronts.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: SystemTime,
    counted: Mutex<Counted>,
    appends: Times,
    frames: AtomicU64,
    frame_bytes: AtomicU64,
    journal_bytes: AtomicU64,
    held: AtomicU64,
    damaged: AtomicU64,
    waiting: AtomicU64,
    space: [AtomicU64; 2],
}

/// The figures at one moment, but for those of the queues.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) started: SystemTime,
    pub(crate) appends: Distribution,
    pub(crate) frames: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) held: u64,
    pub(crate) damaged: u64,
    pub(crate) waiting: u64,
    pub(crate) space: Space,
}

impl Metrics {
    pub(crate) fn new(journal_bytes: u64) -> Self {
        Self {
            started: SystemTime::now(),
            counted: Mutex::default(),
            appends: Times::default(),
            frames: AtomicU64::new(0),
            frame_bytes: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(journal_bytes),
            held: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            space: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
        }
    }

    /// A frame is durable.
    pub(crate) fn appended(&self, bytes: u64, took: Duration, journal_bytes: u64) {
        self.frames.fetch_add(1, Relaxed);
        self.frame_bytes.fetch_add(bytes, Relaxed);
        self.journal_bytes.store(journal_bytes, Relaxed);
        self.appends.note(took);
    }

    /// So many bytes the journal occupies.
    pub(crate) fn holds(&self, journal_bytes: u64) {
        self.journal_bytes.store(journal_bytes, Relaxed);
    }

    /// What was tallied is durable.
    pub(crate) fn count(&self, tally: &Tally) {
        if tally.counts.is_empty() {
            return;
        }
        let mut counted = self.counted();
        for ((queue, kind), more) in &tally.counts {
            counted.of(*queue).add(*kind, *more);
        }
    }

    /// So many answers wait for the journal from now on.
    pub(crate) fn hold(&self, answers: usize) {
        self.held.fetch_add(answers as u64, Relaxed);
    }

    /// So many do not any more.
    pub(crate) fn release(&self, answers: usize) {
        self.held.fetch_sub(answers as u64, Relaxed);
    }

    /// A pass over all stored bodies found so many that cannot be read (H6).
    pub(crate) fn scrubbed(&self, damaged: u64) {
        self.damaged.store(damaged, Relaxed);
    }

    /// What the last turn saw.
    pub(crate) fn turned(&self, waiting: usize, space: Space) {
        self.waiting.store(waiting as u64, Relaxed);
        self.space[0].store(space.for_sends, Relaxed);
        self.space[1].store(space.for_finishes, Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            started: self.started,
            appends: self.appends.read(),
            frames: self.frames.load(Relaxed),
            frame_bytes: self.frame_bytes.load(Relaxed),
            journal_bytes: self.journal_bytes.load(Relaxed),
            held: self.held.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            space: Space { for_sends: self.space[0].load(Relaxed), for_finishes: self.space[1].load(Relaxed) },
        }
    }

    /// The counts of those of the living queues that are shown one by one, and of all others together. Queues that
    /// are gone make room.
    pub(crate) fn by_queue(&self, living: &[QueueGeneration]) -> (BTreeMap<QueueGeneration, Counts>, Counts) {
        let mut counted = self.counted();
        counted.own.retain(|queue, _| living.binary_search(queue).is_ok());
        for queue in living {
            // A place of its own, if there is one.
            counted.of(*queue);
        }
        (counted.own.clone(), counted.others)
    }

    /// The counts of one queue; zeros where it has none of its own.
    pub(crate) fn of_queue(&self, queue: QueueGeneration) -> Counts {
        self.counted().own.get(&queue).copied().unwrap_or_default()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Counting does not panic; if it ever did, the counts would still be counts.
        self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_so_many_queues_the_rest_is_counted_together_and_the_gone_make_room() {
        let metrics = Metrics::new(0);
        let most = limits::SHOWN_QUEUES as u64;
        let mut tally = Tally::default();
        for queue in 1..=most + 2 {
            tally.add(QueueGeneration(queue), Kind::Sent, 2);
        }
        metrics.count(&tally);
        let living: Vec<_> = (2..=most + 2).map(QueueGeneration).collect();
        let (own, others) = metrics.by_queue(&living);
        assert_eq!((own.len() as u64, others.of(Kind::Sent)), (most, 4));
        assert_eq!(own[&QueueGeneration(2)].of(Kind::Sent), 2);
        // One of the others has a place of its own now; what was counted together stays so.
        assert_eq!(own[&QueueGeneration(most + 1)].of(Kind::Sent), 0);
        assert!(!own.contains_key(&QueueGeneration(most + 2)));
    }

    #[test]
    fn times_fall_between_their_bounds() {
        let times = Times::default();
        for micros in [1, 100, 101, 10_000_000] {
            times.note(Duration::from_micros(micros));
        }
        let read = times.read();
        let counted: Vec<_> = read.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
        assert_eq!(counted, [(0.0001, 2), (0.00025, 1), (f64::MAX, 1)]);
        assert!((read.sum - 10.000_202).abs() < 1e-9);
    }
}
