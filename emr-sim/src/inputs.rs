//! The `.inputs` file of an attempt: which messages of which groups its output stands for, and which were set aside. With
//! it a verifier outside sees that every message was processed once and in order, whatever the program was that did it.

use serde::{Deserialize, Serialize};

use crate::digest::{Hasher, sha256_hex};

/// What became of a message that could not be processed (B7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// It is in the dead-letter queue.
    DeadLettered,
    /// It is still in its queue, first of its group, which is parked.
    Parked,
}

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// What became of it.
    pub outcome: Aside,
    /// Its number in the queue.
    pub sequence_number: u64,
    /// The broker's id of it.
    pub message_id: String,
    /// SHA-256 of its body.
    pub sha256: String,
    /// Why it could not be processed.
    pub why: String,
}

/// What an attempt did with a group: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupInputs {
    /// The message group.
    pub group: String,
    /// How many of its messages are done.
    pub messages: u64,
    /// Sequence number of the first of them; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Sequence number of the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// Digest of their bodies, by [`Bodies`].
    pub sha256: String,
    /// The message after them, when it was set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<SetAside>,
}

/// A digest of message bodies in order: SHA-256 of each body's length, as 8 bytes little-endian, and the body.
#[derive(Clone, Default)]
pub struct Bodies(Hasher);

impl Bodies {
    /// Takes the next body.
    pub fn add(&mut self, body: &[u8]) {
        self.0.update(&(body.len() as u64).to_le_bytes());
        self.0.update(body);
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finish()
    }
}

/// The digest of one body, as in [`SetAside::sha256`].
#[must_use]
pub fn body_digest(body: &[u8]) -> String {
    sha256_hex(body)
}

/// The file's bytes: one JSON object a line.
pub(crate) fn to_bytes(groups: &[GroupInputs]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for group in groups {
        serde_json::to_writer(&mut bytes, group).expect("strings and numbers are always JSON");
        bytes.push(b'\n');
    }
    bytes
}

/// Reads the file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<GroupInputs>, String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').zip(1..);
    let parsed = lines.map(|(line, number)| {
        serde_json::from_slice(line).map_err(|error| format!("line {number} of the inputs: {error}"))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back() {
        let set_aside = SetAside {
            outcome: Aside::DeadLettered,
            sequence_number: 9,
            message_id: "m-9".into(),
            sha256: body_digest(b"x"),
            why: "no JSON".into(),
        };
        let done = GroupInputs {
            group: "g".into(),
            messages: 2,
            first: Some(3),
            last: Some(8),
            sha256: Bodies::default().finish(),
            set_aside: None,
        };
        let groups = vec![
            done.clone(),
            GroupInputs { messages: 0, first: None, last: None, set_aside: Some(set_aside), ..done },
        ];
        let bytes = to_bytes(&groups);
        assert_eq!(parse(&bytes), Ok(groups));
        assert!(parse(&bytes[..bytes.len() - 3]).unwrap_err().contains("line 2"));
    }

    #[test]
    fn where_one_body_ends_counts() {
        let digest = |bodies: &[&[u8]]| {
            let mut all = Bodies::default();
            bodies.iter().for_each(|body| all.add(body));
            all.finish()
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
