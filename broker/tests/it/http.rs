//! Plain HTTP on the port that gRPC is served on.

use lockstep_proto::v1;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Served, memory};

/// One request of HTTP/1.1; head and body of the answer.
pub(crate) async fn get(broker: &Served, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn plain_http_and_grpc_share_the_port() {
    let mut broker = Served::start(&memory()).await;
    let (head, body) = get(&broker, "/healthz", "").await;
    assert!(head.starts_with("http/1.1 200") && body == "ok\n", "{head}\n{body}");
    let (head, _) = get(&broker, "/nothing", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let (head, _) = get(&broker, "/lockstep.v1.Nothing/At", "Content-Type: application/grpc\r\n").await;
    assert!(head.contains("grpc-status: 12"), "a gRPC caller gets a status it can read: {head}");
    broker.create("q.fifo", v1::QueueAttributes::default()).await;
    broker.stop().await.expect("a clean end");
}

/// The value of a series.
pub(crate) fn series(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}

#[tokio::test]
async fn metrics_count_what_is_durable() {
    let mut broker = Served::start(&memory()).await;
    broker.create("a.fifo", v1::QueueAttributes::default()).await;
    broker.create("b.fifo", v1::QueueAttributes::default()).await;
    for (group, id) in [("g", "1"), ("g", "1"), ("g", "2"), ("h", "3"), ("i", "4")] {
        broker.send("a.fifo", group, id, "body").await;
    }
    let delivery = broker.receive("a.fifo", 2).await.remove(0);
    broker.receive("b.fifo", 1).await;
    let delete = v1::DeleteRequest { queue: "a.fifo".into(), receipt_handle: delivery.receipt_handle };
    broker.messages.delete(delete.clone()).await.expect("deleted");
    broker.messages.delete(delete).await.expect("gone already: nothing more is counted");
    let open = v1::OpenReaderRequest {
        queue: "a.fifo".into(),
        reader: "pool".into(),
        instance: "i".into(),
        ..v1::OpenReaderRequest::default()
    };
    let opened = broker.readers.open_reader(open).await.expect("opened").into_inner();
    let claim = v1::ClaimRequest {
        queue: "a.fifo".into(),
        queue_generation: opened.queue_generation,
        reader: "pool".into(),
        reader_generation: opened.reader_generation,
        number: 1,
        max_messages: 1,
        ..v1::ClaimRequest::default()
    };
    broker.readers.claim(claim).await.expect("claimed");
    let (head, text) = get(&broker, "/metrics", "").await;
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for (name, expected) in [
        ("lockstep_messages_sent_total{queue=\"a.fifo\"}", 4.0),
        ("lockstep_messages_deduplicated_total{queue=\"a.fifo\"}", 1.0),
        ("lockstep_messages_received_total{queue=\"a.fifo\"}", 2.0),
        ("lockstep_messages_deleted_total{queue=\"a.fifo\"}", 1.0),
        ("lockstep_messages_claimed_total{queue=\"a.fifo\"}", 1.0),
        ("lockstep_empty_receives_total{queue=\"a.fifo\"}", 0.0),
        ("lockstep_empty_receives_total{queue=\"b.fifo\"}", 1.0),
        ("lockstep_messages_visible{queue=\"a.fifo\"}", 1.0),
        ("lockstep_messages_in_flight{queue=\"a.fifo\"}", 1.0),
        ("lockstep_messages_held_by_claims{queue=\"a.fifo\"}", 1.0),
        ("lockstep_groups_in_flight{queue=\"a.fifo\"}", 1.0),
        ("lockstep_reader_open_claims{queue=\"a.fifo\",reader=\"pool\"}", 1.0),
        ("lockstep_messages_sent_total{queue=\"_other\"}", 0.0),
        ("lockstep_queues", 2.0),
        ("lockstep_answering", 1.0),
        ("lockstep_held_answers", 0.0),
    ] {
        assert!((series(&text, name) - expected).abs() < 1e-9, "{name} is not {expected}:\n{text}");
    }
    assert!(series(&text, "lockstep_append_seconds_count") >= 9.0, "{text}");
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).expect("there");
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(documented.contains(&format!("`{name}")), "{name} is not in docs/metrics.md");
    }
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_page_is_at_the_root_and_lets_nothing_foreign_run() {
    let broker = Served::start(&memory()).await;
    let (head, body) = get(&broker, "/", "").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'self'; frame-ancestors 'none'"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff") && body.starts_with("<!doctype html>"), "{head}");
    let (head, again) = get(&broker, "/console/index.html", "").await;
    assert!(head.starts_with("http/1.1 200") && again == body, "{head}");
    for path in ["/console/no.js", "/console/..%2fsrc%2flib.rs", "/console/%00"] {
        let (head, _) = get(&broker, path, "").await;
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    broker.stop().await.expect("a clean end");
}
