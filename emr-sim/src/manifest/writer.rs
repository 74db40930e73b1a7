//! The controller's side of the manifest: the lock on the output folder, the header, the append. Only the controller
//! writes; a line is durable before its record may be removed (B9). What to write is judged in `reconcile`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BrokerSide, FILE_NAME, FolderSide, Header, OutputRefused, Plan, RunFacts, parse, path_in, reconcile};
use crate::crash::{CrashPoint, CrashPoints, Killed};
use crate::identity::Identity;
use crate::record::ManifestLine;
use crate::sink::SinkError;
use crate::store::{self, Begin, Growing, Held, Store};

/// Why the manifest cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder must not be touched.
    #[error(transparent)]
    Refused(#[from] OutputRefused),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] SinkError),
    /// The manifest has no header that this program can read.
    #[error("{} is not a manifest: {why}", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A line may not be written.
    #[error("commit {commit} cannot be published: {why}")]
    Line {
        /// The commit's number.
        commit: u64,
        /// Why.
        why: String,
    },
    /// Another controller works on the folder.
    #[error("the output folder {} is in use by another run", out.display())]
    InUse {
        /// The folder.
        out: PathBuf,
    },
    /// A test's doing.
    #[error(transparent)]
    Killed(#[from] Killed),
}

/// The right to write to an output folder; it ends with the process, also when that is killed. A child process that is
/// being started can keep it alive for a moment after its drop, so whoever expects it to be free asks more than once. A
/// place in an S3-like store knows no lock: there each write says what it expects to find.
#[derive(Debug)]
pub struct OutputLock {
    _held: Held,
}

impl OutputLock {
    /// Makes the folder when it is missing, and takes its lock, `<out>/manifest.lock`; or makes sure that a store minds the
    /// conditions of writes.
    ///
    /// # Errors
    /// [`ManifestError::InUse`] when another process, or another pool of this one, has it; disk errors.
    pub fn take(out: &Path) -> Result<Self, ManifestError> {
        let held = store::at(out)?.lock()?;
        held.map(|held| Self { _held: held }).ok_or_else(|| ManifestError::InUse { out: out.to_owned() })
    }
}

/// The manifest of a folder, open for appending.
#[derive(Debug)]
pub struct Manifest {
    store: Arc<dyn Store>,
    file: Box<dyn Growing>,
    identity: Identity,
    last: u64,
    messages: u64,
    _lock: OutputLock,
}

/// What a folder holds before its run begins, read under its lock and not yet changed.
#[derive(Debug)]
pub struct Unreconciled {
    store: Arc<dyn Store>,
    lock: OutputLock,
    folder: FolderSide,
    seen: Vec<u8>,
    good_bytes: usize,
}

/// The judgement on a folder; [`Judged::repair`] carries it out.
#[derive(Debug)]
pub struct Judged {
    unreconciled: Unreconciled,
    identity: Identity,
    /// What has to be done, in the order of its fields.
    pub plan: Plan,
}

impl Manifest {
    /// Reads what the locked folder holds.
    ///
    /// # Errors
    /// Disk errors, and [`ManifestError::NotOne`].
    pub fn read(out: &Path, lock: OutputLock) -> Result<Unreconciled, ManifestError> {
        let store = store::at(out)?;
        let Some(seen) = store.read(FILE_NAME)? else {
            let folder = FolderSide::default();
            return Ok(Unreconciled { store, lock, folder, seen: Vec::new(), good_bytes: 0 });
        };
        let parsed = parse(&seen).map_err(|why| ManifestError::NotOne { path: path_in(out), why })?;
        let folder = FolderSide {
            header: Some(parsed.header),
            lines: parsed.lines,
            bad: parsed.bad.map(|bad| format!("line {} cannot be read: {}", bad.number, bad.why)),
        };
        Ok(Unreconciled { store, lock, folder, seen, good_bytes: parsed.good_bytes })
    }

    /// The newest commit in the manifest; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Messages of all commits in the manifest.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Appends lines and syncs them. After an error the manifest is in doubt: the next start sets it right.
    ///
    /// # Errors
    /// [`ManifestError::Line`] when a line is not the next one or its file is not there in full length; disk errors.
    pub fn append(&mut self, lines: &[ManifestLine]) -> Result<(), ManifestError> {
        self.append_past(lines, &CrashPoints::default())
    }

    /// The same, with a point at which a test makes it die.
    pub(crate) fn append_past(&mut self, lines: &[ManifestLine], crash: &CrashPoints) -> Result<(), ManifestError> {
        let mut bytes = Vec::new();
        for (line, commit) in lines.iter().zip(self.last + 1..) {
            self.check(line, commit).map_err(|why| ManifestError::Line { commit: line.commit, why })?;
            bytes.extend(line.to_bytes());
        }
        let begun = if crash.is_set() { bytes.len() / 2 } else { 0 };
        if begun > 0 {
            self.file.write(&bytes[..begun])?;
            crash.at(CrashPoint::InLine, self.last + 1)?;
        }
        self.file.write(&bytes[begun..])?;
        self.file.sync()?;
        self.last += lines.len() as u64;
        self.messages += lines.iter().map(|line| line.record.messages).sum::<u64>();
        Ok(())
    }

    fn check(&self, line: &ManifestLine, commit: u64) -> Result<(), String> {
        if line.commit != commit {
            return Err(format!("commit {commit} comes first"));
        }
        super::names_its_attempt(line, &self.identity)?;
        let file = &line.record.file;
        match self.store.length(file) {
            Ok(Some(length)) if length == line.record.length => Ok(()),
            Ok(Some(length)) => Err(format!("{file} has {length} bytes, not the committed {}", line.record.length)),
            Ok(None) => Err(format!("{file} is not there")),
            Err(error) => Err(format!("{file}: {error}")),
        }
    }
}

impl Unreconciled {
    /// The manifest's header; `None` where there is no manifest.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.folder.header.as_ref()
    }

    /// What the folder says it is, in words.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.name()
    }

    /// Judges the folder against the broker's word; changes nothing.
    ///
    /// # Errors
    /// [`OutputRefused`] with both identities (B9).
    pub fn judge(self, facts: &RunFacts, broker: &BrokerSide) -> Result<Judged, OutputRefused> {
        let plan = reconcile(facts, &self.folder, broker)?;
        Ok(Judged { unreconciled: self, identity: broker.identity.clone(), plan })
    }
}

impl Judged {
    /// The header the reader must know before the first claim.
    #[must_use]
    pub fn header(&self) -> &Header {
        let header = self.plan.create.as_ref().or(self.unreconciled.folder.header.as_ref());
        header.expect("a judged folder has a header, or the plan makes one")
    }

    /// Makes the header durable when the plan asks for it, cuts a torn end and opens the manifest. The caller then
    /// records the header with the reader and appends the plan's lines.
    ///
    /// # Errors
    /// Disk errors.
    pub fn repair(self) -> Result<(Manifest, Plan), ManifestError> {
        let Self { unreconciled: Unreconciled { store, lock, folder, seen, good_bytes }, identity, plan } = self;
        let from = match &plan.create {
            Some(header) => {
                let mut line = header.to_bytes();
                line.push(b'\n');
                Begin::Create(line)
            }
            None => Begin::From { seen, good: good_bytes },
        };
        let file = store.grow(FILE_NAME, from)?;
        let last = folder.lines.len() as u64;
        let messages = folder.lines.iter().map(|line| line.record.messages).sum();
        Ok((Manifest { store, file, identity, last, messages, _lock: lock }, plan))
    }
}
