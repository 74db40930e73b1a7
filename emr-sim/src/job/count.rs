//! The job `count`: for every group of a claim one line with the group's totals so far. The totals are its state, so the
//! last line of a group is its total; the joined file keeps only that one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Job, JobError, JobMessage, StateChange};
use crate::rows::Rows;

/// The one state key of a group.
const KEY: &str = "count";

/// The totals of a group: a line of the output, and the group's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// The message group.
    pub group: String,
    /// Its messages so far.
    pub messages: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// The sequence number of its first message.
    pub first_sequence_number: u64,
    /// The sequence number of the newest that was counted.
    pub last_sequence_number: u64,
}

impl Total {
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }

    /// Reads an output line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("it is no total of the job count: {error}"))
    }
}

/// A run of the job: the totals of the claim's groups, and whether each changed.
#[derive(Default)]
pub(super) struct Count(BTreeMap<String, (Total, bool)>);

impl Job for Count {
    fn state(&mut self, group: &str, key: &str, value: &[u8]) -> Result<(), JobError> {
        let total = match key {
            KEY => Total::parse(value),
            _ => Err("the job count has no such key".to_owned()),
        };
        let fault = |why| JobError::State { group: group.to_owned(), key: key.to_owned(), why };
        self.0.insert(group.to_owned(), (total.map_err(fault)?, false));
        Ok(())
    }

    fn message(&mut self, message: &JobMessage<'_>, _: &mut Rows) -> Result<(), JobError> {
        let sequence_number = message.sequence_number;
        let none = || Total {
            group: message.group.to_owned(),
            messages: 0,
            bytes: 0,
            first_sequence_number: sequence_number,
            last_sequence_number: sequence_number,
        };
        let (total, changed) = self.0.entry(message.group.to_owned()).or_insert_with(|| (none(), false));
        total.messages += 1;
        total.bytes += message.body.len() as u64;
        total.last_sequence_number = sequence_number;
        *changed = true;
        Ok(())
    }

    fn finish(self: Box<Self>, rows: &mut Rows) -> Vec<StateChange> {
        let changed = self.0.into_iter().filter(|(_, (_, changed))| *changed);
        changed
            .map(|(group, (total, _))| {
                let line = total.to_bytes();
                rows.push(&group, &line);
                StateChange { group, key: KEY.to_owned(), value: Some(line) }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stored: Option<&[u8]>, messages: &[(&str, u64, &[u8])]) -> (Rows, Vec<StateChange>) {
        let mut job = Box::new(Count::default());
        if let Some(stored) = stored {
            job.state("a", KEY, stored).unwrap();
        }
        let mut rows = Rows::default();
        for (group, sequence_number, body) in messages {
            let message = JobMessage { message_id: "m", sequence_number: *sequence_number, group, body };
            job.message(&message, &mut rows).unwrap();
        }
        let changes = job.finish(&mut rows);
        (rows, changes)
    }

    #[test]
    fn totals_go_on_over_claims() {
        let (_, changes) = run(None, &[("a", 3, b"xy"), ("b", 4, b"z"), ("a", 5, b"w")]);
        assert_eq!(changes.len(), 2);
        let (rows, changes) = run(changes[0].value.as_deref(), &[("a", 9, b"12345")]);
        let total =
            Total { group: "a".into(), messages: 3, bytes: 8, first_sequence_number: 3, last_sequence_number: 9 };
        assert_eq!(Total::parse(rows.bytes()).unwrap(), total);
        assert_eq!((changes.len(), rows.lines()), (1, 1));
    }

    #[test]
    fn a_group_without_a_new_message_has_no_new_line() {
        let (_, changes) = run(None, &[("a", 1, b"x")]);
        let (rows, changes) = run(changes[0].value.as_deref(), &[]);
        assert_eq!((rows.lines(), changes.len()), (0, 0));
        assert!(matches!(Count::default().state("a", "other", b"{}"), Err(JobError::State { .. })));
    }
}
