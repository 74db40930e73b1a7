//! Joins the small published files of an output folder into large ones, without touching what was promised: the manifest
//! stays as it is, and each commit's bytes lie unchanged in a joined file, so its length and digest still prove it.
//!
//! `OUT/compacted.jsonl` says which commits lie where. It is put in place whole, after the joined files are synced and before
//! the small ones are removed; so whenever this is killed, each commit is found in one place or in both. Parquet files are
//! more than their bytes in a row; how their rows are joined and proven is `rows`'s business.

pub(crate) mod rows;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::attempt::{Attempt, AttemptPart};
use crate::crash::{CrashPoint, CrashPoints, Killed};
use crate::digest::sha256_hex;
use crate::encoding::EncodingError;
use crate::format::Format;
use crate::identity::Identity;
use crate::manifest::{ManifestError, Output, OutputError, OutputLock};
use crate::place;
use crate::record::ManifestLine;
use crate::sink::SinkError;
use crate::store::{self, sync_directory};

/// The list's name in the output folder.
pub const FILE_NAME: &str = "compacted.jsonl";

/// How the names of joined files begin; no attempt's name does.
const PREFIX: &str = "compact-";

/// Why an output cannot be compacted. What was published is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The folder is in use, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] ManifestError),
    /// It holds no output, or not what was committed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] SinkError),
    /// Only folders of this machine are compacted.
    #[error("the output {} is not in a folder of this machine: what lies in an S3-like store is not compacted", .0.display())]
    Place(PathBuf),
    /// The form is not built in, or its encoder failed.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// A test's doing.
    #[error(transparent)]
    Killed(#[from] Killed),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Commits of the output.
    pub commits: u64,
    /// Files that held their output lines before.
    pub files_before: u64,
    /// Files that hold them now.
    pub files_after: u64,
}

/// Which of a commit's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Piece {
    /// Its output lines.
    Output,
    /// Its inputs.
    Inputs,
}

/// A joined file: a line of the list. A commit's bytes, or rows in Parquet, begin behind those of the commits before it,
/// from `first` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Joint {
    /// Relative to the output folder.
    file: String,
    piece: Piece,
    first: u64,
    last: u64,
    length: u64,
    /// SHA-256 of the whole file, where the commits' own digests are not those of its bytes: Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// What a commit says about one of its files: name, length, digest.
pub(crate) fn piece_of(line: &ManifestLine, piece: Piece, identity: &Identity) -> Option<(String, u64, String)> {
    let record = &line.record;
    match piece {
        Piece::Output => Some((record.file.clone(), record.length, record.sha256.clone())),
        Piece::Inputs => {
            let inputs = record.inputs.as_ref()?;
            let (attempt, _) = Attempt::parse_path(&record.file, identity)?;
            Some((attempt.path(identity, AttemptPart::Inputs), inputs.length, inputs.sha256.clone()))
        }
    }
}

/// The list of joined files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joints(Vec<Joint>);

impl Joint {
    /// Its name, relative to the output folder.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Its first commit.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }
}

impl Joints {
    /// Reads the list; an output that was never compacted has none.
    pub(crate) fn read(out: &Path) -> Result<Self, SinkError> {
        let path = out.join(FILE_NAME);
        let Some(bytes) = store::at(out)?.read(FILE_NAME)? else { return Ok(Self::default()) };
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(serde_json::from_slice);
        let lines: Result<_, _> = lines.collect();
        lines.map(Self).map_err(|error| SinkError::at("read", &path)(io::Error::other(error)))
    }

    /// Reads the bytes of a commit out of its joined file; `None` when it is in none.
    pub(crate) fn bytes(
        &self,
        out: &Path,
        (lines, identity): (&[ManifestLine], &Identity),
        commit: u64,
        piece: Piece,
    ) -> Result<Option<Vec<u8>>, SinkError> {
        let Some(joint) = self.of(commit, piece) else { return Ok(None) };
        let length = |line: &ManifestLine| piece_of(line, piece, identity).map_or(0, |(_, length, _)| length);
        let of = |from: u64, to: u64| lines.iter().filter(move |line| (from..to).contains(&line.commit)).map(length);
        let (before, own): (u64, u64) = (of(joint.first, commit).sum(), of(commit, commit + 1).sum());
        store::at(out)?.read_part(&joint.file, before, own).map(Some)
    }

    /// The joined file that holds a piece of a commit.
    pub(crate) fn of(&self, commit: u64, piece: Piece) -> Option<&Joint> {
        self.0.iter().find(|joint| joint.piece == piece && (joint.first..=joint.last).contains(&commit))
    }

    fn holds(&self, commit: u64, piece: Piece) -> bool {
        self.of(commit, piece).is_some()
    }

    fn names(&self, file: &str) -> bool {
        self.0.iter().any(|joint| joint.file == file)
    }
}

/// Joins the files of commits that follow each other, up to `size` bytes each. An output that is in use is refused.
///
/// # Errors
/// [`CompactError`]; the output is as it was, or compacted, and `verify` finds it whole.
pub fn compact(out: &Path, size: u64) -> Result<Compacted, CompactError> {
    compact_with(out, size, &CrashPoints::default())
}

/// As [`compact`], with crash points; for tests.
///
/// # Errors
/// As [`compact`].
pub fn compact_with(out: &Path, size: u64, crash: &CrashPoints) -> Result<Compacted, CompactError> {
    if place::is_url(out) {
        return Err(CompactError::Place(out.to_owned()));
    }
    // Before the lock, which would make a folder that is not there.
    Output::open(out)?;
    let _lock = OutputLock::take(out)?;
    let output = Output::open(out)?;
    let before = Joints::read(out)?;
    let after = join(out, &output, &before, size, crash)?;
    put_list(out, &after)?;
    crash.at(CrashPoint::CompactList, 0)?;
    remove(out, &output, &after, crash)?;
    let lines = output.published_files();
    let files = |joints: &Joints| {
        let joined = joints.0.iter().filter(|joint| joint.piece == Piece::Output);
        lines.len() as u64 - joined.map(|joint| joint.last - joint.first).sum::<u64>()
    };
    Ok(Compacted { commits: lines.len() as u64, files_before: files(&before), files_after: files(&after) })
}

/// Makes the joined files that are not there yet.
fn join(out: &Path, output: &Output, before: &Joints, size: u64, crash: &CrashPoints) -> Result<Joints, CompactError> {
    let identity = output.header().identity();
    let mut joints = Joints::default();
    for piece in [Piece::Output, Piece::Inputs] {
        for lines in runs(output.published_files(), piece, &identity, size, before) {
            let (first, last) = (lines[0].commit, lines[lines.len() - 1].commit);
            let same = |joint: &&Joint| (joint.piece, joint.first, joint.last) == (piece, first, last);
            if let Some(joint) = before.0.iter().find(same) {
                joints.0.push(joint.clone());
                continue;
            }
            let extension = match piece {
                Piece::Output => output.header().format.name(),
                Piece::Inputs => "inputs",
            };
            let random = uuid::Uuid::new_v4().simple().to_string();
            let file = format!("{}/{PREFIX}{first}-{last}-{random}.{extension}", identity.folder());
            let (length, sha256) = match (piece, output.header().format) {
                (Piece::Output, Format::Parquet) => {
                    let bytes = rows::join(output, lines)?;
                    write(out, &file, [Ok(bytes.as_slice())].into_iter())?;
                    (bytes.len() as u64, Some(sha256_hex(&bytes)))
                }
                (Piece::Output | Piece::Inputs, _) => (copy(out, output, &file, lines, piece)?, None),
            };
            joints.0.push(Joint { file, piece, first, last, length, sha256 });
            crash.at(CrashPoint::CompactFile, last)?;
        }
    }
    sync_directory(&out.join(identity.folder()))?;
    Ok(joints)
}

/// Commits that follow each other and fit into one file. One that would stand alone is left as it is, unless it lies in
/// a joined file already: then its own file is gone.
fn runs<'a>(
    lines: &'a [ManifestLine],
    piece: Piece,
    identity: &Identity,
    size: u64,
    before: &Joints,
) -> Vec<&'a [ManifestLine]> {
    let (mut runs, mut begin, mut held) = (Vec::new(), 0, 0);
    for (place, line) in lines.iter().enumerate() {
        let length = piece_of(line, piece, identity).map_or(0, |(_, length, _)| length);
        if place > begin && held + length > size {
            runs.push(&lines[begin..place]);
            (begin, held) = (place, 0);
        }
        held += length;
    }
    runs.push(&lines[begin..]);
    let has_some = |run: &&[ManifestLine]| run.iter().any(|line| piece_of(line, piece, identity).is_some());
    runs.retain(|run| (run.len() > 1 || run.iter().any(|line| before.holds(line.commit, piece))) && has_some(run));
    runs
}

/// Writes and syncs one joined file of the commits' bytes in a row; each one's are checked on their way.
fn copy(out: &Path, output: &Output, file: &str, lines: &[ManifestLine], piece: Piece) -> Result<u64, CompactError> {
    write(out, file, lines.iter().filter_map(|line| output.piece(line, piece).transpose()))
}

/// Writes and syncs a file; answers its length.
fn write<B: AsRef<[u8]>>(
    out: &Path,
    file: &str,
    parts: impl Iterator<Item = Result<B, OutputError>>,
) -> Result<u64, CompactError> {
    let path = out.join(file);
    let mut handle =
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(SinkError::at("create", &path))?;
    let mut length = 0;
    for bytes in parts {
        let bytes = bytes?;
        handle.write_all(bytes.as_ref()).map_err(SinkError::at("write", &path))?;
        length += bytes.as_ref().len() as u64;
    }
    handle.sync_all().map_err(SinkError::at("sync", &path))?;
    Ok(length)
}

/// The moment of truth: the list is the old one or the new one.
fn put_list(out: &Path, joints: &Joints) -> Result<(), SinkError> {
    let (path, draft) = (out.join(FILE_NAME), out.join(format!("{FILE_NAME}.new")));
    let mut bytes = Vec::new();
    for joint in &joints.0 {
        serde_json::to_writer(&mut bytes, joint).expect("strings and numbers are always JSON");
        bytes.push(b'\n');
    }
    let mut file = File::create(&draft).map_err(SinkError::at("create", &draft))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(SinkError::at("write", &draft))?;
    fs::rename(&draft, &path).map_err(SinkError::at("rename to", &path))?;
    sync_directory(out)
}

/// Removes what the list has made needless: files of commits that lie in a joined one, and joined files it does not name.
fn remove(out: &Path, output: &Output, joints: &Joints, crash: &CrashPoints) -> Result<(), CompactError> {
    let identity = output.header().identity();
    let mut needless = BTreeSet::new();
    for joint in &joints.0 {
        let lines = output.published_files().iter();
        let own = lines.filter(|line| (joint.first..=joint.last).contains(&line.commit));
        needless.extend(own.filter_map(|line| Some((piece_of(line, joint.piece, &identity)?.0, line.commit))));
    }
    let folder = out.join(identity.folder());
    for entry in fs::read_dir(&folder).map_err(SinkError::at("list", &folder))? {
        let name = entry.map_err(SinkError::at("list", &folder))?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let file = format!("{}/{name}", identity.folder());
        if !joints.names(&file) {
            needless.insert((file, 0));
        }
    }
    for (file, commit) in needless {
        let path = out.join(file);
        match fs::remove_file(&path) {
            Ok(()) => crash.at(CrashPoint::CompactRemove, commit)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SinkError::at("remove", &path)(error).into()),
        }
    }
    Ok(sync_directory(&folder)?)
}
