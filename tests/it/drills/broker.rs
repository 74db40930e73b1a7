//! Drills on the broker, and with it on the controller of its clusters: killed between each pair of file, Commit and
//! manifest, and anywhere.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{
    ground::{Drill, signal, state},
    seeds,
};

#[test]
fn the_broker_is_killed_before_and_after_a_workers_file_and_commit() {
    for seed in seeds() {
        for (point, what) in [
            ("before-file", "broker and controller SIGKILLed before a worker's file"),
            ("after-file", "broker and controller SIGKILLed between file and Commit"),
            ("after-commit", "broker and controller SIGKILLed between Commit and manifest"),
        ] {
            let mut drill = Drill::new(what, seed);
            drill.send();
            let claim = drill.rng.u32(1..=3);
            drill.arm(point, &format!("stop {claim}"));
            let cluster = drill.cluster(2);
            let step = drill.transcript(&cluster, &[]);
            let worker = drill.stopped(point);
            drill.kill_broker();
            let before = drill.rng.bool();
            if before {
                signal(worker, Signal::CONT);
            }
            drill.start();
            drill.completed(&cluster, &step);
            // It meets a reader of a later generation, if it gets so far.
            signal(worker, Signal::CONT);
            drill.until("the end of the old worker", || state(worker).is_none().then_some(()));
            let back = if before { "went on before it was" } else { "came back when all was done" };
            drill.verdict(&format!("started again, the step went on; the old worker {back}"));
        }
    }
}

#[test]
fn the_controller_is_killed_around_the_manifest() {
    for seed in seeds() {
        for (point, what) in [
            ("after-header", "controller SIGKILLed after the manifest's header"),
            ("before-line", "controller SIGKILLed before a manifest line"),
            ("in-line", "controller SIGKILLed in the middle of a manifest line"),
            ("after-line", "controller SIGKILLed after a manifest line, before its record is removed"),
        ] {
            let mut drill = Drill::new(what, seed);
            drill.send();
            let commit = if point == "after-line" { drill.rng.u32(1..=3) } else { 0 };
            drill.arm(point, &format!("kill {commit}"));
            let cluster = drill.cluster(2);
            let step = drill.transcript(&cluster, &[]);
            drill.broker_was_killed();
            drill.struck(point);
            drill.start();
            let shown = drill.emr("DescribeCluster", &json!({ "ClusterId": cluster }));
            assert_eq!(shown["Cluster"]["Status"]["State"], "RUNNING");
            drill.completed(&cluster, &step);
            drill.verdict("started again, cluster and step were as they had been, and went on");
        }
    }
}

#[test]
fn the_controller_is_killed_anywhere() {
    for seed in seeds() {
        let mut drill = Drill::new("controller SIGKILLed 4 times, anywhere in a running step", seed);
        drill.send();
        let cluster = drill.cluster(3);
        let step = drill.transcript(&cluster, &[]);
        for _ in 0..4 {
            // Not a wait for a state: the kill is meant to fall anywhere.
            std::thread::sleep(Duration::from_millis(drill.rng.u64(0..250)));
            drill.kill_broker();
            drill.start();
        }
        drill.completed(&cluster, &step);
        drill.verdict("the step went on each time");
    }
}
