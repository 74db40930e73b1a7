//! `<out>/manifest.jsonl`: which files are published, in the order of the reader's commits (B9). A header line says whose
//! output the folder holds, then there is one line a commit. Here are the header and the reading of the file's bytes;
//! `writer` (the controller's) and `reader` (everybody's) stand on them, and `reconcile` judges folder against broker.

mod reader;
mod reconcile;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptPart};
use crate::format::Format;
use crate::identity::Identity;
use crate::record::ManifestLine;
use crate::sink::SinkError;
use crate::step::Task;
use crate::store;

pub use reader::{Joined, Output, OutputError, VerifiedFile};
pub use reconcile::{BrokerSide, FolderSide, OutputRefused, Plan, RefusedBecause, reconcile};
pub use writer::{Judged, Manifest, ManifestError, OutputLock, Unreconciled};

/// The manifest's name in the output folder.
pub const FILE_NAME: &str = "manifest.jsonl";

/// The reader-wide key under which the broker keeps the header of the folder the reader writes to.
pub const HEADER_KEY: &str = "output";

/// The format this program writes and reads.
const FORMAT: &str = "lockstep-output-1";

/// What a run wants to write where; a continued run must want the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The queue's name.
    pub queue: String,
    /// The reader's name.
    pub reader: String,
    /// What is computed.
    #[serde(rename = "job")]
    pub task: Task,
    /// The form of the published files; JSON Lines when absent.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub format: Format,
    /// Further facts of the caller's that must not change between runs on one folder, such as the digest of its input.
    pub run: serde_json::Value,
}

fn is_usual(format: &Format) -> bool {
    *format == Format::default()
}

/// The first line of a manifest; the broker keeps the same under [`HEADER_KEY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    #[serde(rename = "format")]
    version: String,
    /// The folder's own id, a UUID made with it: a second folder for the same reader has another one.
    pub out_id: String,
    /// The broker's journal.
    pub journal_id: String,
    /// The queue's generation.
    pub queue_generation: u64,
    /// The reader's id.
    pub reader_id: u64,
    /// The queue's name.
    pub queue: String,
    /// The reader's name.
    pub reader: String,
    /// What is computed.
    #[serde(rename = "job")]
    pub task: Task,
    /// The form of the published files; JSON Lines when absent.
    #[serde(default, rename = "file_format", skip_serializing_if = "is_usual")]
    pub format: Format,
    /// Further facts of the caller's.
    pub run: serde_json::Value,
}

impl Header {
    /// A header for a new folder, with a fresh `out_id`.
    #[must_use]
    pub fn new(identity: &Identity, facts: &RunFacts) -> Self {
        let RunFacts { queue, reader, task, format, run } = facts.clone();
        let Identity { journal_id, queue_generation, reader_id } = identity.clone();
        let out_id = uuid::Uuid::new_v4().to_string();
        let version = FORMAT.to_owned();
        Self { version, out_id, journal_id, queue_generation, reader_id, queue, reader, task, format, run }
    }

    /// Whose output the folder holds.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            journal_id: self.journal_id.clone(),
            queue_generation: self.queue_generation,
            reader_id: self.reader_id,
        }
    }

    /// What the run that made the folder wanted.
    #[must_use]
    pub fn facts(&self) -> RunFacts {
        let Self { queue, reader, task, format, run, .. } = self.clone();
        RunFacts { queue, reader, task, format, run }
    }

    /// JSON without blanks and without LF: what the broker keeps.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a header is always JSON")
    }

    /// Reads a header without LF.
    ///
    /// # Errors
    /// What is wrong with it, in words; another format is named.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match value["format"].as_str() {
            Some(FORMAT) => serde_json::from_value(value).map_err(|error| error.to_string()),
            Some(other) => Err(format!("its format is `{other}`; this program knows `{FORMAT}`")),
            None => Err("it names no format".to_owned()),
        }
    }
}

/// The bytes of a manifest, taken apart.
pub(crate) struct Parsed {
    pub(crate) header: Header,
    pub(crate) lines: Vec<ManifestLine>,
    /// How many bytes the header and the good lines take.
    pub(crate) good_bytes: usize,
    /// The first line that is not good: its number in the file, and why.
    pub(crate) bad: Option<BadLine>,
}

pub(crate) struct BadLine {
    pub(crate) number: usize,
    pub(crate) why: String,
    /// It is the last one and has no LF: an append that a crash cut.
    pub(crate) torn: bool,
}

pub(crate) fn path_in(out: &Path) -> PathBuf {
    out.join(FILE_NAME)
}

/// Reads the manifest of a folder; `None` when there is none.
pub(crate) fn read_file(out: &Path) -> Result<Option<Vec<u8>>, SinkError> {
    store::at(out)?.read(FILE_NAME)
}

/// Takes a manifest apart, up to its first line that is not good. A bad header is an error: the header is put in place
/// whole, so no crash can tear it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let mut rest = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = rest.next().unwrap_or_default();
    let header = first.strip_suffix(b"\n").ok_or_else(|| "its header line is incomplete".to_owned())?;
    let header = Header::parse(header).map_err(|why| format!("its header cannot be read: {why}"))?;
    let identity = header.identity();
    let mut parsed = Parsed { header, lines: Vec::new(), good_bytes: first.len(), bad: None };
    for (line, number) in rest.zip(2..) {
        match good_line(line, parsed.lines.len() as u64 + 1, &identity) {
            Ok(good) => parsed.lines.push(good),
            Err(why) => {
                parsed.bad = Some(BadLine { number, why, torn: !line.ends_with(b"\n") });
                break;
            }
        }
        parsed.good_bytes += line.len();
    }
    Ok(parsed)
}

fn good_line(line: &[u8], commit: u64, identity: &Identity) -> Result<ManifestLine, String> {
    let line = line.strip_suffix(b"\n").ok_or_else(|| "it has no end".to_owned())?;
    let line = ManifestLine::parse(line)?;
    if line.commit != commit {
        return Err(format!("it is commit {}, where commit {commit} belongs", line.commit));
    }
    names_its_attempt(&line, identity).map(|()| line)
}

/// A line may only name an output file of its own claim and epoch in its reader's folder.
pub(crate) fn names_its_attempt(line: &ManifestLine, identity: &Identity) -> Result<(), String> {
    match Attempt::parse_path(&line.record.file, identity) {
        Some((attempt, AttemptPart::Output(_)))
            if (attempt.claim, attempt.epoch) == (line.record.claim, line.record.epoch) =>
        {
            Ok(())
        }
        _ => Err(format!(
            "commit {} names `{}`, no attempt at claim {}",
            line.commit, line.record.file, line.record.claim
        )),
    }
}
