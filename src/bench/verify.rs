//! The ledger of a run: for each group the number that must come next. A message costs a look at one place; what is wrong
//! is kept apart, because a right broker never comes there.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::body::Stamp;

/// What came of the messages of a run, next to what was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) ok: bool,
    /// Messages that the broker accepted.
    pub(super) sent: u64,
    /// Deliveries, each message counted as often as it came.
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// Deliveries of a message that had come before.
    pub(super) duplicated: u64,
    /// Messages that came after a later one of their group.
    pub(super) out_of_order: u64,
    /// Deliveries of what nobody sent.
    pub(super) foreign: u64,
    /// Sends that the broker called duplicates although each message was sent once.
    pub(super) refused_as_duplicate: u64,
    /// Messages that the queue still had at the end.
    pub(super) left: u64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "sent {}, delivered {}, lost {}, duplicated {}, out of order {}, foreign {}, called duplicates {}, left {}",
            self.sent,
            self.delivered,
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.foreign,
            self.refused_as_duplicate,
            self.left
        )
    }
}

/// What consumers saw.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By group: the number that must come next. One consumer has a group at a time, and gives it up with an answer.
    next: Vec<AtomicU32>,
    delivered: AtomicU64,
    wrong: Mutex<Wrong>,
}

#[derive(Debug, Default)]
struct Wrong {
    /// Numbers that were passed over.
    missing: BTreeSet<(u32, u32)>,
    duplicated: u64,
    out_of_order: u64,
    foreign: u64,
}

impl Ledger {
    pub(super) fn new(groups: u32) -> Self {
        let next = (0..groups).map(|_| AtomicU32::new(0)).collect();
        Self { next, delivered: AtomicU64::new(0), wrong: Mutex::default() }
    }

    /// Takes note of a delivery; what its body says.
    pub(super) fn saw(&self, body: &[u8]) -> Option<Stamp> {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp::read(body);
        match stamp.and_then(|stamp| Some((stamp, self.next.get(stamp.group as usize)?))) {
            Some((stamp, next)) => {
                let expected = next.load(Ordering::Acquire);
                if stamp.number == expected {
                    next.store(expected + 1, Ordering::Release);
                } else {
                    self.wrong(stamp, expected);
                }
            }
            None => self.wrongs().foreign += 1,
        }
        stamp
    }

    fn wrongs(&self) -> std::sync::MutexGuard<'_, Wrong> {
        self.wrong.lock().expect("nobody panics with the ledger")
    }

    fn wrong(&self, stamp: Stamp, expected: u32) {
        let mut wrong = self.wrongs();
        if stamp.number > expected {
            wrong.missing.extend((expected..stamp.number).map(|number| (stamp.group, number)));
            self.next[stamp.group as usize].store(stamp.number + 1, Ordering::Release);
        } else if wrong.missing.remove(&(stamp.group, stamp.number)) {
            wrong.out_of_order += 1;
        } else {
            wrong.duplicated += 1;
        }
    }

    /// Deliveries so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Judges, once all is over. `sent`: how many messages of each group were accepted; `called_duplicate`: sends that
    /// the broker took for repeats; `left`: what the queue still has.
    pub(super) fn verdict(&self, sent: &[u32], called_duplicate: u64, left: u64) -> Verdict {
        let wrong = self.wrongs();
        let (mut lost, mut foreign) = (wrong.missing.len() as u64, wrong.foreign);
        for (next, sent) in self.next.iter().zip(sent) {
            let next = next.load(Ordering::Acquire);
            lost += u64::from(sent.saturating_sub(next));
            foreign += u64::from(next.saturating_sub(*sent));
        }
        let Wrong { duplicated, out_of_order, .. } = *wrong;
        let total = sent.iter().copied().map(u64::from).sum();
        let delivered = self.delivered();
        let ok = [lost, duplicated, out_of_order, foreign, called_duplicate, left].iter().all(|wrong| *wrong == 0);
        Verdict {
            ok: ok && delivered == total,
            sent: total,
            delivered,
            lost,
            duplicated,
            out_of_order,
            foreign,
            refused_as_duplicate: called_duplicate,
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::body::Bodies;

    fn judged(seen: &[(u32, u32)], sent: &[u32]) -> Verdict {
        let (ledger, mut bodies) = (Ledger::new(2), Bodies::new(32));
        for (group, number) in seen {
            ledger.saw(&bodies.make(Stamp { group: *group, number: *number, time: 0 }));
        }
        ledger.verdict(sent, 0, 0)
    }

    #[test]
    fn all_of_them_once_and_in_order_are_well() {
        let verdict = judged(&[(0, 0), (1, 0), (1, 1), (0, 1)], &[2, 2]);
        assert!(verdict.ok, "{verdict}");
        assert_eq!((verdict.sent, verdict.delivered), (4, 4));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let lost_at_the_end = judged(&[(0, 0)], &[2, 0]);
        assert!(!lost_at_the_end.ok && lost_at_the_end.lost == 1, "{lost_at_the_end}");
        let lost_between = judged(&[(0, 0), (0, 2)], &[3, 0]);
        assert!(!lost_between.ok && lost_between.lost == 1 && lost_between.out_of_order == 0, "{lost_between}");
        let overtaken = judged(&[(0, 1), (0, 0)], &[2, 0]);
        assert!(!overtaken.ok && (overtaken.lost, overtaken.out_of_order) == (0, 1), "{overtaken}");
        let twice = judged(&[(0, 0), (0, 1), (0, 0)], &[2, 0]);
        assert!(!twice.ok && twice.duplicated == 1, "{twice}");
        let invented = judged(&[(0, 0), (0, 1)], &[1, 0]);
        assert!(!invented.ok && invented.foreign == 1, "{invented}");
        let beyond = judged(&[(7, 0)], &[0, 0]);
        assert!(!beyond.ok && beyond.foreign == 1, "{beyond}");
    }

    #[test]
    fn a_queue_that_is_not_empty_and_a_send_that_was_no_repeat_are_wrong_too() {
        let ledger = Ledger::new(1);
        assert!(ledger.verdict(&[0], 0, 0).ok);
        assert!(!ledger.verdict(&[0], 1, 0).ok);
        assert!(!ledger.verdict(&[0], 0, 1).ok);
    }
}
