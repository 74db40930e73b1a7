//! The console's API over a real socket (docs/console.md).

use std::time::Duration;

use lockstep_broker::{BrokerSettings, ConsoleMode, ConsoleSettings};
use lockstep_proto::v1;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::support::{Served, create, memory, message, queue, send};

const TOKEN: &str = "a-token-of-this-run";

fn settings() -> BrokerSettings {
    let console = ConsoleSettings { token: Some(TOKEN.into()), ..ConsoleSettings::default() };
    BrokerSettings { console, ..memory() }
}

/// One request of HTTP/1.1: the status and the JSON of the answer.
async fn ask(broker: &Served, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let length = body.len();
    let request = format!(
        "{method} /console/api/{path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

async fn read(broker: &Served, path: &str) -> Value {
    let (status, answer) = ask(broker, "GET", path, "", "").await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn write(broker: &Served, path: &str, body: &str) -> (u16, Value) {
    let headers = format!("Content-Type: application/json\r\nlockstep-console: {TOKEN}\r\n");
    ask(broker, "POST", path, &headers, body).await
}

/// What went wrong, in a word.
fn code(answer: &(u16, Value)) -> (u16, String) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// A message of a feed.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A feed that is read.
pub(crate) struct Reading(BufReader<TcpStream>);

impl Reading {
    pub(crate) async fn open(broker: &Served, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(broker.address).await.expect("connected");
        let request = format!("GET /console/api/feed?{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        Self(BufReader::new(stream))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await;
        (read.expect("something within 20 s").ok()? > 0).then(|| line.trim_end().to_owned())
    }

    /// The next message; none when the feed has ended.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        let (mut id, mut event) = (0, String::new());
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("id", number)) => id = number.parse().expect("a number"),
                Some(("event", name)) => name.clone_into(&mut event),
                Some(("data", data)) => {
                    let data = serde_json::from_str(data).expect("JSON");
                    return Some(Told { id, event, data });
                }
                // The head, sizes of chunks, heartbeats.
                Some(_) | None => {}
            }
        }
    }

    /// The next message of this name.
    pub(crate) async fn until(&mut self, event: &str) -> Told {
        loop {
            let told = self.next().await.unwrap_or_else(|| panic!("the feed ended before {event}"));
            if told.event == event {
                return told;
            }
        }
    }
}

#[tokio::test]
async fn queues_lanes_and_a_group_show_what_is_there() {
    let mut broker = Served::start(&settings()).await;
    broker.create("a.fifo", v1::QueueAttributes::default()).await;
    for (group, id) in [("g", "1"), ("g", "2"), ("g", "2"), ("h", "3")] {
        broker.send("a.fifo", group, id, "body").await;
    }
    let delivery = broker.receive("a.fifo", 1).await.remove(0);
    let about = read(&broker, "broker").await;
    assert_eq!((&about["journal"], &about["writes"]), (&"memory".into(), &"token".into()), "{about}");
    let queues = read(&broker, "queues").await;
    let a = &queues["queues"][0];
    let figures = ["messages", "waiting", "in_flight", "groups", "groups_held", "sent", "received", "turned_away"];
    let figures = figures.map(|name| a[name].as_u64().expect(name));
    assert_eq!((figures, a["name"].as_str()), ([3, 2, 1, 2, 1, 3, 1, 1], Some("a.fifo")), "{a}");
    let lanes = read(&broker, "lanes?queue=a.fifo").await;
    let (g, h) = (&lanes["lanes"][0], &lanes["lanes"][1]);
    assert_eq!(
        (&g["group"], &g["state"], &g["rule"], &g["depth"]),
        (&"g".into(), &"held".into(), &"O3".into(), &2.into())
    );
    let states = |lane: &Value| -> Vec<String> {
        let dots = lane["dots"].as_array().expect("dots").iter();
        dots.map(|dot| dot["state"].as_str().expect("a state").to_owned()).collect()
    };
    assert_eq!(
        (states(g), states(h)),
        (vec!["in_flight".to_owned(), "behind".into()], vec!["waiting".into()]),
        "{lanes}"
    );
    let head = &g["dots"][0];
    assert_eq!((head["id"].as_str(), head["receives"].as_u64()), (Some(&*delivery.message_id), Some(1)));
    assert!(head["until"].as_u64() > head["since"].as_u64() && head["holder"].is_string(), "{head}");
    let group = read(&broker, "group?queue=a.fifo&group=g").await;
    assert!(group["sentence"].as_str().expect("a sentence").contains("delivers nothing"), "{group}");
    let found = read(&broker, "lanes?queue=a.fifo&find=h&lanes=1").await;
    assert_eq!(
        (found["lanes"].as_array().map(Vec::len), &found["first"], &found["more"]),
        (Some(1), &"h".into(), &false.into())
    );
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_feed_tells_what_changes_once_it_is_durable() {
    let mut broker = Served::start(&settings()).await;
    broker.create("a.fifo", v1::QueueAttributes::default()).await;
    broker.send("a.fifo", "g", "1", "body").await;
    let mut feed = Reading::open(&broker, "queue=a.fifo", "").await;
    let snapshot = feed.until("snapshot").await;
    assert!(snapshot.id > 0 && snapshot.data["frame"].is_string(), "{snapshot:?}");
    let snapshot = snapshot.data;
    assert_eq!((&snapshot["resumed"], &snapshot["lanes"][0]["group"]), (&false.into(), &"g".into()), "{snapshot}");
    assert_eq!(feed.until("queues").await.data["queues"][0]["name"], "a.fifo");
    broker.send("a.fifo", "h", "2", "body").await;
    broker.send("a.fifo", "h", "2", "body").await;
    let delivery = broker.receive("a.fifo", 1).await.remove(0);
    let delete = v1::DeleteRequest { queue: "a.fifo".into(), receipt_handle: delivery.receipt_handle };
    broker.messages.delete(delete).await.expect("deleted");
    let (mut kinds, mut groups) = (Vec::new(), vec!["g".to_owned()]);
    while kinds.len() < 4 || groups != ["h"] {
        let told = feed.next().await.expect("more");
        match told.event.as_str() {
            "facts" => {
                kinds.extend(told.data["facts"].as_array().expect("facts").iter().map(|fact| fact["kind"].clone()));
            }
            "diff" => {
                if let Some(order) = told.data["order"].as_array() {
                    groups = order.iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
                }
            }
            "snapshot" => {
                let lanes = told.data["lanes"].as_array().expect("lanes").iter();
                groups = lanes.map(|lane| lane["group"].as_str().expect("a name").to_owned()).collect();
            }
            _ => {}
        }
    }
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["deleted", "leased", "sent", "turned_away"]);
    broker
        .queues
        .delete_queue(v1::DeleteQueueRequest { queue: "a.fifo".into(), ..v1::DeleteQueueRequest::default() })
        .await
        .expect("deleted");
    assert_eq!(feed.until("end").await.data["why"], "queue deleted");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_message_tells_its_life_also_when_it_is_gone() {
    let mut broker = Served::start(&settings()).await;
    broker.create("a.fifo", v1::QueueAttributes::default()).await;
    let sent = broker.send("a.fifo", "g", "1", "body").await;
    broker.send("a.fifo", "g", "1", "body").await;
    let delivery = broker.receive("a.fifo", 1).await.remove(0);
    let delete = v1::DeleteRequest { queue: "a.fifo".into(), receipt_handle: delivery.receipt_handle };
    broker.messages.delete(delete).await.expect("deleted");
    let path = format!("message?queue=a.fifo&id={}", sent.message_id);
    // The last fact is noted by a thread of its own, after the answer.
    let life = loop {
        let life = read(&broker, &path).await;
        if life["life"].as_array().is_some_and(|steps| steps.len() == 4) {
            break life;
        }
    };
    let kinds: Vec<_> = life["life"].as_array().expect("steps").iter().map(|step| step["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("sent"), Some("turned_away"), Some("leased"), Some("deleted")], "{life}");
    assert_eq!((&life["complete"], &life["state"], &life["group"]), (&true.into(), &"gone".into(), &"g".into()));
    for bad in ["message?queue=a.fifo&seq=x", "message?queue=a.fifo", "message?queue=a.fifo&id=1"] {
        assert_eq!(code(&ask(&broker, "GET", bad, "", "").await), (400, "PARAMETER_INVALID".into()), "{bad}");
    }
    let none = ask(&broker, "GET", "message?queue=a.fifo&id=00000000-0000-8000-8000-000000000000", "", "").await;
    assert_eq!(code(&none), (404, "MESSAGE_NOT_FOUND".into()));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_body_is_looked_at_and_never_markup() {
    let broker = Served::start(&settings()).await;
    create(&broker.handle, "a.fifo").await;
    let markup = "<img src=x onerror=alert(1)>\"\u{2028}";
    let body =
        serde_json::json!({"queue": "a.fifo", "group": "g", "deduplication_id": "1", "text": markup}).to_string();
    let (status, sent) = write(&broker, "send", &body).await;
    assert_eq!((status, &sent["turned_away"]), (200, &false.into()), "{sent}");
    assert_eq!(write(&broker, "send", &body).await.1["turned_away"], true);
    broker.handle.send(queue("a.fifo"), vec![message("g", "2", vec![0xFF, 0x00])]).await.expect("sent");
    let peeked = read(&broker, "peek?queue=a.fifo").await;
    let messages = &peeked["messages"];
    assert_eq!((&messages[0]["text"], &messages[0]["receives"]), (&markup.into(), &0.into()), "{peeked}");
    assert_eq!((&messages[1]["text"], &messages[1]["base64"]), (&Value::Null, &"/wA=".into()));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_purge_is_asked_twice() {
    let broker = Served::start(&settings()).await;
    create(&broker.handle, "a.fifo").await;
    send(&broker.handle, "a.fifo", "g", "1").await;
    for confirm in ["", "a", "A.fifo", "b.fifo"] {
        let body = format!("{{\"queue\":\"a.fifo\",\"confirm\":\"{confirm}\"}}");
        assert_eq!(code(&write(&broker, "purge", &body).await), (400, "CONFIRM_WRONG".into()), "{confirm}");
    }
    let purged = write(&broker, "purge", "{\"queue\":\"a.fifo\",\"confirm\":\"a.fifo\"}").await;
    assert_eq!(purged, (200, serde_json::json!({"purged": 1})));
    let redrive = write(&broker, "redrive", "{\"queue\":\"a.fifo\"}").await;
    assert_eq!(code(&redrive), (409, "NOT_A_DEAD_LETTER_QUEUE".into()));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_hostile_are_refused() {
    let broker = Served::start(&settings()).await;
    create(&broker.handle, "a.fifo").await;
    let get = |headers: &'static str| ask(&broker, "GET", "queues", headers, "");
    assert_eq!(code(&get("Host: evil.example\r\n").await), (403, "HOST_UNKNOWN".into()));
    assert_eq!(code(&get("Origin: http://evil.example\r\n").await), (403, "ORIGIN_FOREIGN".into()));
    assert_eq!(code(&get("Sec-Fetch-Site: cross-site\r\n").await), (403, "ORIGIN_FOREIGN".into()));
    let body = "{\"queue\":\"a.fifo\",\"confirm\":\"a.fifo\"}";
    let post = |headers: String, body: String| {
        let broker = &broker;
        async move { code(&ask(broker, "POST", "purge", &headers, &body).await) }
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(post(json.into(), body.into()).await, (403, "CONSOLE_TOKEN_WRONG".into()));
    let wrong = format!("{json}lockstep-console: b-token-of-this-run\r\n");
    assert_eq!(post(wrong, body.into()).await, (403, "CONSOLE_TOKEN_WRONG".into()));
    let form = format!("Content-Type: text/plain\r\nlockstep-console: {TOKEN}\r\n");
    assert_eq!(post(form, body.into()).await, (415, "CONTENT_TYPE_INVALID".into()));
    let right = format!("{json}lockstep-console: {TOKEN}\r\n");
    for bad in ["", "{", "[]", "{\"queue\":\"a.fifo\",\"confirm\":\"a.fifo\",\"more\":1}"] {
        assert_eq!(post(right.clone(), bad.into()).await, (400, "BODY_INVALID".into()), "{bad}");
    }
    let large = format!("{{\"queue\":\"{}\"}}", "x".repeat(300 << 10));
    assert_eq!(post(right, large).await, (413, "BODY_TOO_LARGE".into()));
    for (path, expected) in [
        ("lanes?queue=b.fifo", (404, "QUEUE_NOT_FOUND")),
        ("lanes?queue=a%20b", (400, "QUEUE_NAME_INVALID")),
        ("lanes?queue=a.fifo&lanes=201", (400, "PARAMETER_INVALID")),
        ("feed?queue=b.fifo", (404, "QUEUE_NOT_FOUND")),
        ("group?queue=a.fifo", (400, "PARAMETER_INVALID")),
        ("nothing", (404, "NO_SUCH_ROUTE")),
    ] {
        assert_eq!(code(&ask(&broker, "GET", path, "", "").await), (expected.0, expected.1.into()), "{path}");
    }
    let bad = ask(&broker, "GET", "feed?queue=a.fifo", "Last-Event-ID: -1\r\n", "").await;
    assert_eq!(code(&bad), (400, "PARAMETER_INVALID".into()));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn feeds_are_counted_and_end_with_the_broker() {
    let broker = Served::start(&settings()).await;
    let mut feeds = Vec::new();
    for _ in 0..64 {
        feeds.push(Reading::open(&broker, "", "").await);
    }
    for feed in &mut feeds {
        feed.until("queues").await;
    }
    assert_eq!(code(&ask(&broker, "GET", "feed", "", "").await), (503, "TOO_MANY_FEEDS".into()));
    drop(feeds.pop());
    // The place of one that went is free once the broker saw it go.
    let mut last = loop {
        let mut feed = Reading::open(&broker, "", "").await;
        if let Some(told) = feed.next().await
            && told.event == "queues"
        {
            break feed;
        }
    };
    let stopped = tokio::spawn(broker.stop());
    assert_eq!(last.until("end").await.data["why"], "draining");
    drop(feeds);
    stopped.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_console_that_only_looks_writes_nothing_and_one_that_is_off_is_not_there() {
    let looks = ConsoleSettings { mode: ConsoleMode::ReadOnly, ..settings().console };
    let broker = Served::start(&BrokerSettings { console: looks, ..memory() }).await;
    create(&broker.handle, "a.fifo").await;
    assert_eq!(read(&broker, "broker").await["writes"], "off");
    let purge = "{\"queue\":\"a.fifo\",\"confirm\":\"a.fifo\"}";
    assert_eq!(code(&write(&broker, "purge", purge).await), (403, "CONSOLE_READ_ONLY".into()));
    broker.stop().await.expect("a clean end");
    let off = ConsoleSettings { mode: ConsoleMode::Off, ..settings().console };
    let broker = Served::start(&BrokerSettings { console: off, ..memory() }).await;
    for path in ["/", "/console/index.html", "/console/api/queues"] {
        let (head, _) = crate::http::get(&broker, path, "").await;
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    broker.stop().await.expect("a clean end");
}

/// 100,000 groups, of which a page sees what it asks for.
#[tokio::test]
async fn a_window_costs_what_it_shows_however_many_groups_there_are() {
    let broker = Served::start(&settings()).await;
    create(&broker.handle, "a.fifo").await;
    for batch in 0..100 {
        let of = |n: u32| message(&format!("g{n:05}"), &n.to_string(), "x");
        let messages = (batch * 1_000..(batch + 1) * 1_000).map(of).collect();
        broker.handle.send(queue("a.fifo"), messages).await.expect("sent");
    }
    let began = std::time::Instant::now();
    let window = read(&broker, "lanes?queue=a.fifo&after=g49999").await;
    assert_eq!((&window["first"], window["lanes"].as_array().map(Vec::len)), (&"g50000".into(), Some(40)));
    let found = read(&broker, "lanes?queue=a.fifo&find=99999").await;
    assert_eq!((&found["first"], &found["more"]), (&"g99999".into(), &false.into()), "{found}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let size = window.to_string().len();
    assert!(size < 16 << 10, "{size} bytes for 40 lanes of a dot");
    let mut feed = Reading::open(&broker, "queue=a.fifo&lanes=10", "").await;
    assert_eq!(feed.until("snapshot").await.data["queue"]["groups"], 100_000);
    // Nothing of a group that is out of sight is told but the counts.
    send(&broker.handle, "a.fifo", "g90000", "more").await;
    let diff = feed.until("diff").await.data;
    assert_eq!((&diff["lanes"], &diff["queue"]["messages"]), (&serde_json::json!([]), &100_001.into()), "{diff}");
    send(&broker.handle, "a.fifo", "g00003", "more-yet").await;
    let told = feed.until("facts").await.data;
    assert_eq!((&told["facts"][0]["group"], told["facts"].as_array().map(Vec::len)), (&"g00003".into(), Some(1)));
    broker.stop().await.expect("a clean end");
}
