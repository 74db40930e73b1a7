//! A claim that failed as a whole, run group by group, then message by message (B7): exactly the message that cannot be
//! processed is set aside, everything else is done. Commits and files are `attempt`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::task::{Failure, Runs};
use crate::batch::{Batch, Made};
use crate::inputs::{Aside, SetAside, body_digest};
use crate::job::StateChange;
use crate::port::{ClaimedMessage, StoredValue};

/// What is left of a claim after isolation.
pub(super) struct Isolated {
    pub(super) made: Made,
    /// By group: the message that was set aside. What is behind it in its group goes back.
    pub(super) aside: BTreeMap<String, SetAside>,
}

/// What to do with poison, and how often to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) aside: Aside,
    /// So often a message is tried in all before it is set aside.
    pub(super) tries: u32,
    /// So many of those the whole claim has had.
    pub(super) had: u32,
}

/// Runs the batch group by group, and a group that fails message by message.
pub(super) async fn isolate(runs: &Runs, batch: &Batch, policy: Policy) -> Result<Isolated, Failure> {
    let mut isolated = Isolated { made: Made::default(), aside: BTreeMap::new() };
    for (group, part) in batch.by_group() {
        let part = Arc::new(part);
        let made = match runs.over(Arc::clone(&part)).await {
            Ok(made) => made,
            Err(failure) if failure.may_be_poison() => {
                let (made, aside) = message_by_message(runs, &part, policy).await?;
                if let Some(aside) = aside {
                    tracing::warn!(group, message_id = %aside.message_id, why = %aside.why, "set a message aside");
                    isolated.aside.insert(group, aside);
                }
                made
            }
            Err(failure) => return Err(failure),
        };
        isolated.made.rows.append(&made.rows);
        isolated.made.changes.extend(made.changes);
    }
    isolated.made.changes.sort_by(|a, b| (&a.group, &a.key).cmp(&(&b.group, &b.key)));
    Ok(isolated)
}

/// Runs the messages of one group one at a time, each on the state that those before it left, up to the first that
/// cannot be processed.
async fn message_by_message(runs: &Runs, part: &Batch, policy: Policy) -> Result<(Made, Option<SetAside>), Failure> {
    let mut values: BTreeMap<String, StoredValue> =
        part.values.iter().map(|value| (value.key.clone(), value.clone())).collect();
    let mut changes: BTreeMap<String, StateChange> = BTreeMap::new();
    let mut made = Made::default();
    let mut aside = None;
    for message in &part.messages {
        let one = Batch { values: values.values().cloned().collect(), messages: vec![message.clone()] };
        match try_often(runs, Arc::new(one), policy).await {
            Ok(its) => {
                made.rows.append(&its.rows);
                for change in its.changes {
                    let StateChange { group, key, value } = change.clone();
                    match value {
                        Some(value) => drop(values.insert(key.clone(), StoredValue { group, key, value })),
                        None => drop(values.remove(&key)),
                    }
                    changes.insert(change.key.clone(), change);
                }
            }
            Err(failure) if failure.may_be_poison() => {
                aside = Some(set_aside(message, policy.aside, &failure.reason));
                break;
            }
            Err(failure) => return Err(failure),
        }
    }
    made.changes = changes.into_values().collect();
    Ok((made, aside))
}

async fn try_often(runs: &Runs, one: Arc<Batch>, policy: Policy) -> Result<Made, Failure> {
    let mut had = policy.had;
    loop {
        had += 1;
        match runs.over(Arc::clone(&one)).await {
            Err(failure) if failure.may_be_poison() && runs.may_recover() && had < policy.tries => {}
            ended => return ended,
        }
    }
}

fn set_aside(message: &ClaimedMessage, outcome: Aside, why: &str) -> SetAside {
    let ClaimedMessage { message_id, sequence_number, body, .. } = message;
    // The first words say it; the whole story is in the log.
    let why = why.chars().take(300).collect();
    SetAside {
        outcome,
        sequence_number: *sequence_number,
        message_id: message_id.clone(),
        sha256: body_digest(body),
        why,
    }
}
