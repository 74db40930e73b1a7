//! Time in a lab: the broker's clock is a manual one, moved here by real time and a factor. Pausing it stops every lease
//! and window; a jump ends them in a moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lockstep_client::{Client, RetryPolicy};
use tokio::{sync::watch, task::JoinHandle};

/// How often the clock moves.
const TICK: Duration = Duration::from_millis(200);

/// So long a jump may take: everything that is due by then is on disk before it is answered.
const JUMP: Duration = Duration::from_secs(30);

/// How fast a lab goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// So many times real time; 0: it stands still.
    pub times: u64,
    /// So long a worker needs for a message at once real time.
    pub message: Duration,
}

/// Moves the broker's clock until it is dropped.
pub(super) struct Ticker {
    client: Client,
    speed: watch::Sender<u64>,
    moved: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Ticker {
    pub(super) fn start(endpoint: &str, speed: Speed) -> anyhow::Result<Self> {
        let asks = |time_limit| {
            Client::builder(endpoint).retry(RetryPolicy { time_limit, ..RetryPolicy::default() }).connect_lazy()
        };
        // A small move that was lost to a broker that died is made up for by the next one; a jump is not.
        let (client, small) = (asks(JUMP)?, asks(TICK)?);
        let (speed, times) = watch::channel(speed.times);
        let moved = Arc::<AtomicU64>::default();
        let task = tokio::spawn(tick(small, times, Arc::clone(&moved)));
        Ok(Self { client, speed, moved, task })
    }

    pub(super) fn set(&self, speed: Speed) {
        self.speed.send_replace(speed.times);
    }

    /// Jumps; everything that is due by then is done when this comes back.
    pub(super) async fn advance(&self, by: Duration) -> anyhow::Result<()> {
        self.client.advance_clock(by).await?;
        self.add(by);
        Ok(())
    }

    fn add(&self, by: Duration) {
        self.moved.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn elapsed(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tick(client: Client, times: watch::Receiver<u64>, moved: Arc<AtomicU64>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        interval.tick().await;
        let factor = u32::try_from(*times.borrow()).unwrap_or(u32::MAX);
        let by = last.elapsed().saturating_mul(factor);
        last = Instant::now();
        if !by.is_zero() && client.advance_clock(by).await.is_ok() {
            moved.fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::Relaxed);
        }
    }
}
