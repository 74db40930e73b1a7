//! Drills on workers: killed between each pair of file, Commit and manifest, hung and come back, scaled in.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    ground::{Drill, signal, state},
    seeds,
};

#[test]
fn a_worker_is_killed_before_its_file_after_it_and_after_its_commit() {
    for seed in seeds() {
        for (point, what) in [
            ("before-file", "worker SIGKILLed before its file"),
            ("after-file", "worker SIGKILLed after its file, before the Commit"),
            ("after-commit", "worker SIGKILLed after the Commit, before anybody knows"),
        ] {
            let mut drill = Drill::new(what, seed);
            drill.send();
            let claim = drill.rng.u32(1..=3);
            drill.arm(point, &format!("kill {claim}"));
            let cluster = drill.cluster(2);
            let step = drill.transcript(&cluster, &[]);
            drill.struck(point);
            drill.completed(&cluster, &step);
            let result: Value = serde_json::from_str(&drill.step_log(&cluster, &step, "stdout")).unwrap();
            assert_eq!((&result["worker_deaths"], &result["messages"]), (&json!(1), &json!(600)));
            drill.verdict("another worker took the claim over");
        }
    }
}

#[test]
fn the_workers_are_killed_while_the_manifest_is_written() {
    for seed in seeds() {
        for (point, what) in [
            ("before-line", "workers SIGKILLed after the Commit, before the manifest"),
            ("in-line", "workers SIGKILLed during the manifest's write"),
            ("after-line", "workers SIGKILLed after the manifest's line"),
        ] {
            let drill = Drill::new(what, seed);
            drill.send();
            drill.arm(point, "stop");
            let cluster = drill.cluster(3);
            let step = drill.transcript(&cluster, &[]);
            let controller = drill.stopped(point);
            assert_eq!(controller, drill.broker_pid());
            let workers = drill.workers();
            workers.iter().for_each(|pid| signal(*pid, Signal::KILL));
            signal(controller, Signal::CONT);
            drill.completed(&cluster, &step);
            drill.verdict(&format!("{} workers died, others took over", workers.len()));
        }
    }
}

/// The only worker of a cluster stops after its file; answers step, claim, process id and file.
fn hung(drill: &mut Drill, cluster: &str) -> (String, u32, u32, PathBuf) {
    let claim = drill.rng.u32(1..=3);
    drill.arm("after-file", &format!("stop {claim}"));
    let step = drill.transcript(cluster, &["--follow"]);
    let zombie = drill.stopped("after-file");
    let of_claim = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with(&format!("{claim}-e"));
    let file = drill.unpublished().into_iter().find(of_claim).unwrap();
    (step, claim, zombie, file)
}

fn is_published(drill: &Drill, file: &Path) -> bool {
    drill.published().iter().any(|line| file.ends_with(line["file"].as_str().unwrap()))
}

fn ends_well(drill: Drill, cluster: &str, step: &str, (zombie, file): (u32, &Path), seen: &str) {
    drill.until("its end", || state(zombie).is_none().then_some(()));
    let whole = || drill.published().iter().map(messages).sum::<u64>() == 600;
    drill.until("the whole output", || whole().then_some(()));
    assert!(!is_published(&drill, file));
    drill.good(&["emr", "step", "cancel", cluster, step]);
    assert_eq!(drill.end_of(cluster, step)["State"], "CANCELLED");
    drill.verdict(seen);
}

#[test]
fn a_worker_that_hung_comes_back_while_another_has_its_claim() {
    for seed in seeds() {
        let mut drill = Drill::new("worker SIGSTOPped for over 10 s, SIGCONT while another has its claim", seed);
        drill.send();
        let cluster = drill.cluster(1);
        let (step, claim, zombie, file) = hung(&mut drill, &cluster);
        // Whoever takes its place may be handed another claim first; until this one is handed out anew, the zombie's
        // epoch is the current one and its commit is good.
        drill.arm("before-file", &format!("stop ={claim}"));
        let other = drill.stopped("before-file");
        drill.said(&cluster, &step, "said nothing and were given up");
        signal(zombie, Signal::CONT);
        let said = drill.said(&cluster, &step, "came back and was refused");
        assert!(said.contains("ClaimFenced"), "{said}");
        signal(other, Signal::CONT);
        let seen = "given up; its commit was refused by its claim epoch (ClaimFenced), its file is not published";
        ends_well(drill, &cluster, &step, (zombie, &file), seen);
    }
}

#[test]
fn a_worker_that_hung_comes_back_when_all_is_done() {
    for seed in seeds() {
        let mut drill = Drill::new("worker SIGSTOPped past everything, SIGCONT when all is done", seed);
        drill.send();
        let cluster = drill.cluster(1);
        let (step, _, zombie, file) = hung(&mut drill, &cluster);
        drill.until("the last claim", || (drill.published().iter().map(messages).sum::<u64>() == 600).then_some(()));
        signal(zombie, Signal::CONT);
        let said = drill.said(&cluster, &step, "came back and was refused");
        assert!(said.contains("CommitConflict"), "{said}");
        let seen =
            "given up; its commit was refused (CommitConflict: the claim is committed), its file is not published";
        ends_well(drill, &cluster, &step, (zombie, &file), seen);
    }
}

fn messages(line: &Value) -> u64 {
    line["messages"].as_u64().unwrap()
}

#[test]
fn a_cluster_is_scaled_in_during_a_batch() {
    for seed in seeds() {
        let mut drill = Drill::new("scaled in to 0 while workers hold claims, then out to 2", seed);
        drill.send();
        let point = ["before-file", "after-file"][drill.rng.usize(0..2)];
        drill.arm(point, "stop");
        let cluster = drill.cluster(3);
        let step = drill.transcript(&cluster, &[]);
        let worker = drill.stopped(point);
        drill.good(&["emr", "cluster", "resize", &cluster, "--core", "0"]);
        signal(worker, Signal::CONT);
        drill.until("a group without instances", || {
            let groups = drill.emr("ListInstanceGroups", &json!({ "ClusterId": cluster }));
            let core = &groups["InstanceGroups"][1];
            (core["RunningInstanceCount"] == 0 && core["Status"]["State"] == "RUNNING").then_some(())
        });
        assert!(drill.workers().is_empty());
        let finished = drill.published().len();
        drill.good(&["emr", "cluster", "resize", &cluster, "--core", "2"]);
        drill.completed(&cluster, &step);
        let log = drill.step_log(&cluster, &step, "controller");
        assert!(!log.contains("WARN"), "no worker ended unasked, no attempt was in vain: {log}");
        drill.verdict(&format!("{finished} claims were finished, none was taken away"));
    }
}
