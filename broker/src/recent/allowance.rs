//! How much is told while nobody watches. To tell a fact costs a good part of what it costs to follow it, and at full load
//! the ring would remember tenths of a second: then it is not worth it.

use std::time::Instant;

use crate::limits;

/// Facts that may be told though nobody watches: a ring full of them at once, and [`limits::UNWATCHED_FACTS`] a second.
pub(crate) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: limits::RECENT_FACTS as f64, at: now }
    }

    /// Whether there is any left.
    pub(crate) fn is_left(&mut self, now: Instant) -> bool {
        let more = now.saturating_duration_since(self.at).as_secs_f64() * limits::UNWATCHED_FACTS;
        (self.left, self.at) = ((self.left + more).min(limits::RECENT_FACTS as f64), now);
        self.left > 0.0
    }

    /// So many were told. What was told to somebody who watches counts too.
    pub(crate) fn spend(&mut self, facts: usize) {
        self.left = (self.left - facts as f64).max(-limits::UNWATCHED_FACTS);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ring_full_is_told_at_once_and_then_as_much_as_a_quiet_broker_needs() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        allowance.spend(limits::RECENT_FACTS - 1);
        assert!(allowance.is_left(start));
        allowance.spend(limits::RECENT_FACTS);
        assert!(!allowance.is_left(start + Duration::from_millis(900)), "a second's worth is owed");
        assert!(allowance.is_left(start + Duration::from_millis(1_100)));
        allowance.spend(limits::RECENT_FACTS);
        assert!(allowance.is_left(start + Duration::from_secs(3_600)));
    }
}
