//! What stands before every service of the door: the faults of a plan. A door without a plan hands calls through
//! untouched, and streams with many requests, which `strikes` judges one by one.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use lockstep_engine::command::{ChangeVisibility, QueueRef};
use lockstep_proto::v1;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
};

use super::{errors::status_with, input};
use crate::{
    faults::{CallFault, Faults, is_struck_by_request},
    handle::Handle,
};

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// What the guard knows.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) handle: Handle,
    pub(super) faults: Option<Faults>,
}

impl Gate {
    /// A service behind the guard.
    pub(super) fn guard<S>(&self, inner: S) -> Guarded<S> {
        Guarded { inner, gate: self.clone() }
    }
}

/// A service behind the guard.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    inner: S,
    gate: Gate,
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future = BoxFuture<Response, Infallible>>
        + Clone
        + Send
        + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(faults) = &self.gate.faults else { return self.inner.call(request) };
        let operation = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        if is_struck_by_request(&operation) {
            return self.inner.call(request);
        }
        let faults = faults.on_call(&operation);
        if faults.is_empty() {
            return self.inner.call(request);
        }
        let (inner, handle) = (self.inner.clone(), self.gate.handle.clone());
        Box::pin(async move { Ok(struck(inner, handle, request, &faults).await) })
    }
}

/// Carries a call out under its faults.
async fn struck<S>(mut inner: S, handle: Handle, mut request: Request, faults: &[CallFault]) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible, Future = BoxFuture<Response, Infallible>>,
{
    for fault in faults {
        match fault {
            CallFault::Unavailable => return injected(Code::Unavailable, "the call was not carried out"),
            CallFault::Throttle => return injected(Code::ResourceExhausted, "the call was not carried out; ask later"),
            CallFault::Delay(time) => tokio::time::sleep(*time).await,
            CallFault::DropAnswer | CallFault::NeverAnswer | CallFault::Repeat | CallFault::ExpireLease => {}
        }
    }
    let mut receive = None;
    if faults.contains(&CallFault::Repeat) || faults.contains(&CallFault::ExpireLease) {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return injected(Code::Unavailable, "the call broke off") };
        let body = body.to_bytes();
        receive = unframed::<v1::ReceiveRequest>(&body);
        let copy = |body: Bytes| http::Request::from_parts(parts.clone(), Body::new(Full::new(body)));
        if faults.contains(&CallFault::Repeat) {
            // The first answer is nobody's; what it says was durable before it was given.
            let Ok(first) = inner.call(copy(body.clone())).await;
            drop(first);
        }
        request = copy(body);
    }
    let Ok(mut response) = inner.call(request).await;
    if faults.contains(&CallFault::ExpireLease)
        && let Some(receive) = receive
    {
        response = with_leases_ended(&handle, &receive.queue, response).await;
    }
    if faults.contains(&CallFault::NeverAnswer) {
        std::future::pending::<()>().await;
    }
    if faults.contains(&CallFault::DropAnswer) {
        return injected(Code::Unavailable, "the call was carried out, and its answer was dropped");
    }
    response
}

fn injected(code: Code, what: &str) -> Response {
    injected_status(code, what).into_http()
}

/// What a caller hears of a fault.
pub(super) fn injected_status(code: Code, what: &str) -> Status {
    status_with(code, format!("{what}: a fault of the plan"), "FAULT_INJECTED", "", Vec::new())
}

/// Gives back what a receive delivered, before its receiver hears of it: to the receiver it looks like leases that ran
/// out.
async fn with_leases_ended(handle: &Handle, queue: &str, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return injected(Code::Unavailable, "the answer broke off") };
    let trailers = body.trailers().cloned();
    let bytes = body.to_bytes();
    if let (Some(answer), Ok(queue)) = (unframed::<v1::ReceiveResponse>(&bytes), input::queue(queue, None)) {
        end_leases(handle, queue, &answer.deliveries).await;
    }
    let trailers = std::future::ready(trailers.map(Ok));
    http::Response::from_parts(parts, Body::new(Full::new(bytes).with_trailers(trailers)))
}

/// Gives deliveries back.
pub(super) async fn end_leases(handle: &Handle, queue: QueueRef, deliveries: &[v1::Delivery]) {
    let receipts = deliveries.iter().filter_map(|delivery| handle.receipt(&delivery.receipt_handle).ok());
    let entries = receipts.map(|receipt| (receipt, 0)).collect();
    // A refusal means that the leases have ended already.
    let _ = handle.change_visibility(ChangeVisibility { queue, entries }).await;
}

/// The one message of a call that does not stream, unless it is compressed.
fn unframed<M: prost::Message + Default>(mut bytes: &[u8]) -> Option<M> {
    if bytes.try_get_u8() != Ok(0) {
        return None;
    }
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    M::decode(bytes.get(..length)?).ok()
}
