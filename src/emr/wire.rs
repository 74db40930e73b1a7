//! One call of EMR's protocol: AWS JSON 1.1, posted over a connection like that of every other verb. What is asked and
//! what the answers mean is the verbs' business.

use std::time::{Duration, Instant};

use lockstep_client::{Client, Error};
use lockstep_emr_sim::wire::{SERVICE, shown};
use serde_json::Value;

use crate::{
    cli::Global,
    connect::builder,
    exit::{Found, Refused, Unreachable},
};

/// Where a state is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The door of the emulated EMR.
pub(super) struct Emr {
    client: Client,
    patience: Duration,
}

impl Emr {
    pub(super) fn new(global: &Global) -> anyhow::Result<Self> {
        let client = builder(global, &global.endpoint)?.connect_lazy()?;
        Ok(Self { client, patience: Duration::from_secs(global.patience) })
    }

    /// Makes a call; an error answer is a refusal.
    pub(super) async fn call(&self, operation: &str, request: &Value) -> anyhow::Result<Value> {
        let target = format!("{SERVICE}{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let began = Instant::now();
        loop {
            match self.client.post("/", &headers, request.to_string().into()).await {
                Ok((status, body)) => return self.read(status, &body),
                // Nothing was sent yet.
                Err(Error::Unreachable { .. }) if began.elapsed() < self.patience => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error @ (Error::Unreachable { .. } | Error::Unavailable { .. })) => {
                    return Err(Unreachable(format!("{error}; start the broker with `lockstep serve`")).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&self, status: u16, body: &[u8]) -> anyhow::Result<Value> {
        if status == 200 {
            return Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? });
        }
        let text = String::from_utf8_lossy(body);
        match (status, shown(body)) {
            (_, Some((shape, message))) if shape.starts_with("Internal") => {
                Err(Found(format!("{shape}: {message}")).into())
            }
            (_, Some((shape, message))) => Err(Refused(format!("{shape}: {message}")).into()),
            // No token, or one without the right.
            (401 | 403, None) => Err(Refused(text.trim_end().to_owned()).into()),
            (_, None) => {
                Err(Found(format!("the broker at {} answered {status}: {text}", self.client.endpoint())).into())
            }
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
