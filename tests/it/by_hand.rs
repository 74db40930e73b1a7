//! Workers by hand, as processes of their own: they attach, work, are told to stop, killed, halted, cut off and turned
//! away, and whatever happens to them, each message is published once.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    pipeline::small_day,
    world::{BrokerProcess, ended, lockstep},
};

const QUEUE: &str = "day.fifo";

/// Publishes what it reads. A worker by hand says that it has begun; both wait while somebody wants them to.
const MAPPER: &str =
    r#"[ -z "$BY_HAND" ] || touch "$HERE/begun"; while [ -e "$HERE/hold$BY_HAND" ]; do sleep 0.02; done; cat"#;

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what} was waited for in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct World {
    folder: tempfile::TempDir,
    broker: Option<BrokerProcess>,
    address: String,
    /// Further flags of `serve`.
    serve: Vec<String>,
    /// What callers show.
    shows: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap(), &[], &[])
    }

    fn with(folder: tempfile::TempDir, serve: &[&str], shows: &[&str]) -> Self {
        small_day(folder.path());
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let (address, serve, shows) = ("127.0.0.1:0".to_owned(), owned(serve), owned(shows));
        let mut world = Self { folder, broker: None, address, serve, shows };
        world.start();
        world.good(&["queue", "create", QUEUE]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn endpoint(&self) -> &str {
        &self.broker.as_ref().unwrap().endpoint
    }

    /// Starts the broker; a second time at the same address, so that who was there finds it again.
    fn start(&mut self) {
        let (address, folder) = (self.address.clone(), self.folder.path().to_owned());
        let broker = BrokerProcess::start_at(&address, &self.path("data"), |command| {
            command.env("HERE", &folder).args(&self.serve);
        });
        self.address = broker.endpoint.split_once("//").unwrap().1.to_owned();
        self.broker = Some(broker);
    }

    fn command(&self) -> Command {
        let mut command = lockstep(&["--endpoint", self.endpoint()]);
        command.args(&self.shows);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(&self.command().args(arguments).stdin(Stdio::null()).output().unwrap())
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out.trim().to_owned()
    }

    fn instances(&self, cluster: &str) -> Vec<Value> {
        let text = self.good(&["--json", "emr", "instances", cluster]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A cluster with one process of its own, and a step whose workers wait while `hold` and `hold1` are there.
    fn cluster(&self) -> (String, String) {
        let cluster = self.good(&["emr", "cluster", "create", "--name", "day", "--workers", "1"]);
        let (out, mapper) = (self.path("out"), format!("sh -c '{MAPPER}'"));
        let step = ["--mapper", &mapper, "--input", QUEUE, "--output", out.to_str().unwrap(), "--idle-seconds", "1"];
        let step = self.good(&[&["emr", "step", "add", &cluster], &step[..]].concat());
        (cluster, step)
    }

    /// Sends the conversations whose names pass.
    fn send(&self, which: impl Fn(usize) -> bool) {
        let day = std::fs::read_to_string(self.path("day.jsonl")).unwrap();
        let of =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["conversation_id"].as_str().unwrap()[1..].parse();
        let lines: Vec<_> = day.lines().filter(|line| which(of(line).unwrap())).collect();
        let mut command = self.command();
        let mut child = command
            .args(["send", QUEUE, "--group-by", "conversation_id"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn hand(&self, cluster: &str) -> Hand {
        self.hand_with(cluster, &[])
    }

    fn hand_with(&self, cluster: &str, environment: &[(&str, &str)]) -> Hand {
        let mut command = self.command();
        command.args(["--json", "emr", "worker", cluster, "--name", "rack-7"]);
        command.env("BY_HAND", "1").env("HERE", self.folder.path()).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Hand { child, lines: Box::new(lines.map(Result::unwrap)) }
    }

    fn finish(&self, cluster: &str, step: &str) {
        let said = self.good(&["emr", "step", "wait", cluster, step]);
        assert!(said.contains("COMPLETED"), "{said}");
        self.good(&["emr", "cluster", "terminate", cluster]);
        self.good(&["emr", "cluster", "wait", cluster, "--for", "terminated"]);
        self.verify();
    }

    fn verify(&self) {
        let (out, input) = (self.path("out"), self.path("day.jsonl"));
        let said = self.good(&["verify", "--out", out.to_str().unwrap(), "--input", input.to_str().unwrap()]);
        assert!(said.starts_with("ok: ") && said.contains("lost 0, duplicated 0, out of order 0"), "{said}");
    }
}

/// A worker by hand.
struct Hand {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Hand {
    /// Reads on until it says this.
    fn says(&mut self, event: &str) -> Value {
        for line in self.lines.by_ref() {
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["event"] == event {
                return said;
            }
        }
        let end = self.child.wait().unwrap();
        panic!("it ended with {end} and never said {event}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    fn ended(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        // One that has ended has nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make(path: &Path) {
    std::fs::write(path, "").unwrap();
}

/// The worker by hand holds a claim and waits over it; the cluster's own process has one too, or finds nothing.
fn held(world: &World) -> (String, String, Hand) {
    for name in ["hold", "hold1"] {
        make(&world.path(name));
    }
    let (cluster, step) = world.cluster();
    let mut hand = world.hand(&cluster);
    hand.says("attached");
    hand.says("began");
    world.send(|conversation| conversation < 10);
    world.send(|conversation| conversation >= 10);
    until("a claim in the hand", || world.path("begun").exists().then_some(()));
    (cluster, step, hand)
}

fn let_go(world: &World, name: &str) {
    std::fs::remove_file(world.path(name)).unwrap();
}

#[test]
fn a_worker_by_hand_is_an_instance_works_and_goes_when_it_has_finished() {
    let world = World::new();
    let (cluster, step, mut hand) = held(&world);
    let listed = world.instances(&cluster);
    let one = listed.iter().find(|one| one["ByHand"] == "rack-7").unwrap();
    assert_eq!((&one["Status"]["State"], &one["InstanceGroupType"]), (&"RUNNING".into(), &"TASK".into()), "{one}");
    assert!(one["PrivateDnsName"].as_str().unwrap().starts_with(&format!("pid-{}.", hand.child.id())), "{one}");
    assert_eq!(one["WorkerProcess"], Value::Null, "it is nobody's to kill here");
    hand.signal(Signal::INT);
    until("that it leaves", || {
        let leaves =
            |one: &Value| one["Status"]["StateChangeReason"]["Message"].as_str().unwrap_or("").contains("finishes");
        world.instances(&cluster).iter().any(leaves).then_some(())
    });
    let_go(&world, "hold1");
    assert!(hand.says("done")["messages"].as_u64().unwrap() > 0);
    hand.says("ended");
    assert!(hand.ended().0.success());
    assert!(world.instances(&cluster).iter().all(|one| one["ByHand"] == Value::Null));
    let_go(&world, "hold");
    world.finish(&cluster, &step);
}

#[test]
fn what_a_killed_worker_by_hand_held_is_handed_on() {
    let world = World::new();
    let (cluster, step, hand) = held(&world);
    hand.signal(Signal::KILL);
    let_go(&world, "hold");
    world.finish(&cluster, &step);
}

#[test]
fn a_worker_by_hand_that_hangs_loses_its_claim_and_its_commit_comes_too_late() {
    let world = World::new();
    let (cluster, step, mut hand) = held(&world);
    hand.signal(Signal::STOP);
    let_go(&world, "hold");
    let said = world.good(&["emr", "step", "wait", &cluster, &step]);
    assert!(said.contains("COMPLETED"), "{said}");
    let_go(&world, "hold1");
    hand.signal(Signal::CONT);
    // It attaches again, as another instance, and ends with its cluster.
    hand.says("attached");
    world.finish(&cluster, &step);
    hand.says("ended");
    assert!(hand.ended().0.success());
}

#[test]
fn a_worker_by_hand_attaches_again_when_the_broker_was_killed() {
    let mut world = World::new();
    let (cluster, step, mut hand) = held(&world);
    world.broker.take().unwrap().kill();
    hand.says("broken");
    world.start();
    hand.says("attached");
    for name in ["hold", "hold1"] {
        let_go(&world, name);
    }
    hand.says("began");
    world.finish(&cluster, &step);
    hand.says("ended");
    assert!(hand.ended().0.success());
}

#[test]
fn a_worker_that_cannot_work_here_says_so_and_the_step_goes_on() {
    let world = World::new();
    let (cluster, step) = world.cluster();
    // No shell is on this path.
    let hand = world.hand_with(&cluster, &[("PATH", "/nowhere")]);
    let (status, said) = hand.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("`sh` cannot be run") && said.contains("this machine"), "{said}");
    world.send(|_| true);
    world.finish(&cluster, &step);
    let (code, _, err) = world.run(&["emr", "worker", &cluster]);
    assert!(code == 4 && err.contains("CLUSTER_ENDED"), "{code} {err}");
    let (code, _, err) = world.run(&["emr", "worker", "j-NONE"]);
    assert!(code == 4 && err.contains("CLUSTER_NOT_FOUND") && err.contains("ListClusters"), "{code} {err}");
    let (code, _, err) = world.run(&["emr", "worker", &cluster, "--name", ""]);
    assert!(code == 4 && err.contains("1 to 80 characters"), "{code} {err}");
    let (code, _, err) = ended(
        &lockstep(&["--endpoint", "http://127.0.0.1:1", "--patience", "0", "emr", "worker", "j-X"]).output().unwrap(),
    );
    assert!(code == 3, "{code} {err}");
}

#[test]
fn over_a_network_tls_and_tokens_say_who_may_attach() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(ended(&lockstep(&["certs", &at("certs")]).output().unwrap()).0, 0);
    let (certificate, key, ca) = (at("certs/server.pem"), at("certs/server.key"), at("certs/ca.pem"));
    let hash = |token: &str| Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tokens = format!("boss {}\nhand {} receive\nviewer {} read\n", hash("b"), hash("h"), hash("v"));
    std::fs::write(at("tokens"), tokens).unwrap();
    let tokens = at("tokens");
    let serve = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &ca, "--tokens", &tokens, "--token", "b"];
    let mut world = World::with(folder, &serve, &["--tls-ca", &ca, "--token", "b"]);
    assert!(world.endpoint().starts_with("https://"));
    let out = world.path("out");
    let cluster = world.good(&["emr", "cluster", "create", "--name", "day", "--workers", "1"]);
    let step = ["--job", "transcript", "--input", QUEUE, "--output", out.to_str().unwrap(), "--idle-seconds", "1"];
    let step = world.good(&[&["emr", "step", "add", &cluster], &step[..]].concat());
    let boss = std::mem::replace(&mut world.shows, vec!["--tls-ca".into(), ca.clone(), "--token".into(), "v".into()]);
    for verb in [&["emr", "worker", &cluster][..], &["emr", "cluster", "list"]] {
        let (code, _, err) = world.run(verb);
        assert!(code == 4 && err.contains("viewer"), "{verb:?}: {code} {err}");
    }
    world.shows[3] = "h".to_owned();
    let (code, _, err) = world.run(&["emr", "cluster", "terminate", &cluster]);
    assert!(code == 4 && err.contains("admin"), "{code} {err}");
    let mut hand = world.hand(&cluster);
    hand.says("attached");
    hand.says("began");
    world.shows = boss;
    world.send(|_| true);
    world.finish(&cluster, &step);
    hand.says("ended");
    assert!(hand.ended().0.success());
}
