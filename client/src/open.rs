//! The opening of a reader and its options (B6). What an opened reader does is `reader`'s.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use lockstep_proto::v1;

use crate::{BatchReader, Client, Error, attributes::seconds};

/// The opening of a reader; awaiting it opens it. See [`Client::open_reader`].
#[derive(Clone, Debug)]
#[must_use = "a reader is opened by awaiting this"]
pub struct OpenReader {
    client: Client,
    request: v1::OpenReaderRequest,
}

impl OpenReader {
    /// Gives claims of this reader back by themselves after so long, in whole seconds, parts rounded up; never unless
    /// said so.
    pub fn claim_limit(mut self, limit: Duration) -> Self {
        self.request.claim_limit_seconds = Some(seconds(limit));
        self
    }

    /// Refuses to open when the queue was made anew since (B8).
    pub fn queue_generation(mut self, generation: u64) -> Self {
        self.request.queue_generation = Some(generation);
        self
    }
}

impl IntoFuture for OpenReader {
    type Output = Result<BatchReader, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let OpenReader { client, request } = self;
            let opened = client.open_reader_with(request.clone()).await?;
            Ok(BatchReader::of_opening(client, request.queue, request.reader, opened))
        })
    }
}

impl Client {
    /// Opens a reader (1 to 80 of `[A-Za-z0-9_-]`) of a strict queue under the caller's own instance id (same
    /// characters, fresh for each start of the caller). Repeating it with the same instance gets the same generation;
    /// another instance fences this one, its workers included (B6).
    ///
    /// Awaiting it fails with [`Error::Refused`] for a bad name, a queue that is not strict, or one made anew.
    pub fn open_reader(
        &self,
        queue: impl Into<String>,
        reader: impl Into<String>,
        instance: impl Into<String>,
    ) -> OpenReader {
        let request = v1::OpenReaderRequest {
            queue: queue.into(),
            reader: reader.into(),
            instance: instance.into(),
            ..v1::OpenReaderRequest::default()
        };
        OpenReader { client: self.clone(), request }
    }
}
