//! What the streams of `Messages` share: reading the next request, unless the client is gone or the broker stops.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Services, errors::invalid_status};
use crate::{
    failure::{Failure, Invalid},
    front::door::Door,
};

/// What goes back to the client.
pub(super) type Responses<T> = ReceiverStream<Result<T, Status>>;

/// What came next on a stream.
pub(super) enum Next<T> {
    /// A request.
    Request(T),
    /// Nothing more: the client said all, or is gone.
    End,
    /// The stream ends so, once everything before is answered.
    Broken(Status),
}

/// The next request; `gone` ends when nobody waits for answers any more, `closing` when the broker stops.
pub(super) async fn next<T>(
    services: &Services,
    requests: &mut Streaming<T>,
    gone: Pin<&mut impl Future<Output = ()>>,
    closing: Pin<&mut impl Future<Output = ()>>,
) -> Next<T> {
    tokio::select! {
        biased;
        () = gone => Next::End,
        () = closing => Next::Broken(services.stopping()),
        request = requests.message() => match request {
            Ok(Some(request)) => Next::Request(request),
            Ok(None) => Next::End,
            Err(status) => broken(status),
        },
    }
}

pub(super) fn broken<T>(status: Status) -> Next<T> {
    match status.code() {
        // What tonic says of a message that is larger than the door reads.
        Code::OutOfRange | Code::ResourceExhausted => {
            let text = format!("a message of the stream is too long: {} (H1)", status.message());
            Next::Broken(invalid_status(&Invalid::new("REQUEST_TOO_LONG", "H1", text)))
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => Next::Broken(status),
    }
}

impl Services {
    /// Ends when the door closes: streams end then, because they would not by themselves.
    pub(super) async fn closing(&self) {
        let mut door = self.door.clone();
        // An owner that is gone wants the door closed too.
        let _ = door.wait_for(|door| *door >= Door::Closing).await;
    }

    /// What a stream ends with when the broker stops.
    pub(super) fn stopping(&self) -> Status {
        self.refuse(&Failure::Unavailable(Arc::from("the broker is stopping")))
    }
}
