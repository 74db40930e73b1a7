//! Plain HTTP from the producer to the consumer, with nothing between: who sends remembers, for as long as it does.

use super::{Answer, Count, Failures};
use crate::dialogue::Turn;

/// A request that failed is made again after so many further ones, so often; then the producer gives up.
const RETRIES: [usize; 2] = [2, 4];

/// What it comes to.
pub(super) fn answer(turns: &[Turn], failures: &Failures) -> Answer {
    let (mut sent, mut processed) = (0, Vec::new());
    let mut waiting: Vec<(usize, usize, usize)> = Vec::new();
    let mut request = |now: usize, place: usize, tried: usize, waiting: &mut Vec<(usize, usize, usize)>| {
        sent += 1;
        let down = failures.down.contains(&now);
        let unheard = tried == 0 && (failures.answers_lost.contains(&place) || place == failures.dies_at);
        if !down {
            processed.push(place);
        }
        // To the producer a lost answer and a consumer that is down look the same.
        if let (true, Some(later)) = (down || unheard, RETRIES.get(tried)) {
            waiting.push((now + later, place, tried + 1));
        }
    };
    for now in 0..turns.len() {
        request(now, now, 0, &mut waiting);
        let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _, _)| *at <= now);
        waiting = later;
        for (_, place, tried) in due {
            request(now, place, tried, &mut waiting);
        }
    }
    while let Some((at, place, tried)) = waiting.pop() {
        request(at, place, tried, &mut waiting);
    }
    Answer {
        name: "Plain HTTP",
        real: false,
        good_for: "A question that needs its answer now, while both sides are up.",
        falls_short: "Nothing is stored between the two. A repeat is done again unless the consumer keeps keys, later requests overtake it, and when the producer gives up the message is gone.",
        proof: Count::of(turns, sent, &processed),
    }
}
