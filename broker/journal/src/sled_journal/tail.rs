//! The end of the store at a start: which frame is the last, and whether it may be trusted, cut, or refuses the start (H7).
//! Frames before the last are verified by replay, not here.

use super::chunks::{self, Assembler};
use super::{failed, slices};
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

/// Looks at the end. `start` is the chain at the whole checkpoint, or the beginning; `durable` is the last frame that the
/// side file or the mark of a clean end names.
///
/// Only the very last frame can be cut: that it exists proves that the frame before it had been acknowledged, since no
/// frame is appended before the one before it is durable.
pub(super) fn inspect(db: &sled::Db, start: Chain, durable: Option<FrameNumber>) -> Result<Tail, ReadError> {
    refuse_strangers(db)?;
    let last = last_frame(db)?.max(start.last);
    if let Some(durable) = durable.filter(|durable| Some(*durable) > last) {
        return Err(lost(last, durable));
    }
    let Some(last) = last.filter(|last| Some(*last) > start.last) else { return Ok(Tail::Whole(start)) };
    let problem = match read_frame(db, start.journal, last) {
        Ok(header) => return Ok(Tail::Whole(ending(start.journal, &header))),
        Err(error @ ReadError::Io { .. }) => return Err(error),
        Err(error) if durable >= Some(last) => return Err(error),
        Err(error) => error.to_string(),
    };
    let before = FrameNumber(last.0.saturating_sub(1));
    let chain = if before == start.last.unwrap_or(FrameNumber(0)) {
        start
    } else {
        // It was acknowledged: it must be whole, bodies included, before the one that hangs on it is cut.
        ending(start.journal, &read_frame(db, start.journal, before)?)
    };
    let mut keys = Vec::new();
    for key in db.range(chunks::keys_of(last)).keys() {
        let key = key.map_err(|error| failed(Place::Frame(last), error))?;
        keys.push(chunks::parse_key(&key).map_or([0; chunks::KEY_BYTES], |(frame, chunk)| chunks::key(frame, chunk)));
    }
    Ok(Tail::Cut { frame: last, keys, problem, chain })
}

/// The end as far as there are keys of frames, whole or not: for a replay that stops at the first doubt.
pub(super) fn left(db: &sled::Db, start: Chain) -> Result<Chain, ReadError> {
    let last = last_frame(db)?;
    Ok(if last > start.last { Chain { last, ..start } } else { start })
}

fn ending(journal: JournalId, header: &Header) -> Chain {
    let mut chain = Chain::new(journal);
    chain.advance(header.number, header.checksum);
    chain
}

/// An entry that is neither a frame's nor a checkpoint's is not ours: nothing is known about such a store.
fn refuse_strangers(db: &sled::Db) -> Result<(), ReadError> {
    let stranger = |found: Option<Result<sled::IVec, sled::Error>>| match found {
        None => Ok(()),
        Some(Err(error)) => Err(failed(Place::Key(Vec::new()), error)),
        Some(Ok(key)) => {
            let place = Place::Key(key.to_vec());
            Err(ReadError::Damaged { place, problem: "an entry that neither a frame nor a checkpoint has".to_owned() })
        }
    };
    let after_mark = [slices::MARK, &[0]].concat();
    stranger(db.range(..[chunks::FRAMES]).keys().next())?;
    stranger(db.range([chunks::FRAMES + 1].as_slice()..slices::MARK).keys().next())?;
    stranger(db.range(after_mark.as_slice()..&[slices::SLICES]).keys().next())?;
    stranger(db.range([slices::SLICES + 1]..).keys().next())
}

fn last_frame(db: &sled::Db) -> Result<Option<FrameNumber>, ReadError> {
    let found = db.scan_prefix([chunks::FRAMES]).keys().next_back();
    let Some(key) = found.transpose().map_err(|error| failed(Place::Key(Vec::new()), error))? else { return Ok(None) };
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
    for entry in db.range(chunks::keys_of(number)) {
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
