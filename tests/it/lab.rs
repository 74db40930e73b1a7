//! The lab as a class meets it: every scenario on real processes, its verdict as the exit code, and nothing left behind.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{ended, lockstep, run};

const SCENARIOS: [&str; 5] = ["order", "retry", "zombie", "crash", "hole"];

/// The seeds to run: one, or as many as LOCKSTEP_LAB_COUNT says, from LOCKSTEP_LAB_SEED on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("LOCKSTEP_LAB_SEED", 7);
    first..first + number("LOCKSTEP_LAB_COUNT", 1)
}

fn report(scenario: &str, seed: u64) -> Value {
    let output = run(&["lab", "--scenario", scenario, "--seed", &seed.to_string(), "--headless", "--json"]);
    let (code, said, err) = ended(&output);
    assert_eq!(code, 0, "{scenario}, seed {seed}: {said}{err}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let proof = &report["verdict"]["proof"];
    assert_eq!(
        (&report["verdict"]["ok"], &proof["accepted"], &proof["committed"]),
        (&true.into(), &72.into(), &72.into())
    );
    assert_eq!(proof["sender_sha256"], proof["processor_sha256"]);
    println!("| {scenario} | {seed} | {} ms | {} |", report["took_ms"], proof["processed"]);
    report
}

#[test]
fn a_conversation_that_is_held_up_holds_up_no_other() {
    for seed in seeds() {
        let report = report("order", seed);
        assert_eq!((&report["facts"]["worker_deaths"], &report["facts"]["given_up"]), (&0.into(), &0.into()));
    }
}

#[test]
fn a_retry_is_no_duplicate() {
    for seed in seeds() {
        let report = report("retry", seed);
        let proof = &report["verdict"]["proof"];
        assert_eq!((&proof["stored"], &proof["turned_away"]), (&72.into(), &3.into()));
    }
}

#[test]
fn a_zombie_cannot_publish() {
    for seed in seeds() {
        let report = report("zombie", seed);
        assert!(report["facts"]["refused"].as_u64().unwrap() > 0);
        let proof = &report["verdict"]["proof"];
        assert!(proof["processed"].as_u64() > proof["committed"].as_u64(), "its messages were done twice: {proof}");
    }
}

#[test]
fn a_worker_and_the_broker_are_killed_and_nothing_is_missing() {
    for seed in seeds() {
        let report = report("crash", seed);
        assert_eq!((&report["facts"]["broker_lives"], &report["facts"]["worker_deaths"]), (&2.into(), &1.into()));
    }
}

#[test]
fn the_window_leaves_a_hole_and_numbers_close_it() {
    for seed in seeds() {
        let report = report("hole", seed);
        assert_eq!(report["verdict"]["beside"]["duplicated"], 1, "three written, four read");
        assert_eq!(report["verdict"]["proof"]["stored"], 72);
    }
}

#[test]
fn the_command_names_the_scenarios_that_there_are() {
    let (code, said, _) = ended(&run(&["lab", "--list"]));
    assert_eq!(code, 0);
    assert!(SCENARIOS.iter().all(|name| said.contains(name)), "{said}");
    let (code, _, err) = ended(&run(&["lab", "--scenario", "zombi", "--headless"]));
    assert!(code == 2 && err.contains("order, retry, zombie, crash, hole"), "{err}");
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("file"), "x").unwrap();
    let (code, _, err) = ended(&run(&["lab", "--headless", "--data", full.path().to_str().unwrap()]));
    assert!(code == 2 && err.contains("name an empty or new folder"), "{err}");
}

#[test]
fn a_lab_that_is_told_to_end_or_killed_leaves_no_process_behind() {
    for signal in [Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let mut command = lockstep(&["lab", "--scenario", "zombie", "--headless", "--data", place]);
        let mut lab = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A worker stands still by then, which hears nothing.
        until("a worker that was struck", || {
            let points = std::fs::read_dir(folder.path().join("points")).ok()?;
            points.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with("after-file."))
        });
        assert!(!processes_of(place).is_empty());
        kill_process(Pid::from_raw(i32::try_from(lab.id()).unwrap()).unwrap(), signal).unwrap();
        let code = lab.wait().unwrap().code();
        assert_eq!(code, (signal == Signal::TERM).then_some(1));
        until("the end of every process", || processes_of(place).is_empty().then_some(()));
    }
}

/// Processes that name the folder on their command line.
fn processes_of(place: &str) -> Vec<u32> {
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(place));
    pids.filter(names).collect()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}
