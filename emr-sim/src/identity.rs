//! Who a reader's output belongs to: journal, queue generation, reader id (B9). Only names and comparisons; no files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a reader for ever: none of the three is used again for another one (B6, B9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The broker's journal, a UUID.
    pub journal_id: String,
    /// The queue's generation in that journal.
    pub queue_generation: u64,
    /// The reader's id in that queue generation.
    pub reader_id: u64,
}

impl Identity {
    /// The folder of this reader's attempts, relative to the output folder: `<journal id>/<queue generation>/<reader id>`.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/{}/{}", self.journal_id, self.queue_generation, self.reader_id)
    }

    /// Whether the journal id can be a folder's name: 1 to 80 letters, digits and hyphens. It comes from outside.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        (1..=80).contains(&self.journal_id.len())
            && self.journal_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "journal {}, queue generation {}, reader id {}",
            self.journal_id, self.queue_generation, self.reader_id
        )
    }
}
