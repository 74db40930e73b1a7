//! A Kinesis stream: a log, ordered within a shard, and a consumer that notes from time to time how far it is.

use super::{Answer, Count, Failures};
use crate::dialogue::Turn;

/// Records that the consumer takes at a time; it notes its place once for each such batch.
const BATCH: usize = 5;

/// When the consumer notes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// When a batch is processed.
    After,
    /// Before it is.
    Before,
}

/// What it comes to.
pub(super) fn answer(turns: &[Turn], failures: &Failures, checkpoint: Checkpoint) -> Answer {
    let mut log = Vec::new();
    for place in 0..turns.len() {
        log.push(place);
        if failures.answers_lost.contains(&place) {
            // The stream knows no keys: a repeated put is a second record.
            log.push(place);
        }
    }
    let sent = log.len() as u64;
    let (mut processed, mut at, mut dies) = (Vec::new(), 0, true);
    // What came while the consumer was down lies in the stream: nothing of that is lost.
    while at < log.len() {
        let batch = &log[at..(at + BATCH).min(log.len())];
        if checkpoint == Checkpoint::Before {
            at += batch.len();
        }
        let death = batch.iter().position(|place| dies && *place == failures.dies_at);
        let done = death.map_or(batch.len(), |last| last + 1);
        processed.extend(&batch[..done]);
        if death.is_some() {
            // The next life goes on at the last note.
            dies = false;
        } else if checkpoint == Checkpoint::After {
            at += batch.len();
        }
    }
    let (name, falls_short) = match checkpoint {
        Checkpoint::After => (
            "Kinesis stream, checkpoint after",
            "Ordered within a shard, and at least once: a put that is repeated is a second record, and a consumer that dies before its checkpoint does the batch again.",
        ),
        Checkpoint::Before => (
            "Kinesis stream, checkpoint before",
            "Ordered within a shard, but a consumer that dies behind its checkpoint never does the rest of the batch. A put that is repeated is a second record here, too.",
        ),
    };
    Answer {
        name,
        real: false,
        good_for: "Very many records a second, read by several consumers, and read again for days.",
        falls_short,
        proof: Count::of(turns, sent, &processed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::dialogue;

    #[test]
    fn a_death_at_the_end_of_a_batch_costs_a_batch_or_nothing() {
        let turns = dialogue(1);
        let dies = |dies_at| Failures { answers_lost: [].into(), down: 0..0, dies_at };
        let after = answer(&turns, &dies(9), Checkpoint::After).proof;
        assert_eq!((after.lost, after.duplicated), (0, 5));
        let before = answer(&turns, &dies(9), Checkpoint::Before).proof;
        assert_eq!((before.lost, before.duplicated), (0, 0));
        assert_eq!(answer(&turns, &dies(5), Checkpoint::Before).proof.lost, 4);
    }
}
