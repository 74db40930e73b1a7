//! AWS's query protocol (P2), which older SDKs and curl speak: a form with an `Action`, answered in XML. What the
//! operations mean is not known here; the names that differ from those of the service's model are in `names`.

mod form;
#[cfg(test)]
mod fuzz;
mod names;
mod reader;
mod xml;

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::{form::Fault, reader::Reader};
use super::{
    Protocol,
    addresses::is_queue_path,
    caller::RequestId,
    errors::{Code, Fault as Actor, SqsError},
    operations::Operation,
};

const ACTION: &str = "Action";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/xml");

/// The protocol, for one request: its answer names the request in its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a>(pub(super) &'a RequestId);

/// The fields of a request, out of its form.
fn read<'a, T: Deserialize<'a>>(form: &'a [u8]) -> Result<T, Fault> {
    let root = form::parse(form)?;
    let action = root.inner(ACTION).and_then(form::Node::text).unwrap_or_default().to_owned();
    T::deserialize(Reader::new(root, &action))
}

impl From<Fault> for SqsError {
    fn from(fault: Fault) -> Self {
        Self::new(Code::Serialization, fault.to_string())
    }
}

impl Protocol for Query<'_> {
    fn fields(&self, head: &Parts, body: &Bytes) -> Bytes {
        match head.uri.query() {
            None | Some("") => body.clone(),
            Some(query) if body.is_empty() => Bytes::copy_from_slice(query.as_bytes()),
            Some(query) => [query.as_bytes(), b"&", body].concat().into(),
        }
    }

    fn operation(&self, head: &Parts, fields: &[u8]) -> Result<Operation, SqsError> {
        let action = if matches!(head.method, Method::GET | Method::POST) { form::find(fields, ACTION)? } else { None };
        let Some(action) = action.filter(|action| !action.is_empty()) else {
            let text = "The request has no Action; it names the operation, such as SendMessage.";
            return Err(SqsError::new(Code::UnknownOperation, text));
        };
        // A queue's URL knows the queue alone, not its neighbours.
        let is_elsewhere = |operation: &Operation| {
            matches!(operation, Operation::CreateQueue | Operation::ListQueues) && is_queue_path(head.uri.path())
        };
        Operation::named(&action).filter(|operation| !is_elsewhere(operation)).ok_or_else(|| {
            let text = format!("The action {} is not valid for this endpoint.", form::shown(&action));
            SqsError::new(Code::InvalidAction, text)
        })
    }

    fn read<'a, T: Deserialize<'a>>(&self, fields: &'a [u8]) -> Result<T, SqsError> {
        Ok(read(fields)?)
    }

    fn write<T: Serialize>(&self, operation: Operation, answer: &T) -> Response {
        let answer = serde_json::to_value(answer).expect("answers have texts as keys");
        xml(StatusCode::OK, xml::answer(operation, &answer, self.0.text()))
    }

    fn refuse(&self, error: &SqsError) -> Response {
        if error.code == Code::UnknownOperation {
            // What names no operation is not answered in the words of the service.
            return xml(StatusCode::NOT_FOUND, "<UnknownOperationException/>\n".to_owned());
        }
        let status = StatusCode::from_u16(error.code.status()).expect("the table has statuses");
        let actor = match error.code.fault() {
            Actor::Sender => "Sender",
            Actor::Receiver => "Receiver",
        };
        let is_no_queue = error.code == Code::QueueDoesNotExist;
        let text = if is_no_queue { "The specified queue does not exist for this wsdl version." } else { &error.text };
        xml(status, xml::refusal(actor, error.code.query(), text, self.0.text()))
    }
}

fn xml(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}
