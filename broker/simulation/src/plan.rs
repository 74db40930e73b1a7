//! What a seed decides before the run: queues, clients, and how bad the world is. Limits of the workload stand here.

use crate::history::QueueFacts;

/// A planted fault: a world in which some promise cannot be kept, to prove that the checker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The disk says that a frame is safe and loses the last ones at a crash.
    LyingDisk,
    /// Receipt handles, epochs and all, are right; the network hands some deliveries to two clients.
    DoubledDeliveries,
    /// The disk gives a frame up that a checkpoint covers, although bodies in it are still needed.
    GreedyRelease,
    /// Answers are made up before the broker gave them: a send whose answer is lost counts as accepted.
    InventedAcceptance,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Questions after which the clients end and the queues are drained.
    pub steps: u32,
    /// A planted fault.
    pub flaw: Option<Flaw>,
}

impl Plan {
    /// Questions of a run unless told otherwise.
    pub const STEPS: u32 = 150;

    /// A run of the default length.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, steps: Self::STEPS, flaw: None }
    }
}

/// How bad the world is: each a chance in 1,000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost_request: u32,
    pub(crate) lost_answer: u32,
    pub(crate) late_duplicate: u32,
    /// The client hangs up while it waits.
    pub(crate) impatience: u32,
    /// At each step, a crash.
    pub(crate) crash: u32,
    /// At each step, time jumps although there is work.
    pub(crate) jump: u32,
    /// A start ends with a failing append some frames later.
    pub(crate) bad_disk: u32,
    /// How much the journal lags behind the rest: it writes once in so many chances.
    pub(crate) slow_disk: u32,
    /// How much the follower lags: it goes on once in so many chances.
    pub(crate) slow_follower: u32,
    /// Bytes of events that are worth a checkpoint.
    pub(crate) checkpoint_floor: u64,
    /// Bytes at which the journal is full; never when absent.
    pub(crate) backlog: Option<u64>,
    /// Bytes of a slice of a checkpoint.
    pub(crate) slice_bytes: usize,
}

impl Weather {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let fair = rng.u32(..6) == 0;
        let backlog = (rng.u32(..6) == 0).then(|| rng.u64(12_000..40_000));
        let mut chance = |most: u32| if fair { 0 } else { rng.u32(..=most) };
        Self {
            lost_request: chance(60),
            lost_answer: chance(100),
            late_duplicate: chance(80),
            impatience: chance(80),
            crash: chance(12),
            jump: chance(60),
            bad_disk: chance(700),
            slow_disk: 1 + chance(8),
            slow_follower: 1 + chance(20),
            checkpoint_floor: if backlog.is_some() { 200 } else { [200, 1_000, 4_000, 20_000][rng.usize(..4)] },
            backlog,
            slice_bytes: [60, 400, 2_000, 1 << 20][rng.usize(..4)],
        }
    }
}

/// The queues of a run.
pub(crate) fn queues(rng: &mut fastrand::Rng) -> Vec<QueueFacts> {
    let count = rng.usize(1..=4);
    let mut queues: Vec<_> = (0..count).map(|_| queue(rng)).collect();
    // The first queue is the dead-letter queue of others.
    for source in queues.iter_mut().skip(1) {
        source.redrive = (rng.u32(..3) > 0).then(|| (0, rng.u32(1..5)));
    }
    queues
}

fn queue(rng: &mut fastrand::Rng) -> QueueFacts {
    QueueFacts {
        strict: rng.u32(..3) > 0,
        group_scope: rng.bool(),
        window: 300_000 + rng.u64(..4) * 100_000,
        retention: if rng.u32(..3) == 0 { rng.u64(60..600) * 1_000 } else { 345_600_000 },
        visibility: rng.u64(1..60) * 1_000,
        claim_limit: (rng.u32(..4) == 0).then(|| rng.u64(10..300) * 1_000),
        delay: if rng.u32(..3) == 0 { rng.u64(1..120) * 1_000 } else { 0 },
        redrive: None,
    }
}
