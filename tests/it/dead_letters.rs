//! Dead letters as people and scripts meet them on the command line (Q1 to Q7).

use crate::world::{BrokerProcess, ended, run};

#[test]
fn a_message_that_nobody_finishes_ends_in_the_dead_letter_queue() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    let ok = |arguments: &[&str]| {
        let (code, out, err) = with(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    ok(&["queue", "create", "dead.fifo"]);
    let half = with(&["queue", "create", "a.fifo", "--dead-letter-queue", "dead.fifo"]);
    assert_eq!(half.0, 2, "a policy is both or nothing: {}", half.2);
    let (code, _, err) = with(&["queue", "create", "a.fifo", "--dead-letter-queue", "no.fifo", "--max-receives", "1"]);
    assert!(code == 4 && err.contains("Q1"), "{code} {err}");
    ok(&["queue", "create", "a.fifo", "--dead-letter-queue", "dead.fifo", "--max-receives", "1"]);
    assert_eq!(ok(&["redrive", "sources", "dead.fifo"]), "a.fifo\n");
    ok(&["send", "a.fifo", "--group", "g", "poison"]);
    ok(&["send", "a.fifo", "--group", "g", "sound"]);
    let seen: serde_json::Value =
        serde_json::from_str(&ok(&["receive", "a.fifo", "--visibility-timeout", "0", "--json"])).unwrap();
    assert!(ok(&["receive", "a.fifo", "--delete"]).contains("sound"), "the group goes on with the next");
    let letter: serde_json::Value =
        serde_json::from_str(&ok(&["receive", "dead.fifo", "--visibility-timeout", "0", "--json"])).unwrap();
    assert_eq!((&letter["message_id"], &letter["body"]), (&seen["message_id"], &"poison".into()));
    assert_eq!(letter["dead_letter_source"], "a.fifo");
    ok(&["queue", "set", "a.fifo", "--no-dead-letter-queue", "--redrive-allow", "dead.fifo"]);
    assert_eq!(ok(&["redrive", "sources", "dead.fifo"]), "");
    let described = ok(&["queue", "describe", "a.fifo", "--json"]);
    assert!(described.contains("\"redrive_allow\":\"dead.fifo\"") && !described.contains("dead_letter_queue"));
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn dead_letters_go_back_and_a_task_is_listed_and_cancelled() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    let ok = |arguments: &[&str]| {
        let (code, out, err) = with(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    let parsed = |text: String| serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap();
    ok(&["queue", "create", "dead.fifo"]);
    ok(&["queue", "create", "a.fifo", "--dead-letter-queue", "dead.fifo", "--max-receives", "1"]);
    for group in ["g", "h"] {
        ok(&["send", "a.fifo", "--group", group, &format!("letter {group}")]);
        ok(&["receive", "a.fifo", "--visibility-timeout", "0"]);
        assert_eq!(ok(&["receive", "a.fifo"]), "");
    }
    let letter = parsed(ok(&["tail", "dead.fifo", "--json"]));
    let (code, _, err) = with(&["redrive", "start", "a.fifo"]);
    assert!(code == 4 && err.contains("Q6"), "{code} {err}");
    assert_eq!(with(&["redrive", "start", "dead.fifo", "--rate", "501"]).0, 2);
    let (code, _, err) = with(&["redrive", "cancel", "nonsense"]);
    assert!(code == 4 && err.contains("task handle"), "{code} {err}");
    let handle = ok(&["redrive", "start", "dead.fifo", "--rate", "1"]);
    assert!(ok(&["receive", "a.fifo", "--wait", "10", "--visibility-timeout", "0"]).contains("letter"));
    let back = parsed(ok(&["receive", "a.fifo", "--wait", "10", "--json"]));
    assert_ne!(back["message_id"], letter["message_id"], "it is a new message");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let task = loop {
        let task = parsed(ok(&["redrive", "list", "dead.fifo", "--json"]));
        if task["status"] != "RUNNING" || std::time::Instant::now() > deadline {
            break task;
        }
        assert_eq!(task["task_handle"], handle.trim());
    };
    assert_eq!((&task["status"], &task["messages_moved"]), (&"COMPLETED".into(), &2.into()), "{task}");
    let (code, _, err) = with(&["redrive", "cancel", handle.trim()]);
    assert!(code == 4 && err.contains("has ended"), "{code} {err}");
    assert!(ok(&["redrive", "list", "dead.fifo"]).starts_with("COMPLETED  to their sources, 2 of 2 moved"));
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn a_group_is_parked_found_explained_and_unparked() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", "a.fifo"]).0, 0);
    assert_eq!(with(&["send", "a.fifo", "--group", "g", "hello"]).0, 0);
    assert_eq!(with(&["unpark", "a.fifo"]).0, 2, "a group or --all");
    assert_eq!(with(&["park", "a.fifo", "g"]).1, "g parked\n");
    assert_eq!(with(&["receive", "a.fifo"]).1, "");
    assert!(with(&["park", "a.fifo", "--list"]).1.starts_with("g  parked since"));
    assert!(with(&["tail", "a.fifo"]).1.contains("parked group g: hello"));
    assert!(with(&["explain", "a.fifo", "g"]).1.contains("lockstep unpark a.fifo g"));
    assert!(with(&["queue", "describe", "a.fifo", "--json"]).1.contains("\"groups_parked\":1"));
    assert_eq!(with(&["unpark", "a.fifo", "--all"]).1, "1 groups deliver again\n");
    assert!(with(&["unpark", "a.fifo", "g"]).1.contains("was not parked"));
    assert!(with(&["receive", "a.fifo", "--delete"]).1.contains("hello"));
    let (code, _, err) = with(&["park", "none.fifo", "g"]);
    assert!(code == 4 && err.contains("does not exist"), "{code} {err}");
    assert_eq!(broker.terminate(), Some(0));
}
