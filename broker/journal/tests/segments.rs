//! The segments journal lives through the stories of every journal, in files so small that each story has many. What is
//! its own is told beside its source.

use std::fs;
use std::path::PathBuf;

use lockstep_journal::conformance::Subject;
use lockstep_journal::{FrameNumber, OpenError, SegmentsJournal, SegmentsOptions};

struct Segments {
    directory: tempfile::TempDir,
}

impl Segments {
    fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Changes the bytes of the file that holds `frame`, given where its record begins and how long the frame is.
    fn spoil(&self, frame: FrameNumber, change: impl Fn(&mut Vec<u8>, usize, usize)) {
        for entry in fs::read_dir(self.path().join("segments")).expect("the segments are there") {
            let path = entry.expect("it is listed").path();
            let mut bytes = fs::read(&path).expect("it is read");
            let mut at = 44;
            while path.extension().is_some_and(|extension| extension == "seg") && at + 8 < bytes.len() {
                let number = |from: usize, bytes: &[u8]| {
                    bytes[from..from + 8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
                };
                let length = usize::try_from(number(at, &bytes) >> 32).expect("small");
                if length == 0 {
                    break;
                }
                if number(at + 8 + 24, &bytes) == frame.0 {
                    change(&mut bytes, at, length);
                    fs::write(&path, bytes).expect("it is written");
                    return;
                }
                at += 8 + length;
            }
        }
        panic!("frame {frame} is in no segment");
    }
}

impl Subject for Segments {
    type Journal = SegmentsJournal;

    /// The segment that is being written.
    const SLACK: u64 = 4 << 20;

    fn fresh() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn open(&self) -> Result<SegmentsJournal, OpenError> {
        SegmentsJournal::open(&self.path(), SegmentsOptions { segment_bytes: 1_000, ..SegmentsOptions::default() })
    }

    fn damage(&self, frame: FrameNumber, from_end: usize) {
        self.spoil(frame, |bytes, at, length| bytes[at + 8 + length - 1 - from_end] ^= 0xff);
    }

    fn damage_slice(&self, covers: FrameNumber, slice: u32, from_end: usize) {
        let path = self.path().join(format!("segments/{:020}.checkpoint", covers.0));
        let mut bytes = fs::read(&path).expect("the checkpoint is there");
        let (mut at, mut slices) = (44, Vec::new());
        while at < bytes.len() {
            let length = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            at += 8 + usize::try_from(length).expect("small");
            slices.push(at);
        }
        bytes[slices[slice as usize] - 1 - from_end] ^= 0xff;
        fs::write(&path, bytes).expect("it is written");
    }

    fn lose(&self, frame: FrameNumber) {
        self.spoil(frame, |bytes, at, length| drop(bytes.drain(at..at + 8 + length)));
    }
}

lockstep_journal::conformance_suite!(Segments);
