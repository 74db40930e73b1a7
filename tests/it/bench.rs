//! The load generator from outside: each workload over each protocol, small; what its JSON says; what it does not take.

use serde_json::Value;

use crate::world::{BrokerProcess, ended, run};

/// The one report of a run that must succeed.
fn measured(arguments: &[&str]) -> Value {
    let (code, out, err) = ended(&run(&[&["bench", "--json", "--journal", "memory"], arguments].concat()));
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn every_workload_over_every_protocol_ends_with_every_message_in_order() {
    for (protocol, batch) in
        [("stream", "1"), ("stream", "40"), ("grpc", "1"), ("grpc", "40"), ("sqs", "1"), ("sqs", "10")]
    {
        for workload in ["send", "drain", "both"] {
            let few =
                ["--messages", "400", "--groups", "20", "--in-flight", "8", "--producers", "2", "--consumers", "2"];
            let report = measured(&[&[workload, "--protocol", protocol, "--batch", batch], &few[..]].concat());
            assert_eq!(report["verified"]["ok"], true, "{report}");
            assert_eq!((&report["verified"]["sent"], &report["verified"]["delivered"]), (&400.into(), &400.into()));
            let sides: Vec<_> = ["send", "drain"].into_iter().filter(|side| report[side]["messages"] == 400).collect();
            let expected = if workload == "both" { vec!["send", "drain"] } else { vec![workload] };
            assert_eq!(sides, expected, "{report}");
            let side = &report[expected[0]];
            assert!(side["per_second"].as_f64().unwrap() > 0.0 && side["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
            assert!(report["costs"]["syncs"].as_u64().unwrap() > 0, "{report}");
            assert_eq!(report["delivery_ms"].is_object(), workload == "both");
        }
    }
}

#[test]
fn an_open_loop_sends_at_its_rate_for_its_time_and_draws_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("both.svg");
    let time = ["--rate", "500", "--duration", "1", "--warmup", "0.2", "--zipf", "1.1", "--repeat", "2"];
    let report = measured(&[&["both", "--svg", svg.to_str().unwrap()], &time[..]].concat());
    assert_eq!((&report["verified"]["ok"], report["runs"].as_array().unwrap().len()), (&true.into(), 2), "{report}");
    let sent = report["send"]["messages"].as_u64().unwrap();
    assert!((100..=500).contains(&sent), "{report}");
    let drawn = std::fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("both: to delivery") && drawn.trim_end().ends_with("</svg>"));
}

#[test]
fn a_broker_that_is_there_is_measured_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start_with(folder.path(), &["--journal", "segments"]);
    let on = ["--endpoint", broker.endpoint.as_str()];
    let (code, out, err) = ended(&run(&[&["bench", "both", "send", "--messages", "300"], &on[..]].concat()));
    assert!(code == 0 && out.contains("send to delivery") && out.contains("ok, 300 messages"), "{out}{err}");
    let (_, queues, _) = ended(&run(&[&["queue", "list"], &on[..]].concat()));
    assert_eq!(queues, "");
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    for (arguments, words) in [
        (&["drain", "--rate", "5"][..], &["--rate", "both"][..]),
        (&["drain", "--duration", "5"], &["--messages"]),
        (&["send", "--zipf", "1", "--groups", "1"], &["--groups", "2"]),
        (&["send", "--zipf=-1"], &["--zipf"]),
        (&["send", "--producers", "5", "--groups", "3"], &["--groups"]),
        (&["send", "--protocol", "sqs", "--batch", "11"], &["L3", "10"]),
        (&["send", "--batch", "1001"], &["1000"]),
        (&["send", "--batch", "1000", "--size", "2000"], &["H1", "at most 516"]),
        (&["send", "--in-flight", "2000"], &["B3", "--producers"]),
        (&["send", "--size", "8"], &["32"]),
        (&["send", "--duration", "0"], &["--duration"]),
        (&["send", "--duration", "1", "--messages", "5"], &["--messages"]),
        (&["send", "--svg", "/no/such/place.svg"], &["/no/such/place.svg"]),
        (&["send", "--journal", "memory", "--endpoint", "http://127.0.0.1:1"], &["--journal"]),
        (&["listen"], &["send", "drain", "both"]),
        (&[], &["WORKLOAD"]),
    ] {
        let (code, out, err) = ended(&run(&[&["bench"], arguments].concat()));
        assert!(code == 2 && out.is_empty() && words.iter().all(|word| err.contains(word)), "{arguments:?}: {err}");
    }
    let (code, _, err) = ended(&run(&["bench", "send", "--endpoint", "http://127.0.0.1:1"]));
    assert!(code == 3 && err.contains("127.0.0.1:1"), "{err}");
}
