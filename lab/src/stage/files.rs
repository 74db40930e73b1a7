//! The files that the processes of a stage write, as the lab reads and opens them.

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// A file of JSON Lines that somebody appends to.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    at: u64,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, at: 0 }
    }

    /// The whole lines that came since the last time. A file that is not there yet has none.
    pub(super) fn lines<T: DeserializeOwned>(&mut self) -> Vec<T> {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.read_to_end(&mut bytes)
        });
        if read.is_err() {
            return Vec::new();
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.at += whole as u64;
        bytes[..whole].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// The last lines of a log, for an error.
pub(super) fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// A file that lives of one process append to.
pub(super) fn append_to(path: &Path) -> anyhow::Result<std::fs::File> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    open.with_context(|| format!("cannot write {}", path.display()))
}
