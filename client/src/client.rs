//! The connection to one broker and the one way every call goes through it: try, map the answer, try again.
//! The calls themselves are in `calls`, one file a gRPC service.

use std::{future::Future, sync::Arc, time::Duration};

use lockstep_proto::emr::workers_client::WorkersClient;
use lockstep_proto::v1::{
    admin_client::AdminClient, clock_client::ClockClient, dead_letters_client::DeadLettersClient,
    groups_client::GroupsClient, messages_client::MessagesClient, producers_client::ProducersClient,
    queues_client::QueuesClient, readers_client::ReadersClient,
};
use tonic::{
    Response, Status,
    client::Grpc,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    consumer::ConsumerBuilder,
    error::{Error, Failure},
    producer::ProducerBuilder,
    retry::{self, GaveUp, Limit, Repeat, RetryPolicy, Start},
    security::{Bearer, Security, hint},
};

/// The largest message of either direction: twice what the API's limits allow (H1).
const MAX_WIRE_MESSAGE: usize = 8 * 1024 * 1024;

/// What carries a call: the connection, and the token on it.
pub(crate) type Wire = InterceptedService<Channel, Bearer>;

/// A broker, as seen by a client. Cheap to clone; clones share one HTTP/2 connection, which is made again by itself
/// when it breaks. The broker limits the unanswered calls of a connection (long polls count); further ones wait their
/// turn.
///
/// Every call is tried again under the [`RetryPolicy`] when repeating it is harmless; each method says what makes it
/// so. Methods that take a request of [`v1`](crate::v1) do so because a type of our own would only copy it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
    endpoint: Arc<str>,
    policy: RetryPolicy,
}

/// Options of a connection; see [`Client::builder`].
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    endpoint: String,
    policy: RetryPolicy,
    connect_timeout: Duration,
    security: Security,
}

impl ClientBuilder {
    /// The authority whose brokers are trusted, in PEM; for `https` endpoints.
    #[must_use]
    pub fn tls_ca(mut self, pem: impl Into<String>) -> Self {
        self.security.ca = Some(pem.into());
        self
    }

    /// This client's own certificate and its key, in PEM.
    #[must_use]
    pub fn tls_identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.security.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The token that goes with every call. Over plain `http` anyone on the way can read it.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.security.token = Some(token.into());
        self
    }

    /// How unanswered calls are tried again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long one attempt to connect may take; 5 s unless said otherwise.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects now, in one attempt, so that a wrong address shows at once.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when nobody answers there, [`Error::Protocol`] when the address is malformed.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| Error::Unreachable {
            endpoint: self.endpoint.clone(),
            message: hint(crate::error::chain(&Status::from_error(error.into()))),
        })?;
        let bearer = self.security.bearer()?;
        Ok(Client { channel, bearer, endpoint: self.endpoint.into(), policy: self.policy })
    }

    /// Connects at the first call; a broker that is still starting is waited for by that call's retries.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the address is malformed.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let (channel, bearer) = (self.endpoint()?.connect_lazy(), self.security.bearer()?);
        Ok(Client { channel, bearer, endpoint: self.endpoint.into(), policy: self.policy })
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let malformed = |error| Error::Protocol(format!("the endpoint {:?} is malformed: {error}", self.endpoint));
        let address = &self.endpoint;
        let uri = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let endpoint = self.security.secured(Endpoint::from_shared(uri).map_err(malformed)?)?;
        // A dead peer is noticed by pings within 15 s. One that hangs answers pings: that is what the limit of a try is
        // for (`RetryPolicy`).
        Ok(endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(2 * 1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            // What comes in blocks comes in few frames.
            .max_frame_size(64 * 1024))
    }
}

impl Client {
    /// A connection to be made, with options. The endpoint is `http://host:port`, or `host:port` alone.
    pub fn builder(endpoint: impl Into<String>) -> ClientBuilder {
        let (policy, connect_timeout) = (RetryPolicy::default(), Duration::from_secs(5));
        ClientBuilder { endpoint: endpoint.into(), policy, connect_timeout, security: Security::default() }
    }

    /// Connects now, with the default options.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(endpoint: impl Into<String>) -> Result<Self, Error> {
        Client::builder(endpoint).connect().await
    }

    /// Connects at the first call, with the default options. Needs a running tokio runtime.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect_lazy`].
    pub fn connect_lazy(endpoint: impl Into<String>) -> Result<Self, Error> {
        Client::builder(endpoint).connect_lazy()
    }

    /// This connection under another retry policy.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The address as it was given.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How unanswered calls are tried again.
    #[must_use]
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Builds a [`Producer`](crate::Producer) of a queue.
    pub fn producer(&self, queue: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), queue.into())
    }

    /// Builds a [`Consumer`](crate::Consumer) of a queue.
    pub fn consumer(&self, queue: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), queue.into())
    }

    /// The connection itself, for what is no call of ours.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The value of the header that carries the token, where there is one.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.bearer.value()
    }

    fn wire(&self) -> Wire {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub(crate) fn queues(&self) -> QueuesClient<Wire> {
        QueuesClient::new(self.wire())
            .max_decoding_message_size(MAX_WIRE_MESSAGE)
            .max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn messages(&self) -> MessagesClient<Wire> {
        MessagesClient::new(self.wire())
            .max_decoding_message_size(MAX_WIRE_MESSAGE)
            .max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    /// For the streams that are written by hand (`wire`).
    pub(crate) fn stream_wire(&self) -> Grpc<Wire> {
        Grpc::new(self.wire()).max_decoding_message_size(MAX_WIRE_MESSAGE).max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn producers(&self) -> ProducersClient<Wire> {
        ProducersClient::new(self.wire())
    }

    pub(crate) fn readers(&self) -> ReadersClient<Wire> {
        ReadersClient::new(self.wire())
            .max_decoding_message_size(MAX_WIRE_MESSAGE)
            .max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn groups(&self) -> GroupsClient<Wire> {
        GroupsClient::new(self.wire())
            .max_decoding_message_size(MAX_WIRE_MESSAGE)
            .max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn dead_letters(&self) -> DeadLettersClient<Wire> {
        DeadLettersClient::new(self.wire())
            .max_decoding_message_size(MAX_WIRE_MESSAGE)
            .max_encoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn admin(&self) -> AdminClient<Wire> {
        AdminClient::new(self.wire()).max_decoding_message_size(MAX_WIRE_MESSAGE)
    }

    pub(crate) fn workers(&self) -> WorkersClient<Wire> {
        WorkersClient::new(self.wire())
    }

    pub(crate) fn clock(&self) -> ClockClient<Wire> {
        ClockClient::new(self.wire())
    }

    /// Makes a call under the policy. `wait` is what the broker itself is asked to wait.
    pub(crate) async fn call<T, F, Fut>(&self, repeat: Repeat, wait: Duration, call: F) -> Result<T, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_within(repeat, Limit::Waiting { total: self.policy.time_limit, wait }, call).await
    }

    /// Makes a call under the policy, but with another time limit.
    pub(crate) async fn call_within<T, F, Fut>(&self, repeat: Repeat, limit: Limit, call: F) -> Result<T, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let limit = if self.policy.time_limit.is_zero() { Limit::Once } else { limit };
        let answer = retry::run(&self.policy, repeat, Start::now(), limit, call).await;
        answer.map(Response::into_inner).map_err(|gave_up| self.error(gave_up))
    }

    pub(crate) fn error(&self, gave_up: GaveUp) -> Error {
        match gave_up {
            GaveUp::Final(error) => error,
            GaveUp::Unknown(message) => Error::Unavailable { message },
            GaveUp::Unsent(message) => {
                Error::Unreachable { endpoint: self.endpoint.to_string(), message: hint(message) }
            }
        }
    }

    /// The error of a stream that broke: nothing is repeated here.
    pub(crate) fn broken(&self, status: Status) -> Error {
        match Failure::from(status) {
            Failure::Final(error) => error,
            Failure::Unknown(message) => Error::Unavailable { message },
            Failure::Unsent(message) => self.error(GaveUp::Unsent(message)),
        }
    }
}
