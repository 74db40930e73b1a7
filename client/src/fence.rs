//! Sinks that an effect outside reaches once (B2): each keeps, for every group, the highest epoch and the last sequence
//! number that it applied, together with the effect itself. [`judge`] is the rule, for sinks with transactions of their
//! own; [`FencedFile`] is a sink that needs none. Nothing here talks to a broker.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Where a group of a queue's life stands, or where a delivery stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The grant's epoch: of two holders of a group the later one has the higher (B2).
    pub epoch: u64,
    /// The message.
    pub sequence_number: u64,
}

/// What a sink does with an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is new: apply it and store its mark, both or none.
    Apply,
    /// It was applied before: do nothing, and delete the message.
    AlreadyApplied,
    /// A later holder of the group was here: do nothing, and leave the message alone.
    Fenced {
        /// That holder's epoch.
        current: u64,
    },
}

/// Judges an effect by what the sink stored for its group, of the same generation of the queue: epochs and numbers begin
/// again with a queue that is made anew.
///
/// It holds for strict queues, where one consumer holds a group at a time and messages are applied in their order: then
/// nothing at or below the last sequence number is missing. On a prefix queue numbers may be applied out of order.
#[must_use]
pub fn judge(stored: Option<Mark>, offered: Mark) -> Judgement {
    match stored {
        Some(stored) if offered.epoch < stored.epoch => Judgement::Fenced { current: stored.epoch },
        Some(stored) if offered.sequence_number <= stored.sequence_number => Judgement::AlreadyApplied,
        Some(_) | None => Judgement::Apply,
    }
}

/// Why a [`FencedFile`] cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The file cannot be used; whether the last effect is in it shows when it is opened again.
    #[error("{path}: {error}; open it again to see whether the last effect is there")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("{0} is open elsewhere; a sink has one owner")]
    Locked(PathBuf),
    /// A record before the last one is not what was written. The last one alone may be torn by a crash; it is cut then.
    #[error("{path} is damaged at byte {offset}; it is left as it is")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
    /// A group is 1 to 128 bytes (L5), an effect at most 16 MiB.
    #[error("an effect of {effect} bytes for a group of {group} bytes does not fit; 16 MiB and 128 are the most")]
    TooLong {
        /// Bytes of the effect.
        effect: usize,
        /// Bytes of the group's name.
        group: usize,
    },
    /// An earlier append failed.
    #[error("an earlier append to {0} failed; open it again first")]
    Doubtful(PathBuf),
}

/// An effect as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedEffect {
    /// The queue's life.
    pub queue_generation: u64,
    /// The group.
    pub group: String,
    /// Under which epoch, and for which message.
    pub mark: Mark,
    /// The effect.
    pub effect: Vec<u8>,
}

/// A file of effects, each applied once: effect and mark are one record, synced before [`FencedFile::apply`] returns. It
/// has one owner; consumers of several threads share it behind a lock.
///
/// ```
/// use lockstep_client::{FencedFile, Judgement, Mark};
///
/// # fn main() -> Result<(), lockstep_client::FenceError> {
/// # let directory = std::env::temp_dir().join(format!("lockstep-fence-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).expect("a directory");
/// # let path = directory.join("effects");
/// let mut sink = FencedFile::open(&path)?;
/// let first = Mark { epoch: 1, sequence_number: 7 };
/// assert_eq!(sink.apply(1, "customer-7", first, b"charged")?, Judgement::Apply);
/// assert_eq!(sink.apply(1, "customer-7", first, b"charged")?, Judgement::AlreadyApplied);
/// // The lease lapsed, another consumer took over under epoch 2 and went on; the first one wakes up:
/// sink.apply(1, "customer-7", Mark { epoch: 2, sequence_number: 8 }, b"charged again")?;
/// let zombie = sink.apply(1, "customer-7", Mark { epoch: 1, sequence_number: 9 }, b"never")?;
/// assert_eq!(zombie, Judgement::Fenced { current: 2 });
/// # drop(sink);
/// # std::fs::remove_dir_all(directory).expect("removed");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FencedFile {
    path: PathBuf,
    file: File,
    marks: BTreeMap<(u64, String), Mark>,
    doubtful: bool,
}

/// Length (4) and checksum (8) before each record's body, in big-endian order.
const HEAD: usize = 12;
/// Generation, epoch, sequence number (8 each), length of the group's name (2).
const FIXED: usize = 26;
const MAX_EFFECT: usize = 16 << 20;
const MAX_GROUP: usize = 128;

impl FencedFile {
    /// Opens a file of effects, or makes one. A record that a crash tore off at the end was never answered for, and is
    /// cut.
    ///
    /// # Errors
    /// The file cannot be used, is open elsewhere, or is damaged before its last record.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FenceError> {
        let path = path.as_ref().to_path_buf();
        let failed = |error| FenceError::Io { path: path.clone(), error };
        let new = !path.exists();
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(FenceError::Locked(path)),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        if new {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (effects, good) = records(&bytes).map_err(|offset| FenceError::Damaged { path: path.clone(), offset })?;
        if good < bytes.len() as u64 {
            file.set_len(good).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(good)).map_err(failed)?;
        let mut marks = BTreeMap::new();
        for AppliedEffect { queue_generation, group, mark, .. } in effects {
            marks.insert((queue_generation, group), mark);
        }
        Ok(Self { path, file, marks, doubtful: false })
    }

    /// Where a group stands.
    #[must_use]
    pub fn mark(&self, queue_generation: u64, group: &str) -> Option<Mark> {
        self.marks.get(&(queue_generation, group.to_owned())).copied()
    }

    /// Applies an effect, unless it was applied before or a later holder of the group was here. After
    /// [`Judgement::Apply`] and [`Judgement::AlreadyApplied`] the message may be deleted.
    ///
    /// # Errors
    /// The effect is too long, or writing failed: then it is unknown whether it is there until the file is opened again.
    pub fn apply(
        &mut self,
        queue_generation: u64,
        group: &str,
        mark: Mark,
        effect: &[u8],
    ) -> Result<Judgement, FenceError> {
        if self.doubtful {
            return Err(FenceError::Doubtful(self.path.clone()));
        }
        if effect.len() > MAX_EFFECT || !(1..=MAX_GROUP).contains(&group.len()) {
            return Err(FenceError::TooLong { effect: effect.len(), group: group.len() });
        }
        let key = (queue_generation, group.to_owned());
        let judgement = judge(self.marks.get(&key).copied(), mark);
        if judgement == Judgement::Apply {
            let record = record(queue_generation, group, mark, effect);
            if let Err(error) = self.file.write_all(&record).and_then(|()| self.file.sync_data()) {
                self.doubtful = true;
                return Err(FenceError::Io { path: self.path.clone(), error });
            }
            self.marks.insert(key, mark);
        }
        Ok(judgement)
    }

    /// Every effect of a file, in the order in which they were applied.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged before its last record.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<AppliedEffect>, FenceError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| FenceError::Io { path: path.to_path_buf(), error })?;
        let damaged = |offset| FenceError::Damaged { path: path.to_path_buf(), offset };
        records(&bytes).map(|(effects, _)| effects).map_err(damaged)
    }
}

fn checksum(body: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&Sha256::digest(body)[..8]);
    sum
}

fn record(queue_generation: u64, group: &str, mark: Mark, effect: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(FIXED + group.len() + effect.len());
    for number in [queue_generation, mark.epoch, mark.sequence_number] {
        body.extend(number.to_be_bytes());
    }
    body.extend(u16::try_from(group.len()).expect("at most 128 bytes").to_be_bytes());
    body.extend(group.as_bytes());
    body.extend(effect);
    let length = u32::try_from(body.len()).expect("at most 16 MiB and a little");
    [&length.to_be_bytes()[..], &checksum(&body), &body].concat()
}

/// The records, and how many bytes of them are good. A bad one that something follows is damage: its place.
fn records(bytes: &[u8]) -> Result<(Vec<AppliedEffect>, u64), u64> {
    let (mut effects, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes[at..].split_at_checked(HEAD) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = rest.get(..length) else { break };
        let parsed = if checksum(body) == head[4..] { parse(body) } else { None };
        match parsed {
            Some(effect) => effects.push(effect),
            None if rest.len() == length => break,
            None => return Err(at as u64),
        }
        at += HEAD + length;
    }
    Ok((effects, at as u64))
}

fn parse(body: &[u8]) -> Option<AppliedEffect> {
    let (fixed, rest) = body.split_at_checked(FIXED)?;
    let number = |at: usize| fixed[at..at + 8].try_into().map(u64::from_be_bytes).ok();
    let (group, effect) = rest.split_at_checked(u16::from_be_bytes([fixed[24], fixed[25]]).into())?;
    Some(AppliedEffect {
        queue_generation: number(0)?,
        group: String::from_utf8(group.to_vec()).ok()?,
        mark: Mark { epoch: number(8)?, sequence_number: number(16)? },
        effect: effect.to_vec(),
    })
}
