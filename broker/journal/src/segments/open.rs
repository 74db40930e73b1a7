//! Opening the journal, step by step; the order of the steps is what makes a crash between any two of them harmless.
//! Nothing is appended here but the cut of a torn tail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint};
use super::index::Index;
use super::reader::Shared;
use super::record::{FIRST_OFFSET, HEAD_BYTES};
use super::room::Room;
use super::scan::{self, Scanned};
use super::{SPARE, Seams, SegmentsJournal, SegmentsOptions, file};
use crate::directory::acknowledged::Acknowledged;
use crate::directory::{CleanMark, Directory, StoreKind, durable};
use crate::encoding::{Chain, Header, MAX_FRAME_BYTES};
use crate::error::{OpenError, Place};
use crate::frame::{FrameNumber, JournalId};
use crate::watchdog::Watchdog;

/// Lock, identity, mark, side file, checkpoint, segments, tail, rewrite: in this order.
pub(super) fn open(path: &Path, options: SegmentsOptions, seams: Seams) -> Result<SegmentsJournal, OpenError> {
    let directory = Directory::own(path, StoreKind::Segments)?;
    let journal = directory.identity()?;
    let mark = directory.take_clean_mark(journal)?;
    let folder = directory.store();
    let failed = |error| OpenError::from_io(&folder, error);
    if !folder.exists() {
        directory.begin_side_file(journal)?;
        durable::create_directory(&folder).map_err(failed)?;
    } else if mark == CleanMark::Absent && directory.acknowledged().exists() {
        durable::rewrite_in_place(&directory.acknowledged()).map_err(failed)?;
    }
    let (mut acknowledged, durable) = directory.open_side_file(journal, mark)?;
    durable::remove(&folder.join(SPARE)).map_err(failed)?;
    let checkpoint = checkpoint::find(&folder, journal)?;
    let opening = Opening { folder: &folder, journal, durable, checkpoint: checkpoint.as_ref(), salvage: false };
    let Found { mut index, chain, last } = opening.segments()?;
    let (active_first, active) = match last {
        Some((first, file)) => {
            settle(&file::path(&folder, first), &file, &index, first, &chain, mark).map_err(failed)?;
            (first, file)
        }
        None => {
            let first = chain.due();
            index.add(first, super::index::Segment::empty(FIRST_OFFSET));
            (first, file::begin(&folder, journal, first).map_err(failed)?)
        }
    };
    let room = Room::open(options, &active, index.end(active_first), &folder).map_err(failed)?;
    active.sync_all().map_err(failed)?;
    durable::sync_directory(&folder).map_err(failed)?;
    directory.sync().map_err(failed)?;
    // The last frame may be one whose append was never answered: it is durable now, and acknowledged from here on.
    acknowledged.note_durably(chain.last).map_err(failed)?;
    let watchdog = Watchdog::start(options.stall_limit, seams.on_stall).map_err(failed)?;
    Ok(SegmentsJournal {
        shared: Arc::new(Shared::new(folder.clone(), index)),
        folder,
        directory,
        acknowledged,
        chain,
        active_first,
        active,
        room,
        checkpoint,
        writing: None,
        failed: None,
        watchdog,
        sync: seams.sync,
        options,
        buffer: Vec::new(),
    })
}

/// Brings the last segment to a state in which only what is durable is believed: what lay after the end is gone, and
/// after an unclean end the last frame, which no later one names durable, is written again (H7).
fn settle(
    path: &Path,
    file: &File,
    index: &Index,
    first: FrameNumber,
    chain: &Chain,
    mark: CleanMark,
) -> io::Result<()> {
    let end = index.end(first);
    // Reserved space and a cut tail go alike; zeros come back with the next reservation.
    file.set_len(end)?;
    if mark == CleanMark::Absent {
        let last = chain.last.and_then(|last| index.find(last)).filter(|(segment, _)| *segment == first);
        rewrite(file, 0, FIRST_OFFSET)?;
        if let Some((_, slot)) = last {
            rewrite(file, slot.offset(), end)?;
        }
        durable::note("rewrite", path);
    }
    file.sync_all()
}

/// After a failed sync Linux counts pages as clean that are not on the disk; the same bytes written again are dirty.
fn rewrite(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    file.write_all_at(&bytes, from)
}

/// Opens what is left of a damaged journal, up to the first frame that cannot be read; nothing is changed, nothing can be
/// appended.
pub(super) fn salvage(path: &Path, options: SegmentsOptions) -> Result<SegmentsJournal, OpenError> {
    let directory = Directory::own(path, StoreKind::Segments)?;
    let journal = directory.identity()?;
    let folder = directory.store();
    let failed = |error| OpenError::from_io(&folder, error);
    let checkpoint = checkpoint::find(&folder, journal)?;
    let opening = Opening { folder: &folder, journal, durable: None, checkpoint: checkpoint.as_ref(), salvage: true };
    let Found { index, chain, last } = opening.segments()?;
    let Some((active_first, active)) = last else {
        return Err(missing(FrameNumber::FIRST, "no segment can be read"));
    };
    let seams = Seams::default();
    Ok(SegmentsJournal {
        shared: Arc::new(Shared::new(folder.clone(), index)),
        folder: folder.clone(),
        directory,
        acknowledged: Acknowledged::nowhere(journal).map_err(failed)?,
        chain,
        active_first,
        active,
        room: Room::none(options, 0),
        checkpoint,
        writing: None,
        failed: Some("it was opened only to be salvaged".to_owned()),
        watchdog: Watchdog::start(options.stall_limit, seams.on_stall).map_err(failed)?,
        sync: seams.sync,
        options,
        buffer: Vec::new(),
    })
}

struct Opening<'a> {
    folder: &'a Path,
    journal: JournalId,
    /// The last frame that the side file or the mark of a clean end names.
    durable: Option<FrameNumber>,
    checkpoint: Option<&'a Checkpoint>,
    /// Whether the first doubt ends the journal instead of refusing it.
    salvage: bool,
}

/// What the segments hold.
struct Found {
    index: Index,
    chain: Chain,
    /// The last segment, open for writing.
    last: Option<(FrameNumber, File)>,
}

impl Opening<'_> {
    fn segments(&self) -> Result<Found, OpenError> {
        let covers = self.checkpoint.map(|checkpoint| checkpoint.covers);
        let start = self.checkpoint.map_or(Chain::new(self.journal), |checkpoint| checkpoint.start);
        let mut found = Found { index: Index::default(), chain: Chain::new(self.journal), last: None };
        let names = segment_names(self.folder).map_err(|error| OpenError::from_io(self.folder, error))?;
        let count = names.len();
        if names.is_empty() {
            found.chain = start;
        }
        for (at, first) in names.into_iter().enumerate() {
            let due = found.chain.due();
            // What follows the checkpoint hangs on it, whatever of the covered frames is still there.
            let chain = if first == start.due() { Some(start) } else { (first == due).then_some(found.chain) };
            if first < due || first > due && FrameNumber(first.0 - 1) > covers.unwrap_or(FrameNumber(0)) {
                if self.salvage && found.last.is_some() {
                    return Ok(found);
                }
                return Err(missing(due, &format!("the next segment begins with frame {first}")));
            }
            let path = file::path(self.folder, first);
            let failed = |error| OpenError::from_io(&path, error);
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
            let here = Here { path: &path, file: &file, first, is_last: at + 1 == count };
            let (scanned, doubted) = match self.scan(&here, chain) {
                Err(OpenError::Damaged { .. }) if self.salvage && found.last.is_some() => return Ok(found),
                other => other?,
            };
            found.chain = scanned.chain;
            found.index.add(first, scanned.segment);
            found.last = Some((first, file));
            if doubted && self.salvage {
                return Ok(found);
            }
        }
        let last = found.chain.last;
        match self.durable.max(covers) {
            Some(durable) if Some(durable) > last => {
                let due = FrameNumber::after(last);
                Err(missing(due, &format!("the segments end before it, but frame {durable} was acknowledged")))
            }
            _ => Ok(found),
        }
    }

    /// One file: its frames, and in the last one where it ends.
    /// The second value says that it does not end as it should.
    fn scan(&self, here: &Here<'_>, chain: Option<Chain>) -> Result<(Scanned, bool), OpenError> {
        let failed = |error| OpenError::from_io(here.path, error);
        if let Err(bad) = scan::check_header(here.path, here.file, self.journal, here.first).map_err(failed)? {
            let place = Place::File(here.path.to_owned());
            return Err(OpenError::Damaged { place, problem: format!("its header: {}", bad.problem) });
        }
        let covered = self.checkpoint.map(|checkpoint| checkpoint.covers);
        let mut scanned = scan::scan(here.file, self.journal, here.first, chain, covered).map_err(failed)?;
        if let Some(bad) = scanned.bad.take() {
            let due = scanned.chain.due();
            self.may_cut(here, due, bad.offset, &bad.problem)?;
            return Ok((scanned, true));
        }
        if here.is_last && !self.salvage && scanned.chain.last > self.durable {
            self.verify_last(here, &mut scanned)?;
        }
        Ok((scanned, false))
    }

    /// The last frame, when nothing names it durable, is believed only whole; else it is cut.
    fn verify_last(&self, here: &Here<'_>, scanned: &mut Scanned) -> Result<(), OpenError> {
        let failed = |error| OpenError::from_io(here.path, error);
        let end = scanned.segment.end;
        let Some(offset) = scanned.segment.pop() else { return Ok(()) };
        let start = offset + HEAD_BYTES as u64;
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(MAX_FRAME_BYTES)];
        here.file.read_exact_at(&mut bytes, start).map_err(failed)?;
        match Header::parse(&bytes).and_then(|header| header.verify_whole(&bytes).map(|()| header)) {
            Ok(header) => {
                let slot = super::index::Slot::new(u32::try_from(offset).unwrap_or(u32::MAX), header.body_count());
                scanned.segment.push(slot, end);
            }
            Err(problem) => {
                scanned.chain = scanned.before_last;
                self.may_cut(here, scanned.chain.due(), offset, &problem)?;
            }
        }
        Ok(())
    }

    /// A bad place is cut only where nothing says that the frame there was durable: it is in the last segment, neither
    /// the side file nor the mark names the frame, and no later frame lies behind it (H7).
    fn may_cut(&self, here: &Here<'_>, due: FrameNumber, offset: u64, problem: &str) -> Result<(), OpenError> {
        if self.salvage {
            return Ok(());
        }
        let later = scan::later_frame(here.file, self.journal, due, offset)
            .map_err(|error| OpenError::from_io(here.path, error))?;
        let known = match later {
            Some(later) => Some(format!("frame {later} follows")),
            None if !here.is_last => Some("another segment follows".to_owned()),
            None if self.durable >= Some(due) => Some("it was acknowledged".to_owned()),
            None => None,
        };
        let path = here.path.display();
        match known {
            None => {
                tracing::warn!(frame = %due, file = %path, offset, problem, "a bad tail that was never acknowledged is cut");
                Ok(())
            }
            Some(known) => Err(OpenError::Damaged {
                place: Place::Header(due),
                problem: format!("{problem} ({path} at byte {offset}); {known}"),
            }),
        }
    }
}

/// One file of segments while it is opened.
struct Here<'a> {
    path: &'a Path,
    file: &'a File,
    first: FrameNumber,
    is_last: bool,
}

fn missing(frame: FrameNumber, problem: &str) -> OpenError {
    OpenError::Damaged { place: Place::Frame(frame), problem: format!("missing: {problem}") }
}

/// The first frames of all segments, in order.
pub(super) fn segment_names(folder: &Path) -> io::Result<Vec<FrameNumber>> {
    let paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    let mut names: Vec<FrameNumber> = paths.iter().filter_map(|path| file::parse_name(path)).collect();
    names.sort();
    Ok(names)
}
