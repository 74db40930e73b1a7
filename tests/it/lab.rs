//! The lab as a class meets it: every scenario on real processes, its verdict as the exit code, and nothing left behind.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
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

#[test]
fn the_page_walks_through_a_scenario_and_strangers_get_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let page = Page::open(&["--scenario", "retry", "--seed", "3", "--data", place]);
    assert!(page.ask("GET", "/", &[], "").contains("/console/lab.js"));
    for (header, code) in [
        ("Host: evil.example", "HOST_UNKNOWN"),
        ("Origin: http://evil.example", "ORIGIN_FOREIGN"),
        ("Sec-Fetch-Site: cross-site", "ORIGIN_FOREIGN"),
    ] {
        let answer = page.ask("GET", "/lab/api/report.json", &[header], "");
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(code), "{header}: {answer}");
    }
    for token in ["lockstep-console: wrong", "x: y"] {
        let answer =
            page.ask("POST", "/lab/api/do", &[token, "Content-Type: application/json"], r#"{"action":"next"}"#);
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("TOKEN_WRONG"), "{answer}");
    }
    for bad in
        ["", "{}", r#"{"action":"explode"}"#, r#"{"action":"speed","times":61}"#, r#"{"action":"predict","choice":1}"#]
    {
        let answer = page.act(bad);
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("message"), "{bad}: {answer}");
    }
    assert!(page.ask("GET", "/lab/api/report.json", &[], "").contains("NO_REPORT"));
    let lanes = page.ask("GET", "/console/api/lanes?queue=conversations.fifo", &[], "");
    assert!(lanes.starts_with("HTTP/1.1 200") && lanes.contains("\"lanes\""), "through to the broker: {lanes}");
    page.good(r#"{"action":"speed","times":60}"#);
    page.good(r#"{"action":"next"}"#);
    let state = page.until("the end of the first step", |state| state["phase"] == "met");
    assert_eq!((&state["proof"]["committed"], &state["step"]), (&12.into(), &0.into()));
    page.good(r#"{"action":"next"}"#);
    let state = page.until("the card", |state| state["step"] == 1);
    assert_eq!(state["scenario"]["steps"][1]["card"]["right"], Value::Null, "not told before");
    page.good(r#"{"action":"predict","choice":2}"#);
    page.good(r#"{"action":"next"}"#);
    let state = page.until("the answer", |state| state["phase"] == "met");
    assert_eq!(
        (&state["aside"]["predicted"][1], &state["scenario"]["steps"][1]["card"]["right"]),
        (&2.into(), &2.into())
    );
    // What no step asks for: a worker dies, the broker dies, a message is poison.
    for word in
        [r#"{"action":"poison","producer":1}"#, r#"{"action":"kill-worker","place":0}"#, r#"{"action":"kill-broker"}"#]
    {
        page.good(word);
    }
    let end = page.until("the end", |state| {
        if state["phase"] == "met" {
            page.good(r#"{"action":"next"}"#);
        }
        state["phase"] == "over"
    });
    let proof = &end["verdict"]["proof"];
    assert_eq!(
        (&end["verdict"]["ok"], &proof["accepted"], &proof["committed"]),
        (&true.into(), &72.into(), &71.into()),
        "{proof}"
    );
    assert_eq!((&proof["dead_lettered"], &end["facts"]["broker_lives"]), (&1.into(), &2.into()));
    assert!(page.ask("GET", "/lab/api/report.html", &[], "").contains("<h2>Proof table</h2>"));
    page.good(r#"{"action":"answers"}"#);
    let answers = page.until("the other answers", |state| state["aside"]["answers"].is_array());
    let standard = &answers["aside"]["answers"][0];
    assert!(standard["real"] == true && standard["proof"]["duplicated"].as_u64().unwrap() > 0, "{standard}");
    page.good(r#"{"action":"scenario","name":"order","seed":9}"#);
    let state = page.until("the other scenario", |state| state["scenario"]["name"] == "order");
    assert_eq!((&state["seed"], &state["proof"]["sent"]), (&9.into(), &0.into()));
    assert_eq!(page.end(), Some(0));
    until("the end of every process", || processes_of(place).is_empty().then_some(()));
}

#[test]
fn a_class_may_linger_at_any_step() {
    for (scenario, field, late) in [("order", "committed", 24), ("zombie", "given_up", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let page = Page::open(&["--scenario", scenario, "--seed", "7", "--data", folder.path().to_str().unwrap()]);
        page.good(r#"{"action":"speed","times":60}"#);
        let end = page.until("the end", |state| {
            // What the next step waits for is over before it is begun.
            let lingers = state["step"] == 1 && state["phase"] == "met" && state["facts"][field].as_u64() < Some(late);
            if state["phase"] != "runs" && state["phase"] != "over" && !lingers {
                page.good(r#"{"action":"next"}"#);
            }
            state["phase"] == "over"
        });
        assert_eq!(end["verdict"]["ok"], Value::Bool(true), "{scenario}: {}", end["verdict"]["proof"]);
        assert_eq!(page.end(), Some(0));
    }
}

#[test]
fn a_worker_that_is_frozen_and_thawed_in_one_breath_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let page = Page::open(&["--scenario", "order", "--seed", "5", "--data", folder.path().to_str().unwrap()]);
    page.good(r#"{"action":"speed","times":60}"#);
    page.good(r#"{"action":"next"}"#);
    page.until("the end of the first step", |state| state["phase"] == "met");
    page.good(r#"{"action":"kill-worker","place":0}"#);
    for _ in 0..5 {
        for word in [
            r#"{"action":"freeze-worker","place":0}"#,
            r#"{"action":"freeze-worker","place":1}"#,
            r#"{"action":"thaw"}"#,
        ] {
            page.good(word);
        }
    }
    let end = page.until("the end", |state| {
        if state["phase"] == "met" || state["phase"] == "waits" {
            page.good(r#"{"action":"next"}"#);
        }
        state["phase"] == "over"
    });
    assert_eq!(end["verdict"]["ok"], Value::Bool(true), "{}", end["verdict"]["proof"]);
    assert_eq!(page.end(), Some(0));
}

/// A lab with its page.
struct Page {
    lab: Child,
    address: String,
    token: String,
}

impl Page {
    fn open(flags: &[&str]) -> Self {
        let mut lab = lockstep(&["lab"]).args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(lab.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (address, token) = line.trim().strip_prefix("lab: http://").unwrap().split_once("/#token=").unwrap();
        Self { lab, address: address.to_owned(), token: token.to_owned() }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = format!("Host: {}", self.address);
        let own = if headers.iter().any(|header| header.starts_with("Host:")) { None } else { Some(host.as_str()) };
        let head: Vec<&str> = own.into_iter().chain(headers.iter().copied()).collect();
        let (head, length) = (head.join("\r\n"), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn act(&self, word: &str) -> String {
        let token = format!("lockstep-console: {}", self.token);
        self.ask("POST", "/lab/api/do", &[&token, "Content-Type: application/json"], word)
    }

    fn good(&self, word: &str) {
        let answer = self.act(word);
        assert!(answer.starts_with("HTTP/1.1 200"), "{word}: {answer}");
    }

    /// The first state that a page would be shown now.
    fn state(&self) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /lab/api/state HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix("data: ").map(str::to_owned)).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn until(&self, what: &str, mut found: impl FnMut(&Value) -> bool) -> Value {
        until(what, || {
            let state = self.state();
            assert_eq!(state["aside"]["failed"], Value::Null, "{what}");
            found(&state).then_some(state)
        })
    }

    fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_raw(i32::try_from(self.lab.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        self.lab.wait().unwrap().code()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A test that failed must not leave its lab behind.
        let _ = self.lab.kill();
        let _ = self.lab.wait();
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
