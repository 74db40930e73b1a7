//! Fault plans on a real broker: it dies where a plan says so, and under a nasty plan the client library's producer and
//! consumer still lose nothing and double nothing.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lockstep_client::{Client, Message, QueueAttributes, RetryPolicy};

use crate::world::{BrokerProcess, ended, lockstep, run};

const QUEUE: &str = "trouble.fifo";

fn plan(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("plan.json");
    std::fs::write(&path, text).unwrap();
    path
}

/// A broker on a socket that outlives it.
fn life(socket: &TcpListener, data: &Path, plan: &Path, seed: u64) -> Child {
    let socket: OwnedFd = socket.try_clone().unwrap().into();
    let (data, plan, seed) = (data.to_str().unwrap(), plan.to_str().unwrap(), seed.to_string());
    let flags = ["serve", "--listen", "stdin", "--data", data, "--faults", plan, "--seed", &seed];
    let mut command = lockstep(&[&flags[..], &["--log", "error", "--lock-patience", "5"]].concat());
    command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_broker_dies_where_its_plan_says_so() {
    for (point, stored) in [("before_append", false), ("after_append", true)] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let text = format!(r#"{{"rules":[{{"at":[3],"action":"crash","point":"{point}"}}]}}"#);
        let file = plan(folder.path(), &text);
        // The first frame makes the queue.
        let broker = BrokerProcess::start_with(&data, &["--faults", file.to_str().unwrap()]);
        let with = |endpoint: &str, arguments: &[&str]| ended(&run(&[&["--endpoint", endpoint], arguments].concat()));
        assert_eq!(with(&broker.endpoint, &["queue", "create", QUEUE]).0, 0);
        assert_eq!(with(&broker.endpoint, &["send", QUEUE, "--group", "g", "one"]).0, 0);
        // It would ask again for as long as its key is remembered.
        let asks = ["--endpoint", &broker.endpoint, "send", QUEUE, "--group", "g", "two"];
        let mut unanswered = lockstep(&asks).stdin(Stdio::null()).spawn().unwrap();
        assert_eq!(broker.ended(), None, "by a signal");
        unanswered.kill().unwrap();
        unanswered.wait().unwrap();
        let broker = BrokerProcess::start(&data);
        assert_eq!(with(&broker.endpoint, &["tail", QUEUE]).1.contains("two"), stored, "{point}");
    }
}

#[test]
fn a_broker_that_dies_between_the_slices_of_a_checkpoint_keeps_what_it_answered() {
    for journal in ["sled", "segments"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // The slice is of the second checkpoint, so that there is one to start from.
        let file = plan(folder.path(), r#"{"rules":[{"at":[2],"action":"crash","point":"checkpoint"}]}"#);
        let flags = ["--journal", journal, "--checkpoint-floor", "4096", "--faults", file.to_str().unwrap()];
        let broker = BrokerProcess::start_with(&data, &flags);
        let endpoint = ["--endpoint", &broker.endpoint, "--patience", "1"];
        assert_eq!(ended(&run(&[&endpoint[..], &["queue", "create", QUEUE]].concat())).0, 0);
        let lines = folder.path().join("lines");
        std::fs::write(&lines, (0..20_000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
        let send = ["send", QUEUE, "--group", "g", "--input", lines.to_str().unwrap()];
        let (code, accepted, err) = ended(&run(&[&endpoint[..], &send].concat()));
        assert_eq!(code, 3, "{journal}: {err}");
        assert_eq!(broker.ended(), None, "{journal}: by a signal");
        let broker = BrokerProcess::start_with(&data, &flags[..4]);
        let tail = ["--endpoint", &broker.endpoint, "tail", QUEUE, "--max", "20000", "--json"];
        let (code, out, err) = ended(&run(&tail));
        assert_eq!(code, 0, "{journal}: {err}");
        let body = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["body"].to_string();
        let stored: Vec<_> = out.lines().map(body).collect();
        let expected: Vec<_> = (0..stored.len()).map(|n| format!("\"{n}\"")).collect();
        assert_eq!(stored, expected, "{journal}: in order, none missing");
        assert!(stored.len() >= accepted.lines().count() && !accepted.is_empty(), "{journal}: {}", stored.len());
    }
}

#[test]
fn a_bad_plan_and_a_death_at_the_start_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |text: &str| {
        let file = plan(folder.path(), text);
        let flags = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        ended(&run(&[&flags[..], &["--faults", file.to_str().unwrap()]].concat()))
    };
    let (code, _, err) = serve(r#"{"rules":[{"every":1,"action":"explode"}]}"#);
    assert!(code == 2 && err.contains("explode") && err.contains("drop_answer"), "{code} {err}");
    let (code, out, err) = serve(r#"{"rules":[{"name":"never up","at":[1],"action":"crash","point":"recovery"}]}"#);
    assert!(code == -1 && out.is_empty(), "{code} {out}");
    assert!(err.contains("on purpose") && err.contains("never up") && err.contains("recovery"), "{err}");
    let (code, _, err) = ended(&run(&["serve", "--faults", "/nowhere/plan.json"]));
    assert!(code == 2 && err.contains("/nowhere/plan.json"), "{code} {err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_once_holds_under_a_nasty_plan() {
    const MESSAGES: u64 = 80;
    let folder = tempfile::tempdir().unwrap();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.example.json");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let (data, over) = (folder.path().join("data"), Arc::new(AtomicBool::new(false)));
    let lives = tokio::task::spawn_blocking({
        let over = Arc::clone(&over);
        move || {
            for number in 1.. {
                let mut child = life(&socket, &data, &plan, number);
                while child.try_wait().unwrap().is_none() {
                    if over.load(Ordering::Relaxed) {
                        child.kill().unwrap();
                        child.wait().unwrap();
                        return number;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            unreachable!("the numbers do not end")
        }
    });
    let retry = RetryPolicy { time_limit: Duration::from_secs(30), ..RetryPolicy::default() };
    let client = Client::builder(endpoint.as_str()).retry(retry).connect_lazy().unwrap();
    let attributes = QueueAttributes { visibility_timeout: Some(Duration::from_secs(1)), ..QueueAttributes::default() };
    client.create_queue(QUEUE, attributes).await.unwrap();

    let producer = client.producer(QUEUE).build();
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let message = Message::new(format!("g{}", number % 5), number.to_string());
            producer.send(message.deduplication_id(format!("id-{number}"))).await.unwrap();
        }
    });
    let mut consumer = client.consumer(QUEUE).max_messages(2).build();
    let mut finished: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut expired = 0;
    while finished.values().map(Vec::len).sum::<usize>() < usize::try_from(MESSAGES).unwrap() {
        let delivery = match consumer.next().await {
            Ok(delivery) => delivery,
            // A receive has no key yet: what a lost answer brought comes back when its lease ends.
            Err(error) if error.is_retryable() => continue,
            Err(error) => panic!("{error}"),
        };
        let group = delivery.group.clone();
        let number: u64 = std::str::from_utf8(&delivery.body).unwrap().parse().unwrap();
        match delivery.delete().await {
            Ok(_) => finished.entry(group).or_default().push(number),
            Err(error) => {
                assert_eq!(error.reason(), Some("RECEIPT_EXPIRED"), "{error}");
                expired += 1;
            }
        }
    }
    sending.await.unwrap();
    for (group, numbers) in &finished {
        assert!(numbers.is_sorted_by(|one, next| one < next), "{group}: in order and none twice: {numbers:?}");
    }
    let left = client.describe_queue(QUEUE).await.unwrap();
    assert_eq!((left.messages_available, left.messages_in_flight), (0, 0));
    assert_eq!(left.last_sequence_number, MESSAGES, "none was stored twice");
    over.store(true, Ordering::Relaxed);
    let lives = lives.await.unwrap();
    assert!(lives > 1 && expired > 0, "the plan struck: {lives} lives, {expired} leases");
}
