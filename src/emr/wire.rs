//! One call of EMR's protocol over a connection of its own: AWS JSON 1.1 in one HTTP/1.1 request. What is asked and what
//! the answers mean is the verbs' business.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use lockstep_emr_sim::wire::{SERVICE, shown};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    cli::Global,
    exit::{Found, Refused, Unreachable, Usage},
};

/// Where a state is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The door of the emulated EMR.
pub(super) struct Emr {
    endpoint: String,
    /// Host and port.
    address: String,
    patience: Duration,
}

impl Emr {
    pub(super) fn new(global: &Global) -> anyhow::Result<Self> {
        let endpoint = global.endpoint.clone();
        let address = endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let Some(address) = address.filter(|address| !address.is_empty() && !address.contains('/')) else {
            let what =
                format!("--endpoint {endpoint}: emr speaks plain HTTP to a broker, such as http://127.0.0.1:9324");
            return Err(Usage(what).into());
        };
        Ok(Self { address: address.to_owned(), patience: Duration::from_secs(global.patience), endpoint })
    }

    /// Makes a call; an error answer is a refusal.
    pub(super) async fn call(&self, operation: &str, request: &Value) -> anyhow::Result<Value> {
        let body = request.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: {SERVICE}{operation}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        let mut stream = self.connect().await?;
        let asked = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = asked.await.with_context(|| self.unreachable("the answer broke off"))?;
        self.read(&answer)
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(&self.address).await {
                Ok(stream) => return Ok(stream),
                Err(_) if began.elapsed() < self.patience => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) => return Err(self.unreachable(&error.to_string()).into()),
            }
        }
    }

    fn unreachable(&self, why: &str) -> Unreachable {
        let endpoint = &self.endpoint;
        Unreachable(format!("cannot reach the broker at {endpoint}: {why}; start it with `lockstep serve`"))
    }

    fn read(&self, answer: &[u8]) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| self.unreachable("the answer broke off"))?;
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        if status == "200" {
            return Ok(if body.is_empty() { Value::Null } else { serde_json::from_str(body)? });
        }
        match shown(body.as_bytes()) {
            Some((shape, message)) if shape.starts_with("Internal") => Err(Found(format!("{shape}: {message}")).into()),
            Some((shape, message)) => Err(Refused(format!("{shape}: {message}")).into()),
            None => Err(Found(format!("the broker at {} answered {status}: {body}", self.endpoint)).into()),
        }
    }

    /// All pages of a list.
    pub(super) async fn all(&self, operation: &str, mut request: Value, name: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        loop {
            let mut page = self.call(operation, &request).await?;
            if let Some(Value::Array(more)) = page.get_mut(name).map(Value::take) {
                found.extend(more);
            }
            match page.get("Marker") {
                Some(marker) => request["Marker"] = marker.clone(),
                None => return Ok(found),
            }
        }
    }

    /// Asks until `done` has an answer, or the time is over.
    pub(super) async fn wait<T>(
        &self,
        operation: &str,
        request: &Value,
        limit: Option<u64>,
        done: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            let answer = self.call(operation, request).await?;
            if let Some(found) = done(&answer) {
                return Ok(found);
            }
            if limit.is_some_and(|limit| began.elapsed() >= Duration::from_secs(limit)) {
                let seconds = limit.unwrap_or_default();
                return Err(Found(format!("it is not so after {seconds} s; what is: {answer}")).into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// A text in an answer; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// A time in an answer, readable.
pub(super) fn time(value: &Value, path: &str) -> String {
    let seconds = value.pointer(path).and_then(Value::as_f64);
    let at = seconds.and_then(|seconds| {
        jiff::Timestamp::from_duration(jiff::SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    });
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}
