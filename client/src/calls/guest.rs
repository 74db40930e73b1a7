//! A plain POST over the client's connection, with its certificates and its token: what a guest of the broker's port, such
//! as the emulated EMR, is asked in. What is said in it is the caller's business.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tonic::codegen::{Service as _, http};

use crate::{Client, Error};

/// More than any answer of a guest has.
const MAX_ANSWER: usize = 64 << 20;

impl Client {
    /// Posts a body to a path, with these headers; the answer's status and body, whatever they are. Never repeated by
    /// itself.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when there is no connection, [`Error::Unavailable`] when it broke before the answer was
    /// whole, [`Error::Protocol`] when path or headers cannot be sent.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Result<(u16, Bytes), Error> {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = self.authorization() {
            request = request.header("authorization", authorization);
        }
        let request = request
            .body(tonic::body::Body::new(Full::new(body)))
            .map_err(|error| Error::Protocol(format!("it cannot be posted: {error}")))?;
        let mut channel = self.channel();
        let failed = |error: tonic::transport::Error| self.broken(tonic::Status::from_error(error.into()));
        std::future::poll_fn(|context| channel.poll_ready(context)).await.map_err(failed)?;
        let (head, body) = channel.call(request).await.map_err(failed)?.into_parts();
        let broke = |why: String| Error::Unavailable { message: format!("the answer broke off: {why}") };
        let body = http_body_util::Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| broke(error.to_string()))?.to_bytes();
        Ok((head.status.as_u16(), body))
    }
}
