//! The console on a real broker process: its link, and a feed that goes on over a SIGKILL.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::world::{BrokerProcess, ended, run};

const TOKEN: &str = "a-token-of-many-runs";

fn connect(endpoint: &str, request: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    Some(stream)
}

/// Sends a message through the console; its number, unless the broker is gone.
fn send(endpoint: &str, group: &str, id: u64) -> Option<u64> {
    let body =
        format!("{{\"queue\":\"a.fifo\",\"group\":\"{group}\",\"deduplication_id\":\"{id}\",\"text\":\"{id}\"}}");
    let head =
        "POST /console/api/send HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
    let length = body.len();
    let request = format!("{head}\r\nlockstep-console: {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}");
    let mut answer = String::new();
    connect(endpoint, &request)?.read_to_string(&mut answer).ok()?;
    let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    answer["seq"].as_str()?.parse().ok()
}

/// What pages saw over all lives of the broker.
#[derive(Default)]
struct Seen {
    /// How often each message was told as sent.
    sent: BTreeMap<u64, u32>,
    gaps: u64,
    last_id: Option<u64>,
    snapshots: u64,
}

/// Reads a feed until it ends.
fn watch(endpoint: &str, seen: &Mutex<Seen>) {
    let resume = seen.lock().unwrap().last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let request = format!("GET /console/api/feed?queue=a.fifo HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n");
    let Some(stream) = connect(endpoint, &request) else { return };
    let (mut id, mut event) = (0, String::new());
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        match line.split_once(": ") {
            Some(("id", number)) => id = number.parse().unwrap(),
            Some(("event", name)) => name.clone_into(&mut event),
            Some(("data", data)) => {
                // A message that a kill cut off does not count, as in a browser.
                let Ok(data) = serde_json::from_str::<Value>(data) else { return };
                let mut seen = seen.lock().unwrap();
                seen.last_id = Some(id);
                match event.as_str() {
                    "facts" => {
                        assert_eq!(data["more"], 0);
                        for fact in data["facts"].as_array().unwrap().iter().filter(|fact| fact["kind"] == "sent") {
                            *seen.sent.entry(fact["seq"].as_str().unwrap().parse().unwrap()).or_default() += 1;
                        }
                    }
                    "gap" => seen.gaps += 1,
                    "snapshot" => seen.snapshots += 1,
                    _ => {}
                }
            }
            Some(_) | None => {}
        }
    }
}

#[test]
fn a_feed_goes_on_over_kills_and_tells_each_fact_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, token, log) = (folder.path().join("data"), folder.path().join("token"), folder.path().join("log"));
    std::fs::write(&token, TOKEN).unwrap();
    let flags = ["--console-token", token.to_str().unwrap(), "--journal", "segments"];
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (mut chance, mut next) = (fastrand::Rng::with_seed(7), 0);
    for life in 0..4 {
        let broker = BrokerProcess::start_logged(&data, &flags, &log);
        let endpoint = broker.endpoint.clone();
        if life == 0 {
            assert_eq!(ended(&run(&["--endpoint", &endpoint, "queue", "create", "a.fifo"])).0, 0);
            let link = format!("console: {endpoint}/#token={TOKEN}");
            let until = Instant::now() + Duration::from_secs(10);
            while !std::fs::read_to_string(&log).unwrap().lines().any(|line| line == link) {
                assert!(Instant::now() < until, "no link on stderr");
                thread::yield_now();
            }
        }
        let watching = thread::spawn({
            let (endpoint, seen) = (endpoint.clone(), Arc::clone(&seen));
            move || watch(&endpoint, &seen)
        });
        // The page is there before anything happens in this life.
        let until = Instant::now() + Duration::from_secs(20);
        while seen.lock().unwrap().snapshots <= life {
            assert!(Instant::now() < until, "no snapshot");
            thread::sleep(Duration::from_millis(2));
        }
        let accepted = Arc::new(AtomicU64::new(0));
        let sending = thread::spawn({
            let (endpoint, accepted) = (endpoint.clone(), Arc::clone(&accepted));
            move || {
                let mut next = next;
                while send(&endpoint, &format!("g{}", next % 5), next).is_some() {
                    next += 1;
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
                next
            }
        });
        let enough = chance.u64(5..60);
        while accepted.load(Ordering::Relaxed) < enough {
            thread::sleep(Duration::from_micros(200));
        }
        broker.kill();
        next = sending.join().unwrap();
        watching.join().unwrap();
    }
    let broker = BrokerProcess::start_with(&data, &flags);
    let endpoint = broker.endpoint.clone();
    let watching = thread::spawn({
        let (endpoint, seen) = (endpoint.clone(), Arc::clone(&seen));
        move || watch(&endpoint, &seen)
    });
    let last = send(&endpoint, "g0", 1_000_000).expect("the broker is there");
    let until = Instant::now() + Duration::from_secs(20);
    while seen.lock().unwrap().sent.len() < usize::try_from(last).unwrap() {
        assert!(Instant::now() < until, "told {} of {last} messages", seen.lock().unwrap().sent.len());
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(broker.terminate(), Some(0));
    watching.join().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.gaps, 0);
    assert!(seen.sent.values().all(|times| *times == 1), "told twice: {:?}", seen.sent);
    assert!(seen.sent.keys().copied().eq(1..=last), "{:?}", seen.sent);
}

#[test]
fn bad_flags_of_the_console_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "short").unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--journal", "memory"];
    let (code, _, err) = ended(&run(&[&serve[..], &["--console-token", token.to_str().unwrap()]].concat()));
    assert!(code == 4 && err.contains("16 to 256"), "{code} {err}");
    let (code, _, err) = ended(&run(&[&serve[..], &["--console", "maybe"]].concat()));
    assert!(code == 2 && err.contains("read-only"), "{code} {err}");
}
