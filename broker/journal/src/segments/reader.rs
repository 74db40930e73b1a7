//! Reading frames and bodies out of the segments, from any thread, while frames are appended. It changes nothing.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::file::{self, NoFrame};
use super::index::{Found, Index};
use crate::encoding::{Chain, Header};
use crate::error::{Place, ReadError};
use crate::frame::{FrameNumber, Position, ReplayedFrame};
use crate::journal::BodyReader;
use crate::tables::Tables;

/// How many files the readers keep open; a backlog may have many more.
const OPEN_FILES: usize = 64;

/// What the journal and its readers share: the index, empty once the journal ended, and the files that are open.
pub(super) struct Shared {
    folder: PathBuf,
    index: RwLock<Option<Index>>,
    files: Mutex<Vec<(FrameNumber, Arc<File>)>>,
    tables: Tables,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, index: Index) -> Self {
        Self { folder, index: RwLock::new(Some(index)), files: Mutex::default(), tables: Tables::default() }
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Option<Index>> {
        // Each change under the lock leaves the index whole; a panic elsewhere cannot have broken it.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Option<Index>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on readers are told that the journal is closed.
    pub(super) fn close(&self) {
        *self.index_mut() = None;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The segment was removed.
    pub(super) fn forget(&self, first: FrameNumber) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|(open, _)| *open != first);
    }

    /// The file of a segment; the one not asked for the longest is closed for it.
    pub(super) fn file(&self, first: FrameNumber) -> io::Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match files.iter().position(|(open, _)| *open == first) {
            Some(at) => files.remove(at),
            None => (first, Arc::new(File::open(file::path(&self.folder, first))?)),
        };
        if files.len() >= OPEN_FILES {
            files.remove(0);
        }
        let file = Arc::clone(&found.1);
        files.push(found);
        Ok(file)
    }

    /// In words, where a frame lies.
    fn whereabouts(&self, (first, slot): Found) -> String {
        format!("{} at byte {}", file::path(&self.folder, first).display(), slot.offset())
    }

    /// Where a frame lies, and its open file: it can be read from then on even if the segment is removed meanwhile, and
    /// no append waits for the reading.
    fn find(&self, frame: FrameNumber, place: &Place) -> Result<(Found, Arc<File>), ReadError> {
        let index = self.index();
        let Some(index) = index.as_ref() else { return Err(ReadError::Closed { place: place.clone() }) };
        let Some(found) = index.find(frame) else {
            return Err(ReadError::Missing { place: place.clone(), problem: "no such frame".to_owned() });
        };
        match self.file(found.0) {
            Ok(file) => Ok((found, file)),
            Err(source) => Err(ReadError::Io { place: place.clone(), source }),
        }
    }

    fn header(&self, found: Found, file: &File, place: &Place, frame: FrameNumber) -> Result<Header, ReadError> {
        match file::read_header(file, found.1.offset()) {
            Ok(header) if header.number == frame => Ok(header),
            Ok(header) => Err(self.damaged(found, frame, &format!("it calls itself frame {}", header.number))),
            Err(NoFrame::Damaged(problem)) => Err(self.damaged(found, frame, &problem)),
            Err(NoFrame::Io(source)) => Err(ReadError::Io { place: place.clone(), source }),
        }
    }

    fn damaged(&self, found: Found, frame: FrameNumber, problem: &str) -> ReadError {
        let problem = format!("{problem} ({})", self.whereabouts(found));
        ReadError::Damaged { place: Place::Header(frame), problem }
    }

    /// A part of a frame, whose checksum is still to be verified.
    fn part(
        &self,
        found: Found,
        file: &File,
        part: &std::ops::Range<usize>,
        place: &Place,
    ) -> Result<Bytes, ReadError> {
        match file::read_part(file, found.1.offset(), part) {
            Ok(Some(bytes)) => Ok(Bytes::from(bytes)),
            Ok(None) => {
                let problem = format!("the file ends before it ({})", self.whereabouts(found));
                Err(ReadError::Missing { place: place.clone(), problem })
            }
            Err(source) => Err(ReadError::Io { place: place.clone(), source }),
        }
    }

    /// The frame that is due in `chain`, its header and events verified.
    pub(super) fn replay(&self, chain: &mut Chain) -> Result<ReplayedFrame, ReadError> {
        let due = chain.due();
        let place = Place::Frame(due);
        let (found, file) = self.find(due, &place)?;
        let header = self.header(found, &file, &place, due)?;
        chain.follow(&header).map_err(|problem| self.damaged(found, due, &problem))?;
        let place = Place::Events(due);
        let events = self.part(found, &file, &header.events(), &place)?;
        match header.verify_events(&events) {
            Ok(()) => Ok(ReplayedFrame {
                number: due,
                events,
                bodies: header.body_count(),
                bytes: header.total_bytes() as u64,
            }),
            Err(problem) => {
                Err(ReadError::Damaged { place, problem: format!("{problem} ({})", self.whereabouts(found)) })
            }
        }
    }

    /// The checksum of a frame's header, on which the next one hangs.
    pub(super) fn checksum(&self, frame: FrameNumber) -> Result<u32, ReadError> {
        let place = Place::Header(frame);
        let (found, file) = self.find(frame, &place)?;
        self.header(found, &file, &place, frame).map(|header| header.checksum)
    }
}

/// Reads bodies from a [`crate::SegmentsJournal`]: of a frame only its header and the body.
#[derive(Clone)]
pub struct SegmentsReader {
    pub(super) shared: Arc<Shared>,
}

impl BodyReader for SegmentsReader {
    fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        let frame = position.frame;
        let place = Place::Body(position);
        let (found, file) = self.shared.find(frame, &place)?;
        let table = self.shared.tables.of(frame, || self.shared.header(found, &file, &place, frame))?;
        let Some((range, checksum)) = table.body(position.index) else {
            let problem = format!("the frame has {} bodies", table.len());
            return Err(ReadError::Missing { place, problem });
        };
        let body = self.shared.part(found, &file, &range, &place)?;
        if crc32c::crc32c(&body) == checksum {
            return Ok(body);
        }
        let problem = format!("its checksum is wrong ({})", self.shared.whereabouts(found));
        Err(ReadError::Damaged { place, problem })
    }
}
