//! What a worker gives to a job or a mapper, and what it gets back. Only the values; running is `mapper` and the worker.

use crate::job::StateChange;
use crate::port::{ClaimedMessage, StoredValue};
use crate::rows::Rows;

/// Messages of whole groups in sequence order, and the stored state of their groups.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// The values as the task wrote them: pointers are followed already.
    pub(crate) values: Vec<StoredValue>,
    pub(crate) messages: Vec<ClaimedMessage>,
}

/// What a task made of a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) rows: Rows,
    /// In the order (group, key).
    pub(crate) changes: Vec<StateChange>,
}

impl Batch {
    /// The batch taken apart by group, in the order of the groups' first messages.
    pub(crate) fn by_group(&self) -> Vec<(String, Batch)> {
        let mut groups: Vec<(String, Batch)> = Vec::new();
        let mut places = std::collections::BTreeMap::new();
        for message in &self.messages {
            let place = *places.entry(message.group.as_str()).or_insert_with(|| {
                groups.push((message.group.clone(), Batch::default()));
                groups.len() - 1
            });
            groups[place].1.messages.push(message.clone());
        }
        for value in &self.values {
            if let Some(place) = places.get(value.group.as_str()) {
                groups[*place].1.values.push(value.clone());
            }
        }
        groups
    }
}
