//! The command as people and scripts use it: verbs, exit codes, clear refusals.

use std::{
    io::{BufRead as _, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::world::{BrokerProcess, ended, lockstep, run};

#[test]
fn a_message_goes_in_is_seen_taken_and_finished() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    assert_eq!(with(&["send", "a.fifo", "--group", "g", "hello"]).0, 0);
    let (code, out, _) = with(&["send", "a.fifo", "--group", "g", "hello", "--json"]);
    assert!(code == 0 && out.contains("\"duplicate\":true"), "{out}");
    assert!(with(&["tail", "a.fifo"]).1.contains("available group g: hello"));
    let (_, out, _) = with(&["receive", "a.fifo", "--json"]);
    let delivery: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(delivery["body"], "hello");
    let handle = delivery["receipt_handle"].as_str().unwrap();
    assert_eq!(with(&["delete", "a.fifo", handle]).0, 0);
    assert!(with(&["delete", "a.fifo", handle]).1.contains("already gone"));
    assert_eq!(with(&["receive", "a.fifo"]).1, "");
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn explain_says_why_nothing_comes() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    assert!(with(&["explain", "a.fifo"]).1.contains("holds no message (rule R1)"));
    for (group, body) in [("g", "1"), ("g", "2"), ("h", "3")] {
        assert_eq!(with(&["send", "a.fifo", "--group", group, body]).0, 0);
    }
    let (_, out, _) = with(&["receive", "a.fifo", "--json"]);
    let delivery: serde_json::Value = serde_json::from_str(&out).unwrap();
    let (_, out, _) = with(&["explain", "a.fifo", "g"]);
    assert!(out.contains("group g (2 messages) delivers nothing: #1 is in flight") && out.contains("rule O3"), "{out}");
    let (_, out, _) = with(&["explain", "a.fifo", "#2", "--json"]);
    let second: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&second["reason"], &second["blocking"]["sequence_number"]), (&"behind in flight".into(), &1.into()));
    let by_id = with(&["explain", "a.fifo", second["message_id"].as_str().unwrap()]).1;
    assert!(by_id.contains("message #2 of group g waits behind an earlier one"), "{by_id}");
    let by_receipt = with(&["explain", "a.fifo", "--receipt", delivery["receipt_handle"].as_str().unwrap()]).1;
    assert!(by_receipt.contains("the receipt holds it"), "{by_receipt}");
    let (_, out, _) = with(&["explain", "a.fifo", "--json"]);
    let queue: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&queue["groups"]["in flight"], &queue["groups"]["available"]), (&1.into(), &1.into()), "{out}");
    assert_eq!(queue["held_groups"][0]["message_group_id"], "g");
    let (code, _, err) = with(&["explain", "a.fifo", "00000000-0000-8000-8000-000000000000"]);
    assert!(code == 4 && err.contains("B4"), "{code} {err}");
    assert_eq!(with(&["explain", "a.fifo", "#0"]).0, 4);
    assert_eq!(with(&["explain", "a.fifo", "#x"]).0, 2);
}

#[test]
fn attributes_attempts_and_leases_are_told_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo", "--delay", "0"]).0, 0);
    let attributes = ["--attribute", "tenant=blue", "--attribute", "weight:Number=7"];
    assert_eq!(with(&[&["send", "a.fifo", "--group", "g", "hello"][..], &attributes].concat()).0, 0);
    let (code, _, err) = with(&["send", "a.fifo", "--group", "g", "x", "--attribute", "weight:Number=heavy"]);
    assert!(code == 4 && err.contains("L7"), "{code} {err}");
    let (code, _, err) = with(&["send", "a.fifo", "--group", "g", "x", "--delay", "2"]);
    assert!(code == 4 && err.contains("S10"), "{code} {err}");
    let receive = ["receive", "a.fifo", "--attempt-id", "mine"];
    assert!(with(&receive).1.contains("attribute weight (Number) 7"));
    let (_, out, _) = with(&[&receive[..], &["--json"]].concat());
    let delivery: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&delivery["receive_count"], &delivery["attributes"][0]["value"]), (&1.into(), &"blue".into()));
    let handle = delivery["receipt_handle"].as_str().unwrap();
    let (code, out, _) = with(&["extend", "a.fifo", handle, "--visibility-timeout", "600"]);
    assert!(code == 0 && out.contains("hidden until"), "{code} {out}");
    let (code, _, err) = with(&receive);
    assert!(code == 4 && err.contains("R7"), "{code} {err}");
    assert!(with(&["extend", "a.fifo", handle, "--visibility-timeout", "0"]).1.contains("given back"));
    let (code, _, err) = with(&["extend", "a.fifo", handle, "--visibility-timeout", "5"]);
    assert!(code == 4 && err.contains("R3"), "{code} {err}");
    assert_eq!(with(&["extend", "a.fifo", handle, "--visibility-timeout", "43201"]).0, 2);
    assert!(with(&["receive", "a.fifo"]).1.contains("receive 2"));
}

#[test]
fn drain_waits_until_all_is_done_and_the_broker_ends() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    with(&["queue", "create", "a.fifo"]);
    with(&["send", "a.fifo", "--group", "g", "last"]);
    assert!(with(&["drain"]).1.contains("1 messages in 1 queues are left"));
    let mut waiting = lockstep(&["--endpoint", &broker.endpoint, "drain", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut left = String::new();
    std::io::BufReader::new(waiting.stderr.as_mut().unwrap()).read_line(&mut left).unwrap();
    assert!(left.contains("1 messages in 1 queues are left"), "{left}");
    assert_eq!(with(&["receive", "a.fifo", "--delete"]).0, 0);
    let (code, out, err) = ended(&waiting.wait_with_output().unwrap());
    assert!(code == 0 && out.contains("every queue is empty"), "{code} {out} {err}");
    assert_eq!(broker.ended(), Some(0));
}

#[test]
fn log_lines_can_be_json() {
    let refused = run(&["serve", "--log-format", "xml"]);
    assert_eq!(refused.status.code(), Some(2));
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let mut broker =
        lockstep(&["serve", "--listen", "127.0.0.1:0", "--data", data, "--log", "info", "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let lines = std::io::BufReader::new(broker.stderr.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    assert!(events.any(|event| event["message"] == "recovered" && event["queues"] == 0));
    assert!(events.any(|event| event["console"].as_str().is_some_and(|link| link.contains("/#token="))));
    assert!(events.any(|event| event["message"] == "listening"));
    broker.kill().unwrap();
    broker.wait().unwrap();
}

#[test]
fn tags_are_given_shown_and_removed_on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo", "--tag", "team=blue", "--tag", "stage="]).0, 0);
    assert_eq!(with(&["tag", "a.fifo"]).1, "stage=\nteam=blue\n");
    let (code, out, err) = with(&["tag", "a.fifo", "team=red=ish", "cost=7", "--remove", "stage", "nobody", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code} {err}"));
    assert_eq!(shown, serde_json::json!({ "queue": "a.fifo", "tags": { "cost": "7", "team": "red=ish" } }));
    assert!(with(&["tag", "a.fifo", "--remove", "cost", "team"]).1.contains("no tags"));
    let (code, _, err) = with(&["tag", "a.fifo", "=x"]);
    assert!(code == 4 && err.contains("L12"), "{code} {err}");
    let (code, _, err) = with(&["tag", "a.fifo", "a=1", "a=2"]);
    assert!(code == 2 && err.contains("twice"), "{code} {err}");
    assert_eq!(with(&["tag", "a.fifo", "plain"]).0, 2);
    assert_eq!(with(&["tag", "none.fifo"]).0, 4);
}

#[test]
fn stdin_is_a_source_and_stops_at_the_bad_line() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    run(&["--endpoint", &broker.endpoint, "queue", "create", "a.fifo"]);
    let mut child = lockstep(&["--endpoint", &broker.endpoint, "send", "a.fifo", "--group-by", "c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"c\":\"x\",\"n\":1}\n{\"c\":\"x\",\"n\":2}\noops\n{\"c\":\"x\"}\n")
        .unwrap();
    let (code, out, err) = ended(&child.wait_with_output().unwrap());
    assert_eq!((code, out.lines().count()), (1, 2), "{err}");
    assert!(err.contains("line 3") && err.contains("2 messages were sent"), "{err}");
}

#[test]
fn a_send_that_gets_no_answer_ends_with_the_patience() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    run(&["--endpoint", &broker.endpoint, "queue", "create", "a.fifo"]);
    let mut child = lockstep(&["--endpoint", &broker.endpoint, "--patience", "1", "send", "a.fifo", "--group", "g"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"one\n").unwrap();
    let mut sent = String::new();
    std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut sent).unwrap();
    assert!(sent.starts_with("#1 "), "{sent}");
    broker.pause();
    let began = Instant::now();
    lines.write_all(b"two\n").unwrap();
    let (code, _, err) = ended(&child.wait_with_output().unwrap());
    assert!(code == 3 && err.contains("outcome is unknown") && err.contains("1 messages were sent"), "{code} {err}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_named_producer_numbers_what_it_sends_and_goes_on_where_it_stopped() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    let send = ["send", "a.fifo", "--group", "g", "--producer", "billing"];
    let (code, _, err) = with(&[&send[..], &["same"]].concat());
    assert!(code == 0 && err.contains("billing stopped at number 0"), "{code} {err}");
    let lines = ["--endpoint", &broker.endpoint];
    let mut child = lockstep(&[&lines[..], &send].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"same\nsame\n").unwrap();
    let (code, out, err) = ended(&child.wait_with_output().unwrap());
    assert!(code == 0 && err.contains("billing stopped at number 1"), "{code} {err}");
    assert!(out.lines().count() == 2 && !out.contains("duplicate"), "{out}");
    let (_, out, _) = with(&["producer", "list", "a.fifo", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["producer"], &shown["last_number"]), (&"billing".into(), &3.into()));
    let (code, _, err) = with(&["send", "a.fifo", "--group", "g", "--producer", "no spaces", "x"]);
    assert!(code == 4 && err.contains("B3"), "{code} {err}");
    assert_eq!(with(&["producer", "forget", "a.fifo", "billing", "--epoch", "999"]).0, 4);
    assert_eq!(with(&["producer", "forget", "a.fifo", "billing"]).0, 0);
    assert_eq!(with(&["producer", "list", "a.fifo"]).1, "");
}

#[test]
fn exit_codes_say_what_kind_of_failure_it_was() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let usage = run(&["queue", "create"]);
    assert_eq!(usage.status.code(), Some(2));
    let (code, _, err) = ended(&run(&["--endpoint", &broker.endpoint, "queue", "describe", "none.fifo"]));
    assert!(code == 4 && err.contains("does not exist"), "{code} {err}");
    let (code, _, err) = ended(&run(&["--endpoint", &broker.endpoint, "queue", "create", "bad name.fifo"]));
    assert!(code == 4 && err.contains("L1"), "{code} {err}");
    let endpoint = broker.endpoint.clone();
    broker.kill();
    let (code, _, err) = ended(&run(&["--endpoint", &endpoint, "--patience", "0", "queue", "list"]));
    assert!(code == 3 && err.contains("cannot reach"), "{code} {err}");
}

#[test]
fn a_data_directory_in_use_and_a_taken_port_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let (code, _, err) = ended(&run(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]));
    assert!(code == 4 && err.contains("in use") && !err.contains("panicked"), "{code} {err}");
    let other = tempfile::tempdir().unwrap();
    let address = broker.endpoint.strip_prefix("http://").unwrap();
    let (code, _, err) = ended(&run(&["serve", "--listen", address, "--data", other.path().to_str().unwrap()]));
    assert!(code == 4 && err.contains(address), "{code} {err}");
}

#[test]
fn sigterm_ends_it_within_two_seconds_with_a_poll_open() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    run(&["--endpoint", &broker.endpoint, "queue", "create", "a.fifo"]);
    let poll = lockstep(&["--endpoint", &broker.endpoint, "receive", "a.fifo", "--wait", "20"]).spawn().unwrap();
    let began = Instant::now();
    assert_eq!(broker.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let (code, out, _) = ended(&poll.wait_with_output().unwrap());
    // The poll was open and is answered empty, or it had not begun and could not reach anyone.
    assert!(matches!(code, 0 | 3) && out.is_empty(), "{code}");
}

#[test]
fn settings_come_from_flag_environment_and_file_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockstep.toml");
    std::fs::write(&file, "endpoint = \"http://127.0.0.1:1/file\"\npatience = 0\n").unwrap();
    let named = |environment: Option<&str>, flags: &[&str]| {
        let mut command = lockstep(flags);
        command.args(["--config", file.to_str().unwrap(), "queue", "list"]);
        if let Some(endpoint) = environment {
            command.env("LOCKSTEP_ENDPOINT", endpoint);
        }
        ended(&command.output().unwrap()).2
    };
    assert!(named(None, &[]).contains("127.0.0.1:1/file"));
    assert!(named(Some("http://127.0.0.1:1/variable"), &[]).contains("127.0.0.1:1/variable"));
    let flag = ["--endpoint", "http://127.0.0.1:1/flag"];
    assert!(named(Some("http://127.0.0.1:1/variable"), &flag).contains("127.0.0.1:1/flag"));
}

#[test]
fn time_stands_still_until_it_is_moved() {
    let data = tempfile::tempdir().unwrap();
    let start = "2026-01-01T00:00:00Z";
    let broker = BrokerProcess::start_with(data.path(), &["--clock", "manual", "--clock-start", start]);
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    assert_eq!(with(&["send", "a.fifo", "--group", "g", "hello"]).0, 0);
    assert!(with(&["receive", "a.fifo"]).1.contains("hello"));
    assert!(with(&["clock", "now"]).1.starts_with("2026-01-01T00:00:00.000Z"));
    assert_eq!(with(&["receive", "a.fifo"]).1, "", "in flight");
    let (code, out, _) = with(&["clock", "advance", "29s", "--json"]);
    assert!(code == 0 && out.contains("\"next_due_unix_ms\":1767225630000"), "{out}");
    assert!(with(&["clock", "advance", "1s"]).1.contains("00:00:30"));
    assert!(with(&["receive", "a.fifo"]).1.contains("hello"), "the lease lapsed");
    let (code, out, _) = with(&["clock", "run-until-idle", "--within", "1h", "--json"]);
    assert!(code == 0 && out.contains("\"idle\":true"), "{out}");
    assert!(with(&["clock", "freeze"]).1.starts_with("2026-01-01T00:05:"));
    let (code, _, err) = with(&["clock", "advance", "soon"]);
    assert!(code == 2 && err.contains("30s"), "{code} {err}");
    let (code, _, err) = with(&["clock", "advance", "401d"]);
    assert!(code == 4 && err.contains("OUT_OF_RANGE"), "{code} {err}");
    assert_eq!(broker.terminate(), Some(0));
    let data = data.path().to_str().unwrap();
    let (code, _, err) = ended(&run(&["serve", "--listen", "127.0.0.1:0", "--data", data]));
    assert!(code == 4 && err.contains("--force-clock"), "{code} {err}");
}

#[test]
fn the_time_of_real_messages_is_not_moved() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let (code, _, err) = ended(&run(&["--endpoint", &broker.endpoint, "clock", "advance", "1h"]));
    assert!(code == 4 && err.contains("--clock manual"), "{code} {err}");
    assert_eq!(broker.terminate(), Some(0));
    let data = data.path().to_str().unwrap();
    let (code, _, err) = ended(&run(&["serve", "--listen", "127.0.0.1:0", "--data", data, "--clock", "manual"]));
    assert!(code == 4 && err.contains("--force-clock"), "{code} {err}");
    let (code, _, err) = ended(&run(&["serve", "--clock-start", "2026-01-01T00:00:00Z", "--data", data]));
    assert!(code == 2 && err.contains("--clock manual"), "{code} {err}");
}

#[test]
fn a_data_directory_remembers_its_journal_and_another_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let serve = |arguments: &[&str]| {
        let data = data.path().to_str().unwrap();
        lockstep(&[&["serve", "--listen", "127.0.0.1:0", "--data", data], arguments].concat())
    };
    assert_eq!(BrokerProcess::start_with(data.path(), &["--journal", "segments"]).terminate(), Some(0));
    let (code, _, err) = ended(&serve(&["--journal", "sled"]).output().unwrap());
    assert!(code == 4 && err.contains("--journal segments"), "{code} {err}");
    let (code, _, err) = ended(&serve(&[]).env("LOCKSTEP_JOURNAL", "sled").output().unwrap());
    assert!(code == 4 && err.contains("--journal segments"), "the environment is a setting, too: {code} {err}");
    let (code, _, err) = ended(&serve(&["--journal", "paper"]).output().unwrap());
    assert!(code == 2 && err.contains("segments"), "{code} {err}");
    assert_eq!(BrokerProcess::start(data.path()).terminate(), Some(0), "unnamed, it is the one that is there");
}
