//! What is kept of each message: how long it took, and in which tenth of a second it was done. Only what ends within the
//! measured time counts.

use hdrhistogram::Histogram;

/// The length of an interval of the throughput, in nanoseconds.
pub(super) const INTERVAL: u64 = 100_000_000;
/// Latencies are kept from a microsecond to an hour, to three digits.
const LOWEST: u64 = 1_000;
const HIGHEST: u64 = 3_600_000_000_000;

/// The measured time, in nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Latencies(pub(super) Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(LOWEST, HIGHEST, 3).expect("fixed bounds"))
    }
}

impl Latencies {
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }
}

/// What one task recorded; tasks are added up in the end.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    window: Window,
    pub(super) latencies: Latencies,
    /// Messages by interval since the window's beginning.
    pub(super) intervals: Vec<u64>,
    pub(super) messages: u64,
    /// When the last one was done.
    last: u64,
}

impl Recorder {
    pub(super) fn new(window: Window) -> Self {
        Self { window, latencies: Latencies::default(), intervals: Vec::new(), messages: 0, last: window.from }
    }

    /// A message is done, which began at that time.
    pub(super) fn done(&mut self, now: u64, began: u64) {
        if now < self.window.from || now >= self.window.until {
            return;
        }
        self.latencies.record(now.saturating_sub(began));
        let interval = usize::try_from((now - self.window.from) / INTERVAL).unwrap_or(0);
        if interval >= self.intervals.len() {
            self.intervals.resize(interval + 1, 0);
        }
        self.intervals[interval] += 1;
        self.messages += 1;
        self.last = self.last.max(now);
    }

    /// Whether this moment is measured.
    pub(super) fn measures(&self, now: u64) -> bool {
        (self.window.from..self.window.until).contains(&now)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.intervals.resize(self.intervals.len().max(other.intervals.len()), 0);
        self.intervals.iter_mut().zip(&other.intervals).for_each(|(sum, some)| *sum += some);
        self.messages += other.messages;
        self.last = self.last.max(other.last);
    }

    /// Seconds from the beginning to the end of the window, or to the last message when it has no end.
    #[allow(clippy::cast_precision_loss, reason = "a time to be divided by")]
    pub(super) fn seconds(&self) -> f64 {
        let until = if self.window.until == u64::MAX { self.last } else { self.window.until };
        until.saturating_sub(self.window.from).max(1) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_in_the_window_counts() {
        let mut recorder = Recorder::new(Window { from: 1_000, until: 2_000_001_000 });
        recorder.done(999, 0);
        recorder.done(2_000_001_000, 0);
        assert_eq!(recorder.messages, 0);
        recorder.done(1_000, 0);
        recorder.done(1_000 + INTERVAL, INTERVAL);
        let mut sum = Recorder::new(recorder.window);
        sum.add(&recorder);
        sum.add(&recorder);
        assert_eq!((sum.messages, sum.intervals.as_slice()), (4, &[2, 2][..]));
        assert!((sum.seconds() - 2.0).abs() < 1e-9);
        assert!((1_000..1_024).contains(&sum.latencies.0.max()), "to three digits");
    }
}
