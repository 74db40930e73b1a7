//! Where the bodies of frames lie, remembered: a header names all bodies of its frame, and reading one body must not cost
//! reading and checking all of a header again. Bounded; what a frame holds never changes, so nothing here is ever wrong.
//! Whether the frame is still there is its journal's to know.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::encoding::Header;
use crate::frame::FrameNumber;

/// So many bodies are remembered in all, at eight bytes each.
const MOST_BODIES: usize = 1 << 20;

/// The bodies of one frame: where each ends, and its checksum.
#[derive(Debug)]
pub(crate) struct Table {
    start: u32,
    bodies: Vec<(u32, u32)>,
}

impl Table {
    fn of(header: &Header) -> Self {
        let start = header.events().end;
        let mut end = u32::try_from(start).expect("a frame is far smaller than 4 GiB");
        let start = end;
        let bodies = header.bodies.iter().map(|entry| {
            end += entry.bytes;
            (end, entry.checksum)
        });
        Self { start, bodies: bodies.collect() }
    }

    /// Where a body lies in the frame, and its checksum; `None` when the frame has no such body.
    pub(crate) fn body(&self, index: u32) -> Option<(Range<usize>, u32)> {
        let index = index as usize;
        let (end, checksum) = *self.bodies.get(index)?;
        let start = index.checked_sub(1).map_or(self.start, |before| self.bodies[before].0);
        Some((start as usize..end as usize, checksum))
    }

    /// How many bodies the frame has.
    pub(crate) fn len(&self) -> usize {
        self.bodies.len()
    }
}

/// The tables of the frames that were read lately.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    tables: BTreeMap<FrameNumber, Arc<Table>>,
    order: VecDeque<FrameNumber>,
    bodies: usize,
}

impl Tables {
    /// The table of a frame, from its header where it is not remembered.
    pub(crate) fn of<E>(
        &self,
        frame: FrameNumber,
        header: impl FnOnce() -> Result<Header, E>,
    ) -> Result<Arc<Table>, E> {
        if let Some(table) = self.lock(|remembered| remembered.tables.get(&frame).cloned()) {
            return Ok(table);
        }
        let table = Arc::new(Table::of(&header()?));
        self.lock(|remembered| remembered.insert(frame, Arc::clone(&table)));
        Ok(table)
    }

    fn lock<T>(&self, with: impl FnOnce(&mut Remembered) -> T) -> T {
        // Only ever whole: nothing between its statements can panic but an allocation.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Remembered {
    fn insert(&mut self, frame: FrameNumber, table: Arc<Table>) {
        self.bodies += table.len();
        if let Some(same) = self.tables.insert(frame, table) {
            // Two read it at the same time.
            self.bodies -= same.len();
            return;
        }
        self.order.push_back(frame);
        while self.bodies > MOST_BODIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.bodies -= self.tables.remove(&oldest).map_or(0, |table| table.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::encoding::{Chain, encode};
    use crate::frame::{Frame, JournalId};

    #[test]
    fn a_table_says_what_its_header_says_and_is_asked_for_once() {
        let bodies = [&b"one"[..], b"", b"three"].map(Bytes::from_static).to_vec();
        let frame = Frame { events: Bytes::from_static(b"events"), bodies };
        let encoded = encode(&Chain::new(JournalId([7; 16])), &frame).unwrap();
        let header = Header::parse(&encoded.bytes).unwrap();
        let tables = Tables::default();
        let table = tables.of(FrameNumber(1), || Ok::<_, ()>(header.clone())).unwrap();
        for index in 0..4 {
            assert_eq!(table.body(index), header.body(index));
        }
        assert!(tables.of(FrameNumber(1), || Err(())).is_ok());
        assert!(tables.of(FrameNumber(2), || Err(())).is_err());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut remembered = Remembered::default();
        let table = || Arc::new(Table { start: 0, bodies: vec![(1, 1); MOST_BODIES / 2] });
        for frame in 1..=3 {
            remembered.insert(FrameNumber(frame), table());
        }
        remembered.insert(FrameNumber(3), table());
        assert_eq!(remembered.tables.keys().copied().collect::<Vec<_>>(), [FrameNumber(2), FrameNumber(3)]);
        assert_eq!(remembered.bodies, MOST_BODIES / 2 * 2);
    }
}
