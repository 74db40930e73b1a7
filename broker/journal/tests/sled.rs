//! The sled journal lives through the stories of every journal. Its own dangers are told beside its source.

use std::path::PathBuf;

use lockstep_journal::conformance::Subject;
use lockstep_journal::{FrameNumber, OpenError, SledJournal, SledOptions};

struct Sled {
    directory: tempfile::TempDir,
}

impl Sled {
    fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Changes the entries of a closed store behind the journal's back.
    fn spoil(&self, change: impl FnOnce(&sled::Db)) {
        let db = sled::Config::new()
            .path(self.path().join("journal"))
            .segment_size(8 << 20)
            .open()
            .expect("a store that no journal holds opens");
        change(&db);
        db.flush().expect("it flushes");
        drop(db);
        let log = std::fs::File::open(self.path().join("journal/db")).expect("sled's log is there");
        rustix::fs::flock(&log, rustix::fs::FlockOperation::LockExclusive).expect("sled lets go");
    }

    /// Changes a byte of the last chunk of what has this prefix.
    fn damage_last_of(&self, prefix: &[u8], from_end: usize) {
        self.spoil(|db| {
            let (key, value) = db.scan_prefix(prefix).last().expect("it is there").expect("it is read");
            let mut bytes = value.to_vec();
            let at = bytes.len() - 1 - from_end;
            bytes[at] ^= 0xff;
            db.insert(key, bytes).expect("it is stored");
        });
    }
}

/// All keys of a frame.
fn keys(frame: FrameNumber) -> Vec<u8> {
    [b"C".as_slice(), &frame.0.to_be_bytes()].concat()
}

impl Subject for Sled {
    type Journal = SledJournal;

    /// Segments of 8 MiB that wait for sled's cleaning (danger 6).
    const SLACK: u64 = 96 << 20;

    fn fresh() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn open(&self) -> Result<SledJournal, OpenError> {
        SledJournal::open(&self.path(), SledOptions::default())
    }

    fn damage(&self, frame: FrameNumber, from_end: usize) {
        self.damage_last_of(&keys(frame), from_end);
    }

    fn damage_slice(&self, covers: FrameNumber, slice: u32, from_end: usize) {
        self.damage_last_of(&[b"S".as_slice(), &covers.0.to_be_bytes(), &slice.to_be_bytes()].concat(), from_end);
    }

    fn lose(&self, frame: FrameNumber) {
        self.spoil(|db| {
            for entry in db.scan_prefix(keys(frame)) {
                db.remove(entry.expect("it is read").0).expect("it is removed");
            }
        });
    }
}

lockstep_journal::conformance_suite!(Sled);
