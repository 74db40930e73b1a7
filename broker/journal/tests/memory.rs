//! The memory journal lives through the stories of every journal. Nothing but that stands here.

use lockstep_journal::conformance::Subject;
use lockstep_journal::{FrameNumber, MemoryDisk, MemoryJournal, OpenError};

struct Memory(MemoryDisk);

impl Subject for Memory {
    type Journal = MemoryJournal;

    const SLACK: u64 = 1 << 20;

    fn fresh() -> Self {
        Self(MemoryDisk::new())
    }

    fn open(&self) -> Result<MemoryJournal, OpenError> {
        MemoryJournal::open(&self.0)
    }

    fn damage(&self, frame: FrameNumber, from_end: usize) {
        assert!(self.0.damage(frame, from_end), "there is no such byte");
    }

    fn damage_slice(&self, _: FrameNumber, slice: u32, from_end: usize) {
        assert!(self.0.damage_slice(slice, from_end), "there is no such byte");
    }

    fn lose(&self, frame: FrameNumber) {
        self.0.lose(frame);
    }
}

lockstep_journal::conformance_suite!(Memory);
