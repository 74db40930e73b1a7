//! The dangers of sled 0.34 and the hard cases of an unclean end, one test each, named after them. What holds for every
//! journal is told by the conformance suite; what only a power cut shows cannot be told here.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::conformance::{assert_holds, sample};
use crate::directory::durable;
use crate::directory::record::{DIRECTORY_VERSION, Kind, Record};
use crate::error::Place;
use crate::frame::Position;
use crate::journal::BodyReader;

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn open_with(&self, seams: Seams) -> Result<SledJournal, OpenError> {
        let options = SledOptions { stall_limit: Duration::from_millis(200) };
        open::open(&self.data(), options, seams)
    }

    fn open(&self) -> Result<SledJournal, OpenError> {
        SledJournal::open(&self.data(), SledOptions::default())
    }

    /// Appends frames up to `last` and ends without a close.
    fn write(&self, last: u64) {
        let mut journal = self.open().unwrap();
        for number in FrameNumber::after(journal.last()).0..=last {
            journal.append(FrameNumber(number), &sample(number, 2, 5_000), &[]).unwrap();
        }
    }

    fn refusal(&self) -> String {
        match self.open() {
            Err(error) => error.to_string(),
            Ok(journal) => journal.replay().find_map(Result::err).expect("the start is refused").to_string(),
        }
    }

    /// The steps of an open, with paths as they are below the data directory.
    fn steps_of_open(&self) -> Vec<String> {
        durable::steps();
        drop(self.open().unwrap());
        let root = format!("{}/", self.data().display());
        durable::steps().iter().map(|step| step.replace(&root, "")).collect()
    }
}

fn frames(last: u64) -> Vec<Frame> {
    (1..=last).map(|number| sample(number, 2, 5_000)).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn danger_1_ok_waits_for_our_own_sync_of_the_flushed_log() {
    let bench = Bench::new();
    let syncs = Arc::new(AtomicUsize::new(0));
    let (seen, log) = (Arc::clone(&syncs), bench.path("journal/db"));
    let sync = move |file: &File| {
        let number = seen.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        let body = &sample(number, 2, 5_000).bodies[1];
        assert!(contains(&fs::read(&log)?, body), "frame {number} is not in the file that is synced");
        file.sync_data()
    };
    let mut journal = bench.open_with(Seams { sync: Box::new(sync), ..Seams::default() }).unwrap();
    for number in 1..=3 {
        journal.append(FrameNumber(number), &sample(number, 2, 5_000), &[]).unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst) as u64, number, "one sync for each frame, before its Ok");
    }
}

#[test]
fn danger_1_and_10_a_failed_sync_ends_all_appends_and_sled_is_never_dropped() {
    let bench = Bench::new();
    let mut left = 2;
    let sync = move |file: &File| {
        left -= 1;
        if left == 0 { Err(io::Error::from_raw_os_error(5)) } else { file.sync_data() }
    };
    let mut journal = bench.open_with(Seams { sync: Box::new(sync), ..Seams::default() }).unwrap();
    journal.append(FrameNumber(1), &sample(1, 1, 10), &[]).unwrap();
    for number in [2, 2, 3] {
        let failed = journal.append(FrameNumber(number), &sample(number, 1, 10), &[]);
        assert!(
            matches!(&failed, Err(AppendError::Failed(reason)) if reason.contains("syncing frame 2")),
            "{failed:?}"
        );
    }
    assert_eq!(journal.last(), Some(FrameNumber(1)));
    let reader = journal.reader();
    reader.read(Position { frame: FrameNumber(1), index: 0 }).unwrap();
    drop(reader);
    assert!(journal.close().is_err());
    // Still held: sled lives on in this process, and nobody may open the files beside it.
    assert!(matches!(bench.open(), Err(OpenError::InUse { .. })));
    let log = File::open(bench.path("journal/db")).unwrap();
    assert!(rustix::fs::flock(&log, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err());
}

#[test]
fn danger_2_after_each_open_every_file_and_name_of_the_store_is_synced() {
    let bench = Bench::new();
    for round in 0..2 {
        let steps = bench.steps_of_open();
        let opened = steps.iter().rposition(|step| step == "open journal").unwrap_or(0);
        for name in ["journal/conf", "journal/db", "journal", "journal/blobs"] {
            let synced = format!("sync {name}");
            let at = steps.iter().rposition(|step| *step == synced);
            assert!(at > Some(opened), "round {round}: {name} in {steps:?}");
        }
        assert!(steps[opened..].iter().any(|step| step.starts_with("sync journal/snap.")), "{steps:?}");
        let directory = bench.data();
        for name in [directory.as_path(), bench.directory.path()] {
            let synced = format!("sync {}", name.display());
            assert!(steps[opened..].contains(&synced), "round {round}: {synced} in {steps:?}");
        }
    }
}

#[test]
fn danger_3_a_half_written_snapshot_is_removed_under_the_lock() {
    let bench = Bench::new();
    bench.write(3);
    let half = bench.path("journal/snap.00000000FFFFFFFF.generating");
    fs::write(&half, b"").unwrap();
    assert!(store::configuration(&bench.path("journal")).open().is_err(), "sled got better: is this still needed?");
    let journal = bench.open().unwrap();
    assert!(!half.exists());
    assert_holds(&journal, &frames(3));
    // A live one of the owner is not touched by a second process.
    fs::write(&half, b"").unwrap();
    assert!(matches!(bench.open(), Err(OpenError::InUse { .. })));
    assert!(half.exists());
}

#[test]
fn danger_4_no_blob_file_is_ever_written_or_tolerated() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    for number in 1..=12 {
        let frame = if number % 3 == 0 { sample(number, 1, 1 << 20) } else { sample(number, 30, 65_000) };
        journal.append(FrameNumber(number), &frame, &[]).unwrap();
    }
    assert_eq!(fs::read_dir(bench.path("journal/blobs")).unwrap().count(), 0);
    fs::write(bench.path("journal/blobs/1"), b"").unwrap();
    let failed = journal.append(FrameNumber(13), &sample(13, 1, 10), &[]);
    assert!(matches!(&failed, Err(AppendError::Failed(reason)) if reason.contains("blob")), "{failed:?}");

    let bench = Bench::new();
    bench.write(1);
    fs::write(bench.path("journal/blobs/1"), b"").unwrap();
    let refused = bench.refusal();
    assert!(refused.contains("blobs"), "{refused}");
}

#[test]
fn danger_5_7_8_sled_cleans_in_a_rhythm_with_a_small_cache_and_no_compression() {
    let bench = Bench::new();
    let configuration = store::configuration(&bench.path("journal"));
    assert_eq!(configuration.flush_every_ms, Some(250));
    assert_eq!(configuration.cache_capacity, 32 << 20);
    assert_eq!(configuration.segment_size, 8 << 20);
    assert!(!configuration.use_compression);
}

#[test]
fn danger_9_an_append_without_end_is_ended_by_the_watchdog() {
    let bench = Bench::new();
    let (stalled, reasons) = mpsc::channel();
    let (answer, released) = mpsc::channel();
    let sync = move |file: &File| {
        // The disk answers only after the watchdog has spoken.
        let reason: String = reasons.recv().expect("the watchdog speaks");
        answer.send(reason).expect("the test listens");
        file.sync_data()
    };
    let seams = Seams {
        sync: Box::new(sync),
        on_stall: Box::new(move |reason| stalled.send(reason.to_owned()).expect("the disk waits")),
    };
    let mut journal = bench.open_with(seams).unwrap();
    journal.append(FrameNumber(1), &sample(1, 1, 10), &[]).unwrap();
    assert_eq!(released.recv().unwrap(), "the append of frame 1 took longer than 200 ms");
}

#[test]
fn danger_12_a_log_that_sled_cut_silently_refuses_the_start() {
    let bench = Bench::new();
    bench.write(20);
    let log = bench.path("journal/db");
    let bytes = fs::read(&log).unwrap();
    let body = sample(9, 2, 5_000).bodies[0].clone();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    let mut flipped = 0;
    for at in 0..bytes.len() - body.len() {
        if bytes[at..at + body.len()] == body {
            file.write_all_at(&[!bytes[at + 77]], at as u64 + 77).unwrap();
            flipped += 1;
        }
    }
    assert!(flipped > 0);
    let refused = bench.refusal();
    assert!(refused.contains("acknowledged") || refused.contains("frame 9"), "{refused}");
}

#[test]
fn h7_an_unclean_end_rewrites_every_file_before_sled_opens_and_a_clean_one_none() {
    let bench = Bench::new();
    bench.write(3);
    let steps = bench.steps_of_open();
    let opened = steps.iter().position(|step| step == "open journal").unwrap();
    for name in ["rewrite journal/db", "rewrite journal/conf", "rewrite ACKED"] {
        let at = steps.iter().position(|step| step == name);
        assert!(at.is_some_and(|at| at < opened), "{name} in {steps:?}");
    }
    bench.open().unwrap().close().unwrap();
    assert!(bench.path("CLEAN").exists());
    let steps = bench.steps_of_open();
    assert!(!steps.iter().any(|step| step.starts_with("rewrite")), "{steps:?}");
    let opened = steps.iter().position(|step| step == "open journal").unwrap();
    let removed = steps.iter().position(|step| step == "remove CLEAN").unwrap();
    let synced = format!("sync {}", bench.data().display());
    assert!(removed < opened && steps[removed..opened].contains(&synced), "{steps:?}");
    // That open ended without a close: the next one rewrites again.
    assert!(bench.steps_of_open().iter().any(|step| step == "rewrite journal/db"));
    assert_holds(&bench.open().unwrap(), &frames(3));
}

#[test]
fn h7_the_clean_mark_names_the_last_frame_durable() {
    let bench = Bench::new();
    bench.write(2);
    let journal = bench.open().unwrap();
    let identity = journal.identity();
    journal.close().unwrap();
    let record = Record { journal: identity, frame: Some(FrameNumber(3)) };
    fs::write(bench.path("CLEAN"), record.encode(Kind::Clean)).unwrap();
    let refused = bench.refusal();
    assert!(refused.contains("frame 3 was acknowledged"), "{refused}");
}

#[test]
fn the_side_file_follows_each_append_and_is_exact_after_a_kill() {
    let bench = Bench::new();
    let mut journal = bench.open().unwrap();
    for number in 1..=5 {
        journal.append(FrameNumber(number), &sample(number, 1, 10), &[]).unwrap();
        let (_, noted) = Acknowledged::open(&bench.path("ACKED"), journal.identity()).unwrap();
        assert_eq!(noted, Some(FrameNumber(number)));
    }
}

#[test]
fn a_newer_directory_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    bench.open().unwrap().close().unwrap();
    let record = Record { journal: JournalId([1; 16]), frame: None };
    fs::write(bench.path("FORMAT"), record.encode_version(Kind::Format, 7)).unwrap();
    assert!(matches!(bench.open(), Err(OpenError::NewerFormat { found: 7, known: DIRECTORY_VERSION })));
    assert!(bench.path("CLEAN").exists(), "a refused open changed something");
}

#[test]
fn a_file_that_is_missing_beside_a_journal_refuses_the_start_by_its_name() {
    for name in ["FORMAT", "ACKED", "journal"] {
        let bench = Bench::new();
        bench.write(2);
        let path = bench.path(name);
        fs::rename(&path, bench.directory.path().join("aside")).unwrap();
        let error = bench.open().map(|_| ()).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { place: Place::File(file), .. } if *file == path), "{error}");
    }
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let bench = Bench::new();
    bench.open().unwrap().close().unwrap();
    fs::rename(bench.path("journal"), bench.path("journal.new")).unwrap();
    fs::write(bench.path("journal.new/conf"), b"half a conf").unwrap();
    assert_holds(&bench.open().unwrap(), &[]);
    assert!(!bench.path("journal.new").exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    let file = bench.directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = SledJournal::open(&file.join("data"), SledOptions::default()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, OpenError::Io { .. }) && error.to_string().contains("data"), "{error}");
}
