//! How a request's body is read: whole, in time, no larger than it may be, and all of them together within a budget, so
//! that callers who send much and slowly cost no more memory than those who behave. What a body means is not known here.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::{Code, SqsError};
use crate::limits;

/// What all bodies together may take, in KiB. The first of each are free, so that small requests pass whatever large
/// ones do.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    /// How long a body may take to arrive whole.
    time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        let left = Arc::new(Semaphore::new(limits::SQS_BODIES >> 10));
        Self { left, time: Duration::from_millis(limits::SQS_REQUEST_TIME) }
    }
}

/// A body that was read, and its share of the budget as long as it is kept.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) body: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// The body of a request, if it is whole in time and no larger than it may be.
    pub(super) async fn read(&self, head: &Parts, body: Body) -> Result<Whole, SqsError> {
        let is_encoded = head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        let read = tokio::time::timeout(self.time, self.collect(declared(head), body));
        match read.await {
            // It was read all the same, so that the connection lives on.
            Ok(Ok(_)) if is_encoded => {
                Err(SqsError::new(Code::UnsupportedMediaType, "A Content-Encoding is not supported: send it plain."))
            }
            Ok(read) => read,
            Err(_) => {
                let text = format!("The request was not whole within {} ms.", self.time.as_millis());
                Err(SqsError::new(Code::RequestTimeout, text))
            }
        }
    }

    async fn collect(&self, declared: usize, mut body: Body) -> Result<Whole, SqsError> {
        if declared > limits::SQS_REQUEST_BYTES {
            return Err(too_large());
        }
        let (mut all, mut share) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let broken = |error| SqsError::new(Code::Serialization, format!("The request broke off: {error}"));
            // Trailers say nothing that counts.
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            let size = all.len() + data.len();
            if size > limits::SQS_REQUEST_BYTES {
                return Err(too_large());
            }
            self.pay(&mut share, size)?;
            all.extend_from_slice(&data);
        }
        Ok(Whole { body: all.freeze(), _share: share })
    }

    /// Takes what a body of this size costs more than is paid for it. The buffer grows by doubling, hence twice the size.
    fn pay(&self, share: &mut Option<OwnedSemaphorePermit>, size: usize) -> Result<(), SqsError> {
        let paid = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let cost = (2 * size.saturating_sub(limits::SQS_FREE_BYTES)).div_ceil(1 << 10);
        let Some(more) = cost.checked_sub(paid).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).expect("a body has at most 4 MiB");
        let taken = Arc::clone(&self.left)
            .try_acquire_many_owned(more)
            .map_err(|_| SqsError::new(Code::RequestThrottled, "Too many large requests are being read; ask again."))?;
        match share {
            Some(share) => share.merge(taken),
            None => *share = Some(taken),
        }
        Ok(())
    }
}

/// How large the body says that it is; nothing, where it does not.
fn declared(head: &Parts) -> usize {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn too_large() -> SqsError {
    let text = format!("HTTP content length exceeded {} bytes.", limits::SQS_REQUEST_BYTES);
    SqsError::new(Code::RequestTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Parts {
        axum::http::Request::post("/").body(()).expect("a request").into_parts().0
    }

    async fn read(budget: &Budget, bytes: usize) -> Result<Whole, SqsError> {
        budget.read(&head(), Body::from(vec![b'x'; bytes])).await
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_and_small_ones_are_free() {
        let budget = Budget::default();
        let mut kept = Vec::new();
        let refused = loop {
            match read(&budget, limits::SQS_REQUEST_BYTES).await {
                Ok(whole) => kept.push(whole),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.code, Code::RequestThrottled);
        let most = limits::SQS_BODIES / (2 * (limits::SQS_REQUEST_BYTES - limits::SQS_FREE_BYTES));
        assert_eq!(kept.len(), most, "as many as the budget has room for");
        let small = read(&budget, limits::SQS_FREE_BYTES).await.expect("a small one passes");
        assert_eq!(small.body.len(), limits::SQS_FREE_BYTES);
        kept.pop();
        read(&budget, limits::SQS_REQUEST_BYTES).await.expect("what ended gives its share back");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
        let budget = Budget::default();
        assert_eq!(
            read(&budget, limits::SQS_REQUEST_BYTES + 1).await.expect_err("too large").code,
            Code::RequestTooLarge
        );
        let mut head = head();
        head.headers.insert(header::CONTENT_LENGTH, (limits::SQS_REQUEST_BYTES + 1).into());
        let endless = Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(budget.read(&head, endless).await.expect_err("too large").code, Code::RequestTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let budget = Budget { time: Duration::from_millis(20), ..Budget::default() };
        let endless = Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(budget.read(&head(), endless).await.expect_err("silent").code, Code::RequestTimeout);
    }
}
