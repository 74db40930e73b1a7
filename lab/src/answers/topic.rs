//! An SNS topic that pushes to the consumer: nothing is stored for one that is down once the retries are used up.

use super::{Answer, Count, Failures};
use crate::dialogue::Turn;

/// A delivery that failed is tried again after so many further messages, so often.
const RETRIES: [usize; 2] = [1, 3];

/// What it comes to.
pub(super) fn answer(turns: &[Turn], failures: &Failures) -> Answer {
    let (mut sent, mut processed) = (0, Vec::new());
    let mut waiting: Vec<(usize, usize, usize)> = Vec::new();
    let mut deliver = |now: usize, place: usize, tried: usize, waiting: &mut Vec<(usize, usize, usize)>| {
        if !failures.down.contains(&now) {
            processed.push(place);
        } else if let Some(later) = RETRIES.get(tried) {
            waiting.push((now + later, place, tried + 1));
        }
    };
    for now in 0..turns.len() {
        sent += 1;
        deliver(now, now, 0, &mut waiting);
        if failures.answers_lost.contains(&now) {
            // A standard topic knows no keys: the repeat is a message of its own.
            sent += 1;
            deliver(now, now, 0, &mut waiting);
        }
        let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _, _)| *at <= now);
        waiting = later;
        for (_, place, tried) in due {
            deliver(now, place, tried, &mut waiting);
        }
    }
    for (at, place, tried) in std::mem::take(&mut waiting) {
        deliver(at, place, tried, &mut waiting);
    }
    Answer {
        name: "SNS topic",
        real: false,
        good_for: "Fan-out: one message to many subscribers at once, most often with an SQS queue behind each.",
        falls_short: "It pushes and keeps nothing for later: when the retries to a consumer that is down are used up, the message is gone. A standard topic neither orders nor deduplicates.",
        proof: Count::of(turns, sent, &processed),
    }
}
