//! Bytes that no journal wrote: nothing panics, and nothing is taken for whole that is not, to the byte, what was
//! written. Where a checksum would hide the code behind it, the spoilt bytes are sealed anew.

use std::{fs, path::Path};

use bytes::Bytes;
use lockstep_fuzz::{Try, changed, one, tries};

use crate::checkpoint::{SLICE_HEADER_BYTES, SliceChain, SliceHeader};
use crate::directory::record::{Kind, Record};
use crate::encoding::{self, Chain, Header, header_length};
use crate::frame::{Frame, FrameNumber, JournalId, Replayed};
use crate::{Journal, SegmentsJournal, SegmentsOptions};

const ID: JournalId = JournalId([7; 16]);

fn some_bytes(chance: &mut Try) -> Bytes {
    (0..chance.usize(..60)).map(|_| chance.u8(..)).collect()
}

fn some_frame(chance: &mut Try) -> Frame {
    let bodies = (0..chance.usize(..5)).map(|_| some_bytes(chance)).collect();
    Frame { events: some_bytes(chance), bodies }
}

/// Makes the checksum right that stands at `end`, whatever is before it.
fn seal(bytes: &mut [u8], end: usize) {
    if let Some((covered, rest)) = bytes.split_at_mut_checked(end)
        && let Some(place) = rest.first_chunk_mut()
    {
        *place = crc32c::crc32c(covered).to_be_bytes();
    }
}

fn whole(bytes: &[u8]) -> Result<Header, String> {
    let header = Header::parse(bytes)?;
    header.verify_whole(bytes)?;
    Ok(header)
}

#[test]
fn a_changed_frame_is_never_whole() {
    for mut chance in tries(20_000) {
        let mut chain = Chain::new(ID);
        let frames = [(); 3].map(|()| {
            let encoded = encoding::encode(&chain, &some_frame(&mut chance)).expect("small");
            chain.advance(chain.due(), encoded.checksum);
            encoded.bytes
        });
        let mut bytes = changed(&mut chance, &frames);
        assert!(whole(&bytes).is_err() || frames.iter().any(|frame| *frame == bytes), "{bytes:?}");
        // Lies under a right checksum are lies, not panics.
        if let Ok(length) = header_length(&bytes) {
            seal(&mut bytes, length - 4);
            if let Ok(header) = whole(&bytes) {
                for index in 0..header.body_count() {
                    let (place, checksum) = header.body(index).expect("it was counted");
                    assert_eq!(crc32c::crc32c(&bytes[place]), checksum);
                }
                let _ = Chain::new(ID).follow(&header);
            }
        }
    }
}

#[test]
fn a_changed_slice_is_never_the_next_one() {
    for mut chance in tries(20_000) {
        let (covers, anchor) = (FrameNumber(chance.u64(1..)), chance.u32(..));
        let mut writing = SliceChain::to_write(ID, covers, anchor);
        let slices = [false, true].map(|last| {
            let encoded = writing.encode(&some_bytes(&mut chance), last).expect("small");
            writing.advance(encoded.checksum, last);
            encoded.bytes
        });
        let mut bytes = changed(&mut chance, &slices);
        let follow = |bytes: Vec<u8>| SliceChain::to_read(ID, covers).follow(&Bytes::from(bytes));
        assert!(follow(bytes.clone()).is_err() || slices[0] == bytes, "{bytes:?}");
        seal(&mut bytes, SLICE_HEADER_BYTES - 4);
        let _ = SliceHeader::parse(&bytes);
        let _ = follow(bytes);
    }
}

#[test]
fn a_changed_record_is_never_read() {
    const KINDS: [Kind; 5] = [Kind::Format, Kind::Clean, Kind::Acknowledged, Kind::Segment, Kind::Checkpoint];
    for mut chance in tries(50_000) {
        let kind = *one(&mut chance, &KINDS);
        let records = [(); 2].map(|()| {
            let frame = Some(FrameNumber(chance.u64(..) >> chance.u32(..64))).filter(|frame| frame.0 > 0);
            Record { journal: ID, frame }.encode(kind)
        });
        let mut bytes = changed(&mut chance, &records);
        let read = Record::parse(kind, &bytes).is_ok();
        // What follows a record in its file is not its own.
        assert!(!read || records.iter().any(|record| bytes.starts_with(record)), "{bytes:?}");
        seal(&mut bytes, 12);
        seal(&mut bytes, 40);
        let _ = Record::parse(kind, &bytes);
    }
}

/// A file of a closed journal is spoilt: the journal is refused, or gives what was written, frame for frame. Only the
/// file's own damage may be told by a reader: a frame too few never.
#[test]
fn a_journal_with_a_changed_file_is_refused_or_gives_what_was_written() {
    let options = SegmentsOptions { segment_bytes: 400, ..SegmentsOptions::default() };
    // Nothing here is about power cuts: in memory, where there is such a place, a sync costs nothing.
    let memory = Path::new("/dev/shm");
    for mut chance in tries(40) {
        let directory = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a directory");
        let path = directory.path().join("data");
        let written: Vec<_> = (0..6).map(|_| some_frame(&mut chance)).collect();
        let mut journal = SegmentsJournal::open(&path, options).expect("a new one");
        for (frame, number) in written.iter().zip(1..) {
            journal.append(FrameNumber(number), frame, &[]).expect("appended");
        }
        journal.close().expect("closed");
        let listed = fs::read_dir(path.join("segments")).expect("there").map(|entry| entry.expect("listed").path());
        let mut files: Vec<_> = listed.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
        files.sort();
        let contents: Vec<_> = files.iter().map(|file| fs::read(file).expect("read")).collect();
        let spoilt = chance.usize(..files.len());
        let bytes = changed(&mut chance, &contents[spoilt..=spoilt]);
        fs::write(&files[spoilt], bytes).expect("written");
        let Ok(journal) = SegmentsJournal::open(&path, options) else { continue };
        let events = |replayed| match replayed {
            Replayed::Frame(frame) => frame.events,
            Replayed::Slice(_) => panic!("no checkpoint was written"),
        };
        let read: Result<Vec<_>, _> = journal.replay().map(|replayed| replayed.map(events)).collect();
        if let Ok(read) = read {
            assert!(read.iter().eq(written.iter().map(|frame| &frame.events)), "{read:?} instead of {written:?}");
        }
    }
}
