//! The side file ACKED: the last frame that was acknowledged, so that a store that lost its end is seen (danger 12).
//!
//! sled drops everything after the first bad checksum of its log without a word: what is left looks whole, only shorter.
//! This file is the witness. Each append writes its number here; the write is synced every 4,096 frames or once a second,
//! whichever an append meets first, and at the end. After a kill the witness is exact; after a power cut it may be
//! behind by that much, never ahead, since a number is written only when its frame is durable.
//!
//! Two slots, at offsets 0 and 4096, each a record (see `record`). Only one slot is written between two syncs, so a torn
//! write leaves the other whole; the higher valid one counts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::durable;
use super::record::{DIRECTORY_VERSION, Kind, NoRecord, RECORD_BYTES, Record};
use crate::error::{OpenError, Place};
use crate::frame::{FrameNumber, JournalId};

const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const SYNC_EVERY_FRAMES: u64 = 4_096;
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The open side file.
pub(crate) struct Acknowledged {
    file: File,
    journal: JournalId,
    /// The slot that may be written before the next sync.
    slot: usize,
    unsynced_frames: u64,
    synced_at: Instant,
}

impl Acknowledged {
    /// Creates the file of a fresh journal: nothing acknowledged.
    pub(crate) fn create(path: &Path, journal: JournalId) -> io::Result<()> {
        Self::replace(path, journal, None)
    }

    /// Puts a file in place that names `frame`, whatever the one before named. Only for a store that is put in place.
    pub(crate) fn replace(path: &Path, journal: JournalId, frame: Option<FrameNumber>) -> io::Result<()> {
        let record = Record { journal, frame }.encode(Kind::Acknowledged);
        let mut bytes = vec![0; 8192];
        for offset in [0, 4096] {
            bytes[offset..offset + RECORD_BYTES].copy_from_slice(&record);
        }
        durable::write_atomically(path, &bytes)
    }

    /// A side file that is never read: of a journal to which nothing is appended.
    pub(crate) fn nowhere(journal: JournalId) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Self { file, journal, slot: 0, unsynced_frames: 0, synced_at: Instant::now() })
    }

    /// Opens the file and says the last frame it knows to be acknowledged.
    pub(crate) fn open(path: &Path, journal: JournalId) -> Result<(Self, Option<FrameNumber>), OpenError> {
        let damaged =
            |problem: &str| OpenError::Damaged { place: Place::File(path.to_owned()), problem: problem.to_owned() };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("it is missing")),
            Err(error) => return Err(OpenError::from_io(path, error)),
        };
        let mut best: Option<(usize, Option<FrameNumber>)> = None;
        for (slot, offset) in SLOT_OFFSETS.into_iter().enumerate() {
            let mut bytes = [0; RECORD_BYTES];
            match file.read_exact_at(&mut bytes, offset) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(OpenError::from_io(path, error)),
            }
            match Record::parse(Kind::Acknowledged, &bytes) {
                Ok(record) if record.journal != journal => return Err(damaged("it belongs to another journal")),
                Ok(record) if best.is_none_or(|(_, frame)| record.frame > frame) => best = Some((slot, record.frame)),
                Ok(_) | Err(NoRecord::Damaged(_)) => {}
                Err(NoRecord::Newer(found)) => {
                    return Err(OpenError::NewerFormat { found, known: DIRECTORY_VERSION });
                }
            }
        }
        let Some((slot, frame)) = best else { return Err(damaged("neither of its two slots is whole")) };
        let open = Self { file, journal, slot: 1 - slot, unsynced_frames: 0, synced_at: Instant::now() };
        Ok((open, frame))
    }

    /// Notes that `frame`, which is durable, is being acknowledged.
    pub(crate) fn note(&mut self, frame: FrameNumber) -> io::Result<()> {
        self.write(Some(frame))?;
        self.unsynced_frames += 1;
        if self.unsynced_frames >= SYNC_EVERY_FRAMES || self.synced_at.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn write(&self, frame: Option<FrameNumber>) -> io::Result<()> {
        let record = Record { journal: self.journal, frame };
        self.file.write_all_at(&record.encode(Kind::Acknowledged), SLOT_OFFSETS[self.slot])
    }

    /// Makes what was noted durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.unsynced_frames > 0 {
            self.slot = 1 - self.slot;
        }
        self.unsynced_frames = 0;
        self.synced_at = Instant::now();
        Ok(())
    }

    /// Notes `frame` and makes it durable at once.
    pub(crate) fn note_durably(&mut self, frame: Option<FrameNumber>) -> io::Result<()> {
        self.write(frame)?;
        self.unsynced_frames += 1;
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: JournalId = JournalId([5; 16]);

    #[test]
    fn a_torn_slot_leaves_the_other_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ACKED");
        Acknowledged::create(&path, ID).unwrap();
        let (mut open, frame) = Acknowledged::open(&path, ID).unwrap();
        assert_eq!(frame, None);
        open.note_durably(Some(FrameNumber(3))).unwrap();
        open.note(FrameNumber(4)).unwrap();
        let torn = SLOT_OFFSETS[open.slot];
        drop(open);
        assert_eq!(Acknowledged::open(&path, ID).unwrap().1, Some(FrameNumber(4)));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff; 20], torn + 20).unwrap();
        assert_eq!(Acknowledged::open(&path, ID).unwrap().1, Some(FrameNumber(3)));
        file.write_all_at(&[0xff; 4140], 0).unwrap();
        let refused = Acknowledged::open(&path, ID).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("ACKED"), "{refused}");
    }

    #[test]
    fn the_file_of_another_journal_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ACKED");
        Acknowledged::create(&path, JournalId([6; 16])).unwrap();
        assert!(matches!(Acknowledged::open(&path, ID), Err(OpenError::Damaged { .. })));
    }
}
