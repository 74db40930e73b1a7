//! Reading from the store: single bodies by their place, and all frames in order. It changes nothing.

use std::io;

use bytes::Bytes;

use super::chunks::{self, Assembler};
use super::store::Shared;
use crate::encoding::{Chain, FIXED_BYTES, Header, header_length};
use crate::error::{Place, ReadError};
use crate::frame::{FrameNumber, Position, ReplayedFrame};
use crate::journal::BodyReader;

/// Reads bodies from a [`crate::SledJournal`]: of a frame only the chunks that hold its header and the body.
#[derive(Clone)]
pub struct SledReader {
    pub(super) store: Shared,
}

impl BodyReader for SledReader {
    fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        let frame = position.frame;
        let place = || Place::Body(position);
        let shared = self.store.db();
        let Some(db) = shared.as_ref() else { return Err(ReadError::Closed { place: place() }) };
        let chunk = |index| db.get(chunks::key(frame, index)).map_err(|error| failed(place(), error));
        let damaged = |problem| ReadError::Damaged { place: Place::Header(frame), problem };

        let Some(first) = chunk(0)? else {
            return Err(ReadError::Missing { place: place(), problem: "no such frame".to_owned() });
        };
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
        let Some((range, checksum)) = header.body(position.index) else {
            let problem = format!("the frame has {} bodies", header.body_count());
            return Err(ReadError::Missing { place: place(), problem });
        };
        let body = chunks::read_range(frame, range, chunk)?;
        if crc32c::crc32c(&body) != checksum {
            return Err(ReadError::Damaged { place: place(), problem: "its checksum is wrong".to_owned() });
        }
        Ok(body)
    }
}

fn failed(place: Place, error: sled::Error) -> ReadError {
    ReadError::Io { place, source: io::Error::from(error) }
}

/// Every frame in order, verified; ends after the first error.
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
        Self { entries: db.iter(), ahead: None, chain: start, last, ended: false }
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
        Ok(ReplayedFrame { number: due, events, bodies: header.body_count() })
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
