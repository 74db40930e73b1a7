//! State values as a Commit carries them (B1, B9): inline, or a pointer to a second file of the attempt when they are
//! too large. What the values mean is the job's business; the broker calls are the worker's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptPart};
use crate::digest::sha256_hex;
use crate::identity::Identity;
use crate::job::StateChange;
use crate::sink::{Sink, SinkError};

/// A stored value is at most 64 KiB (B1).
pub const VALUE_LIMIT: usize = 64 * 1024;

/// The stored values of one Commit are at most 768 KiB together, which leaves room for names in its 1 MiB (H1).
pub const COMMIT_VALUES_LIMIT: usize = 768 * 1024;

/// A pointer is never longer; a value that is not longer either is never spilled.
const POINTER_LIMIT: usize = 320;

/// The first byte of an inline value; a pointer begins with `{`. So a job's bytes can never be taken for a pointer.
const INLINE: u8 = b'=';

/// A value as it goes into a Commit; `None` removes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// The message group.
    pub group: String,
    /// The key.
    pub key: String,
    /// The bytes the broker keeps.
    pub value: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer {
    file: String,
    offset: u64,
    length: u64,
    sha256: String,
}

/// Why a stored value cannot be read. The claim stays open.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The bytes are neither an inline value nor a pointer into this reader's folder.
    #[error("the stored value {key:?} of group {group:?} is not one this program wrote")]
    Foreign {
        /// The message group.
        group: String,
        /// The key.
        key: String,
    },
    /// The file does not hold what was committed.
    #[error("{file} does not hold the committed state of group {group:?}, key {key:?} at byte {offset}")]
    Damaged {
        /// The file, relative to the output folder.
        file: String,
        /// Where in it the value begins.
        offset: u64,
        /// The message group.
        group: String,
        /// The key.
        key: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Disk(#[from] SinkError),
}

/// Which values go to the file: those over [`VALUE_LIMIT`], then the largest until the rest is within
/// [`COMMIT_VALUES_LIMIT`].
fn spilled(changes: &[StateChange]) -> Vec<bool> {
    let size = |index: usize| changes[index].value.as_ref().map_or(0, |value| value.len() + 1);
    let mut total: usize = (0..changes.len()).map(size).sum();
    let mut largest_first: Vec<usize> = (0..changes.len()).filter(|index| size(*index) > POINTER_LIMIT).collect();
    largest_first.sort_by_key(|index| std::cmp::Reverse(size(*index)));
    let mut spilled = vec![false; changes.len()];
    for index in largest_first {
        if size(index) <= VALUE_LIMIT && total <= COMMIT_VALUES_LIMIT {
            break;
        }
        spilled[index] = true;
        total -= size(index) - POINTER_LIMIT;
    }
    spilled
}

/// Turns a job's changes into what a Commit carries; writes and syncs the attempt's `.state` file when it is needed.
///
/// # Errors
/// [`SinkError`] when that file cannot be written.
pub fn store(changes: Vec<StateChange>, sink: &Sink, attempt: &Attempt) -> Result<Vec<StoredChange>, SinkError> {
    let spilled = spilled(&changes);
    let mut file = match spilled.contains(&true) {
        true => Some(sink.create(attempt, AttemptPart::State)?),
        false => None,
    };
    let mut stored = Vec::with_capacity(changes.len());
    for (StateChange { group, key, value }, spilled) in changes.into_iter().zip(spilled) {
        let value = match (value, &mut file) {
            (None, _) => None,
            (Some(value), Some(file)) if spilled => {
                let pointer = Pointer {
                    file: file.file().to_owned(),
                    offset: file.length(),
                    length: value.len() as u64,
                    sha256: sha256_hex(&value),
                };
                file.write(&value)?;
                Some(serde_json::to_vec(&pointer).expect("strings and numbers are always JSON"))
            }
            (Some(value), _) => Some([&[INLINE][..], &value].concat()),
        };
        stored.push(StoredChange { group, key, value });
    }
    if let Some(file) = file {
        file.finish()?;
    }
    Ok(stored)
}

/// Reads a stored value back: the inline bytes, or those the pointer names, checked against its digest.
///
/// # Errors
/// [`StateError`], naming group and key, or file.
pub fn load(out: &Path, identity: &Identity, group: &str, key: &str, stored: Vec<u8>) -> Result<Vec<u8>, StateError> {
    if stored.first() == Some(&INLINE) {
        let mut value = stored;
        value.remove(0);
        return Ok(value);
    }
    let foreign = || StateError::Foreign { group: group.to_owned(), key: key.to_owned() };
    let pointer: Pointer = serde_json::from_slice(&stored).map_err(|_| foreign())?;
    if !matches!(Attempt::parse_path(&pointer.file, identity), Some((_, AttemptPart::State))) {
        return Err(foreign());
    }
    let value = crate::store::at(out)?.read_part(&pointer.file, pointer.offset, pointer.length)?;
    if value.len() as u64 != pointer.length || sha256_hex(&value) != pointer.sha256 {
        let Pointer { file, offset, .. } = pointer;
        return Err(StateError::Damaged { file, offset, group: group.to_owned(), key: key.to_owned() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { journal_id: "j".repeat(36), queue_generation: u64::MAX, reader_id: u64::MAX }
    }

    fn change(key: usize, size: usize) -> StateChange {
        let value = vec![u8::try_from(key % 250).unwrap(); size];
        StateChange { group: "g".into(), key: format!("k{key}"), value: Some(value) }
    }

    fn round_trip(changes: &[StateChange]) -> (Vec<StoredChange>, usize) {
        let out = tempfile::tempdir().unwrap();
        let sink = Sink::open(out.path(), &identity()).unwrap();
        let stored = store(changes.to_vec(), &sink, &Attempt::new(u64::MAX, u64::MAX)).unwrap();
        for (change, stored) in changes.iter().zip(&stored) {
            let value = stored
                .value
                .clone()
                .map(|value| load(out.path(), &identity(), &stored.group, &stored.key, value).unwrap());
            assert_eq!(value, change.value);
        }
        let files = std::fs::read_dir(out.path().join(identity().folder())).unwrap().count();
        (stored, files)
    }

    #[test]
    fn small_values_stay_inline_and_need_no_file() {
        let mut changes: Vec<_> = (0..100).map(|key| change(key, 1_000)).collect();
        changes.push(StateChange { group: "g".into(), key: "gone".into(), value: None });
        changes.push(StateChange { group: "g".into(), key: "brace".into(), value: Some(b"{}".to_vec()) });
        let (stored, files) = round_trip(&changes);
        assert_eq!(files, 0);
        assert!(stored.iter().all(|change| change.value.as_ref().is_none_or(|value| value[0] == INLINE)));
    }

    #[test]
    fn a_value_over_64_kib_becomes_a_pointer() {
        let (stored, files) = round_trip(&[change(0, VALUE_LIMIT), change(1, VALUE_LIMIT - 1), change(2, 10)]);
        let first: Vec<_> = stored.iter().map(|change| change.value.as_ref().unwrap()[0]).collect();
        assert_eq!((first, files), (vec![b'{', INLINE, INLINE], 1));
    }

    #[test]
    fn values_over_768_kib_together_fit_after_the_largest_are_spilled() {
        for (count, size) in [(20, 60_000), (1_500, 2_000), (1_500, 600)] {
            let changes: Vec<_> = (0..count).map(|key| change(key, size + key)).collect();
            let (stored, files) = round_trip(&changes);
            let total: usize = stored.iter().filter_map(|change| change.value.as_ref().map(Vec::len)).sum();
            assert!(total <= COMMIT_VALUES_LIMIT, "{total}");
            assert_eq!(files, 1);
            assert!(stored.iter().all(|change| change.value.as_ref().unwrap().len() <= VALUE_LIMIT));
        }
    }

    #[test]
    fn a_pointer_is_never_longer_than_its_bound() {
        let (stored, _) = round_trip(&[change(0, VALUE_LIMIT * 3), change(1, VALUE_LIMIT * 2)]);
        assert!(stored.iter().all(|change| change.value.as_ref().unwrap().len() <= POINTER_LIMIT));
    }

    #[test]
    fn a_pointer_out_of_the_folder_and_a_damaged_file_are_refused() {
        let out = tempfile::tempdir().unwrap();
        let sink = Sink::open(out.path(), &identity()).unwrap();
        let attempt = Attempt::new(1, 1);
        let stored = store(vec![change(0, 70_000)], &sink, &attempt).unwrap().remove(0).value.unwrap();
        let path = out.path().join(attempt.path(&identity(), AttemptPart::State));
        std::fs::write(&path, vec![9; 70_000]).unwrap();
        let error = load(out.path(), &identity(), "g", "k0", stored.clone()).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = load(out.path(), &identity(), "g", "k0", stored).unwrap_err();
        assert!(matches!(error, StateError::Disk(_)), "{error}");
        let outside = br#"{"file":"../../etc/passwd","offset":0,"length":1,"sha256":"00"}"#.to_vec();
        for foreign in [outside, Vec::new(), b"x".to_vec()] {
            let error = load(out.path(), &identity(), "g", "k", foreign).unwrap_err();
            assert!(matches!(error, StateError::Foreign { .. }), "{error}");
        }
    }
}
