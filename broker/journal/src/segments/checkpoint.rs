//! A checkpoint on disk: a file of its own, written slice by slice, that gets its name only when it is whole and durable.
//! What the slices mean is not known here.
//!
//! ```text
//! offset  size  field
//!      0    44  record "LKCHKPNT" with the frame that the checkpoint covers (see `directory::record`)
//!     44        the slices (see `checkpoint` beside this folder), each after a head as a frame has it (see `record`);
//!               the file ends with the last one
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::file;
use super::record::{self, FIRST_OFFSET, HEAD_BYTES, Head};
use crate::checkpoint::SliceChain;
use crate::directory::durable;
use crate::directory::record::{Kind, NoRecord, RECORD_BYTES, Record};
use crate::encoding::Chain;
use crate::error::{OpenError, Place, ReadError};
use crate::frame::{FrameNumber, JournalId};

/// A checkpoint that is being written.
pub(super) const UNFINISHED: &str = "checkpoint.new";

/// A checkpoint that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Checkpoint {
    pub(super) path: PathBuf,
    /// What the frames after it hang on.
    pub(super) start: Chain,
    pub(super) covers: FrameNumber,
    pub(super) bytes: u64,
}

impl Checkpoint {
    /// Every slice in order, each verified; ends after the first error.
    pub(super) fn slices(&self) -> Slices {
        Slices::new(self.path.clone(), self.start.journal, self.covers)
    }
}

/// A checkpoint under way.
pub(super) struct Writing {
    pub(super) chain: SliceChain,
    folder: PathBuf,
    file: File,
    bytes: u64,
}

impl Writing {
    /// Begins the file of a checkpoint whose first slice is due in `chain`.
    pub(super) fn begin(folder: &Path, journal: JournalId, chain: SliceChain) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(folder.join(UNFINISHED))?;
        file.write_all(&Record { journal, frame: Some(chain.covers()) }.encode(Kind::Checkpoint))?;
        Ok(Self { chain, folder: folder.to_owned(), file, bytes: FIRST_OFFSET })
    }

    /// Adds a slice and makes it durable, so that no later step has much to wait for.
    pub(super) fn add(&mut self, slice: &[u8], last: bool) -> Result<(), String> {
        let encoded = self.chain.encode(slice, last)?;
        let length = u32::try_from(encoded.bytes.len()).expect("a slice is below its limit, which was checked");
        let bytes = [&record::head(length), &encoded.bytes[..]].concat();
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| format!("writing slice {}: {error}", self.chain.due()))?;
        self.chain.advance(encoded.checksum, last);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives the checkpoint its name: from here on it is valid.
    pub(super) fn finish(self) -> io::Result<Checkpoint> {
        let Self { chain, folder, file, bytes } = self;
        file.sync_all()?;
        let path = path(&folder, chain.covers());
        fs::rename(folder.join(UNFINISHED), &path)?;
        durable::sync_directory(&folder)?;
        Ok(Checkpoint { path, start: chain.anchor(), covers: chain.covers(), bytes })
    }
}

fn path(folder: &Path, covers: FrameNumber) -> PathBuf {
    folder.join(format!("{:020}.checkpoint", covers.0))
}

/// Removes what was not finished, and finds the newest checkpoint. Older ones are removed once the newest proved whole.
pub(super) fn find(folder: &Path, journal: JournalId) -> Result<Option<Checkpoint>, OpenError> {
    let failed = |error| OpenError::from_io(folder, error);
    durable::remove(&folder.join(UNFINISHED)).map_err(failed)?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "checkpoint") {
            paths.push(path);
        }
    }
    paths.sort();
    let Some(newest) = paths.pop() else { return Ok(None) };
    let checkpoint = open(&newest, journal)?;
    if !paths.is_empty() {
        for slice in checkpoint.slices() {
            slice.map_err(|error| OpenError::from_read(folder, error))?;
        }
    }
    for older in paths {
        durable::remove(&older).map_err(|error| OpenError::from_io(older, error))?;
    }
    Ok(Some(checkpoint))
}

/// Reads the header of a checkpoint, and its first slice, which names what the frames after it hang on.
fn open(found: &Path, journal: JournalId) -> Result<Checkpoint, OpenError> {
    let failed = |error| OpenError::from_io(found, error);
    let damaged = |problem: String| OpenError::Damaged { place: Place::File(found.to_owned()), problem };
    let file = File::open(found).map_err(failed)?;
    let mut header = [0; RECORD_BYTES];
    let read = file::read_up_to(&file, &mut header, 0).map_err(failed)?;
    let record = match Record::parse(Kind::Checkpoint, &header[..read]) {
        Ok(record) => record,
        Err(NoRecord::Newer(version)) => return Err(damaged(format!("a checkpoint of version {version}"))),
        Err(NoRecord::Damaged(problem)) => return Err(damaged(problem.to_owned())),
    };
    let covers = record.frame.ok_or_else(|| damaged("it covers no frame".to_owned()))?;
    if record.journal != journal {
        return Err(damaged(format!("it belongs to journal {}, this one is {journal}", record.journal)));
    }
    if found.file_name() != path(Path::new(""), covers).file_name() {
        return Err(damaged(format!("it covers frame {covers}, and is named otherwise")));
    }
    let mut slices = Slices::new(found.to_owned(), journal, covers);
    slices.slice().map_err(|error| OpenError::from_read(found, error))?;
    let bytes = file.metadata().map_err(failed)?.len();
    Ok(Checkpoint { path: found.to_owned(), start: slices.chain.anchor(), covers, bytes })
}

/// The slices of a checkpoint.
pub(super) struct Slices {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    chain: SliceChain,
    ended: bool,
}

impl Slices {
    fn new(path: PathBuf, journal: JournalId, covers: FrameNumber) -> Self {
        Self { path, file: None, offset: FIRST_OFFSET, chain: SliceChain::to_read(journal, covers), ended: false }
    }

    fn slice(&mut self) -> Result<Bytes, ReadError> {
        let place = Place::Slice { covers: self.chain.covers(), slice: self.chain.due() };
        let io = |source| ReadError::Io { place: place.clone(), source };
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path).map_err(io)?),
        };
        let whereabouts = format!("({} at byte {})", self.path.display(), self.offset);
        let damaged =
            |problem: &str| ReadError::Damaged { place: place.clone(), problem: format!("{problem} {whereabouts}") };
        let mut head = [0; HEAD_BYTES];
        let read = file::read_up_to(file, &mut head, self.offset).map_err(io)?;
        let length = match record::parse(&head) {
            Head::Frame(length) if read == HEAD_BYTES => length as usize,
            Head::Bad(problem) => return Err(damaged(problem)),
            Head::End | Head::Frame(_) => return Err(damaged("the file ends before it")),
        };
        let mut bytes = vec![0; length];
        let start = self.offset + HEAD_BYTES as u64;
        if file::read_up_to(file, &mut bytes, start).map_err(io)? < length {
            return Err(damaged("the file ends in it"));
        }
        let payload = self.chain.follow(&Bytes::from(bytes)).map_err(|problem| damaged(&problem))?;
        self.offset = start + length as u64;
        if self.chain.is_whole() && file.read_at(&mut [0], self.offset).map_err(io)? > 0 {
            return Err(damaged("something follows the last slice"));
        }
        Ok(payload)
    }
}

impl Iterator for Slices {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let slice = self.slice();
        self.ended = slice.is_err() || self.chain.is_whole();
        Some(slice)
    }
}
