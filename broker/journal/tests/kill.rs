//! kill -9 at seeded moments: while frames are appended, while the journal opens, while it closes. What was
//! acknowledged before the kill is there afterwards, whole and in order: the newest checkpoint, every frame after it,
//! and of the older ones those that were not released. A kill proves nothing about syncs (the kernel keeps what was
//! written); that needs a power cut.
//!
//! `LOCKSTEP_KILL_ROUNDS` (default 20) and `LOCKSTEP_KILL_SEED` (default 1) choose a longer or another run.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockstep_journal::conformance::{assert_holds_after, sample};
use lockstep_journal::{
    BodyReader, Frame, FrameNumber, Journal, OpenError, Position, SegmentsJournal, SegmentsOptions, SledJournal,
    SledOptions,
};

const DIRECTORY: &str = "LOCKSTEP_KILL_DIRECTORY";
const KIND: &str = "LOCKSTEP_KILL_KIND";

fn open_sled(directory: &Path) -> Result<SledJournal, OpenError> {
    SledJournal::open(directory, SledOptions::default())
}

/// With files so small that many a kill falls where one ends and the next begins.
fn open_segments(directory: &Path) -> Result<SegmentsJournal, OpenError> {
    let options = SegmentsOptions { segment_bytes: 20_000, ..SegmentsOptions::default() };
    SegmentsJournal::open(directory, options)
}

fn frame(number: u64) -> Frame {
    match number % 16 {
        0 => sample(number, 1, 300_000),
        1..=8 => sample(number, 3, 700),
        _ => sample(number, 40, 100),
    }
}

/// Every 16th frame is covered by a checkpoint, of as many slices as its number says.
fn slices(covers: u64) -> Vec<bytes::Bytes> {
    (0..=covers / 16 % 4).map(|slice| sample(covers + slice, 1, 100_000).bodies[0].clone()).collect()
}

/// Every third frame is kept for its bodies, for ever; of the others those that a checkpoint covers are released.
fn is_held(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// What goes with frame `number`: of the last 40 frames those that the checkpoint covers.
fn released(number: u64, checkpointed: Option<FrameNumber>) -> Vec<FrameNumber> {
    let covered = checkpointed.map_or(0, |covers| covers.0);
    (number.saturating_sub(40).max(1)..=covered).filter(|number| !is_held(*number)).map(FrameNumber).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The process that is killed: it runs only where the other test starts it.
#[test]
fn victim() {
    let (Ok(directory), Ok(kind)) = (std::env::var(DIRECTORY), std::env::var(KIND)) else { return };
    match kind.as_str() {
        "sled" => live(|| open_sled(Path::new(&directory))),
        "segments" => live(|| open_segments(Path::new(&directory))),
        other => panic!("no such kind: {other}"),
    }
}

fn live<J: Journal>(open: impl Fn() -> Result<J, OpenError>) {
    let mut out = std::io::stdout();
    let mut say = |word: &str| writeln!(out, "\n{word}").and_then(|()| out.flush()).expect("the parent listens");
    say("opening");
    let mut journal = open().expect("it opens");
    say("opened");
    let (mut covers, mut stored) = (0, 0);
    for number in (FrameNumber::after(journal.last()).0..).take(60) {
        let release = released(number, journal.checkpointed());
        journal.append(FrameNumber(number), &frame(number), &release).expect("it appends");
        say(&format!("ok {number}"));
        // The slices are stored between the appends that follow the covered frame.
        if stored == 0 {
            covers = number / 16 * 16;
        }
        let slices = slices(covers);
        if Some(FrameNumber(covers)) > journal.checkpointed().or(Some(FrameNumber(0))) {
            stored += 1;
            let last = stored == slices.len();
            journal.checkpoint(FrameNumber(covers), &slices[stored - 1], last).expect("it is stored");
            if last {
                stored = 0;
                say(&format!("checkpoint {covers}"));
            }
        }
    }
    say("closing");
    journal.close().expect("it closes");
}

fn start(directory: &Path, kind: &str) -> Child {
    Command::new(std::env::current_exe().expect("a test has a binary"))
        .args(["victim", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(KIND, kind)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the victim starts")
}

/// Kills the victim `after` a line beginning with `word` was said, and returns all that it said.
fn kill(mut victim: Child, word: &str, after: Duration) -> Vec<String> {
    let mut out = BufReader::new(victim.stdout.take().expect("it is piped"));
    let mut said = Vec::new();
    let mut line = String::new();
    while out.read_line(&mut line).expect("it is text") > 0 {
        said.push(line.trim().to_owned());
        if line.trim() == word {
            break;
        }
        line.clear();
    }
    // Not a wait for a state: the kill is meant to fall anywhere after the word.
    std::thread::sleep(after);
    victim.kill().expect("it is ours to kill");
    victim.wait().expect("it ends");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("it is text");
    said.extend(rest.lines().map(|line| line.trim().to_owned()));
    said
}

fn newest(said: &[String], word: &str) -> Option<u64> {
    said.iter().filter_map(|line| line.strip_prefix(word)).filter_map(|text| text.parse().ok()).max()
}

/// Of the covered frames every held one is there with its bodies.
fn assert_kept<J: Journal>(kind: &str, journal: &J, covers: u64) {
    let kept: Vec<u64> = journal.kept().map(|kept| kept.expect("its header is whole").number.0).collect();
    let reader = journal.reader();
    for number in (1..=covers).filter(|number| is_held(*number)) {
        assert!(kept.contains(&number), "frame {number} was not released");
        let body = reader.read(Position { frame: FrameNumber(number), index: 0 }).expect("it is read");
        assert!(body == frame(number).bodies[0], "frame {number}");
    }
    // What was released long ago is gone; of the newest 40 some may be there again, and in segments what lies beside a
    // held one.
    assert!(
        kind == "segments" || kept.iter().all(|number| is_held(*number) || number + 60 > covers),
        "{kept:?} of {covers}"
    );
}

#[test]
fn what_sled_acknowledged_survives_kill_9_at_any_moment() {
    println!("{}", survive("sled", open_sled));
}

#[test]
fn what_segments_acknowledged_survives_kill_9_at_any_moment() {
    println!("{}", survive("segments", open_segments));
}

fn survive<J: Journal>(kind: &str, open: impl Fn(&Path) -> Result<J, OpenError>) -> String {
    let rounds = setting("LOCKSTEP_KILL_ROUNDS", 20);
    let seed = setting("LOCKSTEP_KILL_SEED", 1);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut directory = tempfile::tempdir().expect("a directory");
    let (mut acknowledged, mut checkpointed) = (0, 0);
    let (mut in_open, mut total) = (0, 0);
    for round in 0..rounds {
        if round % 10 == 0 {
            directory = tempfile::tempdir().expect("a directory");
            (acknowledged, checkpointed) = (0, 0);
        }
        let data = directory.path().join("data");
        let (word, micros) = match random.u32(..4) {
            0 => ("opening".to_owned(), 30_000),
            1 => ("closing".to_owned(), 30_000),
            _ => (format!("ok {}", acknowledged + random.u64(1..50)), 2_000),
        };
        let said = kill(start(&data, kind), &word, Duration::from_micros(random.u64(..micros)));
        in_open += u32::from(!said.iter().any(|line| line == "opened"));
        acknowledged = newest(&said, "ok ").unwrap_or(acknowledged);
        checkpointed = newest(&said, "checkpoint ").unwrap_or(checkpointed);

        let story = format!("{kind}, seed {seed}, round {round}, killed after {word:?}, acknowledged {acknowledged}");
        let journal = open(&data).unwrap_or_else(|error| panic!("{story}: {error}"));
        let last = journal.last().map_or(0, |last| last.0);
        // One more may be there: stored, its answer not yet given.
        assert!(last == acknowledged || last == acknowledged + 1, "{story}: the last frame is {last}");
        let covers = journal.checkpointed().map_or(0, |covers| covers.0);
        assert!(
            covers >= checkpointed,
            "{story}: the checkpoint of {checkpointed} was acknowledged, {covers} is found"
        );
        assert_kept(kind, &journal, covers);
        let slices = if covers == 0 { Vec::new() } else { slices(covers) };
        assert_holds_after(&journal, covers, &slices, &(covers + 1..=last).map(frame).collect::<Vec<_>>());
        checkpointed = covers;
        total += last - acknowledged;
        acknowledged = last;
        if random.bool() {
            journal.close().unwrap_or_else(|error| panic!("{story}: {error}"));
        }
    }
    format!("{rounds} kills, {in_open} of them while opening; {total} frames were stored but not acknowledged")
}
