//! Workers.Attach: a worker by hand, on the way to its cluster. What is said on the way is `lockstep-emr-sim`'s business.

use lockstep_proto::emr::{AttachRequest, AttachResponse};
use tokio_stream::Stream;
use tonic::Streaming;

use crate::{Client, Error};

/// What a cluster says to a worker that is attached to it.
#[derive(Debug)]
pub struct Attached {
    client: Client,
    said: Streaming<AttachResponse>,
}

impl Client {
    /// Attaches a worker to a cluster of the emulated EMR: `requests` are what it says, Hello first. Never repeated by
    /// itself: who comes again is another instance.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such cluster, it has ended, or the broker has no clusters.
    pub async fn attach(
        &self,
        requests: impl Stream<Item = AttachRequest> + Send + 'static,
    ) -> Result<Attached, Error> {
        let said = self.workers().attach(requests).await.map_err(|status| self.broken(status))?;
        Ok(Attached { client: self.clone(), said: said.into_inner() })
    }
}

impl Attached {
    /// The next thing said; none when the call has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] as for [`Client::attach`], [`Error::Unavailable`] when the connection broke.
    pub async fn next(&mut self) -> Result<Option<AttachResponse>, Error> {
        self.said.message().await.map_err(|status| self.client.broken(status))
    }
}
