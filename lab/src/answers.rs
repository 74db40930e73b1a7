//! The other answers of the exam question: the same dialogue and the same failures beside ours, each with its own proof
//! table. All but the standard queue, which our broker has, are simulated here, and say so. What a failure does to each is
//! in its own file; the counting is the same for all.

pub mod http;
pub mod standard;
pub mod stream;
pub mod topic;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::dialogue::Turn;

/// The failures that meet everybody: places in the order of the day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// The answers to these sends are lost: the producer sends again.
    pub answers_lost: BTreeSet<usize>,
    /// The consumer is down while these come.
    pub down: std::ops::Range<usize>,
    /// The consumer dies when it has processed this one and before it has said so.
    pub dies_at: usize,
}

impl Failures {
    /// Those of a seed, for a day of so many messages.
    #[must_use]
    pub fn of(seed: u64, messages: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let third = messages / 3;
        let answers_lost = (0..4).map(|_| rng.usize(0..third)).collect();
        let from = third + rng.usize(0..third / 2);
        Self { answers_lost, down: from..from + 8, dies_at: 2 * third + rng.usize(1..third - 1) }
    }
}

/// What one of the answers came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Its name.
    pub name: &'static str,
    /// It is run on our broker, and not simulated.
    pub real: bool,
    /// What it is good for.
    pub good_for: &'static str,
    /// Why it is not the answer here.
    pub falls_short: &'static str,
    /// Its proof table.
    pub proof: Count,
}

/// What was counted at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Tries that went out.
    pub sent: u64,
    /// Messages that the consumer processed, each time counted.
    pub processed: u64,
    /// Never processed.
    pub lost: u64,
    /// Processed again.
    pub duplicated: u64,
    /// Processed for the first time behind a later one of their conversation.
    pub out_of_order: u64,
}

impl Count {
    /// Counts: the messages of the day, the tries, and the places that were processed in their order.
    #[must_use]
    pub fn of(turns: &[Turn], sent: u64, processed: &[usize]) -> Self {
        let mut count = Self { sent, processed: processed.len() as u64, ..Self::default() };
        let mut seen = BTreeSet::new();
        let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
        for place in processed {
            if !seen.insert(*place) {
                count.duplicated += 1;
                continue;
            }
            let newest = newest.entry(&turns[*place].conversation).or_insert(*place);
            count.out_of_order += u64::from(*newest > *place);
            *newest = (*newest).max(*place);
        }
        count.lost = (turns.len() - seen.len()) as u64;
        count
    }

    /// Whether every message was processed once and in order.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order == 0
    }
}

/// The simulated ones.
#[must_use]
pub fn simulated(turns: &[Turn], failures: &Failures) -> Vec<Answer> {
    vec![
        topic::answer(turns, failures),
        stream::answer(turns, failures, stream::Checkpoint::After),
        stream::answer(turns, failures, stream::Checkpoint::Before),
        http::answer(turns, failures),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::dialogue;

    #[test]
    fn planted_faults_are_counted() {
        let turns = dialogue(7);
        let all: Vec<usize> = (0..turns.len()).collect();
        assert!(Count::of(&turns, 72, &all).is_exact());
        assert_eq!(Count::of(&turns, 72, &all[1..]).lost, 1);
        let twice = [&all[..], &all[3..5]].concat();
        let count = Count::of(&turns, 72, &twice);
        assert_eq!((count.duplicated, count.out_of_order, count.processed), (2, 0, 74));
        let mut swapped = all;
        // The first message of a conversation behind its second.
        let second =
            (1..turns.len()).find(|place| turns[*place].conversation == turns[0].conversation).expect("it has 12");
        swapped.swap(0, second);
        assert_eq!(Count::of(&turns, 72, &swapped).out_of_order, 1);
    }

    #[test]
    fn without_failures_each_of_them_is_exact_and_with_them_none_is() {
        for seed in 0..50 {
            let turns = dialogue(seed);
            let none = Failures { answers_lost: BTreeSet::new(), down: 0..0, dies_at: usize::MAX };
            for answer in simulated(&turns, &none) {
                assert!(answer.proof.is_exact() && !answer.real, "{}: {:?}", answer.name, answer.proof);
            }
            let failures = Failures::of(seed, turns.len());
            for answer in simulated(&turns, &failures) {
                assert!(!answer.proof.is_exact(), "{}, seed {seed}", answer.name);
            }
            assert_eq!(simulated(&turns, &failures), simulated(&turns, &failures), "a seed is a run");
        }
    }

    #[test]
    fn each_fails_in_its_own_way() {
        let turns = dialogue(7);
        let failures = Failures::of(7, turns.len());
        let count: BTreeMap<_, _> = simulated(&turns, &failures).into_iter().map(|it| (it.name, it.proof)).collect();
        let (topic, http) = (count["SNS topic"], count["Plain HTTP"]);
        assert!(topic.lost > 0 && topic.duplicated > 0, "{topic:?}");
        let (after, before) = (count["Kinesis stream, checkpoint after"], count["Kinesis stream, checkpoint before"]);
        assert!(after.lost == 0 && after.duplicated > 0 && after.out_of_order == 0, "{after:?}");
        assert!(before.lost > 0 && before.out_of_order == 0, "{before:?}");
        assert!(http.lost > 0 && http.duplicated > 0 && http.out_of_order > 0, "{http:?}");
    }
}
