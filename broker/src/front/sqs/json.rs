//! AWS JSON 1.0 (P1): the operation in `X-Amz-Target`, fields and answers as JSON, base64 for what is binary. What the
//! operations mean is not known here.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Protocol,
    errors::{Code, Fault, SqsError},
    operations::Operation,
};

/// What the target of every operation begins with.
const SERVICE: &str = "AmazonSQS.";
const TARGET: &str = "x-amz-target";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// The protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

/// Whether a request speaks it.
pub(super) fn is_spoken(head: &Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    head.headers.contains_key(TARGET)
        || content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-amz-json"))
}

#[derive(Serialize)]
struct Refusal<'a> {
    #[serde(rename = "__type")]
    shape: String,
    message: &'a str,
}

impl Protocol for Json {
    fn fields(&self, _head: &Parts, body: &Bytes) -> Bytes {
        body.clone()
    }

    fn operation(&self, head: &Parts, _fields: &[u8]) -> Result<Operation, SqsError> {
        let target = head.headers.get(TARGET).and_then(|target| target.to_str().ok());
        let named = target.and_then(|target| target.strip_prefix(SERVICE)).and_then(Operation::named);
        named.ok_or_else(|| {
            let text = match target {
                Some(target) => format!("The operation {target} is not one of AmazonSQS."),
                None => {
                    "The header X-Amz-Target is missing; it names the operation, such as AmazonSQS.SendMessage.".into()
                }
            };
            SqsError::new(Code::UnknownOperation, text)
        })
    }

    fn read<'a, T: Deserialize<'a>>(&self, fields: &'a [u8]) -> Result<T, SqsError> {
        // A request without fields may be without a body.
        let fields = if fields.is_empty() { b"{}" } else { fields };
        serde_json::from_slice(fields).map_err(|error| SqsError::new(Code::Serialization, error.to_string()))
    }

    fn write<T: Serialize>(&self, _operation: Operation, answer: &T) -> Response {
        let body = serde_json::to_vec(answer).expect("answers have texts as keys");
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response
    }

    fn refuse(&self, error: &SqsError) -> Response {
        let refusal = Refusal { shape: error.code.shape(), message: &error.text };
        let body = serde_json::to_vec(&refusal).expect("a refusal has texts as keys");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(error.code.status()).expect("the table has statuses");
        let fault = match error.code.fault() {
            Fault::Sender => "Sender",
            Fault::Receiver => "Receiver",
        };
        let query = HeaderValue::try_from(format!("{};{fault}", error.code.query())).expect("codes are plain text");
        let headers = response.headers_mut();
        headers.insert("x-amzn-query-error", query);
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response
    }
}
