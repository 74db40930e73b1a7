//! What is the segments' own: torn tails at every byte, flipped bits anywhere, the rewrite after an unclean end, a full
//! disk, space that comes back. What holds for every journal is told by the conformance suite.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::conformance::{assert_holds, sample};
use crate::error::OpenError;
use crate::frame::Position;
use crate::journal::BodyReader;

struct Bench {
    directory: tempfile::TempDir,
    segment_bytes: u64,
}

impl Bench {
    /// Segments of one or two of the sample frames below.
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), segment_bytes: 900 }
    }

    /// In memory where there is such a place: for stories of many openings, in which no sync is told of.
    fn quick(segment_bytes: u64) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        Self { directory, segment_bytes }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn options(&self) -> SegmentsOptions {
        SegmentsOptions { segment_bytes: self.segment_bytes, ..SegmentsOptions::default() }
    }

    fn open(&self) -> Result<SegmentsJournal, OpenError> {
        SegmentsJournal::open(&self.data(), self.options())
    }

    fn open_with(&self, seams: Seams) -> Result<SegmentsJournal, OpenError> {
        open::open(&self.data(), self.options(), seams)
    }

    /// Appends frames up to `last` and ends without a close.
    fn write(&self, last: u64) {
        let mut journal = self.open().unwrap();
        for number in FrameNumber::after(journal.last()).0..=last {
            journal.append(FrameNumber(number), &frame(number), &[]).unwrap();
        }
    }

    fn segments(&self) -> Vec<PathBuf> {
        let names = open::segment_names(&self.path("segments")).unwrap();
        names.into_iter().map(|first| file::path(&self.path("segments"), first)).collect()
    }

    /// What the start says, or reading any body, when it is not as it was.
    fn complaint(&self, last: u64) -> Option<String> {
        let journal = match self.open() {
            Err(error) => return Some(error.to_string()),
            Ok(journal) => journal,
        };
        if journal.last() != Some(FrameNumber(last)) {
            return Some(format!("it ends with {:?}", journal.last()));
        }
        if let Some(error) = journal.replay().find_map(Result::err) {
            return Some(error.to_string());
        }
        let reader = journal.reader();
        let mut bodies = (1..=last).flat_map(|frame| (0..2).map(move |index| (FrameNumber(frame), index)));
        bodies.find_map(|(frame, index)| reader.read(Position { frame, index }).err()).map(|error| error.to_string())
    }
}

fn frame(number: u64) -> Frame {
    sample(number, 2, 150)
}

fn frames(last: u64) -> Vec<Frame> {
    (1..=last).map(frame).collect()
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_what_was_acknowledged_stays() {
    let bench = Bench::quick(64 << 10);
    bench.write(2);
    let path = bench.segments().pop().unwrap();
    let before = fs::read(&path).unwrap();
    let end = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut journal = bench.open().unwrap();
    journal.append(FrameNumber(3), &frame(3), &[]).unwrap();
    journal.close().unwrap();
    let whole = fs::read(&path).unwrap();
    let acked = bench.path("ACKED");
    let noted = {
        fs::write(&path, &before[..end]).unwrap();
        fs::remove_file(&acked).unwrap();
        let identity = Directory::own(&bench.data(), crate::StoreKind::Segments).unwrap().identity().unwrap();
        Acknowledged::create(&acked, identity).unwrap();
        let (mut side_file, _) = Acknowledged::open(&acked, identity).unwrap();
        side_file.note_durably(Some(FrameNumber(2))).unwrap();
        fs::read(&acked).unwrap()
    };
    fs::remove_file(bench.path("CLEAN")).unwrap();
    for torn in end..whole.len() {
        for zeros in [0, 500] {
            let mut bytes = whole[..torn].to_vec();
            bytes.resize(torn + zeros, 0);
            fs::write(&path, &bytes).unwrap();
            fs::write(&acked, &noted).unwrap();
            let journal = bench.open().unwrap_or_else(|error| panic!("torn at {torn}: {error}"));
            // Trailing zeros of a body cannot be told from zeros that were never written, and are right either way.
            let last = journal.last().unwrap().0;
            assert!(last == 2 || (last == 3 && bytes[..whole.len().min(bytes.len())] == whole[..]), "torn at {torn}");
            assert_holds(&journal, &frames(last));
        }
    }
    // Nor does what a cut tail leaves behind disturb the next frame.
    let mut bytes = before[..end].to_vec();
    bytes.extend_from_slice(&[0; 300]);
    bytes.extend_from_slice(b"pages that came back out of order");
    fs::write(&path, &bytes).unwrap();
    fs::write(&acked, &noted).unwrap();
    bench.write(5);
    assert_holds(&bench.open().unwrap(), &frames(5));
}

#[test]
fn a_flipped_bit_anywhere_is_seen_and_its_place_is_named() {
    let bench = Bench::quick(900);
    bench.write(4);
    bench.open().unwrap().close().unwrap();
    let saved: Vec<(PathBuf, Vec<u8>)> =
        bench.segments().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(saved.len() >= 2, "the story wants more than one segment");
    let [clean, acked] = ["CLEAN", "ACKED"].map(|name| (bench.path(name), fs::read(bench.path(name)).unwrap()));
    for (path, bytes) in &saved {
        for bit in (0..bytes.len() * 8).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, &flipped).unwrap();
            for (path, bytes) in [&clean, &acked] {
                fs::write(path, bytes).unwrap();
            }
            let complaint = bench.complaint(4).unwrap_or_else(|| panic!("bit {bit} of {} unseen", path.display()));
            assert!(complaint.contains(path.to_str().unwrap()), "bit {bit}: {complaint}");
            assert!(bit < 44 * 8 || complaint.contains("frame "), "bit {bit}: {complaint}");
        }
        fs::write(path, bytes).unwrap();
    }
    for (path, bytes) in [&clean, &acked] {
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(bench.complaint(4), None);
}

#[test]
fn h7_after_an_unclean_end_the_last_frame_is_written_again_and_after_a_clean_one_not() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench { segment_bytes: 64 << 10, ..Bench::new() };
    bench.write(2);
    let path = bench.segments().pop().unwrap();
    durable::steps();
    drop(bench.open().unwrap());
    let steps = durable::steps();
    let rewritten = format!("rewrite {}", path.display());
    assert!(steps.contains(&rewritten), "{steps:?}");
    assert!(steps.contains(&format!("rewrite {}", bench.path("ACKED").display())), "{steps:?}");
    bench.open().unwrap().close().unwrap();
    durable::steps();
    drop(bench.open().unwrap());
    assert!(!durable::steps().iter().any(|step| step.starts_with("rewrite")));
    assert!(fs::metadata(&path).unwrap().size() >= 64 << 10, "the space is taken again");
    assert_holds(&bench.open().unwrap(), &frames(2));
}

#[test]
fn a_failed_sync_ends_all_appends_and_nothing_of_the_frame_is_read() {
    let bench = Bench::new();
    let syncs = AtomicUsize::new(0);
    let sync = move |file: &File| match syncs.fetch_add(1, Ordering::SeqCst) {
        1 => Err(io::Error::from_raw_os_error(5)),
        _ => file.sync_data(),
    };
    let mut journal = bench.open_with(Seams { sync: Box::new(sync), ..Seams::default() }).unwrap();
    journal.append(FrameNumber(1), &frame(1), &[]).unwrap();
    for number in [2, 2, 3] {
        let failed = journal.append(FrameNumber(number), &frame(number), &[]);
        let text = failed.expect_err("it failed").to_string();
        assert!(text.contains("syncing frame 2"), "{text}");
    }
    assert!(journal.reader().read(Position { frame: FrameNumber(2), index: 0 }).is_err());
    assert!(journal.close().is_err(), "a clean end after a failure");
    // The bytes are there all the same: the next start believes them only after writing them again.
    assert_holds(&bench.open().unwrap(), &frames(2));
}

#[test]
fn a_frame_is_synced_before_its_ok_and_a_new_segment_has_its_name_durably_before_its_first_frame() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    durable::steps();
    for number in 1..=4 {
        journal.append(FrameNumber(number), &frame(number), &[]).unwrap();
    }
    let segments = bench.segments();
    assert!(segments.len() >= 2);
    let synced = format!("sync {}", bench.path("segments").display());
    let count = durable::steps().iter().filter(|step| **step == synced).count();
    assert!(count >= segments.len() - 1, "a directory sync for each new segment");
}

#[test]
fn the_next_segments_space_is_taken_ahead_and_given_back_at_a_clean_end() {
    let bench = Bench { segment_bytes: 1 << 20, ..Bench::new() };
    let journal = bench.open().unwrap();
    let length = |name: &str| fs::metadata(bench.path(name)).map(|metadata| metadata.len()).ok();
    assert_eq!(length("segments/spare"), Some(1 << 20));
    assert_eq!(length("segments/00000000000000000001.seg"), Some(1 << 20));
    assert!(journal.stored_bytes() < 1_000, "what is only reserved is not stored");
    journal.close().unwrap();
    assert_eq!(length("segments/spare"), None);
    assert_eq!(length("segments/00000000000000000001.seg"), Some(44));
}

#[test]
fn h5_near_the_end_of_the_disk_space_is_taken_in_small_steps() {
    let bench = Bench { segment_bytes: 16 << 20, ..Bench::new() };
    // As if less than everything were free.
    let options = SegmentsOptions { keep_free: u64::MAX, ..bench.options() };
    let length = |name: &str| fs::metadata(bench.path(name)).map(|metadata| metadata.len()).ok();
    let taken = || length("segments/00000000000000000001.seg").unwrap();
    let mut journal = SegmentsJournal::open(&bench.data(), options).unwrap();
    assert_eq!((length("segments/spare"), taken()), (None, FIRST_OFFSET + (4 << 20)));
    let large = Frame { bodies: vec![bytes::Bytes::from(vec![7; 2 << 20])], ..frame(1) };
    for number in 1..=7 {
        journal.append(FrameNumber(number), &large, &[]).unwrap();
        assert!(taken() - journal.end().min(taken()) <= 4 << 20, "no more than a step ahead");
    }
    assert_eq!(taken(), 16 << 20, "a segment grows to its size");
    journal.append(FrameNumber(8), &large, &[]).unwrap();
    assert_eq!(length("segments/00000000000000000008.seg"), Some(FIRST_OFFSET + (4 << 20)));
    drop(journal);
    let journal = SegmentsJournal::open(&bench.data(), options).unwrap();
    assert!(journal.last() == Some(FrameNumber(8)) && journal.replay().all(|frame| frame.is_ok()));
}

#[test]
fn a_missing_segment_refuses_the_start_by_the_frame_that_is_lost() {
    for lost in [0, 1, 2] {
        let bench = Bench::new();
        bench.write(6);
        let path = bench.segments().remove(lost);
        let first = file::parse_name(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let complaint = bench.complaint(6).unwrap();
        assert!(complaint.contains(&format!("frame {first}")), "{complaint}");
    }
}

#[test]
fn a_directory_of_the_other_kind_is_refused_and_says_so() {
    let bench = Bench::new();
    bench.open().unwrap().close().unwrap();
    let refused = crate::SledJournal::open(&bench.data(), crate::SledOptions::default()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("--journal segments"), "{refused}");
    assert_eq!(crate::StoreKind::of(&bench.data()).unwrap(), Some(crate::StoreKind::Segments));
    assert!(bench.path("CLEAN").exists(), "a refused open changed something");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(crate::StoreKind::of(empty.path()).unwrap(), None);
    drop(crate::SledJournal::open(empty.path(), crate::SledOptions::default()).unwrap());
    let refused = SegmentsJournal::open(empty.path(), bench.options()).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("--journal sled"), "{refused}");
}
