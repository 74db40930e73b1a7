//! The tools on journals that real brokers left: verified, shown, compacted, repaired, saved and restored, on sled and
//! on segments; and refused where they must be.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{BrokerProcess, ended, run};

const KINDS: [&str; 2] = ["sled", "segments"];

/// A data directory in which a broker left six messages, of which two were deleted.
fn directory(kind: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let broker = BrokerProcess::start_with(&data, &["--journal", kind]);
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    for n in 1..=6 {
        let group = if n % 2 == 0 { "even" } else { "odd" };
        assert_eq!(with(&["send", "a.fifo", "--group", group, &format!("the body {n}")]).0, 0);
    }
    assert_eq!(with(&["receive", "a.fifo", "--max", "2", "--delete"]).0, 0);
    assert_eq!(broker.terminate(), Some(0));
    (folder, data)
}

fn journal(arguments: &[&str]) -> (i32, String, String) {
    ended(&run(&[&["journal"], arguments].concat()))
}

fn check(data: &Path) -> Value {
    let (code, out, err) = journal(&["check", data.to_str().unwrap(), "--json"]);
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {code} {out} {err}"));
    assert_eq!(code, i32::from(value["ok"] == false), "{err}");
    value
}

/// What a broker delivers from a directory, without deleting it.
fn delivered(data: &Path) -> Vec<String> {
    let broker = BrokerProcess::start(data);
    let (_, out, _) = ended(&run(&["--endpoint", &broker.endpoint, "tail", "a.fifo", "--json"]));
    assert_eq!(broker.terminate(), Some(0));
    out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].as_str().unwrap().to_owned()).collect()
}

/// Changes a byte of a text in a store's files.
fn spoil(data: &Path, text: &str) {
    let mut found = 0;
    for folder in ["journal", "segments"] {
        let Ok(entries) = std::fs::read_dir(data.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let mut bytes = std::fs::read(&path).unwrap();
            let places: Vec<usize> = (0..bytes.len().saturating_sub(text.len()))
                .filter(|at| bytes[*at..].starts_with(text.as_bytes()))
                .collect();
            for at in places {
                bytes[at] ^= 0x20;
                found += 1;
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert!(found > 0, "{text:?} is nowhere");
}

#[test]
fn a_journal_is_verified_shown_and_compacted_and_means_the_same() {
    for kind in KINDS {
        let (_folder, data) = directory(kind);
        let path = data.to_str().unwrap();
        let before = check(&data);
        assert_eq!((&before["kind"], &before["messages"]), (&kind.into(), &4.into()), "{before}");
        let (code, out, err) = journal(&["dump", path]);
        assert!(code == 0 && out.contains("QueueCreated") && out.contains("MessageSent"), "{out}{err}");
        assert!(!out.contains("the body 3"), "bodies were not asked for: {out}");
        let (_, out, _) = journal(&["dump", path, "--bodies", "--json", "--from", "3"]);
        assert!(out.contains("the body 3") && !out.contains("QueueCreated"), "{out}");
        let texts = delivered(&data);
        assert_eq!(texts.len(), 4);

        let before = check(&data);
        let (code, out, err) = journal(&["compact", path, "--json"]);
        assert_eq!(code, 0, "{out}{err}");
        let after = check(&data);
        assert_eq!(after["state"], before["state"]);
        assert_eq!(after["journal"], before["journal"]);
        assert_eq!((&after["frames"], &after["checkpoint"]), (&0.into(), &after["last_frame"]), "{after}");
        assert_eq!(delivered(&data), texts);
        // What was compacted can be compacted again, and goes on.
        assert_eq!(journal(&["compact", path]).0, 0);
        assert_eq!(delivered(&data), texts);
    }
}

#[test]
fn a_damaged_body_is_named_and_repaired_by_removing_its_message() {
    let (_folder, data) = directory("segments");
    let path = data.to_str().unwrap();
    spoil(&data, "the body 4");
    let checked = check(&data);
    assert_eq!((&checked["ok"], &checked["damaged"]), (&false.into(), &1.into()));
    let named = checked["damage"][0].as_str().unwrap();
    assert!(named.contains("#4 of group even in a.fifo") && named.contains(".seg at byte"), "{named}");
    assert_eq!(journal(&["compact", path]).0, 1, "nothing is dropped in silence");
    let (code, out, err) = journal(&["repair", path]);
    assert!(code == 4 && out.contains("removed: message #4 of group even in a.fifo"), "{out}{err}");
    assert!(err.contains("--yes"), "{err}");
    assert_eq!(check(&data)["damaged"], 1, "without --yes nothing is done");
    let (code, out, err) = journal(&["repair", path, "--yes"]);
    assert!(code == 0 && out.contains("segments.damaged-1"), "{out}{err}");
    assert!(data.join("segments.damaged-1").is_dir());
    let repaired = check(&data);
    assert_eq!((&repaired["ok"], &repaired["messages"]), (&true.into(), &3.into()));
    assert_eq!(repaired["journal"], checked["journal"], "no frame was lost: the same journal");
    assert!(!delivered(&data).contains(&"the body 4".to_owned()));
    assert!(journal(&["repair", path]).1.contains("nothing needs a repair"));
}

#[test]
fn a_journal_that_does_not_start_is_cut_at_the_damage_and_gets_another_identity() {
    for kind in KINDS {
        let (_folder, data) = directory(kind);
        let path = data.to_str().unwrap();
        let before = check(&data);
        // An event is damaged in the middle: sled drops its log from there on, segments refuse the frame.
        let texts = delivered(&data);
        damage_events(&data, kind);
        let (code, _, err) = journal(&["check", path]);
        assert_eq!(code, 1, "{err}");
        let (code, out, err) = journal(&["repair", path, "--yes"]);
        assert!(code == 0 && out.contains("is cut"), "{kind}: {out}{err}");
        let after = check(&data);
        assert_eq!(after["ok"], true, "{after}");
        assert_ne!(after["journal"], before["journal"], "whoever was ahead must notice");
        assert!(after["last_frame"].as_u64() < before["last_frame"].as_u64(), "{after}");
        let left = delivered(&data);
        assert!(texts.iter().filter(|text| left.contains(text)).count() >= 1, "{left:?}");
    }
}

/// Damages a frame in the middle, in its events.
fn damage_events(data: &Path, kind: &str) {
    match kind {
        // The group of the fifth message, in the events of its frame.
        "segments" => {
            let segment = data.join("segments/00000000000000000001.seg");
            let mut bytes = std::fs::read(&segment).unwrap();
            let body = bytes.windows(10).position(|window| window == b"the body 5").unwrap();
            let events = bytes[..body].windows(3).rposition(|window| window == b"odd").unwrap();
            bytes[events] ^= 1;
            std::fs::write(&segment, bytes).unwrap();
        }
        _ => spoil(data, "the body 5"),
    }
}

#[test]
fn a_backup_is_restored_as_a_new_journal_with_the_same_messages() {
    for kind in KINDS {
        let (folder, data) = directory(kind);
        let (file, restored) = (folder.path().join("day.backup"), folder.path().join("restored"));
        let [path, file, restored_path] = [&data, &file, &restored].map(|path| path.to_str().unwrap());
        let (code, out, err) = journal(&["backup", path, file]);
        assert!(code == 0 && out.contains("4 bodies"), "{out}{err}");
        assert_eq!(journal(&["backup", path, file]).0, 4, "a backup is never written over");
        let other = if kind == "sled" { "segments" } else { "sled" };
        let (code, out, err) = journal(&["restore", file, restored_path, "--journal", other, "--json"]);
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(journal(&["restore", file, restored_path]).0, 4, "nor a directory");
        let (before, after) = (check(&data), check(&restored));
        assert_eq!((&after["state"], &after["kind"]), (&before["state"], &other.into()));
        assert_ne!(after["journal"], before["journal"]);
        let key = |folder: &Path| std::fs::read(folder.join("receipt.key")).unwrap();
        assert_eq!(key(&restored), key(&data));
        assert_eq!(delivered(&restored), delivered(&data));
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
        let (code, _, err) = journal(&["restore", file, folder.path().join("never").to_str().unwrap()]);
        assert!(code == 1 && err.contains("no whole backup"), "{code} {err}");
        assert!(!folder.path().join("never").exists());
    }
}

#[test]
fn a_directory_in_use_or_without_a_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let broker = BrokerProcess::start_with(&data, &["--journal", "segments"]);
    let (path, file) = (data.to_str().unwrap(), folder.path().join("b"));
    let verbs: [&[&str]; 5] = [
        &["check", path],
        &["dump", path],
        &["compact", path],
        &["repair", path, "--yes"],
        &["backup", path, file.to_str().unwrap()],
    ];
    for verb in verbs {
        let (code, _, err) = journal(verb);
        assert!(code == 4 && err.contains("in use"), "{verb:?}: {code} {err}");
    }
    assert_eq!(broker.terminate(), Some(0));
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (code, _, err) = journal(&["check", empty.to_str().unwrap()]);
    assert!(code == 4 && err.contains("holds no journal"), "{code} {err}");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "a tool makes no journal");
}
