//! The controller's side of the manifest: the lock on the output folder, the header, the append. Only the controller
//! writes; a line is durable before its record may be removed (B9). What to write is judged in `reconcile`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{BrokerSide, FILE_NAME, FolderSide, Header, OutputRefused, Plan, RunFacts, parse, path_in, reconcile};
use crate::crash::{CrashPoint, CrashPoints, Killed};
use crate::identity::Identity;
use crate::record::ManifestLine;
use crate::sink::{SinkError, make_directory, sync_directory};

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
/// being started can keep it alive for a moment after its drop, so whoever expects it to be free asks more than once.
#[derive(Debug)]
pub struct OutputLock {
    _file: File,
}

impl OutputLock {
    /// Makes the folder when it is missing, and takes its lock, `<out>/manifest.lock`.
    ///
    /// # Errors
    /// [`ManifestError::InUse`] when another process, or another pool of this one, has it; disk errors.
    pub fn take(out: &Path) -> Result<Self, ManifestError> {
        make_directory(out)?;
        let path = out.join("manifest.lock");
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(&path).map_err(SinkError::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ManifestError::InUse { out: out.to_owned() }),
            Err(TryLockError::Error(error)) => Err(SinkError::at("lock", &path)(error).into()),
        }
    }
}

/// The manifest of a folder, open for appending.
#[derive(Debug)]
pub struct Manifest {
    out: PathBuf,
    file: File,
    identity: Identity,
    last: u64,
    messages: u64,
    _lock: OutputLock,
}

/// What a folder holds before its run begins, read under its lock and not yet changed.
#[derive(Debug)]
pub struct Unreconciled {
    out: PathBuf,
    lock: OutputLock,
    folder: FolderSide,
    good_bytes: u64,
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
        let Some(bytes) = super::read_file(out)? else {
            return Ok(Unreconciled { out: out.to_owned(), lock, folder: FolderSide::default(), good_bytes: 0 });
        };
        let parsed = parse(&bytes).map_err(|why| ManifestError::NotOne { path: path_in(out), why })?;
        let folder = FolderSide {
            header: Some(parsed.header),
            lines: parsed.lines,
            bad: parsed.bad.map(|bad| format!("line {} cannot be read: {}", bad.number, bad.why)),
        };
        Ok(Unreconciled { out: out.to_owned(), lock, folder, good_bytes: parsed.good_bytes })
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
        let path = path_in(&self.out);
        let begun = if crash.is_set() { bytes.len() / 2 } else { 0 };
        if begun > 0 {
            self.file.write_all(&bytes[..begun]).map_err(SinkError::at("append to", &path))?;
            crash.at(CrashPoint::InLine, self.last + 1)?;
        }
        self.file.write_all(&bytes[begun..]).map_err(SinkError::at("append to", &path))?;
        self.file.sync_all().map_err(SinkError::at("sync", &path))?;
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
        match fs::metadata(self.out.join(file)) {
            Ok(found) if found.len() == line.record.length => Ok(()),
            Ok(found) => Err(format!("{file} has {} bytes, not the committed {}", found.len(), line.record.length)),
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
        let Self { unreconciled: Unreconciled { out, lock, folder, good_bytes }, identity, plan } = self;
        if let Some(header) = &plan.create {
            create(&out, header)?;
        }
        let path = path_in(&out);
        let file = OpenOptions::new().append(true).open(&path).map_err(SinkError::at("open", &path))?;
        if folder.bad.is_some() {
            file.set_len(good_bytes).and_then(|()| file.sync_all()).map_err(SinkError::at("cut", &path))?;
        }
        let last = folder.lines.len() as u64;
        let messages = folder.lines.iter().map(|line| line.record.messages).sum();
        Ok((Manifest { out, file, identity, last, messages, _lock: lock }, plan))
    }
}

/// Puts a manifest with only its header in place, whole: a crash leaves none or this one.
fn create(out: &Path, header: &Header) -> Result<(), SinkError> {
    let draft = out.join(format!("{FILE_NAME}.new"));
    let path = path_in(out);
    let mut file = File::create(&draft).map_err(SinkError::at("create", &draft))?;
    let mut bytes = header.to_bytes();
    bytes.push(b'\n');
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(SinkError::at("write", &draft))?;
    fs::rename(&draft, &path).map_err(SinkError::at("rename to", &path))?;
    sync_directory(out)
}
