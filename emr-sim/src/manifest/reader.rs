//! The published output as readers see it: the manifest is trusted for which files and in which order, and each file is
//! trusted only after its length and digest were checked. Needs no broker and takes no lock; it never writes but for the
//! joined file, which is derived and never trusted (B9).

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::{Header, parse, path_in, read_file};
use crate::digest::{Hasher, sha256_hex};
use crate::record::ManifestLine;
use crate::sink::{SinkError, sync_directory};

/// Why an output cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The disk failed, or a published file is missing.
    #[error(transparent)]
    Disk(#[from] SinkError),
    /// The folder holds no output.
    #[error("{} holds no manifest", out.display())]
    NoManifest {
        /// The folder.
        out: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("{}: {why}", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with the line's number.
        why: String,
    },
    /// A published file is not what was committed.
    #[error("commit {commit}: {file} is not what was committed: {why}")]
    Damaged {
        /// The commit's number.
        commit: u64,
        /// The file, relative to the output folder.
        file: String,
        /// In which way.
        why: String,
    },
}

/// A published output: the manifest of a folder.
#[derive(Debug)]
pub struct Output {
    out: PathBuf,
    header: Header,
    lines: Vec<ManifestLine>,
}

/// A published file whose length and digest were checked.
#[derive(Debug)]
pub struct VerifiedFile {
    /// Its manifest line.
    pub line: ManifestLine,
    /// Its bytes: whole lines, each with its LF.
    pub bytes: Vec<u8>,
}

impl VerifiedFile {
    /// The file's lines, without their LF.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }
}

/// The joined file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// `OUT/<job>.jsonl`.
    pub path: PathBuf,
    /// How many published files it was joined from.
    pub files: u64,
    /// Its lines.
    pub lines: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Output {
    /// Reads the manifest of a folder. A last line that a crash cut is left out: its commit is published by the next
    /// start of the pool.
    ///
    /// # Errors
    /// [`OutputError::NoManifest`], [`OutputError::BadManifest`], disk errors.
    pub fn open(out: &Path) -> Result<Self, OutputError> {
        let bytes = read_file(out)?.ok_or_else(|| OutputError::NoManifest { out: out.to_owned() })?;
        let bad = |why| OutputError::BadManifest { path: path_in(out), why };
        let parsed = parse(&bytes).map_err(bad)?;
        match parsed.bad {
            Some(line) if !line.torn => Err(bad(format!("line {}: {}", line.number, line.why))),
            Some(_) | None => Ok(Self { out: out.to_owned(), header: parsed.header, lines: parsed.lines }),
        }
    }

    /// Whose output this is.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The published files, in the order of their commits.
    #[must_use]
    pub fn published_files(&self) -> &[ManifestLine] {
        &self.lines
    }

    /// The published files with their bytes, each checked before it is given out, in manifest order. One file at a time
    /// is in memory.
    pub fn verified_files(&self) -> impl Iterator<Item = Result<VerifiedFile, OutputError>> {
        self.lines.iter().map(|line| self.verified(line))
    }

    fn verified(&self, line: &ManifestLine) -> Result<VerifiedFile, OutputError> {
        let record = &line.record;
        let path = self.out.join(&record.file);
        let bytes = fs::read(&path).map_err(SinkError::at("read", &path))?;
        let damaged = |why| OutputError::Damaged { commit: line.commit, file: record.file.clone(), why };
        if bytes.len() as u64 != record.length {
            return Err(damaged(format!("it has {} bytes, not {}", bytes.len(), record.length)));
        }
        let digest = sha256_hex(&bytes);
        if digest != record.sha256 {
            return Err(damaged(format!("its SHA-256 is {digest}, not {}", record.sha256)));
        }
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if lines != record.lines || bytes.last().is_some_and(|last| *last != b'\n') {
            return Err(damaged(format!("it does not hold {} whole lines", record.lines)));
        }
        Ok(VerifiedFile { line: line.clone(), bytes })
    }

    /// Joins the published files in manifest order into `OUT/<job>.jsonl`: written beside it, synced, renamed. The file
    /// is derived; nothing reads it back as truth.
    ///
    /// # Errors
    /// As [`Output::verified_files`]; an earlier joined file is untouched then.
    pub fn join(&self) -> Result<Joined, OutputError> {
        let path = self.out.join(format!("{}.jsonl", self.header.task.name()));
        let draft = path.with_extension("jsonl.new");
        let file = File::create(&draft).map_err(SinkError::at("create", &draft))?;
        let mut file = BufWriter::new(file);
        let mut hasher = Hasher::default();
        let (mut lines, mut length) = (0, 0);
        for published in self.verified_files() {
            let published = published?;
            file.write_all(&published.bytes).map_err(SinkError::at("write", &draft))?;
            hasher.update(&published.bytes);
            lines += published.line.record.lines;
            length += published.line.record.length;
        }
        let file = file.into_inner().map_err(|error| SinkError::at("write", &draft)(error.into_error()))?;
        file.sync_all().map_err(SinkError::at("sync", &draft))?;
        fs::rename(&draft, &path).map_err(SinkError::at("rename to", &path))?;
        sync_directory(&self.out)?;
        Ok(Joined { path, files: self.lines.len() as u64, lines, length, sha256: hasher.finish() })
    }
}
