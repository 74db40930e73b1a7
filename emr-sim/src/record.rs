//! The record of a commit, in its two places: the broker's reader-wide value `published/<c>` and a manifest line (B9).
//! Only the words; who writes them where is `worker`, `manifest` and `pool`.

use serde::{Deserialize, Serialize};

/// Under this prefix the broker keeps the records of commits.
pub const PREFIX: &str = "published/";

/// The key of commit `c`'s record: 20 digits, so that keys sort as numbers do.
#[must_use]
pub fn key(commit: u64) -> String {
    format!("{PREFIX}{commit:020}")
}

/// The commit number of a record's key; `None` when it is no such key.
#[must_use]
pub fn commit_of(key: &str) -> Option<u64> {
    let digits = key.strip_prefix(PREFIX)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a commit published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The claim's number.
    pub claim: u64,
    /// The claim's epoch at the commit.
    pub epoch: u64,
    /// The attempt's file, relative to the output folder.
    pub file: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Messages of the claim that are done by this commit.
    pub messages: u64,
    /// Lines in the file.
    pub lines: u64,
    /// Messages that this commit dead-lettered (B7).
    #[serde(default, skip_serializing_if = "is_none")]
    pub dead_lettered: u64,
    /// Groups that it parked (B7).
    #[serde(default, skip_serializing_if = "is_none")]
    pub parked: u64,
    /// The attempt's file that says which messages it stands for; absent where the output alone shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Digested>,
    /// SHA-256 of the lines as plain JSON Lines, where the file's own bytes are more than those in another dress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Length and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digested {
    /// In bytes.
    pub length: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Record {
    /// The bytes a Commit carries: JSON without blanks, the fields in the order of their declaration.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }
}

/// A line of the manifest: commit `c` and its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestLine {
    /// The reader's dense commit number, from 1.
    pub commit: u64,
    /// What it published.
    pub record: Record,
}

/// The line's form on disk; flat, so that any tool reads it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    commit: u64,
    claim: u64,
    epoch: u64,
    file: String,
    length: u64,
    sha256: String,
    messages: u64,
    lines: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    dead_lettered: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    parked: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Digested>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

impl ManifestLine {
    /// The line with its LF.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let commit = self.commit;
        let Record { claim, epoch, file, length, sha256, messages, lines, dead_lettered, parked, inputs, content } =
            self.record.clone();
        let flat = Flat {
            commit,
            claim,
            epoch,
            file,
            length,
            sha256,
            messages,
            lines,
            dead_lettered,
            parked,
            inputs,
            content,
        };
        let mut bytes = serde_json::to_vec(&flat).expect("strings and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a line without its LF.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let flat: Flat = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let Flat {
            commit,
            claim,
            epoch,
            file,
            length,
            sha256,
            messages,
            lines,
            dead_lettered,
            parked,
            inputs,
            content,
        } = flat;
        let record =
            Record { claim, epoch, file, length, sha256, messages, lines, dead_lettered, parked, inputs, content };
        Ok(Self { commit, record })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_commit_number_and_the_record_side_by_side() {
        let sha256 = "ab".repeat(32);
        let file = "j/1/2/x".to_owned();
        let record = Record { claim: 3, epoch: 5, file, length: 9, sha256, messages: 2, lines: 1, ..Record::default() };
        let line = ManifestLine { commit: 4, record: record.clone() };
        let bytes = line.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("{\"commit\":4,\"claim\":3,\"epoch\":5,\"file\":\"j/1/2/x\",\"length\":9,"), "{text}");
        assert_eq!(ManifestLine::parse(bytes.strip_suffix(b"\n").unwrap()), Ok(line));
        assert_eq!(serde_json::from_slice::<Record>(&record.to_bytes()).unwrap(), record);
    }

    #[test]
    fn keys_sort_as_numbers_and_read_back() {
        assert_eq!(key(7), "published/00000000000000000007");
        assert!(key(9) < key(10) && key(999) < key(u64::MAX));
        assert_eq!(commit_of(&key(u64::MAX)), Some(u64::MAX));
        assert_eq!((commit_of("published/7"), commit_of("output")), (None, None));
    }
}
