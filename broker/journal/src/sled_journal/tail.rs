//! The end of the store at a start: which frame is the last, and whether it may be trusted, cut, or refuses the start (H7).
//! Frames before the last are verified by replay, not here.

use std::io;

use super::chunks::{self, Assembler};
use crate::encoding::{Chain, Header};
use crate::error::{Place, ReadError};
use crate::frame::{FrameNumber, JournalId};

/// What is to be done with the end of the store.
pub(super) enum Tail {
    /// Nothing: the chain ends like this.
    Whole(Chain),
    /// The last frame is bad and nothing names it durable: its keys go, and the chain ends like this.
    Cut { frame: FrameNumber, keys: Vec<chunks::Key>, problem: String, chain: Chain },
}

/// Looks at the end. `durable` is the last frame that the side file or the mark of a clean end names.
///
/// Only the very last frame can be cut: that it exists proves that the frame before it had been acknowledged, since no
/// frame is appended before the one before it is durable.
pub(super) fn inspect(db: &sled::Db, journal: JournalId, durable: Option<FrameNumber>) -> Result<Tail, ReadError> {
    let Some(last) = last_frame(db)? else {
        return match durable {
            None => Ok(Tail::Whole(Chain::new(journal))),
            Some(durable) => Err(lost(None, durable)),
        };
    };
    if let Some(durable) = durable.filter(|durable| *durable > last) {
        return Err(lost(Some(last), durable));
    }
    let problem = match read_frame(db, journal, last) {
        Ok(header) => return Ok(Tail::Whole(ending(journal, &header))),
        Err(error @ ReadError::Io { .. }) => return Err(error),
        Err(error) if durable >= Some(last) => return Err(error),
        Err(error) => error.to_string(),
    };
    let before = FrameNumber(last.0.saturating_sub(1));
    let chain = if before.0 == 0 {
        Chain::new(journal)
    } else {
        // It was acknowledged: it must be whole, bodies included, before the one that hangs on it is cut.
        ending(journal, &read_frame(db, journal, before)?)
    };
    let mut keys = Vec::new();
    for entry in db.range(chunks::key(last, 0)..=chunks::key(last, u16::MAX)) {
        let (key, _) = entry.map_err(|error| failed(Place::Frame(last), error))?;
        keys.push(chunks::parse_key(&key).map_or([0; chunks::KEY_BYTES], |(frame, chunk)| chunks::key(frame, chunk)));
    }
    Ok(Tail::Cut { frame: last, keys, problem, chain })
}

fn ending(journal: JournalId, header: &Header) -> Chain {
    let mut chain = Chain::new(journal);
    chain.advance(header.number, header.checksum);
    chain
}

fn last_frame(db: &sled::Db) -> Result<Option<FrameNumber>, ReadError> {
    let Some((key, _)) = db.last().map_err(|error| failed(Place::Key(Vec::new()), error))? else { return Ok(None) };
    match chunks::parse_key(&key) {
        Some((frame, _)) => Ok(Some(frame)),
        None => {
            let place = Place::Key(key.to_vec());
            Err(ReadError::Damaged { place, problem: "an entry that no frame has".to_owned() })
        }
    }
}

/// Reads a whole frame and verifies every byte of it.
fn read_frame(db: &sled::Db, journal: JournalId, number: FrameNumber) -> Result<Header, ReadError> {
    let mut assembler = Assembler::keeping_all(number);
    for entry in db.range(chunks::key(number, 0)..=chunks::key(number, u16::MAX)) {
        let (key, value) = entry.map_err(|error| failed(Place::Frame(number), error))?;
        let Some((_, chunk)) = chunks::parse_key(&key) else {
            let place = Place::Key(key.to_vec());
            return Err(ReadError::Damaged { place, problem: "an entry that no frame has".to_owned() });
        };
        assembler.push(chunk, &value)?;
    }
    let (header, bytes) = assembler.finish()?;
    let problem = if header.journal != journal {
        format!("it belongs to journal {}, this one is {journal}", header.journal)
    } else if header.number != number {
        format!("it calls itself frame {}", header.number)
    } else {
        match header.verify_whole(&bytes) {
            Ok(()) => return Ok(header),
            Err(problem) => problem,
        }
    };
    Err(ReadError::Damaged { place: Place::Frame(number), problem })
}

fn lost(last: Option<FrameNumber>, durable: FrameNumber) -> ReadError {
    let place = Place::Frame(FrameNumber::after(last));
    let problem = match last {
        Some(last) => format!("the store ends with frame {last}, but frame {durable} was acknowledged"),
        None => format!("the store is empty, but frame {durable} was acknowledged"),
    };
    ReadError::Missing { place, problem }
}

fn failed(place: Place, error: sled::Error) -> ReadError {
    ReadError::Io { place, source: io::Error::from(error) }
}
