//! The open claims of a pool as a table: which wait for a worker, which are held, which the broker is asked about. Pure
//! bookkeeping; calls and pipes are in `run`.

use std::collections::BTreeMap;

use crate::protocol::Assignment;

/// A claim fails so often, for reasons that another try might not meet, before the pool gives up.
const FAILURES: u32 = 3;

/// From the second on a claim is run in parts, and then its poison is set aside: so many do not happen.
const SUSPICIONS: u32 = 6;

/// So many workers may die over one claim in a row; a machine under chaos kills a few, a poisoned claim kills them all.
const DEATHS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For a worker.
    Waits { previous_failed: bool },
    /// By a worker.
    Held,
    /// The broker is asked what became of it.
    Asked { previous_failed: bool },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    messages: u64,
    stage: Stage,
    failures: u32,
    deaths: u32,
    /// Failures that its messages may be to blame for.
    suspicions: u32,
}

/// The open claims by number.
#[derive(Debug, Default)]
pub(super) struct OpenClaims(BTreeMap<u64, Entry>);

impl OpenClaims {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A claim that is open and held by no worker of this pool.
    pub(super) fn add(&mut self, number: u64, messages: u64) {
        let stage = Stage::Waits { previous_failed: false };
        self.0.entry(number).or_insert(Entry { messages, stage, failures: 0, deaths: 0, suspicions: 0 });
    }

    /// Gives out the lowest waiting claim.
    pub(super) fn give(&mut self) -> Option<Assignment> {
        self.0.iter_mut().find_map(|(number, entry)| match entry.stage {
            Stage::Waits { previous_failed } => {
                entry.stage = Stage::Held;
                Some(Assignment { claim: *number, previous_failed, failures: entry.suspicions })
            }
            Stage::Held | Stage::Asked { .. } => None,
        })
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.0.values().any(|entry| matches!(entry.stage, Stage::Waits { .. }))
    }

    /// Its worker has dropped it, or is gone: the broker must be asked. Answers whether the claim is known.
    pub(super) fn ask(&mut self, number: u64, previous_failed: bool) -> bool {
        let entry = self.0.get_mut(&number);
        entry.map(|entry| entry.stage = Stage::Asked { previous_failed }).is_some()
    }

    /// Counts a failure; true when it was one too many.
    pub(super) fn failed(&mut self, number: u64) -> bool {
        let count = |entry: &mut Entry| {
            entry.failures += 1;
            entry.failures >= FAILURES
        };
        self.0.get_mut(&number).is_some_and(count)
    }

    /// Counts a failure that its messages may be to blame for; true when it was one too many, after which nobody could
    /// say which of them.
    pub(super) fn suspected(&mut self, number: u64) -> bool {
        let count = |entry: &mut Entry| {
            entry.suspicions += 1;
            entry.suspicions >= SUSPICIONS
        };
        self.0.get_mut(&number).is_some_and(count)
    }

    /// Counts a worker's death; true when it was one too many.
    pub(super) fn died(&mut self, number: u64) -> bool {
        let count = |entry: &mut Entry| {
            entry.deaths += 1;
            entry.deaths >= DEATHS
        };
        self.0.get_mut(&number).is_some_and(count)
    }

    /// The broker says that it is open: it waits for a worker again.
    pub(super) fn still_open(&mut self, number: u64) {
        if let Some(entry) = self.0.get_mut(&number)
            && let Stage::Asked { previous_failed } = entry.stage
        {
            entry.stage = Stage::Waits { previous_failed };
        }
    }

    /// It is open no more. Answers its messages when it was known to be open.
    pub(super) fn ended(&mut self, number: u64) -> Option<u64> {
        self.0.remove(&number).map(|entry| entry.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_waiting_claim_goes_out_first_and_a_dead_workers_claim_says_so() {
        let mut claims = OpenClaims::default();
        claims.add(8, 1);
        claims.add(7, 1);
        let given = |claim, previous_failed, failures| Some(Assignment { claim, previous_failed, failures });
        assert_eq!(claims.give(), given(7, false, 0));
        assert_eq!(claims.give(), given(8, false, 0));
        assert_eq!((claims.give(), claims.has_waiting()), (None, false));
        assert!(!claims.suspected(7));
        assert!(claims.ask(7, true) && !claims.ask(9, true));
        assert_eq!(claims.give(), None, "the broker has not said yet that it is open");
        claims.still_open(7);
        assert_eq!(claims.give(), given(7, true, 1));
        assert_eq!((claims.ended(7), claims.ended(7), claims.len()), (Some(1), None, 1));
    }

    #[test]
    fn a_claim_that_keeps_failing_or_killing_is_noticed() {
        let mut claims = OpenClaims::default();
        claims.add(1, 1);
        assert_eq!((0..3).map(|_| claims.failed(1)).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((0..20).filter(|_| claims.died(1)).count(), 1);
    }
}
