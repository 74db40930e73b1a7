//! The ground of a drill: a broker on a socket that outlives it, a queue with a day, a cluster, and the means to strike
//! and to look. What is struck when, is told in the files beside this one.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::{ended, lockstep};

pub(super) const QUEUE: &str = "day.fifo";
pub(super) const GROUPS: u32 = 20;
pub(super) const TURNS: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(90);

/// A drill under way.
pub(super) struct Drill {
    what: String,
    seed: u64,
    began: Instant,
    pub(super) rng: fastrand::Rng,
    folder: tempfile::TempDir,
    socket: TcpListener,
    broker: Option<Child>,
}

impl Drill {
    /// A broker with a queue, and a day of conversations that is not sent yet.
    pub(super) fn new(what: &str, seed: u64) -> Self {
        Self::with_poison(what, seed, &[])
    }

    /// The same; the texts at these places, by turn and group, are `poison`.
    pub(super) fn with_poison(what: &str, seed: u64, poison: &[(u32, u32)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("points")).unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        std::fs::write(folder.path().join("day.jsonl"), day(&mut rng, poison)).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let (what, began) = (what.to_owned(), Instant::now());
        let mut drill = Self { what, seed, began, rng, folder, socket, broker: None };
        drill.start();
        drill.good(&["queue", "create", QUEUE]);
        drill
    }

    pub(super) fn start(&mut self) {
        let socket: OwnedFd = self.socket.try_clone().unwrap().into();
        let (data, points) = (self.path("data"), self.path("points"));
        let journal = if self.seed.is_multiple_of(2) { "sled" } else { "segments" };
        let flags = ["serve", "--listen", "stdin", "--journal", journal, "--lock-patience", "10"];
        let mut command = lockstep(&flags);
        command.args(["--data", &data, "--drills", &points]).stdin(socket).stdout(Stdio::piped());
        let log = File::options().create(true).append(true).open(self.path("broker.log")).unwrap();
        let mut broker = command.stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(broker.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on "), "{line}{}", self.log());
        self.broker = Some(broker);
    }

    /// SIGKILL for the broker, and with it for the controller of its clusters.
    pub(super) fn kill_broker(&mut self) {
        let mut broker = self.broker.take().unwrap();
        broker.kill().unwrap();
        broker.wait().unwrap();
    }

    /// Waits until the broker has been ended by SIGKILL.
    pub(super) fn broker_was_killed(&mut self) {
        let mut broker = self.broker.take().unwrap();
        let status = self.until("the end of the broker", || broker.try_wait().unwrap());
        assert_eq!(status.signal(), Some(9), "{}", self.log());
    }

    pub(super) fn broker_pid(&self) -> u32 {
        self.broker.as_ref().unwrap().id()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.path("broker.log")).unwrap_or_default()
    }

    pub(super) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let endpoint = format!("http://{}", self.socket.local_addr().unwrap());
        let mut command = lockstep(&["--endpoint", &endpoint]);
        ended(&command.args(arguments).stdin(Stdio::null()).output().unwrap())
    }

    pub(super) fn good(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}{}", self.log());
        out.trim().to_owned()
    }

    /// One operation of EMR.
    pub(super) fn emr(&self, operation: &str, request: &Value) -> Value {
        let address = self.socket.local_addr().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = request.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: ElasticMapReduce.{operation}\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")) }
    }

    pub(super) fn send(&self) {
        self.good(&["send", QUEUE, "--group-by", "conversation_id", "--input", &self.path("day.jsonl")]);
    }

    pub(super) fn cluster(&self, workers: u32) -> String {
        self.good(&["emr", "cluster", "create", "--name", "drill", "--workers", &workers.to_string()])
    }

    /// Adds steps in one call: action and words each; a step of `day.fifo` into the output folder unless it says other.
    pub(super) fn steps(&self, cluster: &str, steps: &[(&str, &[&str])]) -> Vec<String> {
        let step = |(action, words): &(&str, &[&str])| {
            let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            for (name, value) in [("--input", QUEUE.to_owned()), ("--output", self.path("out"))] {
                if !words.iter().any(|word| word == name) {
                    words.extend([name.to_owned(), value]);
                }
            }
            words.insert(0, "lockstep".to_owned());
            json!({ "Name": "drill", "ActionOnFailure": action, "HadoopJarStep": { "Jar": "command-runner.jar", "Args": words } })
        };
        let steps: Vec<_> = steps.iter().map(step).collect();
        let added = self.emr("AddJobFlowSteps", &json!({ "JobFlowId": cluster, "Steps": steps }));
        added["StepIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// A step of the job `transcript`.
    pub(super) fn transcript(&self, cluster: &str, flags: &[&str]) -> String {
        self.steps(cluster, &[("CONTINUE", &[&["--job", "transcript"], flags].concat())]).remove(0)
    }

    pub(super) fn status(&self, cluster: &str, step: &str) -> Value {
        self.emr("DescribeStep", &json!({ "ClusterId": cluster, "StepId": step }))["Step"]["Status"].take()
    }

    /// Waits for the end of a step; its status.
    pub(super) fn end_of(&self, cluster: &str, step: &str) -> Value {
        self.until("the end of a step", || {
            let status = self.status(cluster, step);
            let state = status["State"].as_str().unwrap();
            (!matches!(state, "PENDING" | "RUNNING" | "CANCEL_PENDING")).then_some(status)
        })
    }

    pub(super) fn completed(&self, cluster: &str, step: &str) {
        let status = self.end_of(cluster, step);
        assert_eq!(status["State"], "COMPLETED", "{status}{}", self.log());
    }

    /// A file of the log of a step.
    pub(super) fn step_log(&self, cluster: &str, step: &str, file: &str) -> String {
        let path = format!("{}/emr/logs/{cluster}/steps/{step}/{file}", self.path("data"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until a line of the step's log holds these words; the line.
    pub(super) fn said(&self, cluster: &str, step: &str, words: &str) -> String {
        self.until(words, || {
            let log = self.step_log(cluster, step, "controller");
            log.lines().find(|line| line.contains(words)).map(str::to_owned)
        })
    }

    /// Waits until something is so.
    pub(super) fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            let (drill, seed) = (&self.what, self.seed);
            assert!(began.elapsed() < PATIENCE, "{drill}, seed {seed}: waited for {what} in vain\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// From now on the first process that comes there is struck.
    pub(super) fn arm(&self, point: &str, order: &str) {
        // Whoever looks sees all of it or nothing.
        let (draft, file) = (self.path("order"), self.path("points") + "/" + point);
        std::fs::write(&draft, order).unwrap();
        std::fs::rename(draft, file).unwrap();
    }

    /// Waits until somebody was struck there; its process id.
    pub(super) fn struck(&self, point: &str) -> u32 {
        self.until(point, || {
            let mut names = std::fs::read_dir(self.path("points")).unwrap().map(|entry| entry.unwrap().file_name());
            names.find_map(|name| name.to_str()?.strip_prefix(point)?.strip_prefix('.')?.parse().ok())
        })
    }

    /// The same, and until it has stopped.
    pub(super) fn stopped(&self, point: &str) -> u32 {
        let pid = self.struck(point);
        self.until("a process that stands still", || (state(pid) == Some('T')).then_some(()));
        pid
    }

    /// The worker processes of the broker.
    pub(super) fn workers(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.broker_pid())).unwrap() {
            let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        found.retain(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("\0worker\0"))
        });
        found
    }

    /// The lines of the manifest after its header.
    pub(super) fn published(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(Path::new(&self.path("out")).join("manifest.jsonl")).unwrap_or_default();
        text.lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Output files of attempts that the manifest does not name.
    pub(super) fn unpublished(&self) -> Vec<PathBuf> {
        let named: Vec<String> =
            self.published().iter().map(|line| line["file"].as_str().unwrap().to_owned()).collect();
        let mut files = Vec::new();
        let mut folders = vec![PathBuf::from(self.path("out"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push(entry.path());
                }
            }
        }
        files.retain(|file| {
            let name = file.strip_prefix(self.path("out")).unwrap().to_str().unwrap();
            name.contains('/') && name.ends_with(".jsonl") && !named.iter().any(|one| one == name)
        });
        files
    }

    /// Judges the output, and tells what the drill showed.
    pub(super) fn verdict(self, seen: &str) {
        let arguments = ["verify", "--out", &self.path("out"), "--input", &self.path("day.jsonl")];
        let (code, said, err) = self.run(&arguments);
        let (what, seed, took) = (&self.what, self.seed, self.began.elapsed().as_secs_f32());
        assert_eq!(code, 0, "{what}, seed {seed}: {said}{err}{}", self.log());
        let said = said.trim();
        assert!(said.starts_with("ok: ") && said.contains("lost 0, duplicated 0, out of order 0"), "{what}: {said}");
        println!("| {what} | {seed} | {seen} | {said} | {took:.1} s |");
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            // One that stands still, or has ended, is killed all the same.
            let _ = broker.kill();
            let _ = broker.wait();
        }
    }
}

/// Conversations whose claims are a few, by their size.
fn day(rng: &mut fastrand::Rng, poison: &[(u32, u32)]) -> String {
    let mut lines = String::new();
    for turn in 0..TURNS {
        for group in 0..GROUPS {
            let poisoned = poison.contains(&(turn, group));
            let text = if poisoned { "poison".to_owned() } else { "x".repeat(rng.usize(2_500..3_500)) };
            let line = json!({ "conversation_id": format!("c{group}"), "turn": turn, "sender": "agent", "text": text });
            lines += &(line.to_string() + "\n");
        }
    }
    lines
}

/// A process of this drill is told something; one that has ended meanwhile needs no telling.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// The state of a process as the system has it; none where there is none, or only its remains.
pub(super) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next().filter(|state| *state != 'Z')
}
