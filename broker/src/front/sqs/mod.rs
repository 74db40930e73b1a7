//! The SQS door: what an AWS SDK speaks, on the port of gRPC. A request is read whole, judged once (`caller`), given to
//! the protocol it speaks (`json`, `query`) and to its operation (`operations`), which knows no protocol. It converts and
//! checks what is asked; no rule of delivery is decided here.

mod addresses;
mod caller;
mod credentials;
mod digest;
mod errors;
mod json;
mod model;
mod operations;
mod query;
mod reading;
mod refusals;
mod signature;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use lockstep_engine::GroupDelivery;
use serde::{Deserialize, Serialize};

pub use self::credentials::{Account, Credentials};
pub(crate) use self::operations::sent_message;
pub(super) use self::{caller::Gate, reading::Budget};
use self::{caller::RequestId, errors::SqsError, operations::Operation};
use crate::handle::Handle;

/// How the SQS door does what AWS leaves open, or what not everybody wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqsSettings {
    /// How groups are handed out in a FIFO queue that is made here without the tag `lockstep:GroupDelivery`.
    pub delivery: GroupDelivery,
    /// Whether a name may be used again only 60 s after a deletion (A2), and a queue purged once in 60 s (A3).
    pub aws_timing: bool,
    /// The account of a caller whose access key names none (P7).
    pub account: Account,
}

impl Default for SqsSettings {
    fn default() -> Self {
        Self { delivery: GroupDelivery::Prefix, aws_timing: false, account: Account::default() }
    }
}

/// What the operations see: the handle, and who may come in.
#[derive(Clone, Debug)]
pub(super) struct Services {
    pub(super) handle: Handle,
    pub(super) gate: Gate,
    pub(super) settings: SqsSettings,
    /// The memory that requests may take while they are read.
    pub(super) budget: Budget,
}

/// How requests are read and answers written. Operations are the same for every protocol.
trait Protocol: Sync {
    /// Where a request has its fields.
    fn fields(&self, head: &Parts, body: &Bytes) -> Bytes;

    /// What is asked.
    fn operation(&self, head: &Parts, fields: &[u8]) -> Result<Operation, SqsError>;

    /// The fields of a request; what is not there is absent, and judged by the operation.
    fn read<'a, T: Deserialize<'a>>(&self, fields: &'a [u8]) -> Result<T, SqsError>;

    /// A success. `operation` is for protocols in which the same field has another name in each.
    fn write<T: Serialize>(&self, operation: Operation, answer: &T) -> Response;

    /// A failure.
    fn refuse(&self, error: &SqsError) -> Response;
}

/// Takes the requests of this front aside; every other goes on. gRPC never asks on these paths.
pub(super) async fn aside(State(services): State<Arc<Services>>, request: Request, next: Next) -> Response {
    if is_ours(&request) { services.answer(request).await } else { next.run(request).await }
}

/// `POST /`, an action in the query, or a queue's URL: `/ACCOUNT/QUEUE`.
fn is_ours(request: &Request) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query());
    if path == "/" {
        return *request.method() == Method::POST || query.is_some_and(|query| query.contains("Action="));
    }
    addresses::is_queue_path(path)
}

impl Services {
    /// Answers a request in the protocol that it speaks.
    async fn answer(&self, request: Request) -> Response {
        let id = RequestId::new();
        let (head, body) = request.into_parts();
        let mut response = if json::is_spoken(&head) {
            self.speak(&json::Json, &head, body, &id).await
        } else {
            self.speak(&query::Query(&id), &head, body, &id).await
        };
        tracing::debug!(request = id.text(), status = response.status().as_u16(), "a call of the SQS wire");
        response.headers_mut().insert("x-amzn-requestid", id.header());
        response
    }

    /// Carries a request out; a failure is told in the protocol, too.
    async fn speak<P: Protocol>(&self, protocol: &P, head: &Parts, body: Body, id: &RequestId) -> Response {
        let answered = Box::pin(self.dispatch(protocol, head, body, id)).await;
        answered.unwrap_or_else(|error| protocol.refuse(&error))
    }

    /// The way of every request, whatever it speaks: who calls, what is asked, whether that is allowed, the answer.
    async fn dispatch<P: Protocol>(
        &self,
        protocol: &P,
        head: &Parts,
        body: Body,
        id: &RequestId,
    ) -> Result<Response, SqsError> {
        let whole = self.budget.read(head, body).await?;
        let caller = self.gate.judge(head, &whole.body, id)?;
        let fields = protocol.fields(head, &whole.body);
        let operation = protocol.operation(head, &fields)?;
        caller.may(operation)?;
        operations::perform(protocol, self, &caller, operation, &fields).await
    }
}
