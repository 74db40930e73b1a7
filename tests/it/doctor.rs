//! `lockstep doctor` as an operator uses it: what is well, what is not, and with which exit code it ends.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::world::{BrokerProcess, ended, run};

/// The findings of a run, and its exit code.
fn findings(arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, _) = ended(&run(&[&["doctor", "--json"], arguments].concat()));
    (code, out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn level(findings: &[Value], what: &str) -> String {
    let found = findings.iter().find(|finding| finding["what"] == what);
    found.unwrap_or_else(|| panic!("nothing of {what}: {findings:?}"))["level"].as_str().unwrap().to_owned()
}

#[test]
fn a_healthy_broker_and_its_directory_are_told_line_by_line() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_str().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    assert_eq!(with(&["send", "a.fifo", "--group", "g", "x"]).0, 0);
    assert!(with(&["receive", "a.fifo"]).1.contains('x'));
    let (code, all) = findings(&["--endpoint", &broker.endpoint, "--data", directory]);
    assert_eq!(code, 0, "{all:?}");
    for what in ["broker", "endpoint", "version", "clock", "health", "oldest claim", "held group", "journal", "lock"] {
        assert_eq!(level(&all, what), "ok", "{all:?}");
    }
    // How these end is the machine's affair.
    for what in ["free space", "file system", "sync", "open files"] {
        level(&all, what);
    }
    let lock = all.iter().find(|finding| finding["what"] == "lock").unwrap();
    assert!(lock["figure"].as_str().unwrap().contains("has the directory open"), "{lock}");
    let left = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("doctor")));
    let key = data.path().join("receipt.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, out, err) = with(&["doctor", "--data", directory]);
    assert!(code == 1 && out.contains("fail  receipt key: mode 0644; ") && out.contains("chmod 600"), "{code} {out}");
    assert!(err.contains("1 of the checks failed"), "{err}");
    assert_eq!(with(&["drain"]).0, 0);
    assert!(with(&["doctor"]).1.contains("warn  health: draining"));
}

#[test]
fn a_directory_that_is_not_there_fails_and_its_parent_is_measured() {
    let data = tempfile::tempdir().unwrap();
    let missing = data.path().join("none");
    let nobody = ["--endpoint", "http://127.0.0.1:1", "--patience", "0"];
    let (code, all) = findings(&[&nobody[..], &["--data", missing.to_str().unwrap()]].concat());
    assert_eq!(
        (code, level(&all, "directory").as_str(), level(&all, "broker").as_str()),
        (1, "fail", "warn"),
        "{all:?}"
    );
    level(&all, "sync");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "nothing is made, nothing is left");
    let file = data.path().join("file");
    fs::write(&file, "x").unwrap();
    let (code, all) = findings(&[&nobody[..], &["--data", file.to_str().unwrap()]].concat());
    assert_eq!((code, level(&all, "directory").as_str()), (1, "fail"), "{all:?}");
    assert_eq!(run(&["doctor", "--data", ""]).status.code(), Some(2));
}

#[test]
fn a_broker_that_is_not_reached_is_exit_code_3() {
    let (code, all) = findings(&["--endpoint", "http://127.0.0.1:1", "--patience", "0"]);
    assert_eq!((code, level(&all, "broker").as_str()), (3, "fail"), "{all:?}");
    let (code, all) = findings(&["--endpoint", "not an address", "--patience", "0"]);
    assert_eq!((code, level(&all, "broker").as_str()), (1, "fail"), "{all:?}");
}
