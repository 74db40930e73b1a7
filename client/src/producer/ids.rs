//! The deduplication ids of messages whose sender named none: 96 random bits for a producer, and a counter. No two
//! producers have the same, in whatever process, and no message costs a question to the system.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// 64 characters that an id may have (L5).
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Characters of 6 random bits each.
const RANDOM: usize = 16;
/// The most characters of a counter.
const COUNTER: usize = 11;

/// Where ids come from.
#[derive(Debug)]
pub(super) struct Ids {
    producer: [u8; RANDOM],
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Self {
        // A UUID has 6 bits that are not random; of each of two, those are not among these 48.
        let bits = |uuid: Uuid| u64::from(uuid.as_fields().0) << 16 | u64::from(uuid.as_fields().1);
        let (high, low) = (bits(Uuid::new_v4()), bits(Uuid::new_v4()));
        let mut producer = [0; RANDOM];
        for (index, digit) in producer.iter_mut().enumerate() {
            let half = if index < RANDOM / 2 { high } else { low };
            *digit = at(half >> (index % (RANDOM / 2) * 6));
        }
        Ids { producer, next: AtomicU64::new(0) }
    }

    /// An id that was never given before: the producer's random characters, and the counter's digits behind them.
    pub(super) fn next(&self) -> String {
        let mut count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(RANDOM + COUNTER);
        id.extend(self.producer.iter().copied().map(char::from));
        loop {
            id.push(char::from(at(count)));
            count >>= 6;
            if count == 0 {
                return id;
            }
        }
    }
}

fn at(bits: u64) -> u8 {
    DIGITS[(bits & 63) as usize]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_is_given_twice_by_one_producer_or_by_two() {
        let producers = [Ids::new(), Ids::new()];
        let ids: HashSet<_> = (0..20_000).map(|n| producers[n % 2].next()).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.bytes().all(|byte| DIGITS.contains(&byte)) && id.len() > RANDOM));
    }

    #[test]
    fn the_last_id_is_no_longer_than_the_room_for_it() {
        let ids = Ids { producer: [b'x'; RANDOM], next: AtomicU64::new(u64::MAX) };
        assert_eq!(ids.next(), format!("{}{}P", "x".repeat(RANDOM), "_".repeat(COUNTER - 1)));
    }
}
