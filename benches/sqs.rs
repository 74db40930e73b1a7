//! What the SQS front answers a second over 64 connections that are kept open, on each journal: SendMessage,
//! SendMessageBatch(10), and ReceiveMessage(10) with DeleteMessageBatch(10). Medians of several runs, the journals in
//! turn; `cargo bench --bench sqs`. Client and broker share the machine; everything answered is on disk.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

mod ground;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ground::Broker;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

const CONNECTIONS: usize = 64;
const RUNS: usize = 3;
const TIME: Duration = Duration::from_secs(5);
const GROUPS: u64 = 1_000;
const BODY: usize = 256;
const BATCH: u64 = 10;
/// What a drain finds.
const FILLED: u64 = 60_000;

#[tokio::main]
async fn main() -> Result<()> {
    println!(
        "{CONNECTIONS} connections, bodies of {BODY} bytes, {GROUPS} groups, medians of {RUNS}; messages a second"
    );
    println!(
        "{:<10} {:>12} {:>21} {:>36}",
        "journal", "SendMessage", "SendMessageBatch(10)", "ReceiveMessage + DeleteMessageBatch"
    );
    let mut rates = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
    let journals = ["sled", "segments"];
    for _ in 0..RUNS {
        for (journal, rates) in journals.iter().zip(&mut rates) {
            let measured = measure(journal).await?;
            rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    for (journal, rates) in journals.iter().zip(rates) {
        let [single, batch, drain] = rates.map(median);
        println!("{journal:<10} {single:>12.0} {batch:>21.0} {drain:>36.0}");
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// The three rates of one fresh broker.
async fn measure(journal: &str) -> Result<[f64; 3]> {
    let directory = tempfile::tempdir()?;
    let broker = Broker::start(journal, &directory.path().join("data"))?;
    let address = broker.endpoint.strip_prefix("http://").context("an address of plain HTTP")?.to_owned();
    let mut connection = Connection::open(&address).await?;
    for queue in ["single.fifo", "batch.fifo", "drain.fifo"] {
        let request = json!({ "QueueName": queue, "Attributes": { "FifoQueue": "true" } });
        connection.call("CreateQueue", &request).await?;
    }
    let single = sends(&address, "single.fifo", 1, None).await?;
    let batch = sends(&address, "batch.fifo", BATCH, None).await?;
    sends(&address, "drain.fifo", BATCH, Some(FILLED)).await?;
    let drain = drain(&address, "drain.fifo").await?;
    Ok([single, batch, drain])
}

/// Sends for a while, or so many messages; how many a second.
async fn sends(address: &str, queue: &'static str, batch: u64, count: Option<u64>) -> Result<f64> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, mut connection) = (Arc::clone(&next), Connection::open(address).await?);
        senders.spawn(async move {
            let (mut sent, body) = (0, "x".repeat(BODY));
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if count.map_or(began.elapsed() >= TIME, |count| first >= count) {
                    return anyhow::Ok(sent);
                }
                let entry = |number: u64| {
                    json!({
                        "Id": number.to_string(), "MessageBody": body, "MessageGroupId": format!("g{}", number % GROUPS),
                        "MessageDeduplicationId": number.to_string(),
                    })
                };
                let queue_url = format!("http://localhost/000000000000/{queue}");
                let answer = if batch == 1 {
                    let mut request = entry(first);
                    request["QueueUrl"] = queue_url.into();
                    connection.call("SendMessage", &request).await?
                } else {
                    let entries: Vec<_> = (first..first + batch).map(entry).collect();
                    connection.call("SendMessageBatch", &json!({ "QueueUrl": queue_url, "Entries": entries })).await?
                };
                ensure!(answer.get("Failed").is_none(), "{answer}");
                sent += batch;
            }
        });
    }
    total(senders, began).await
}

/// Receives and deletes until nothing is left; how many messages a second.
async fn drain(address: &str, queue: &'static str) -> Result<f64> {
    let began = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let mut receivers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (done, mut connection) = (Arc::clone(&done), Connection::open(address).await?);
        receivers.spawn(async move {
            let (mut drained, queue_url) = (0, format!("http://localhost/000000000000/{queue}"));
            while done.load(Ordering::Relaxed) < FILLED {
                let request = json!({ "QueueUrl": queue_url, "MaxNumberOfMessages": BATCH });
                let answer = connection.call("ReceiveMessage", &request).await?;
                let Some(messages) = answer["Messages"].as_array() else { continue };
                let entry = |(index, message): (usize, &Value)| {
                    json!({ "Id": index.to_string(), "ReceiptHandle": message["ReceiptHandle"] })
                };
                let entries: Vec<_> = messages.iter().enumerate().map(entry).collect();
                let request = json!({ "QueueUrl": queue_url, "Entries": entries });
                let answer = connection.call("DeleteMessageBatch", &request).await?;
                ensure!(answer.get("Failed").is_none(), "{answer}");
                drained += entries.len() as u64;
                done.fetch_add(entries.len() as u64, Ordering::Relaxed);
            }
            anyhow::Ok(drained)
        });
    }
    total(receivers, began).await
}

async fn total(mut tasks: JoinSet<Result<u64>>, began: Instant) -> Result<f64> {
    let mut sum = 0;
    while let Some(done) = tasks.join_next().await {
        sum += done??;
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let sum = sum as f64;
    Ok(sum / began.elapsed().as_secs_f64())
}

/// One connection that is kept open; the least of HTTP/1.1 that a benchmark needs.
struct Connection {
    stream: TcpStream,
    address: String,
    read: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), read: Vec::new() })
    }

    async fn call(&mut self, operation: &str, request: &Value) -> Result<Value> {
        let body = request.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.{operation}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.read.clear();
        let (status, length, start) = loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the broker closed the connection");
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.read[..end])?;
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
                });
                break (head.get(9..12).unwrap_or("").to_owned(), length.context("no length")?, end + 4);
            }
        };
        while self.read.len() < start + length {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the broker closed the connection");
        }
        let body = &self.read[start..start + length];
        ensure!(status == "200", "{operation}: {status} {}", String::from_utf8_lossy(body));
        if body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(body)?) }
    }
}
