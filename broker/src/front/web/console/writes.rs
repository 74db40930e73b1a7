//! What the page may do: send a message, bring dead letters back, empty a queue. The door has seen the token already. A body
//! is read whole within bounds; what is not asked for is refused, so that a misspelt field does not pass in silence.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use bytes::Bytes;
use lockstep_engine::{
    command::{PurgeQueue, StartMoveTask},
    limits as engine_limits,
    words::{DeduplicationId, GroupId, QueueName},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Answered, Console, Problem, json, query};
use crate::{
    handle::{MessageAttributes, MoveTaskName, NewMessage},
    limits,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    queue: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    deduplication_id: Option<String>,
    text: String,
}

#[derive(Serialize)]
struct Sent {
    seq: String,
    id: String,
    turned_away: bool,
}

pub(super) async fn send(State(console): State<Console>, request: Request) -> Answered {
    let Send { queue, group, deduplication_id, text } = console.body(request).await?;
    let queue = query::queue(&queue)?;
    let group = match group.as_str() {
        "" if !queue.name.is_fifo() => GroupId::none(),
        group => GroupId::parse(group)?,
    };
    let id = deduplication_id.filter(|id| !id.is_empty());
    let message = NewMessage {
        group,
        deduplication_id: id.map(|id| DeduplicationId::parse(&id)).transpose()?,
        body: Bytes::from(text),
        delay: None,
        attributes: MessageAttributes::default(),
        trace_header: String::new(),
        sender_id: String::new(),
    };
    let outcomes = console.handle.send(queue, vec![message]).await?;
    let accepted = outcomes.into_iter().next().ok_or_else(|| Problem::broken(&"the send has no outcome"))??;
    json(&Sent {
        seq: accepted.sequence.to_string(),
        id: console.handle.message_id(accepted.generation, accepted.sequence).to_string(),
        turned_away: accepted.duplicate,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redrive {
    queue: String,
    #[serde(default)]
    to: Option<String>,
}

#[derive(Serialize)]
struct Started {
    task: String,
}

pub(super) async fn redrive(State(console): State<Console>, request: Request) -> Answered {
    let Redrive { queue, to } = console.body(request).await?;
    let to = to.filter(|to| !to.is_empty()).map(|to| QueueName::parse(&to)).transpose()?;
    let command = StartMoveTask { source: query::queue(&queue)?, destination: to, rate: engine_limits::MOVE_RATE };
    let started = console.handle.start_move_task(command).await?;
    json(&Started { task: MoveTaskName { queue: started.queue, task: started.task }.to_string() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    queue: String,
    #[serde(default)]
    confirm: String,
}

#[derive(Serialize)]
struct Purged {
    purged: u64,
}

pub(super) async fn purge(State(console): State<Console>, request: Request) -> Answered {
    let Purge { queue, confirm } = console.body(request).await?;
    if confirm != queue {
        let text = "a purge removes every message for good: say the queue's name once more in `confirm`";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "CONFIRM_WRONG", Some("A3"), text));
    }
    let purged = console.handle.purge_queue(PurgeQueue { queue: query::queue(&queue)? }).await?;
    json(&Purged { purged })
}

impl Console {
    /// The body of a write.
    async fn body<T: DeserializeOwned>(&self, request: Request) -> Result<T, Problem> {
        let Ok(_reading) = self.writes.try_acquire() else {
            let text = "too many writes are being read; ask again";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", Some("H4"), text));
        };
        let reading = axum::body::to_bytes(request.into_body(), limits::CONSOLE_BODY);
        let read = tokio::time::timeout(Duration::from_millis(limits::CONSOLE_BODY_TIME), reading).await;
        let body = read.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_LATE", None, "the body did not arrive; ask again")
        })?;
        let body = body.map_err(|_| {
            let text = format!(
                "the body must have at most {} bytes; send larger messages with `lockstep send`",
                limits::CONSOLE_BODY
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", None, text)
        })?;
        serde_json::from_slice(&body)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "BODY_INVALID", None, error.to_string()))
    }
}
