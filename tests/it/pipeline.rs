//! The main job from outside: a day through broker, producers and workers, plain, under chaos, interrupted and refused.

use std::{path::Path, process::Stdio};

use crate::world::{ended, lockstep, run};

const ZERO: &str = "lost 0, duplicated 0, out of order 0";

/// A small day with resent lines, so that a test run stays short.
pub(crate) fn small_day(folder: &Path) -> String {
    let mut lines = String::new();
    for turn in 1..=30 {
        for conversation in 0..20 {
            let sender = if turn % 2 == 0 { "agent" } else { "customer" };
            let line = format!(
                "{{\"conversation_id\":\"c{conversation}\",\"turn\":{turn},\"sender\":\"{sender}\",\"text\":\"t{turn}\"}}\n"
            );
            lines += &line;
            if (turn + conversation) % 9 == 0 {
                lines += &line;
            }
        }
    }
    let path = folder.join("day.jsonl");
    std::fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

fn pipeline(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let input = small_day(folder);
    let (out, data) = (folder.join("out"), folder.join("data"));
    let fixed = ["pipeline", "--input", &input, "--out", out.to_str().unwrap(), "--data", data.to_str().unwrap()];
    ended(&run(&[&fixed, arguments].concat()))
}

#[test]
fn a_day_arrives_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = pipeline(folder.path(), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("sent 666, accepted 600, turned away 66, processed 600") && out.contains(ZERO), "{out}");
    let joined = std::fs::read_to_string(folder.path().join("out/transcript.jsonl")).unwrap();
    assert_eq!(joined.lines().count(), 600);
    // The same command again has nothing left to do, and says the same.
    assert_eq!(pipeline(folder.path(), &[]).1, out);
    // Whoever changes what is published is found out.
    let input = folder.path().join("day.jsonl");
    let out_folder = folder.path().join("out");
    let verify = || ended(&run(&["verify", "--out", out_folder.to_str().unwrap(), "--input", input.to_str().unwrap()]));
    assert_eq!(verify().0, 0);
    std::fs::write(&input, "{}\n").unwrap();
    let (code, _, err) = verify();
    assert!(code == 1 && err.contains("not the input"), "{code} {err}");
}

#[test]
fn reply_pairs_are_those_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = pipeline(folder.path(), &["--job", "reply-pairs"]);
    assert!(code == 0 && out.contains(ZERO), "{out}{err}");
    let joined = std::fs::read_to_string(folder.path().join("out/reply-pairs.jsonl")).unwrap();
    assert_eq!(joined.lines().count(), 20 * 15);
}

#[test]
fn one_group_keeps_the_total_order() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = pipeline(folder.path(), &["--group-by", "none"]);
    assert!(code == 0 && out.contains(ZERO), "{out}{err}");
}

#[test]
fn chaos_changes_nothing() {
    for (seed, journal) in [("1", "sled"), ("2", "segments")] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["--chaos", "--seed", seed, "--job", "reply-pairs", "--journal", journal];
        let (code, out, err) = pipeline(folder.path(), &arguments);
        assert_eq!(code, 0, "seed {seed}: {out}{err}");
        assert!(out.contains("processed 600") && out.contains(ZERO), "seed {seed}: {out}");
        assert!(err.contains("chaos: killed the broker"), "{err}");
    }
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_day(folder.path());
    let (out, data) = (folder.path().join("out"), folder.path().join("data"));
    let arguments = ["pipeline", "--input", &input, "--out", out.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut first = lockstep(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // In the middle: something is published, maybe not all.
    while !out.join("manifest.jsonl").exists() && first.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // Its children end by themselves; the new run waits for their lock.
    let (code, said, err) = ended(&run(&arguments));
    assert_eq!(code, 0, "{said}{err}");
    assert!(said.contains("sent 666, accepted 600, turned away 66, processed 600"), "{said}");
}

#[test]
fn another_run_on_the_same_folder_is_refused_with_both_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(pipeline(folder.path(), &[]).0, 0);
    let (code, _, err) = pipeline(folder.path(), &["--job", "reply-pairs"]);
    assert!(code == 4 && err.contains("transcript") && err.contains("reply-pairs"), "{code} {err}");
    let other = tempfile::tempdir().unwrap();
    let input = small_day(folder.path());
    let (out, data) = (folder.path().join("out"), other.path().join("data"));
    let paths = ["--out", out.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (code, _, err) = ended(&run(&[&["pipeline", "--input", &input], &paths[..]].concat()));
    assert_eq!(code, 4, "a folder with a broker that does not know it: {err}");
}

#[test]
fn bad_input_is_named_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    std::fs::write(&path, "{\"conversation_id\":\"a\",\"turn\":1,\"sender\":\"x\",\"text\":\"y\"}\nnonsense\n")
        .unwrap();
    let out = folder.path().join("out");
    let arguments = ["pipeline", "--input", path.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (code, said, err) = ended(&run(&arguments));
    assert!(code == 1 && said.is_empty() && err.contains("bad.jsonl, line 2"), "{code} {err}");
    assert!(!out.join("manifest.jsonl").exists());
    let (code, said, err) = ended(&run(&[&arguments[..], &["--skip-bad"]].concat()));
    assert!(code == 0 && said.contains("sent 1, accepted 1") && err.contains("skipped line 2"), "{code} {said} {err}");
}

#[test]
fn memory_cannot_be_killed_nor_continued() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(pipeline(folder.path(), &["--journal", "memory", "--chaos"]).0, 2);
    assert_eq!(pipeline(folder.path(), &["--journal", "memory"]).0, 0);
    let (code, _, err) = pipeline(folder.path(), &["--journal", "memory"]);
    assert!(code == 2 && err.contains("cannot continue"), "{code} {err}");
}
