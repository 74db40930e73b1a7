//! Reading from the store: single bodies by their place, all frames after a checkpoint in order, and which frames
//! before it are still there. It changes nothing.

use std::sync::Arc;

use bytes::Bytes;

use super::chunks::{self, Assembler};
use super::failed;
use super::store::Shared;
use crate::encoding::{Chain, FIXED_BYTES, Header, header_length};
use crate::error::{Place, ReadError};
use crate::frame::{FrameNumber, JournalId, KeptFrame, Position, ReplayedFrame};
use crate::journal::BodyReader;
use crate::tables::Tables;

/// Reads bodies from a [`crate::SledJournal`]: of a frame only the chunks that hold its header and the body.
#[derive(Clone)]
pub struct SledReader {
    pub(super) store: Shared,
    pub(super) tables: Arc<Tables>,
}

impl BodyReader for SledReader {
    fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        let frame = position.frame;
        let place = || Place::Body(position);
        let shared = self.store.db();
        let Some(db) = shared.as_ref() else { return Err(ReadError::Closed { place: place() }) };
        let chunk = |index| db.get(chunks::key(frame, index)).map_err(|error| failed(place(), error));
        let missing = || ReadError::Missing { place: place(), problem: "no such frame".to_owned() };
        let table = self.tables.of(frame, || header_of(frame, chunk)?.ok_or_else(missing))?;
        let Some((range, checksum)) = table.body(position.index) else {
            let problem = format!("the frame has {} bodies", table.len());
            return Err(ReadError::Missing { place: place(), problem });
        };
        let body = chunks::read_range(frame, range, chunk)?;
        if crc32c::crc32c(&body) != checksum {
            return Err(ReadError::Damaged { place: place(), problem: "its checksum is wrong".to_owned() });
        }
        Ok(body)
    }
}

/// The header of a frame, where `chunk` gives one chunk of it; `None` when the frame has no first chunk.
fn header_of(
    frame: FrameNumber,
    chunk: impl Fn(u16) -> Result<Option<sled::IVec>, ReadError>,
) -> Result<Option<Header>, ReadError> {
    let damaged = |problem| ReadError::Damaged { place: Place::Header(frame), problem };
    let Some(first) = chunk(0)? else { return Ok(None) };
    let start = first.get(..FIXED_BYTES).unwrap_or(&first);
    let length = header_length(start).map_err(damaged)?;
    let header = match first.get(..length) {
        Some(header) => Header::parse(header),
        None => Header::parse(&chunks::read_range(frame, 0..length, chunk)?),
    }
    .map_err(damaged)?;
    if header.number != frame {
        return Err(damaged(format!("it calls itself frame {}", header.number)));
    }
    Ok(Some(header))
}

/// The header of a frame in the store.
pub(super) fn header_in(db: &sled::Db, frame: FrameNumber) -> Result<Option<Header>, ReadError> {
    header_of(frame, |index| db.get(chunks::key(frame, index)).map_err(|error| failed(Place::Frame(frame), error)))
}

/// The frames up to one, by their headers alone; damage is named and does not end it.
pub(super) struct Kept<'a> {
    pub(super) db: &'a sled::Db,
    pub(super) journal: JournalId,
    pub(super) next: FrameNumber,
    pub(super) up_to: FrameNumber,
}

impl Kept<'_> {
    fn frame(&self, number: FrameNumber) -> Result<KeptFrame, ReadError> {
        let chunk =
            |index| self.db.get(chunks::key(number, index)).map_err(|error| failed(Place::Frame(number), error));
        let missing = |chunk| ReadError::Missing {
            place: Place::Chunk { frame: number, chunk },
            problem: "it is not in the store".to_owned(),
        };
        let header = header_of(number, chunk)?.ok_or_else(|| missing(0))?;
        if header.journal != self.journal {
            let problem = format!("it belongs to journal {}, this one is {}", header.journal, self.journal);
            return Err(ReadError::Damaged { place: Place::Header(number), problem });
        }
        let last = u16::try_from((header.total_bytes() - 1) / chunks::CHUNK_BYTES).expect("a frame has few chunks");
        if last > 0 && chunk(last)?.is_none() {
            return Err(missing(last));
        }
        Ok(KeptFrame { number, bodies: header.body_count(), bytes: header.total_bytes() as u64 })
    }
}

impl Iterator for Kept<'_> {
    type Item = Result<KeptFrame, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = chunks::key(self.next, 0)..=chunks::key(self.up_to, u16::MAX);
        let key = match self.db.range(range).keys().next()? {
            Ok(key) => key,
            Err(error) => {
                let place = Place::Frame(self.next);
                self.next = self.up_to.next();
                return Some(Err(failed(place, error)));
            }
        };
        let Some((number, _)) = chunks::parse_key(&key) else {
            self.next = self.up_to.next();
            let place = Place::Key(key.to_vec());
            return Some(Err(ReadError::Damaged { place, problem: "an entry that no frame has".to_owned() }));
        };
        self.next = number.next();
        Some(self.frame(number))
    }
}

/// Every frame after the chain's start in order, verified; ends after the first error.
pub(super) struct Replay {
    entries: sled::Iter,
    /// The first chunk of the frame to come, already taken from the store.
    ahead: Option<(FrameNumber, u16, sled::IVec)>,
    chain: Chain,
    last: Option<FrameNumber>,
    ended: bool,
}

impl Replay {
    pub(super) fn new(db: &sled::Db, start: Chain, last: Option<FrameNumber>) -> Self {
        let from = chunks::key(start.due(), 0);
        Self {
            entries: db.range(from..=chunks::key(FrameNumber(u64::MAX), u16::MAX)),
            ahead: None,
            chain: start,
            last,
            ended: false,
        }
    }

    /// The next entry of the store, as a chunk.
    fn entry(&mut self) -> Result<Option<(FrameNumber, u16, sled::IVec)>, ReadError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let Some(entry) = self.entries.next() else { return Ok(None) };
        let (key, value) = entry.map_err(|error| failed(Place::Frame(self.chain.due()), error))?;
        match chunks::parse_key(&key) {
            Some((frame, chunk)) => Ok(Some((frame, chunk, value))),
            None => {
                let place = Place::Key(key.to_vec());
                Err(ReadError::Damaged { place, problem: "an entry that no frame has".to_owned() })
            }
        }
    }

    fn frame(&mut self) -> Result<ReplayedFrame, ReadError> {
        let due = self.chain.due();
        let mut assembler = Assembler::new(due);
        let mut found = false;
        while let Some((frame, chunk, bytes)) = self.entry()? {
            if frame != due {
                self.ahead = Some((frame, chunk, bytes));
                break;
            }
            found = true;
            assembler.push(chunk, &bytes)?;
        }
        if !found {
            return Err(self.gap(due));
        }
        let (header, kept) = assembler.finish()?;
        self.chain.follow(&header).map_err(|problem| ReadError::Damaged { place: Place::Header(due), problem })?;
        let events = kept.slice(header.events());
        header.verify_events(&events).map_err(|problem| ReadError::Damaged { place: Place::Events(due), problem })?;
        Ok(ReplayedFrame { number: due, events, bodies: header.body_count(), bytes: header.total_bytes() as u64 })
    }

    fn gap(&self, due: FrameNumber) -> ReadError {
        let problem = match &self.ahead {
            Some((frame, ..)) => format!("a gap: frame {frame} comes next"),
            None => "the store ends before it".to_owned(),
        };
        ReadError::Missing { place: Place::Frame(due), problem }
    }
}

impl Iterator for Replay {
    type Item = Result<ReplayedFrame, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || Some(self.chain.due()) > self.last {
            return None;
        }
        let frame = self.frame();
        self.ended = frame.is_err();
        Some(frame)
    }
}
