//! The load on a peer, the same for each: threads that send and drain over connections of their own, and the judge that
//! every message came once. How a peer is spoken to stands in `redis` and `nats`; that a peer is not slowed by its client,
//! both speak raw bytes over blocking sockets.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// Connections that send, and as many that drain; with Redis also streams.
pub(crate) const CONNECTIONS: usize = 4;
/// Messages that may be unanswered on a connection.
pub(crate) const IN_FLIGHT: usize = 1_000;
/// Bytes of a body.
pub(crate) const BODY: usize = 256;
/// Message groups; each belongs to one connection that sends.
pub(crate) const GROUPS: u64 = 1_000;
/// Most messages of a run: so many are told apart.
const MOST: usize = 16 << 20;
/// Not measured, at the beginning of a timed run.
const WARMUP: Duration = Duration::from_secs(1);
/// A drain that stands still for so long has lost messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Send, closed loop.
    Send,
    /// Take and delete what lies there.
    Drain,
    /// Send, take and delete at once; with a rate the loop is open.
    Both {
        /// Messages a second of all connections.
        rate: Option<u64>,
    },
}

/// How messages travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Messages of a request.
    pub(crate) batch: usize,
    /// The peer is asked to recognise a repeated message.
    pub(crate) deduplicated: bool,
}

/// A connection that sends.
pub(crate) trait Sender: Send {
    /// Puts messages in line as one request.
    fn put(&mut self, bodies: &[Vec<u8>]);
    /// Writes what is in line.
    fn write(&mut self) -> Result<()>;
    /// Waits for answers, or only looks for them; how many messages were accepted.
    fn answers(&mut self, wait: bool) -> Result<usize>;
}

/// A connection that takes and deletes.
pub(crate) trait Taker: Send {
    /// Waits at most some hundred milliseconds for messages, shows each, and has them deleted; how many deletes were
    /// answered. An answer to what was taken in one turn may be counted in the next.
    fn take(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<usize>;
}

/// A peer that runs.
pub(crate) trait Peer: Sync {
    /// A connection that sends, the n-th of [`CONNECTIONS`].
    fn sender(&self, place: usize, how: How) -> Result<Box<dyn Sender>>;
    /// A connection that drains, the n-th of [`CONNECTIONS`].
    fn taker(&self, place: usize, how: How) -> Result<Box<dyn Taker>>;
    /// Messages that lie there.
    fn left(&self) -> Result<u64>;
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Messages a second: of a send accepted, else deleted.
    pub(crate) per_second: f64,
    /// Milliseconds from when a message was to be sent to its delivery, the median and the 99th percentile.
    pub(crate) delivery: Option<(f64, f64)>,
}

/// What the threads of a run share.
struct Run {
    began: Instant,
    seconds: f64,
    how: How,
    rate: Option<u64>,
    sent: AtomicU64,
    deleted: AtomicU64,
    /// Within the measured time.
    counted: [AtomicU64; 2],
    next: AtomicU64,
    sending_ended: AtomicBool,
    seen: Vec<AtomicU64>,
}

impl Run {
    fn new(how: How, rate: Option<u64>, seconds: f64) -> Self {
        Self {
            began: Instant::now(),
            seconds,
            how,
            rate,
            sent: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            counted: [AtomicU64::new(0), AtomicU64::new(0)],
            next: AtomicU64::new(0),
            sending_ended: AtomicBool::new(false),
            seen: (0..MOST / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn measured(&self) -> bool {
        let since = self.began.elapsed();
        since >= WARMUP && !self.over()
    }

    fn over(&self) -> bool {
        self.began.elapsed().saturating_sub(WARMUP).as_secs_f64() >= self.seconds
    }

    fn count(&self, of: usize, all: &AtomicU64, messages: usize) {
        all.fetch_add(messages as u64, Ordering::Relaxed);
        if self.measured() {
            self.counted[of].fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// A body: the number of the message, its group, and when it is to be sent; padding.
    fn body(&self, place: usize, due: Duration) -> Vec<u8> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connections = CONNECTIONS as u64;
        let group = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (GROUPS / connections) * connections + place as u64;
        let mut body = format!("{number:016x}{group:06x}{:016x}", due.as_nanos()).into_bytes();
        body.resize(BODY, b'x');
        body
    }

    /// Notes a delivery: the time from when it was to be sent.
    fn saw(&self, body: &[u8]) -> Result<u64> {
        let hex = |from: usize, to: usize| {
            let digits = body.get(from..to).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).context("a body that nobody sent")
        };
        let number = hex(0, 16)?;
        let bits = self.seen.get(usize::try_from(number / 64)?).context("a run has at most 16 Mi messages")?;
        let bit = 1 << (number % 64);
        ensure!(bits.fetch_or(bit, Ordering::Relaxed) & bit == 0, "message {number} came twice");
        Ok((self.began.elapsed().as_nanos() as u64).saturating_sub(hex(22, 38)?))
    }

    fn send(&self, peer: &dyn Peer, place: usize, most: Option<u64>) -> Result<()> {
        let mut sender = peer.sender(place, self.how)?;
        let mut unanswered = 0;
        let mut put = 0;
        let enough = |put: u64| most.map_or_else(|| self.over(), |most| put >= most);
        while !enough(put) {
            let due = self.began.elapsed();
            while unanswered + self.how.batch <= IN_FLIGHT && most.is_none_or(|most| put < most) {
                let bodies: Vec<_> = (0..self.how.batch).map(|_| self.body(place, due)).collect();
                sender.put(&bodies);
                unanswered += bodies.len();
                put += bodies.len() as u64;
            }
            sender.write()?;
            let answers = sender.answers(true)?;
            unanswered -= answers;
            self.count(0, &self.sent, answers);
        }
        self.settle(sender.as_mut(), unanswered)
    }

    fn send_at_rate(&self, peer: &dyn Peer, place: usize, rate: u64) -> Result<()> {
        let mut sender = peer.sender(place, self.how)?;
        let each = Duration::from_secs_f64(CONNECTIONS as f64 / rate as f64);
        let mut due = each.mul_f64(place as f64 / CONNECTIONS as f64);
        let mut unanswered = 0;
        while !self.over() {
            thread::sleep(due.saturating_sub(self.began.elapsed()));
            while due <= self.began.elapsed() {
                sender.put(&[self.body(place, due)]);
                unanswered += 1;
                due += each;
            }
            sender.write()?;
            let answers = sender.answers(false)?;
            unanswered -= answers;
            self.count(0, &self.sent, answers);
        }
        self.settle(sender.as_mut(), unanswered)
    }

    fn settle(&self, sender: &mut dyn Sender, mut unanswered: usize) -> Result<()> {
        while unanswered > 0 {
            let answers = sender.answers(true)?;
            unanswered -= answers;
            self.count(0, &self.sent, answers);
        }
        Ok(())
    }

    /// Takes until the sending has ended and everything is deleted; the latencies within the measured time.
    fn take(&self, peer: &dyn Peer, place: usize) -> Result<Vec<u64>> {
        let mut taker = peer.taker(place, self.how)?;
        let mut latencies = Vec::new();
        let mut moved = Instant::now();
        loop {
            let mut broken = None;
            let deleted = taker.take(&mut |body| match self.saw(body) {
                Ok(latency) if self.measured() => latencies.push(latency),
                Ok(_) => {}
                Err(error) => broken = Some(error),
            })?;
            broken.map_or(Ok(()), Err)?;
            self.count(1, &self.deleted, deleted);
            if deleted > 0 {
                moved = Instant::now();
            }
            let (sent, deleted) = (self.sent.load(Ordering::Relaxed), self.deleted.load(Ordering::Relaxed));
            if self.sending_ended.load(Ordering::Acquire) && deleted >= sent {
                return Ok(latencies);
            }
            ensure!(moved.elapsed() < PATIENCE, "{deleted} of {sent} messages were drained, and no more come");
        }
    }

    /// Starts the senders; when they end, whether well or not, the takers know.
    fn all_send(&self, peer: &dyn Peer, most: Option<u64>) -> Result<()> {
        let ended = thread::scope(|scope| {
            let one = |place| match self.rate {
                Some(rate) => self.send_at_rate(peer, place, rate),
                None => self.send(peer, place, most),
            };
            let threads: Vec<_> = (0..CONNECTIONS).map(|place| scope.spawn(move || one(place))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a sender does not panic"))
        });
        self.sending_ended.store(true, Ordering::Release);
        ended
    }

    fn all_take(&self, peer: &dyn Peer) -> Result<Vec<u64>> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..CONNECTIONS).map(|place| scope.spawn(move || self.take(peer, place))).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().expect("a taker does not panic")?);
            }
            Ok(all)
        })
    }
}

/// Runs a workload on a fresh peer. A drain fills `fill` messages first, unmeasured.
pub(crate) fn run(peer: &dyn Peer, workload: Workload, how: How, seconds: f64, fill: u64) -> Result<Measured> {
    match workload {
        Workload::Send => {
            let run = Run::new(how, None, seconds);
            run.all_send(peer, None)?;
            let (sent, left) = (run.sent.load(Ordering::Relaxed), peer.left()?);
            ensure!(sent == left, "{sent} messages were accepted, and {left} lie there");
            Ok(Measured { per_second: rate(&run.counted[0], seconds), delivery: None })
        }
        Workload::Drain => {
            let mut run = Run::new(How { deduplicated: false, batch: 100 }, None, f64::MAX / 2.0);
            run.all_send(peer, Some(fill / CONNECTIONS as u64))?;
            run.how = how;
            let began = Instant::now();
            run.all_take(peer)?;
            let seconds = began.elapsed().as_secs_f64();
            empty(peer)?;
            Ok(Measured { per_second: rate(&run.deleted, seconds), delivery: None })
        }
        Workload::Both { rate: at } => {
            let run = Run::new(how, at, seconds);
            let (sent, latencies) = thread::scope(|scope| {
                let sending = scope.spawn(|| run.all_send(peer, None));
                let latencies = run.all_take(peer);
                (sending.join().expect("the senders do not panic"), latencies)
            });
            sent?;
            let mut latencies = latencies?;
            empty(peer)?;
            latencies.sort_unstable();
            let delivery = (!latencies.is_empty()).then(|| (at_ms(&latencies, 0.5), at_ms(&latencies, 0.99)));
            Ok(Measured { per_second: rate(&run.counted[1], seconds), delivery })
        }
    }
}

fn empty(peer: &dyn Peer) -> Result<()> {
    let left = peer.left()?;
    ensure!(left == 0, "everything was drained, and {left} messages lie there");
    Ok(())
}

fn rate(messages: &AtomicU64, seconds: f64) -> f64 {
    messages.load(Ordering::Relaxed) as f64 / seconds
}

/// A quantile of sorted nanoseconds, in milliseconds.
pub(crate) fn at_ms(sorted: &[u64], quantile: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * quantile) as usize] as f64 / 1e6
}
