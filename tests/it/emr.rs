//! The emulated EMR from outside: clusters and steps by the command line against a real broker, workers as processes, and
//! the drills: controller killed, worker killed, scaled in, cancelled, failed. After each the output is judged.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    pipeline::small_day,
    world::{BrokerProcess, ended, lockstep},
};

const QUEUE: &str = "day.fifo";

/// A broker with clusters, a queue, and a day to send.
struct World {
    folder: tempfile::TempDir,
    broker: Option<BrokerProcess>,
    day: Vec<String>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let day = std::fs::read_to_string(small_day(folder.path())).unwrap();
        let mut world = Self { folder, broker: None, day: day.lines().map(str::to_owned).collect() };
        world.start();
        world.good(&["queue", "create", QUEUE]);
        world
    }

    fn start(&mut self) {
        self.broker = Some(BrokerProcess::start(&self.folder.path().join("data")));
    }

    fn kill(&mut self) {
        self.broker.take().unwrap().kill();
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> (i32, String, String) {
        let endpoint = &self.broker.as_ref().unwrap().endpoint;
        let mut command = lockstep(&["--endpoint", endpoint]);
        let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that is refused reads nothing.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        ended(&child.wait_with_output().unwrap())
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments, "");
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out.trim().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.good(&[&["--json", "emr"], arguments].concat());
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Value::Array(lines)
    }

    fn send(&self, part: std::ops::Range<usize>) {
        let lines = self.day[part].join("\n");
        let (code, _, err) = self.run(&["send", QUEUE, "--group-by", "conversation_id"], &lines);
        assert_eq!(code, 0, "{err}");
    }

    fn cluster(&self, flags: &[&str]) -> String {
        self.good(&[&["emr", "cluster", "create", "--name", "day"], flags].concat())
    }

    fn step(&self, cluster: &str, flags: &[&str]) -> String {
        let out = self.out();
        let fixed = ["emr", "step", "add", cluster, "--job", "transcript", "--input", QUEUE, "--output"];
        self.good(&[&fixed[..], &[out.to_str().unwrap()], flags].concat())
    }

    fn state(&self, cluster: &str, step: &str) -> String {
        self.json(&["step", "describe", cluster, step])[0]["Status"]["State"].as_str().unwrap().to_owned()
    }

    /// Waits until something is so.
    fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what} was waited for in vain");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn published(&self) -> usize {
        std::fs::read_to_string(self.out().join("manifest.jsonl")).map_or(0, |text| text.lines().count().max(1) - 1)
    }

    fn workers(&self, cluster: &str) -> Vec<u64> {
        let instances = self.json(&["instances", cluster]);
        instances.as_array().unwrap().iter().filter_map(|one| one["WorkerProcess"].as_u64()).collect()
    }

    fn verify(&self) {
        let (out, input) = (self.out(), self.folder.path().join("day.jsonl"));
        let (code, said, err) =
            self.run(&["verify", "--out", out.to_str().unwrap(), "--input", input.to_str().unwrap()], "");
        assert_eq!(code, 0, "{said}{err}");
        assert!(said.starts_with("ok: ") && said.contains("lost 0, duplicated 0, out of order 0"), "{said}");
    }
}

fn kill(pid: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // One that has ended meanwhile is as dead.
    let _ = kill_process(pid, Signal::KILL);
}

fn path(text: &Path) -> &str {
    text.to_str().unwrap()
}

#[test]
fn a_cluster_with_a_step_runs_it_and_ends_with_it() {
    let world = World::new();
    world.send(0..world.day.len());
    let out = world.out();
    let step = ["--job", "transcript", "--input", QUEUE, "--output", path(&out), "--wait"];
    let said = world.good(&[&["emr", "cluster", "create", "--name", "once", "--workers", "2"], &step[..]].concat());
    assert!(said.contains("COMPLETED"), "{said}");
    let cluster = said.lines().next().unwrap().to_owned();
    let shown = &world.json(&["cluster", "describe", &cluster])[0];
    assert_eq!(shown["Status"]["State"], "TERMINATED");
    assert_eq!(shown["Status"]["StateChangeReason"]["Code"], "ALL_STEPS_COMPLETED");
    assert_eq!(shown["InstanceGroups"].as_array().unwrap().len(), 2);
    let steps = world.json(&["step", "list", &cluster]);
    let id = steps[0]["Id"].as_str().unwrap();
    assert!(world.good(&["emr", "logs", &cluster, id]).contains("the step is completed"));
    assert!(world.good(&["emr", "logs", &cluster, id, "--file", "stdout"]).contains("\"messages\":600"));
    world.verify();
    // The same folder again: nothing is left to do, nothing is published twice.
    let again = world.cluster(&["--workers", "1"]);
    world.step(&again, &["--wait"]);
    world.verify();
}

#[test]
fn a_controller_that_is_killed_goes_on_where_it_was() {
    let mut world = World::new();
    let cluster = world.cluster(&["--workers", "2"]);
    let step = world.step(&cluster, &["--idle-seconds", "2"]);
    let half = world.day.len() / 2;
    world.send(0..half);
    world.until("a published file", || (world.published() > 0).then_some(()));
    world.kill();
    world.start();
    let shown = world.json(&["cluster", "describe", &cluster]);
    assert_eq!(shown[0]["Status"]["State"], "RUNNING", "the cluster is as it was");
    world.send(half..world.day.len());
    let said = world.good(&["emr", "step", "wait", &cluster, &step]);
    assert!(said.contains("COMPLETED"), "{said}");
    world.verify();
    world.good(&["emr", "cluster", "terminate", &cluster]);
    world.good(&["emr", "cluster", "wait", &cluster, "--for", "terminated"]);
}

#[test]
fn workers_that_are_killed_and_scaled_in_lose_nothing() {
    let world = World::new();
    let cluster = world.cluster(&["--workers", "3"]);
    let step = world.step(&cluster, &["--idle-seconds", "2"]);
    let third = world.day.len() / 3;
    world.send(0..third);
    let workers = world.until("three workers", || Some(world.workers(&cluster)).filter(|workers| workers.len() == 3));
    workers.into_iter().take(2).for_each(kill);
    world.send(third..2 * third);
    world.good(&["emr", "cluster", "resize", &cluster, "--core", "1"]);
    world.send(2 * third..world.day.len());
    world.until("one instance", || {
        let shown = world.json(&["cluster", "describe", &cluster]);
        let core = &shown[0]["InstanceGroups"][1];
        (core["RunningInstanceCount"] == 1 && core["Status"]["State"] == "RUNNING").then_some(())
    });
    let said = world.good(&["emr", "step", "wait", &cluster, &step]);
    assert!(said.contains("COMPLETED"), "{said}");
    world.verify();
}

#[test]
fn a_cancelled_step_gives_back_what_it_held_and_a_later_one_goes_on() {
    let world = World::new();
    let cluster = world.cluster(&["--workers", "2"]);
    for flags in [&[][..], &["--kill"]] {
        let step = world.step(&cluster, &["--follow"]);
        let half = world.day.len() / 2;
        let (part, before) = (if flags.is_empty() { 0..half } else { half..world.day.len() }, world.published());
        world.send(part);
        world.until("a published file", || (world.published() > before).then_some(()));
        world.good(&[&["emr", "step", "cancel", &cluster, &step], flags].concat());
        let ended =
            world.until("its end", || Some(world.state(&cluster, &step)).filter(|state| state != "CANCEL_PENDING"));
        assert_eq!(ended, "CANCELLED");
        let queue = world.run(&["--json", "queue", "describe", QUEUE], "").1;
        let queue: Value = serde_json::from_str(&queue).unwrap();
        assert_eq!(queue["messages_claimed"], 0, "{queue}");
    }
    let step = world.step(&cluster, &["--wait"]);
    assert!(step.contains("COMPLETED"), "{step}");
    world.verify();
}

#[test]
fn a_step_that_fails_says_why_and_its_action_is_taken() {
    let world = World::new();
    for (action, second, then) in [
        ("continue", "FAILED", "WAITING"),
        ("cancel-and-wait", "CANCELLED", "WAITING"),
        ("terminate-cluster", "CANCELLED", "TERMINATED_WITH_ERRORS"),
    ] {
        let cluster = world.cluster(&["--workers", "1"]);
        // Nobody works on the first one before the second is there.
        world.step(&cluster, &["--follow"]);
        let (out, mut ids) = (world.out().join(action), Vec::new());
        for _ in 0..2 {
            let step = ["--job", "transcript", "--input", "none.fifo", "--output", path(&out), "--on-failure", action];
            ids.push(world.good(&[&["emr", "step", "add", &cluster], &step[..]].concat()));
        }
        let first = world.json(&["step", "list", &cluster])[2]["Id"].as_str().unwrap().to_owned();
        world.good(&["emr", "step", "cancel", &cluster, &first]);
        let state = |id: &str| Some(world.state(&cluster, id)).filter(|state| state != "PENDING" && state != "RUNNING");
        assert_eq!(world.until("a failure", || state(&ids[0])), "FAILED");
        assert_eq!(world.until("the end of the second", || state(&ids[1])), second, "{action}");
        world.until(then, || {
            let shown = world.json(&["cluster", "describe", &cluster]);
            (shown[0]["Status"]["State"] == then).then_some(())
        });
        let failure = &world.json(&["step", "describe", &cluster, &ids[0]])[0]["Status"]["FailureDetails"];
        assert_eq!(failure["Reason"], "Queue Not Found.");
        assert!(failure["Message"].as_str().unwrap().contains("lockstep queue create none.fifo"), "{failure}");
        assert!(Path::new(failure["LogFile"].as_str().unwrap()).exists(), "{failure}");
    }
}

#[test]
fn what_cannot_be_is_refused_in_emrs_words_with_the_way_out() {
    let world = World::new();
    let cluster = world.cluster(&["--workers", "0"]);
    let out = world.out();
    let refused = |arguments: &[&str], ways: &[&str]| {
        let (code, said, err) = world.run(&[&["emr"], arguments].concat(), "");
        assert_eq!(code, 4, "{arguments:?}: {said}{err}");
        assert!(ways.iter().all(|way| err.contains(way)), "{arguments:?}: {err}");
    };
    let add = ["step", "add", &cluster];
    let step = ["--output", path(&out)];
    refused(
        &[&add[..], &["--mapper", "no-such-program", "--input", QUEUE], &step].concat(),
        &["ValidationException", "interpreter"],
    );
    refused(&["cluster", "describe", "j-NONE"], &["InvalidRequestException", "ListClusters"]);
    refused(&["step", "describe", &cluster, "s-NONE"], &["InvalidRequestException", "ListSteps"]);
    refused(&["cluster", "create", "--name", "x", "--workers", "33"], &["ValidationException", "at most 32"]);
    refused(&["cluster", "concurrency", &cluster, "257"], &["1 to 256"]);
    world.good(&["emr", "cluster", "protect", &cluster]);
    refused(&["cluster", "terminate", &cluster], &["termination protected", "SetTerminationProtection"]);
    world.good(&["emr", "cluster", "protect", &cluster, "--off"]);
    world.good(&["emr", "cluster", "terminate", &cluster]);
    let good = [&add[..], &["--job", "transcript", "--input", QUEUE], &step].concat();
    refused(&good, &["ValidationException", "may not be modified"]);
    let (code, _, err) = ended(
        &lockstep(&["--endpoint", "http://127.0.0.1:1", "--patience", "0", "emr", "cluster", "list"]).output().unwrap(),
    );
    assert!(code == 3 && err.contains("lockstep serve"), "{err}");
}

#[test]
fn a_broker_with_tokens_runs_nobodys_programs() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    // SHA-256 of `t`.
    let hash = "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8";
    std::fs::write(&tokens, format!("one {hash}\n")).unwrap();
    let broker = BrokerProcess::start_with(&folder.path().join("data"), &["--tokens", path(&tokens)]);
    let list = |token: &[&str]| {
        let args = [token, &["--endpoint", &broker.endpoint, "emr", "cluster", "list"]].concat();
        ended(&lockstep(&args).output().unwrap())
    };
    let (code, _, err) = list(&[]);
    assert!(code == 4 && err.contains("wants a token"), "{code} {err}");
    let (code, _, err) = list(&["--token", "t"]);
    assert!(code == 1 && err.contains("loopback") && err.contains("--token "), "{code} {err}");
}
