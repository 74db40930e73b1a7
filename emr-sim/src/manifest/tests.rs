//! The manifest against crashes and foreign folders: what is repaired, what is refused, what readers then see.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::job::JobKind;
use crate::record::Record;
use crate::sink::Sink;

fn identity() -> Identity {
    Identity { journal_id: "5f0e".into(), queue_generation: 3, reader_id: 4 }
}

fn facts() -> RunFacts {
    let run = serde_json::json!({ "input": "abc" });
    RunFacts {
        queue: "q.fifo".into(),
        reader: "pool".into(),
        task: JobKind::Transcript.into(),
        format: Format::default(),
        run,
    }
}

/// Writes the file of a commit and answers its record.
fn record(out: &Path, commit: u64) -> Record {
    let attempt = Attempt::new(commit, commit + 10);
    let mut file =
        Sink::open(out, &identity()).unwrap().create(&attempt, AttemptPart::Output(Format::JsonLines)).unwrap();
    file.write(format!("{{\"n\":{commit}}}\n").as_bytes()).unwrap();
    let written = file.finish().unwrap();
    Record {
        claim: commit,
        epoch: commit + 10,
        file: written.file,
        length: written.length,
        sha256: written.sha256,
        messages: 1,
        lines: 1,
        ..Record::default()
    }
}

fn broker(header: Option<Header>, commits: u64) -> BrokerSide {
    BrokerSide { identity: identity(), header, commits, records: BTreeMap::new() }
}

/// Takes the lock of a folder that nobody uses any more. A process that another test starts at this moment can still
/// have the lock's file open, until it has become another program.
fn lock(out: &Path) -> Result<OutputLock, ManifestError> {
    loop {
        match OutputLock::take(out) {
            Err(ManifestError::InUse { .. }) => std::thread::yield_now(),
            taken => return taken,
        }
    }
}

/// Reads, judges and repairs a folder, and appends what the plan says, as a start of the pool does.
fn start(out: &Path, broker: &BrokerSide) -> Result<(Manifest, Plan), ManifestError> {
    let judged = Manifest::read(out, lock(out)?)?.judge(&facts(), broker)?;
    let (mut manifest, plan) = judged.repair()?;
    manifest.append(&plan.append)?;
    Ok((manifest, plan))
}

fn refused(out: &Path, broker: &BrokerSide) -> OutputRefused {
    let before = fs::read(path_in(out)).ok();
    match start(out, broker) {
        Err(ManifestError::Refused(refused)) => {
            assert_eq!(fs::read(path_in(out)).ok(), before, "a refused folder is not touched");
            refused
        }
        other => panic!("{other:?}"),
    }
}

/// A folder with `lines` commits, and the broker's side of it with all records kept.
fn folder_with(out: &Path, lines: u64) -> BrokerSide {
    let (mut manifest, plan) = start(out, &broker(None, 0)).unwrap();
    let mut known = broker(plan.create, lines);
    for commit in 1..=lines {
        let record = record(out, commit);
        known.records.insert(commit, record.clone());
        manifest.append(&[ManifestLine { commit, record }]).unwrap();
    }
    known
}

#[test]
fn a_new_folder_gets_a_header_that_the_reader_must_be_told() {
    let out = tempfile::tempdir().unwrap();
    let (manifest, plan) = start(out.path(), &broker(None, 0)).unwrap();
    let header = plan.create.unwrap();
    assert!(plan.record_header && manifest.last() == 0);
    assert_eq!(Header::parse(&header.to_bytes()), Ok(header.clone()));
    let read = Output::open(out.path()).unwrap();
    assert_eq!((read.header(), read.published_files().len()), (&header, 0));
}

#[test]
fn a_crash_before_the_reader_was_told_is_made_good() {
    let out = tempfile::tempdir().unwrap();
    drop(start(out.path(), &broker(None, 0)).unwrap());
    let (_, plan) = start(out.path(), &broker(None, 0)).unwrap();
    assert_eq!((plan.create, plan.record_header), (None, true));
}

#[test]
fn a_torn_last_line_is_cut_and_written_from_the_record() {
    let out = tempfile::tempdir().unwrap();
    let known = folder_with(out.path(), 3);
    let whole = fs::read(path_in(out.path())).unwrap();
    let third = whole.len() - ManifestLine { commit: 3, record: known.records[&3].clone() }.to_bytes().len();
    for torn in third + 1..whole.len() {
        fs::write(path_in(out.path()), &whole[..torn]).unwrap();
        assert_eq!(Output::open(out.path()).unwrap().published_files().len(), 2, "readers leave the torn line out");
        let (manifest, plan) = start(out.path(), &known).unwrap();
        assert_eq!((plan.append.len(), manifest.last(), manifest.messages()), (1, 3, 3));
        drop(manifest);
        assert_eq!(fs::read(path_in(out.path())).unwrap(), whole);
    }
}

#[test]
fn missing_lines_are_written_from_the_records_and_their_removal_is_planned() {
    let out = tempfile::tempdir().unwrap();
    let mut known = folder_with(out.path(), 1);
    for commit in 2..=4 {
        known.records.insert(commit, record(out.path(), commit));
    }
    known.commits = 4;
    let (manifest, plan) = start(out.path(), &known).unwrap();
    assert_eq!(plan.append.iter().map(|line| line.commit).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((plan.remove, manifest.last()), (vec![1, 2, 3, 4], 4));
}

#[test]
fn a_folder_ahead_of_the_broker_is_refused_with_both_identities() {
    let out = tempfile::tempdir().unwrap();
    let mut known = folder_with(out.path(), 2);
    known.commits = 1;
    known.records.remove(&2);
    let error = refused(out.path(), &known);
    assert_eq!(error.because, RefusedBecause::Ahead);
    let text = error.to_string();
    assert!(text.contains("2 commits") && text.contains("1 commits") && text.matches("5f0e").count() == 2, "{text}");
    // A line that was only begun counts: it is begun after its commit.
    known.commits = 2;
    let mut bytes = fs::read(path_in(out.path())).unwrap();
    bytes.extend(b"{\"commit\":3,");
    fs::write(path_in(out.path()), bytes).unwrap();
    assert_eq!(refused(out.path(), &known).because, RefusedBecause::Ahead);
}

#[test]
fn a_folder_behind_the_broker_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut known = folder_with(out.path(), 1);
    known.commits = 3;
    known.records = BTreeMap::from([(3, record(out.path(), 3))]);
    assert_eq!(refused(out.path(), &known).because, RefusedBecause::Behind { missing: 2 });
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(refused(empty.path(), &broker(None, 1)).because, RefusedBecause::Behind { missing: 1 });
}

#[test]
fn a_folder_that_is_not_the_recorded_one_is_refused() {
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let known = folder_with(mine.path(), 0);
    assert_eq!(refused(other.path(), &known).because, RefusedBecause::Foreign, "an empty folder");
    let foreign = folder_with(other.path(), 0);
    assert_eq!(refused(mine.path(), &foreign).because, RefusedBecause::Foreign, "another folder's header");
    let anew = BrokerSide { identity: Identity { queue_generation: 9, ..identity() }, ..known.clone() };
    assert_eq!(refused(mine.path(), &anew).because, RefusedBecause::Foreign, "another queue generation");
    let unrecorded = BrokerSide { commits: 1, ..broker(None, 0) };
    assert_eq!(refused(mine.path(), &unrecorded).because, RefusedBecause::Foreign, "the reader recorded none");
}

#[test]
fn another_run_on_the_same_folder_is_refused_with_both_wishes() {
    let out = tempfile::tempdir().unwrap();
    let known = folder_with(out.path(), 0);
    let other = RunFacts { run: serde_json::json!({ "input": "xyz" }), ..facts() };
    let unreconciled = Manifest::read(out.path(), lock(out.path()).unwrap()).unwrap();
    let text = unreconciled.judge(&other, &known).unwrap_err().to_string();
    assert!(text.contains("xyz") && text.contains("abc"), "{text}");
}

#[test]
fn a_record_that_contradicts_its_line_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let mut known = folder_with(out.path(), 2);
    known.records.get_mut(&1).unwrap().sha256 = "00".repeat(32);
    assert_eq!(refused(out.path(), &known).because, RefusedBecause::Contradiction { commit: 1 });
}

#[test]
fn a_line_out_of_order_or_without_its_file_is_not_written() {
    let out = tempfile::tempdir().unwrap();
    let (mut manifest, _) = start(out.path(), &broker(None, 0)).unwrap();
    let one = record(out.path(), 1);
    let early = ManifestLine { commit: 2, record: one.clone() };
    assert!(matches!(manifest.append(&[early]), Err(ManifestError::Line { commit: 2, .. })));
    let short = ManifestLine { commit: 1, record: Record { length: one.length + 1, ..one.clone() } };
    assert!(matches!(manifest.append(&[short]), Err(ManifestError::Line { commit: 1, .. })));
    fs::remove_file(out.path().join(&one.file)).unwrap();
    let gone = ManifestLine { commit: 1, record: one };
    assert!(matches!(manifest.append(&[gone]), Err(ManifestError::Line { commit: 1, .. })));
    assert_eq!(manifest.last(), 0);
}

#[test]
fn a_folder_in_use_is_refused_until_it_is_let_go() {
    let out = tempfile::tempdir().unwrap();
    let (manifest, _) = start(out.path(), &broker(None, 0)).unwrap();
    assert!(matches!(OutputLock::take(out.path()), Err(ManifestError::InUse { .. })));
    drop(manifest);
    assert!(lock(out.path()).is_ok());
}

#[test]
fn readers_get_the_files_in_commit_order_and_notice_damage() {
    let out = tempfile::tempdir().unwrap();
    let known = folder_with(out.path(), 3);
    let output = Output::open(out.path()).unwrap();
    let lines: Vec<_> = output
        .verified_files()
        .flat_map(|file| file.unwrap().lines().map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect();
    assert_eq!(lines, [b"{\"n\":1}", b"{\"n\":2}", b"{\"n\":3}"]);
    let joined = output.join().unwrap();
    assert_eq!((joined.files, joined.lines, joined.length), (3, 3, 24));
    assert_eq!(joined.path, out.path().join("transcript.jsonl"));
    let bytes = fs::read(&joined.path).unwrap();
    assert_eq!(crate::digest::sha256_hex(&bytes), joined.sha256);

    let second = out.path().join(&known.records[&2].file);
    for damage in [&b"{\"n\":9}\n"[..], b"{\"n\":2}", b""] {
        fs::write(&second, damage).unwrap();
        let faults: Vec<_> = output.verified_files().filter_map(Result::err).collect();
        assert!(matches!(faults[..], [OutputError::Damaged { commit: 2, .. }]), "{faults:?}");
        assert!(output.join().is_err());
        assert_eq!(fs::read(&joined.path).unwrap(), bytes, "an earlier joined file is untouched");
    }
}

#[test]
fn a_damaged_line_in_the_middle_is_named_and_not_cut_away() {
    let out = tempfile::tempdir().unwrap();
    let known = folder_with(out.path(), 3);
    let text = fs::read_to_string(path_in(out.path())).unwrap().replace("\"commit\":2", "\"commit\":7");
    fs::write(path_in(out.path()), text).unwrap();
    let error = Output::open(out.path()).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
    let without_records = BrokerSide { records: BTreeMap::new(), ..known };
    let error = refused(out.path(), &without_records);
    assert_eq!(error.because, RefusedBecause::Behind { missing: 2 });
    assert!(error.to_string().contains("line 3 cannot be read"), "{error}");
}

#[test]
fn a_folder_without_a_manifest_or_of_another_format_is_named() {
    let out = tempfile::tempdir().unwrap();
    assert!(matches!(Output::open(out.path()), Err(OutputError::NoManifest { .. })));
    fs::write(path_in(out.path()), "{\"format\":\"lockstep-output-9\"}\n").unwrap();
    let error = Output::open(out.path()).unwrap_err().to_string();
    assert!(error.contains("lockstep-output-9") && error.contains("lockstep-output-1"), "{error}");
    let unreadable = Manifest::read(out.path(), lock(out.path()).unwrap());
    assert!(matches!(unreadable, Err(ManifestError::NotOne { .. })));
}
