//! The published output as readers see it: the manifest is trusted for which files and in which order, and each file is
//! trusted only after its length and digest were checked. Needs no broker and takes no lock; it never writes but for the
//! joined file, which is derived and never trusted (B9).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Header, parse, path_in, read_file};
use crate::attempt::{Attempt, AttemptPart};
use crate::compact::rows::Shelf;
use crate::compact::{Joint, Joints, Piece, piece_of};
use crate::digest::{Hasher, sha256_hex};
use crate::encoding::{decode, decode_rows};
use crate::format::Format;
use crate::inputs::{self, GroupInputs};
use crate::job::{JobKind, Total};
use crate::place;
use crate::record::ManifestLine;
use crate::rows::Rows;
use crate::sink::SinkError;
use crate::step::Task;
use crate::store::{self, Store, sync_directory};

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
    store: Arc<dyn Store>,
    header: Header,
    lines: Vec<ManifestLine>,
    joints: Joints,
    shelf: Shelf,
}

/// A published file whose length and digest were checked.
#[derive(Debug)]
pub struct VerifiedFile {
    /// Its manifest line.
    pub line: ManifestLine,
    /// Its lines as plain JSON Lines, each with its LF, whatever the file's form.
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

/// Why rows cannot be read out of a joined file.
enum Fault {
    Disk(SinkError),
    Damage(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Damage(why)
    }
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
            Some(_) | None => {
                let joints = Joints::read(out)?;
                Ok(Self {
                    out: out.to_owned(),
                    store: store::at(out)?,
                    header: parsed.header,
                    lines: parsed.lines,
                    joints,
                    shelf: Shelf::default(),
                })
            }
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
        let damaged = |why| OutputError::Damaged { commit: line.commit, file: record.file.clone(), why };
        let Some((_, AttemptPart::Output(format))) = Attempt::parse_path(&record.file, &self.header.identity()) else {
            return Err(damaged("it is no output file".to_owned()));
        };
        let bytes = match format {
            Format::Parquet => self.rows(line)?.into_bytes(),
            Format::JsonLines | Format::Gzip | Format::Zstd => {
                let bytes = self.piece(line, Piece::Output)?.unwrap_or_default();
                decode(format, &bytes).map_err(|error| damaged(error.to_string()))?
            }
        };
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if lines != record.lines || bytes.last().is_some_and(|last| *last != b'\n') {
            return Err(damaged(format!("it does not hold {} whole lines", record.lines)));
        }
        Ok(VerifiedFile { line: line.clone(), bytes })
    }

    /// The rows of a commit in Parquet, wherever they lie, checked to be those that were committed.
    pub(crate) fn rows(&self, line: &ManifestLine) -> Result<Rows, OutputError> {
        let record = &line.record;
        let damaged = |why| OutputError::Damaged { commit: line.commit, file: record.file.clone(), why };
        let rows = match self.joints.of(line.commit, Piece::Output) {
            Some(joint) => self.joined_rows(joint, line)?,
            None => match self.piece(line, Piece::Output) {
                Ok(bytes) => decode_rows(&bytes.unwrap_or_default()).map_err(|error| damaged(error.to_string()))?,
                // Somebody may have joined it since the list was read.
                Err(error) => match Joints::read(&self.out)?.of(line.commit, Piece::Output) {
                    Some(joint) => self.joined_rows(joint, line)?,
                    None => return Err(error),
                },
            },
        };
        match &record.content {
            Some(content) if *content == sha256_hex(rows.bytes()) => Ok(rows),
            Some(_) => Err(damaged("its lines are not those that were committed".to_owned())),
            None => Err(damaged("its commit names no digest of its lines".to_owned())),
        }
    }

    fn joined_rows(&self, joint: &Joint, line: &ManifestLine) -> Result<Rows, OutputError> {
        let earlier = self.lines.iter().filter(|earlier| (joint.first()..line.commit).contains(&earlier.commit));
        let before = earlier.map(|earlier| earlier.record.lines).sum();
        let read = || self.store.need(joint.file()).map_err(Fault::Disk);
        self.shelf.rows(joint, before, line.record.lines, read).map_err(|fault| match fault {
            Fault::Disk(error) => error.into(),
            Fault::Damage(why) => OutputError::Damaged { commit: line.commit, file: joint.file().to_owned(), why },
        })
    }

    /// Reads a file of a commit, wherever it lies, and checks that it is what was committed; `None` when the commit has
    /// no such file.
    pub(crate) fn piece(&self, line: &ManifestLine, piece: Piece) -> Result<Option<Vec<u8>>, OutputError> {
        let identity = self.header.identity();
        let Some((file, length, sha256)) = piece_of(line, piece, &identity) else { return Ok(None) };
        let all = (self.lines.as_slice(), &identity);
        let bytes = match self.joints.bytes(&self.out, all, line.commit, piece)? {
            Some(bytes) => bytes,
            None => {
                match self.store.read(&file)? {
                    Some(bytes) => bytes,
                    // Somebody may have joined it since the list was read.
                    None => match Joints::read(&self.out)?.bytes(&self.out, all, line.commit, piece)? {
                        Some(bytes) => bytes,
                        None => self.store.need(&file)?,
                    },
                }
            }
        };
        let damaged = |why| OutputError::Damaged { commit: line.commit, file, why };
        if bytes.len() as u64 != length {
            return Err(damaged(format!("it has {} bytes, not {length}", bytes.len())));
        }
        match sha256_hex(&bytes) {
            digest if digest == sha256 => Ok(Some(bytes)),
            digest => Err(damaged(format!("its SHA-256 is {digest}, not {sha256}"))),
        }
    }

    /// Which messages a published file stands for, and which were set aside; `None` where the output alone shows it.
    ///
    /// # Errors
    /// [`OutputError::Damaged`] when the file that says so is not what was committed; disk errors.
    pub fn inputs(&self, line: &ManifestLine) -> Result<Option<Vec<GroupInputs>>, OutputError> {
        let Some(bytes) = self.piece(line, Piece::Inputs)? else { return Ok(None) };
        let damaged = |why| OutputError::Damaged { commit: line.commit, file: line.record.file.clone(), why };
        inputs::parse(&bytes).map(Some).map_err(damaged)
    }

    /// The job `count` goes on counting: the last line of a group is its total. By group, each with its LF.
    fn last_totals(&self) -> Result<BTreeMap<String, Vec<u8>>, OutputError> {
        let mut totals = BTreeMap::new();
        for published in self.verified_files() {
            let published = published?;
            for line in published.lines() {
                let damaged = |why| OutputError::Damaged {
                    commit: published.line.commit,
                    file: published.line.record.file.clone(),
                    why,
                };
                let total = Total::parse(line).map_err(damaged)?;
                totals.insert(total.group, [line, b"\n"].concat());
            }
        }
        Ok(totals)
    }

    /// Joins the published files in manifest order into `OUT/<job>.jsonl`: written beside it, synced, renamed. The file
    /// is derived; nothing reads it back as truth.
    ///
    /// # Errors
    /// As [`Output::verified_files`]; an earlier joined file is untouched then. A place in an S3-like store has none.
    pub fn join(&self) -> Result<Joined, OutputError> {
        if place::is_url(&self.out) {
            let why = io::Error::new(io::ErrorKind::Unsupported, "only a folder of this machine has a joined file");
            return Err(SinkError::at("join the files of", &self.out)(why).into());
        }
        let path = self.out.join(format!("{}.jsonl", self.header.task.name()));
        let draft = path.with_extension("jsonl.new");
        let file = File::create(&draft).map_err(SinkError::at("create", &draft))?;
        let mut file = BufWriter::new(file);
        let mut hasher = Hasher::default();
        let (mut lines, mut length) = (0, 0);
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            length += bytes.len() as u64;
            file.write_all(bytes).map_err(SinkError::at("write", &draft))
        };
        if self.header.task == Task::Job(JobKind::Count) {
            self.last_totals()?.values().try_for_each(|line| write(line))?;
        } else {
            for published in self.verified_files() {
                write(&published?.bytes)?;
            }
        }
        let file = file.into_inner().map_err(|error| SinkError::at("write", &draft)(error.into_error()))?;
        file.sync_all().map_err(SinkError::at("sync", &draft))?;
        fs::rename(&draft, &path).map_err(SinkError::at("rename to", &path))?;
        sync_directory(&self.out)?;
        let files = self.lines.len() as u64;
        Ok(Joined { path, files, lines, length, sha256: hasher.finish() })
    }
}
