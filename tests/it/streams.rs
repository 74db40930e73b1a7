//! The client library and the command over the streams, with real processes: brokers that are killed, interrupts, drains,
//! missing rights.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockstep_client::{Client, Message, QueueAttributes, RetryPolicy};
use rustix::process::{Pid, Signal, kill_process};
use tokio_stream::StreamExt as _;

use crate::{
    load::setting,
    world::{BrokerProcess, ended, lockstep, run},
};

const QUEUE: &str = "flow.fifo";
const GROUPS: u64 = 7;

/// One broker after the other on a socket that outlives them: clients never meet a closed port.
struct Lives {
    socket: TcpListener,
    data: tempfile::TempDir,
    flags: Vec<&'static str>,
    present: Option<Child>,
}

impl Lives {
    fn start(flags: &[&'static str]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut lives = Self { socket, data: tempfile::tempdir().unwrap(), flags: flags.to_vec(), present: None };
        lives.next();
        lives
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.socket.local_addr().unwrap())
    }

    fn next(&mut self) {
        let socket: OwnedFd = self.socket.try_clone().unwrap().into();
        let data: &Path = self.data.path();
        let mut command = lockstep(&["serve", "--listen", "stdin", "--data", data.to_str().unwrap()]);
        command.args(["--log", "error", "--lock-patience", "5"]).args(&self.flags);
        self.present = Some(command.stdin(Stdio::from(socket)).stdout(Stdio::null()).spawn().unwrap());
    }

    /// SIGKILL, and the next life at once.
    fn kill(&mut self) {
        self.end();
        self.next();
    }

    fn end(&mut self) {
        let mut child = self.present.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        if let Some(mut child) = self.present.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn patient(endpoint: &str) -> Client {
    let retry = RetryPolicy {
        time_limit: Duration::from_secs(60),
        max_backoff: Duration::from_millis(100),
        ..RetryPolicy::default()
    };
    Client::builder(endpoint).retry(retry).connect_lazy().unwrap()
}

fn message(prefix: &str, number: u64) -> Message {
    Message::new(format!("{prefix}{}", number % GROUPS), number.to_string()).string_attribute("origin", prefix)
}

/// Sends over one stream without a session and one within, running ahead; results in order, each group rising.
async fn send(client: Client, many: u64, acknowledged: Arc<AtomicU64>) {
    let keyed = {
        let (client, acknowledged) = (client.clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let producer = client.producer(QUEUE).build();
            let messages: Vec<_> = (0..many).map(|n| message("keyed-", n)).collect();
            let mut outcomes = producer.send_all(tokio_stream::iter(messages));
            let mut last = BTreeMap::new();
            for number in 0..many {
                let sent = outcomes.next().await.unwrap().unwrap();
                let before = last.insert(number % GROUPS, sent.sequence_number);
                assert!(before < Some(sent.sequence_number), "{number} of its group in order");
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut session = client.producer(QUEUE).session("flow", "life-1").await.unwrap();
    let messages: Vec<_> = (0..many).map(|n| message("numbered-", n)).collect();
    let mut outcomes = session.send_all(tokio_stream::iter(messages));
    let mut last = 0;
    while let Some(outcome) = outcomes.next().await {
        let sent = outcome.unwrap();
        assert!(sent.sequence_number > last, "a session is one line");
        last = sent.sequence_number;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!((session.last_number(), session.unanswered()), (many, 0));
    keyed.await.unwrap();
}

/// Takes and finishes everything over a stream; what each group's acknowledged deletes were.
async fn consume(client: Client, all: u64, acknowledged: Arc<AtomicU64>) -> BTreeMap<String, Vec<u64>> {
    let mut stream = client.consumer(QUEUE).max_messages(50).stream();
    let mut finished: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut bodies = BTreeSet::new();
    while (bodies.len() as u64) < all {
        let mut batch = vec![stream.next().await.unwrap()];
        while let Some(Ok(next)) = stream.try_next() {
            batch.push(next);
        }
        for (delivery, deleted) in batch.iter().zip(stream.delete_all(&batch).await) {
            let number: u64 = std::str::from_utf8(&delivery.body).unwrap().parse().unwrap();
            assert_eq!(delivery.attributes[0].name, "origin", "attributes travel");
            match deleted {
                // A delete whose first try was answered to nobody finds it gone; it counts once.
                Ok(_) => {
                    if bodies.insert((delivery.group.clone(), number)) {
                        finished.entry(delivery.group.clone()).or_default().push(number);
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => assert!(
                    matches!(error.reason(), Some("RECEIPT_EXPIRED" | "EARLIER_IN_FLIGHT")),
                    "it comes again: {error}"
                ),
            }
        }
    }
    finished
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_streams_survive_every_kill_with_each_message_once_and_in_order() {
    let (seed, kills) = (setting("LOCKSTEP_KILL_SEED", 1), setting("LOCKSTEP_STREAM_KILLS", 5));
    const MANY: u64 = 2_000;
    for journal in ["sled", "segments"] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut lives = Lives::start(&["--journal", journal, "--checkpoint-floor", "16384"]);
        let client = patient(&lives.endpoint());
        let attributes =
            QueueAttributes { visibility_timeout: Some(Duration::from_secs(2)), ..QueueAttributes::default() };
        client.create_queue(QUEUE, attributes).await.unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let sending = tokio::spawn(send(client.clone(), MANY, Arc::clone(&acknowledged)));
        let consuming = tokio::spawn(consume(client.clone(), 2 * MANY, Arc::clone(&acknowledged)));
        for kill in 0..kills {
            // Somewhere in this share of all the answers there will be.
            let share = 4 * MANY / (kills + 1);
            let goal = kill * share + rng.u64(0..share);
            while acknowledged.load(Ordering::Relaxed) < goal && !consuming.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            lives.kill();
        }
        sending.await.unwrap();
        let finished = consuming.await.unwrap();
        for (group, numbers) in &finished {
            assert!(numbers.is_sorted_by(|one, next| one < next), "{journal}, seed {seed}, {group}: {numbers:?}");
        }
        let left = client.describe_queue(QUEUE).await.unwrap();
        assert_eq!((left.messages_available, left.messages_in_flight), (0, 0), "{journal}, seed {seed}");
        assert_eq!(left.last_sequence_number, 2 * MANY, "{journal}, seed {seed}: none was stored twice");
    }
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
}

fn piped(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn follow_prints_until_it_is_interrupted_and_leaves_nothing_half_done() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let at = ["--endpoint", broker.endpoint.as_str()];
    let with = |arguments: &[&str]| ended(&run(&[&at[..], arguments].concat()));
    assert_eq!(with(&["queue", "create", QUEUE]).0, 0);
    let mut following = piped(lockstep(&[&at[..], &["receive", QUEUE, "--follow", "--delete", "--json"]].concat()));
    let mut sending = piped(lockstep(&[&at[..], &["send", QUEUE, "--group", "g"]].concat()));
    let mut lines = sending.stdin.take().unwrap();
    let mut heard = BufReader::new(following.stdout.take().unwrap()).lines();
    for n in 0..20 {
        writeln!(lines, "line {n}").unwrap();
        let shown: serde_json::Value = serde_json::from_str(&heard.next().unwrap().unwrap()).unwrap();
        assert_eq!(shown["body"], format!("line {n}"), "as it comes");
    }
    interrupt(&following);
    assert_eq!(following.wait().unwrap().code(), Some(0));
    // An interrupted sender says how far it came.
    interrupt(&sending);
    let (code, out, err) = ended(&sending.wait_with_output().unwrap());
    assert!(code == 1 && out.lines().count() == 20 && err.contains("interrupted; 20 messages"), "{code} {err}");
    drop(lines);
    let (_, out, _) = with(&["queue", "describe", QUEUE, "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&shown["messages_available"], &shown["messages_in_flight"]), (&0.into(), &0.into()), "{out}");
}

#[test]
fn follow_ends_by_count_and_by_silence_and_gives_the_rest_back() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
    assert_eq!(with(&["queue", "create", QUEUE]).0, 0);
    let input = data.path().join("lines");
    std::fs::write(&input, (0..30).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let (code, out, err) = with(&["send", QUEUE, "--group", "g", "--input", input.to_str().unwrap()]);
    assert_eq!((code, out.lines().count()), (0, 30), "{err}");
    assert_eq!(with(&["receive", QUEUE, "--follow", "--delete", "--body", "--count", "3"]).1, "0\n1\n2\n");
    assert_eq!(with(&["receive", QUEUE, "--body"]).1, "3\n", "nothing more is held");
    // The one that was received stays held, and its group with it.
    let (code, out, _) = with(&["receive", QUEUE, "--follow", "--delete", "--idle-timeout", "1"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, _, err) = with(&["receive", "none.fifo", "--follow"]);
    assert!(code == 4 && err.contains("QUEUE_NOT_FOUND"), "{code} {err}");
    assert_eq!(with(&["receive", QUEUE, "--count", "3"]).0, 2, "count is for follow");
    assert_eq!(with(&["receive", QUEUE, "--follow", "--wait", "3"]).0, 2);
    assert_eq!(with(&["send", QUEUE, "--group", "g", "--input", "/nowhere"]).0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_a_stream_for_good_is_told_by_its_name() {
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(data.path());
    let client = patient(&broker.endpoint);
    let producer = client.producer("none.fifo").build();
    assert_eq!(producer.send(message("x-", 1)).await.unwrap_err().reason(), Some("QUEUE_NOT_FOUND"));
    client.create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
    let mut first = client.producer(QUEUE).session("flow", "life-1").await.unwrap();
    first.send(message("x-", 1)).await.unwrap();
    let mut second = client.producer(QUEUE).session("flow", "life-2").await.unwrap();
    let outcomes = first.send_batch((2..2_000).map(|n| message("x-", n)).collect()).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().reason(), Some("PRODUCER_FENCED"));
    assert!(outcomes.iter().all(Result::is_err) && outcomes.len() == 1_998);
    second.send(message("x-", 2)).await.unwrap();
    // A broker that drains takes no messages and gives what it has.
    let impatient = client.producer(QUEUE).give_up_after(Duration::from_millis(300)).build();
    let mut consumer = client.consumer(QUEUE).stream();
    let mut draining = lockstep(&["--endpoint", &broker.endpoint, "drain"]).stdin(Stdio::null()).spawn().unwrap();
    let refused = loop {
        match impatient.send(message("late-", 3)).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(refused.is_retryable() && refused.to_string().contains("drain"), "{refused}");
    while let Ok(Ok(delivery)) = tokio::time::timeout(Duration::from_millis(500), consumer.next()).await {
        delivery.delete().await.unwrap();
    }
    assert_eq!(broker.ended(), Some(0), "it ran empty");
    draining.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_costs_the_broker_no_memory() {
    const BODY: usize = 200_000;
    let data = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start_with(data.path(), &["--journal", "segments"]);
    let client = patient(&broker.endpoint);
    client.create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
    let producer = client.producer(QUEUE).build();
    let body = "x".repeat(BODY);
    let messages: Vec<_> = (0..200).map(|n| Message::new(format!("g{n}"), format!("{n} {body}"))).collect();
    for sent in producer.send_batch(messages).await {
        sent.unwrap();
    }
    let before = broker.resident();
    let mut slow: Vec<_> = (0..20).map(|_| client.consumer(QUEUE).max_messages(4).stream()).collect();
    for stream in &mut slow {
        stream.next().await.unwrap();
    }
    let in_flight = client.describe_queue(QUEUE).await.unwrap().messages_in_flight;
    assert!(in_flight <= 20 * 5, "{in_flight}");
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 30_000_000, "{grown} bytes more for 20 consumers that do not take");
}
