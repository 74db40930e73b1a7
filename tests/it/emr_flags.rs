//! A step from flags: every option reaches the step, and what cannot be is refused before anything is sent.

use serde_json::Value;

use crate::world::{BrokerProcess, ended, run};

const STEP: [&str; 6] = ["--job", "count", "--input", "day.fifo", "--output", "/tmp/never-made"];

#[test]
fn every_option_of_a_step_has_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("data"));
    let emr = |arguments: &[&str]| {
        let (code, said, err) = ended(&run(&[&["--endpoint", &broker.endpoint, "--json", "emr"], arguments].concat()));
        assert_eq!(code, 0, "{arguments:?}: {said}{err}");
        serde_json::from_str::<Value>(said.lines().next().unwrap()).unwrap()
    };
    let (out, sh) = (folder.path().join("out"), "sh -c 'cat; exit 3'");
    let limits = ["--mapper", sh, "--time-limit", "7", "--mapper-output-bytes", "4096", "--follow"];
    let usual = ["--input", "day.fifo", "--output", out.to_str().unwrap(), "--format", "jsonl.zst"];
    let policy = ["--on-poison", "park", "--reader", "mine_1", "--on-failure", "continue", "--step-name", "all"];
    let flags = [&limits[..], &usual, &policy].concat();
    let made = emr(&[&["cluster", "create", "--name", "x", "--workers", "0", "--keep-alive"], &flags[..]].concat());
    let cluster = made["JobFlowId"].as_str().unwrap();
    let first = emr(&["step", "list", cluster])["Id"].as_str().unwrap().to_owned();
    let added = emr(&[&["step", "add", cluster], &flags[..]].concat());
    let expected = [
        &["lockstep", "--mapper", sh, "--input", "day.fifo", "--output", out.to_str().unwrap()][..],
        &["--mapper-seconds", "7", "--mapper-output-bytes", "4096", "--format", "jsonl.zst", "--on-poison", "park"],
        &["--reader", "mine_1", "--follow"],
    ]
    .concat();
    for id in [first.as_str(), added["StepIds"][0].as_str().unwrap()] {
        let step = emr(&["step", "describe", cluster, id]);
        assert_eq!((&step["Name"], &step["ActionOnFailure"]), (&"all".into(), &"CONTINUE".into()));
        assert_eq!(step["Config"]["Args"], serde_json::json!(expected));
    }
    let idle = emr(&[&["step", "add", cluster, "--idle-seconds", "3"], &STEP[..]].concat());
    let step = emr(&["step", "describe", cluster, idle["StepIds"][0].as_str().unwrap()]);
    assert!(step["Config"]["Args"].to_string().contains(r#""--idle-seconds","3""#), "{step}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let job = ["--job", "count", "--input", "day.fifo"];
    let out = ["--output", "/tmp/never-made"];
    for (flags, words) in [
        (vec!["--job", "transscript", "--input", "day.fifo", "--output", "o"], "reply-pairs"),
        (vec!["--mapper", "cat 'x", "--input", "day.fifo", "--output", "o"], "never closed"),
        ([&STEP[..], &["--mapper", "cat"]].concat(), "--job"),
        ([&STEP[..], &["--format", "orc"]].concat(), "jsonl.gz"),
        ([&STEP[..], &["--on-poison", "ignore"]].concat(), "dlq"),
        ([&STEP[..], &["--reader", "a/b"]].concat(), "B6"),
        ([&STEP[..], &["--follow", "--idle-seconds", "3"]].concat(), "--idle-seconds"),
        ([&STEP[..], &["--idle-seconds", "soon"]].concat(), "--idle-seconds"),
        ([&STEP[..], &["--time-limit", "3"]].concat(), "--mapper-seconds"),
        (vec!["--mapper", "cat", "--mapper-seconds", "0", "--input", "a.fifo", "--output", "o"], "86,400"),
        (
            vec!["--mapper", "cat", "--mapper-output-bytes", "0", "--input", "a.fifo", "--output", "o"],
            "at least 1 byte",
        ),
        (vec!["--job", "count", "--input", "day", "--output", "o"], ".fifo"),
        (vec!["--job", "count", "--input", "http:///x", "--output", "o"], "URL"),
        ([&job[..], &["--output", "ftp://host/out"]].concat(), "ftp"),
        (job.to_vec(), "--output"),
        ([&job[..2], &out].concat(), "--input"),
        (vec!["--format", "jsonl.gz"], "--job or --mapper"),
    ] {
        // Nobody listens there: what is sent ends with another code.
        for verb in [&["step", "add", "j-X"][..], &["cluster", "create", "--name", "x"]] {
            let nowhere = ["--endpoint", "http://127.0.0.1:1", "--patience", "0", "emr"];
            let (code, said, err) = ended(&run(&[&nowhere[..], verb, &flags].concat()));
            assert!(code == 2 && err.contains(words), "{verb:?} {flags:?}: {code} {said}{err}");
        }
    }
}
