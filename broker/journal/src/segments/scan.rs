//! Reading the heads and headers of one file of segments, to know where its frames lie and where it ends. Bodies and
//! events are not read. What a bad place means is judged elsewhere.

use std::fs::File;
use std::io;
use std::path::Path;

use super::file::{self, NoFrame};
use super::index::{Segment, Slot};
use super::record::{self, FIRST_OFFSET, HEAD_BYTES, Head};
use crate::directory::record::{Kind, NoRecord, RECORD_BYTES, Record};
use crate::encoding::{Chain, FIXED_BYTES, Header, header_length};
use crate::frame::{FrameNumber, JournalId};

/// How much is read at once: many small frames in one read, little waste for large ones.
const WINDOW_BYTES: usize = 128 << 10;

/// What one file holds.
pub(super) struct Scanned {
    pub(super) segment: Segment,
    /// The chain after its last good frame.
    pub(super) chain: Chain,
    /// The chain before that frame.
    pub(super) before_last: Chain,
    /// The first place that is neither a frame nor the end.
    pub(super) bad: Option<Bad>,
}

/// A place where a frame, or nothing, should be.
pub(super) struct Bad {
    pub(super) offset: u64,
    pub(super) problem: String,
}

/// Checks the header of the file: whose segment it is, and that it begins with frame `first`.
pub(super) fn check_header(
    path: &Path,
    file: &File,
    journal: JournalId,
    first: FrameNumber,
) -> io::Result<Result<(), Bad>> {
    let mut bytes = [0; RECORD_BYTES];
    let read = file::read_up_to(file, &mut bytes, 0)?;
    let problem = match Record::parse(Kind::Segment, &bytes[..read]) {
        Ok(record) if record.journal != journal => {
            format!("it belongs to journal {}, this one is {journal}", record.journal)
        }
        Ok(record) if record.frame != Some(first) => {
            let named = record.frame.map_or(0, |frame| frame.0);
            format!("it begins with frame {named}, and {} is named as if with frame {first}", path.display())
        }
        Ok(_) => return Ok(Ok(())),
        Err(NoRecord::Newer(version)) => format!("a segment of version {version}, which this version does not know"),
        Err(NoRecord::Damaged(problem)) => problem.to_owned(),
    };
    Ok(Err(Bad { offset: 0, problem }))
}

/// Goes through the records of a file. `chain` is how the frame before its first one ends; `None` after a gap, where
/// the first frame is believed about it. Up to `covered` a damaged frame is passed over: its events are not needed any
/// more, and whoever needs its bodies is told.
pub(super) fn scan(
    file: &File,
    journal: JournalId,
    first: FrameNumber,
    chain: Option<Chain>,
    covered: Option<FrameNumber>,
) -> io::Result<Scanned> {
    let file_bytes = file.metadata()?.len();
    let mut window = Window { file, bytes: Vec::new(), start: 0 };
    let mut segment = Segment::empty(FIRST_OFFSET);
    let (mut chain, mut before_last) = (chain, None);
    let bad = loop {
        let offset = segment.end;
        let due = FrameNumber(first.0 + segment.slots.len() as u64);
        let Ok(at) = u32::try_from(offset) else {
            break Some(Bad { offset, problem: "a segment beyond 4 GiB".to_owned() });
        };
        let end = match record_end(&mut window, offset, file_bytes) {
            Ok(Some(end)) => end,
            Ok(None) => break None,
            Err(NoFrame::Damaged(problem)) => break Some(Bad { offset, problem }),
            Err(NoFrame::Io(error)) => return Err(error),
        };
        let followed = match header(&mut window, offset, end) {
            Ok(header) => {
                let mut followed = chain.unwrap_or_else(|| before(journal, due, header.previous));
                before_last = Some(followed);
                followed.follow(&header).map(|()| (followed, header.body_count()))
            }
            Err(NoFrame::Damaged(problem)) => Err(problem),
            Err(NoFrame::Io(error)) => return Err(error),
        };
        match followed {
            Ok((followed, bodies)) => {
                segment.push(Slot::new(at, bodies), end);
                chain = Some(followed);
            }
            Err(_) if Some(due) <= covered => {
                segment.push(Slot::damaged(at), end);
                chain = None;
            }
            Err(problem) => break Some(Bad { offset, problem }),
        }
    };
    let chain = chain.unwrap_or_else(|| before(journal, FrameNumber(first.0 + segment.slots.len() as u64), 0));
    Ok(Scanned { segment, chain, before_last: before_last.unwrap_or(chain), bad })
}

/// The chain as it is before frame `first`, whose header names `checksum`.
pub(super) fn before(journal: JournalId, first: FrameNumber, checksum: u32) -> Chain {
    let mut chain = Chain::new(journal);
    if first > FrameNumber::FIRST {
        chain.advance(FrameNumber(first.0 - 1), checksum);
    }
    chain
}

/// Where the record at `offset` ends; `None` at the end, after which all is zero.
fn record_end(window: &mut Window<'_>, offset: u64, file_bytes: u64) -> Result<Option<u64>, NoFrame> {
    let head = window.at(offset, HEAD_BYTES)?;
    let length = match head.first_chunk::<HEAD_BYTES>().map(record::parse) {
        None | Some(Head::End) => {
            return match file::first_nonzero(window.file, offset)? {
                None => Ok(None),
                Some(at) => Err(NoFrame::Damaged(format!("something lies after the end, at byte {at}"))),
            };
        }
        Some(Head::Bad(problem)) => return Err(NoFrame::Damaged(problem.to_owned())),
        Some(Head::Frame(length)) => u64::from(length),
    };
    let start = offset + HEAD_BYTES as u64;
    if start + length > file_bytes {
        return Err(NoFrame::Damaged(format!("{} of its {length} bytes are there", file_bytes - start)));
    }
    Ok(Some(start + length))
}

/// The header of the frame whose record goes from `offset` to `end`.
fn header(window: &mut Window<'_>, offset: u64, end: u64) -> Result<Header, NoFrame> {
    let start = offset + HEAD_BYTES as u64;
    let wanted = header_length(window.at(start, FIXED_BYTES)?)?;
    let header = Header::parse(window.at(start, wanted)?)?;
    if header.total_bytes() as u64 == end - start {
        Ok(header)
    } else {
        let problem = format!("its record has {} bytes, its header names {}", end - start, header.total_bytes());
        Err(NoFrame::Damaged(problem))
    }
}

/// A part of the file in memory, moved on as the scan goes.
struct Window<'f> {
    file: &'f File,
    bytes: Vec<u8>,
    start: u64,
}

impl Window<'_> {
    /// The bytes from `offset` on: `wanted`, or fewer where the file ends.
    fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let held = self.start..self.start + self.bytes.len() as u64;
        if !held.contains(&offset) || offset + wanted as u64 > held.end {
            self.bytes.resize(wanted.max(WINDOW_BYTES), 0);
            let read = file::read_up_to(self.file, &mut self.bytes, offset)?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(self.bytes.len());
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..wanted).unwrap_or(rest))
    }
}

/// Whether a whole header of a frame after `due` lies anywhere in the file from `offset` on. No frame is written before
/// the one before it is durable, so this says that `due` was.
pub(super) fn later_frame(
    file: &File,
    journal: JournalId,
    due: FrameNumber,
    offset: u64,
) -> io::Result<Option<FrameNumber>> {
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = file::read_up_to(file, &mut bytes, offset)?;
    bytes.truncate(read);
    let found = bytes.windows(4).enumerate().filter(|(_, window)| window == b"LKJF").find_map(|(at, _)| {
        let header = Header::parse(&bytes[at..]).ok()?;
        (header.journal == journal && header.number > due).then_some(header.number)
    });
    Ok(found)
}
