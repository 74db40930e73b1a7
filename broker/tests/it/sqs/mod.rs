//! The SQS door over real sockets, with nothing but Rust: a client of a few lines that speaks AWS JSON, and stories by
//! the rule that each holds, with the texts that AWS was recorded to answer.

mod batches;
mod doors;
mod errors;
mod hostile;
mod inputs;
mod leases;
mod messages;
mod policies;
mod query;
mod query_forms;
mod queues;
mod redrive;
mod signed;
mod unavailable;

use std::collections::HashMap;

use lockstep_broker::BrokerSettings;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::support::{Served, memory};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, shape without its namespace, and text of a refusal.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, String, String) {
        let body = self.json();
        let shape = body["__type"].as_str().unwrap_or_else(|| panic!("no refusal: {self:?}"));
        let shape = shape.rsplit('#').next().expect("a name").to_owned();
        (self.status, shape, body["message"].as_str().expect("a text").to_owned())
    }
}

/// One connection, kept alive.
pub(crate) struct Http(BufReader<TcpStream>);

impl Http {
    pub(crate) async fn to(served: &Served) -> Self {
        Self(BufReader::new(TcpStream::connect(served.address).await.expect("connected")))
    }

    /// One request of HTTP/1.1.
    pub(crate) async fn ask(&mut self, first: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!("{first} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.0.write_all(head.as_bytes()).await.expect("sent");
        // A request that is refused by its head may be answered before it was read.
        let _ = self.0.write_all(body).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("answered");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {line:?}"));
        let mut headers = HashMap::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await.expect("answered");
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("the whole body");
        Answer { status, headers, text: String::from_utf8(body).expect("text") }
    }
}

/// A broker, and an SDK that talks to it.
pub(crate) struct Sqs {
    pub(crate) served: Served,
    http: Http,
}

/// The head of every call: the host as the caller writes it, and a signature that nobody checks.
const HEAD: &str = "Host: broker.test:9324\r\nUser-Agent: test\r\nContent-Type: application/x-amz-json-1.0\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/sqs/aws4_request, \
    SignedHeaders=host, Signature=0\r\n";

impl Sqs {
    pub(crate) async fn start() -> Self {
        Self::with(&memory()).await
    }

    pub(crate) async fn with(settings: &BrokerSettings) -> Self {
        Self::serve(Served::start(settings).await).await
    }

    pub(crate) async fn serve(served: Served) -> Self {
        let http = Http::to(&served).await;
        Self { served, http }
    }

    pub(crate) async fn raw(&mut self, operation: &str, body: &[u8]) -> Answer {
        let headers = format!("{HEAD}X-Amz-Target: AmazonSQS.{operation}\r\n");
        self.http.ask("POST /", &headers, body).await
    }

    pub(crate) async fn call(&mut self, operation: &str, request: Value) -> Answer {
        self.raw(operation, request.to_string().as_bytes()).await
    }

    /// A call that succeeds.
    #[track_caller]
    pub(crate) fn ok(&mut self, operation: &str, request: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let operation = operation.to_owned();
        async move {
            let answer = self.call(&operation, request).await;
            assert_eq!(answer.status, 200, "{operation} at {place}: {answer:?}");
            answer.json()
        }
    }

    /// A call that is refused: status, shape and text.
    pub(crate) async fn no(&mut self, operation: &str, request: Value) -> (u16, String, String) {
        self.call(operation, request).await.refused()
    }

    /// Makes a queue; its URL.
    pub(crate) async fn create(&mut self, name: &str, mut attributes: Value) -> String {
        if name.ends_with(".fifo") {
            attributes["FifoQueue"] = json!("true");
        }
        let answer = self.ok("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        answer["QueueUrl"].as_str().expect("a URL").to_owned()
    }

    /// Sends a message of a group to a FIFO queue; its body is its deduplication id, too.
    pub(crate) async fn send(&mut self, queue: &str, group: &str, body: &str) -> Value {
        let request = json!({
            "QueueUrl": queue, "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body,
        });
        self.ok("SendMessage", request).await
    }

    /// Receives; the messages.
    pub(crate) async fn receive(&mut self, queue: &str, max: u32) -> Vec<Value> {
        let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": max, "WaitTimeSeconds": 0 });
        let answer = self.ok("ReceiveMessage", request).await;
        answer.get("Messages").map(|messages| messages.as_array().expect("a list").clone()).unwrap_or_default()
    }

    /// Receives; the bodies.
    pub(crate) async fn bodies(&mut self, queue: &str, max: u32) -> Vec<String> {
        let bodies = self.receive(queue, max).await.into_iter();
        bodies.map(|message| message["Body"].as_str().expect("a body").to_owned()).collect()
    }

    pub(crate) async fn attribute(&mut self, queue: &str, name: &str) -> Value {
        let request = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
        self.ok("GetQueueAttributes", request).await["Attributes"][name].take()
    }

    pub(crate) async fn stop(self) {
        drop(self.http);
        self.served.stop().await.expect("a clean end");
    }
}

/// What a refusal looks like: 400 unless said otherwise.
pub(crate) fn refusal(shape: &str, text: &str) -> (u16, String, String) {
    (400, shape.to_owned(), text.to_owned())
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
