//! EMR's wire protocol: AWS JSON 1.1, the operation in `X-Amz-Target: ElasticMapReduce.…`. Requests become questions and
//! commands of the controller, answers EMR's shapes. Conversions only: what may be is decided in `cluster`, what a step
//! means in `controller`.

mod answers;
mod errors;
mod operations;
mod requests;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use errors::{WireError, shown};

use crate::controller::Controller;

/// What the target of every operation begins with.
pub const SERVICE: &str = "ElasticMapReduce.";

/// The largest request, in bytes: its events must fit a frame of the log.
const MAX_REQUEST: usize = 1 << 20;

/// Who answers, or why nobody does.
#[derive(Debug, Clone)]
pub enum Door {
    /// The controller.
    Open(Controller),
    /// Nobody: the reason, which says what to do.
    Closed(String),
}

/// The route of this door: `POST /`. Whose `X-Amz-Target` begins with [`SERVICE`] belongs here.
pub fn router(door: Door) -> Router {
    Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(MAX_REQUEST)).with_state(door)
}

async fn answer(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix(SERVICE)).unwrap_or_default();
    let answered = match &door {
        Door::Open(controller) => operations::perform(controller, operation, &body).await,
        Door::Closed(why) => Err(WireError::Unavailable(why.clone())),
    };
    let (status, text) = match answered {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => {
            tracing::debug!(operation, %error, "an EMR call is refused");
            (error.status(), error.body())
        }
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    let id = uuid::Uuid::new_v4().to_string();
    headers.insert("x-amzn-requestid", HeaderValue::from_str(&id).expect("a UUID is a header value"));
    response
}

/// The fields of a request.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // A field that is missing or wrong is the caller's; what is no JSON is not EMR's to judge.
        match error.is_data() {
            true => WireError::Validation(format!("The request has a field that cannot be used: {text}")),
            false => WireError::Serialization(text),
        }
    })
}

fn write(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("answers are always JSON")
}
