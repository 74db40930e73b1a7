//! What all batches have in common: the faults that fail them whole (L3, P4), and their failed entries.

use std::collections::BTreeSet;

use lockstep_engine::words::Receipt;

use super::Answered;
use crate::front::sqs::{
    Services,
    errors::{Code, Fault, SqsError},
    model::{
        Text,
        batches::{BatchAnswer, DoneEntry, FailedEntry},
    },
};

/// Most entries of a batch (L3).
const ENTRIES: usize = 10;

/// The entries of a batch, if there are neither too few nor too many and each has an id of its own. `kind` is what the
/// service's model calls an entry.
pub(super) fn entries<'a, E>(
    given: Option<Vec<E>>,
    kind: &str,
    id: impl Fn(&E) -> Option<&Text<'a>>,
) -> Answered<Vec<E>> {
    let entries = given.unwrap_or_default();
    if entries.is_empty() {
        let text = format!("There should be at least one {kind} in the request.");
        return Err(SqsError::new(Code::EmptyBatchRequest, text));
    }
    if entries.len() > ENTRIES {
        let text = format!("Maximum number of entries per request are {ENTRIES}. You have sent {}.", entries.len());
        return Err(SqsError::new(Code::TooManyEntriesInBatchRequest, text));
    }
    let mut ids = BTreeSet::new();
    for (number, entry) in entries.iter().enumerate() {
        let id = id(entry).ok_or_else(|| missing(kind, number, "Id"))?;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=80).contains(&id.len()) || !id.bytes().all(is_id) {
            let text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be \
                        at most 80 letters long.";
            return Err(SqsError::new(Code::InvalidBatchEntryId, text));
        }
        if !ids.insert(&**id) {
            return Err(SqsError::new(Code::BatchEntryIdsNotDistinct, format!("Id {} repeated.", &**id)));
        }
    }
    Ok(entries)
}

/// A field that an entry must have; without it the whole batch fails.
pub(super) fn missing(kind: &str, number: usize, field: &str) -> SqsError {
    SqsError::missing(&format!("{kind}.{}.{field}", number + 1))
}

/// An entry that failed.
pub(super) fn failed(id: String, error: SqsError) -> FailedEntry {
    FailedEntry {
        id,
        sender_fault: error.code.fault() == Fault::Sender,
        code: error.code.query(),
        message: error.text.into_owned(),
    }
}

/// The receipts of handles; or what a handle is that this broker never gave (R4).
pub(super) fn receipts(services: &Services, handles: &[&str]) -> Vec<Answered<Receipt>> {
    let open = |handle: &&str| services.handle.receipt(handle).map_err(|_| SqsError::garbage_handle(handle));
    handles.iter().map(open).collect()
}

/// The answer of a batch whose entries succeed without a word.
pub(super) fn done<'a>(
    ids: impl Iterator<Item = Option<&'a str>>,
    outcomes: Vec<Answered<()>>,
) -> BatchAnswer<DoneEntry> {
    let mut answer = BatchAnswer { successful: Vec::new(), failed: Vec::new() };
    for (id, outcome) in ids.zip(outcomes) {
        let id = id.unwrap_or_default().to_owned();
        match outcome {
            Ok(()) => answer.successful.push(DoneEntry { id }),
            Err(error) => answer.failed.push(failed(id, error)),
        }
    }
    answer
}
