//! A broker without a mind: it hands every call to the test and sends back what the test decides. A small relay in
//! front of it can cut all connections. No rule of the real broker belongs here.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_client::{Client, RetryPolicy, v1};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_stream::{Stream, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A call's answer, owed by the test. Dropping it loses the answer: the client hears UNAVAILABLE.
pub(crate) struct Reply<T>(oneshot::Sender<Result<T, Status>>);

impl<T> Reply<T> {
    pub(crate) fn ok(self, answer: T) {
        let _ = self.0.send(Ok(answer));
    }

    pub(crate) fn fail(self, status: Status) {
        let _ = self.0.send(Err(status));
    }

    pub(crate) fn refuse(self, code: Code, reason: &str) {
        self.fail(refusal(code, reason));
    }

    /// Loses the answer.
    pub(crate) fn lose(self) {
        drop(self);
    }
}

/// A refusal as the real broker words it.
pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let rule: std::collections::HashMap<_, _> = [("rule".to_owned(), "T1".to_owned())].into();
    let details = ErrorDetails::with_error_info(reason, "lockstep", rule);
    Status::with_error_details(code, format!("{reason} it is"), details)
}

pub(crate) fn entry_refusal(reason: &str) -> v1::Refusal {
    v1::Refusal { reason: reason.to_owned(), message: format!("{reason} it is"), rule: "T1".to_owned(), block_code: 0 }
}

type Pieces = mpsc::Receiver<Result<v1::ReadClaimResponse, Status>>;

macro_rules! calls {
    ($($request:ident => $response:ty,)*) => {
        /// A call that arrived, with its request and the answer it is owed.
        #[expect(dead_code, reason = "it speaks the whole API, whatever the tests ask of it")]
        #[expect(clippy::enum_variant_names, reason = "the names are those of the requests")]
        pub(crate) enum Call { $($request(v1::$request, Reply<$response>),)* }

        impl std::fmt::Debug for Call {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Call::$request(request, _) => request.fmt(f),)* }
            }
        }
    };
}

calls! {
    CreateQueueRequest => v1::CreateQueueResponse,
    DescribeQueueRequest => v1::DescribeQueueResponse,
    ListQueuesRequest => v1::ListQueuesResponse,
    SetQueueAttributesRequest => v1::SetQueueAttributesResponse,
    PurgeQueueRequest => v1::PurgeQueueResponse,
    DeleteQueueRequest => v1::DeleteQueueResponse,
    TagQueueRequest => v1::TagQueueResponse,
    UntagQueueRequest => v1::UntagQueueResponse,
    ListQueueTagsRequest => v1::ListQueueTagsResponse,
    ExplainRequest => v1::ExplainResponse,
    SendRequest => v1::SendResponse,
    SendBatchRequest => v1::SendBatchResponse,
    ProduceRequest => v1::ProduceResponse,
    ReceiveRequest => v1::ReceiveResponse,
    DeleteRequest => v1::DeleteResponse,
    DeleteBatchRequest => v1::DeleteBatchResponse,
    ChangeVisibilityRequest => v1::ChangeVisibilityResponse,
    ChangeVisibilityBatchRequest => v1::ChangeVisibilityBatchResponse,
    PeekRequest => v1::PeekResponse,
    OpenReaderRequest => v1::OpenReaderResponse,
    ClaimRequest => v1::ClaimResponse,
    TakeClaimRequest => v1::TakeClaimResponse,
    ReadClaimRequest => Pieces,
    AbandonRequest => v1::AbandonResponse,
    CommitRequest => v1::CommitResponse,
    ReadValuesRequest => v1::ReadValuesResponse,
    ListReadersRequest => v1::ListReadersResponse,
    DescribeReaderRequest => v1::DescribeReaderResponse,
    DropReaderRequest => v1::DropReaderResponse,
}

#[derive(Clone)]
struct Service(mpsc::UnboundedSender<Call>);

impl Service {
    async fn ask<Q, A>(&self, request: Request<Q>, call: fn(Q, Reply<A>) -> Call) -> Result<A, Status> {
        let (reply, answer) = oneshot::channel();
        let lost = |_| Status::unavailable("the answer is lost");
        self.0.send(call(request.into_inner(), Reply(reply))).map_err(|_| Status::unavailable("the test ended"))?;
        answer.await.map_err(lost)?
    }
}

macro_rules! service {
    ($service:path { $($name:ident: $request:ident -> $response:ident,)* }) => {
        #[tonic::async_trait]
        impl $service for Service {
            $(async fn $name(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                self.ask(request, Call::$request).await.map(Response::new)
            })*
        }
    };
}

service!(v1::queues_server::Queues {
    create_queue: CreateQueueRequest -> CreateQueueResponse,
    describe_queue: DescribeQueueRequest -> DescribeQueueResponse,
    list_queues: ListQueuesRequest -> ListQueuesResponse,
    set_queue_attributes: SetQueueAttributesRequest -> SetQueueAttributesResponse,
    purge_queue: PurgeQueueRequest -> PurgeQueueResponse,
    delete_queue: DeleteQueueRequest -> DeleteQueueResponse,
    tag_queue: TagQueueRequest -> TagQueueResponse,
    untag_queue: UntagQueueRequest -> UntagQueueResponse,
    list_queue_tags: ListQueueTagsRequest -> ListQueueTagsResponse,
    explain: ExplainRequest -> ExplainResponse,
});

#[tonic::async_trait]
impl v1::messages_server::Messages for Service {
    type ProduceStream = ReceiverStream<Result<v1::ProduceResponse, Status>>;
    type ConsumeStream = ReceiverStream<Result<v1::ConsumeResponse, Status>>;

    async fn send(&self, request: Request<v1::SendRequest>) -> Result<Response<v1::SendResponse>, Status> {
        self.ask(request, Call::SendRequest).await.map(Response::new)
    }

    async fn send_batch(
        &self,
        request: Request<v1::SendBatchRequest>,
    ) -> Result<Response<v1::SendBatchResponse>, Status> {
        self.ask(request, Call::SendBatchRequest).await.map(Response::new)
    }

    async fn receive(&self, request: Request<v1::ReceiveRequest>) -> Result<Response<v1::ReceiveResponse>, Status> {
        self.ask(request, Call::ReceiveRequest).await.map(Response::new)
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<v1::DeleteResponse>, Status> {
        self.ask(request, Call::DeleteRequest).await.map(Response::new)
    }

    async fn delete_batch(
        &self,
        request: Request<v1::DeleteBatchRequest>,
    ) -> Result<Response<v1::DeleteBatchResponse>, Status> {
        self.ask(request, Call::DeleteBatchRequest).await.map(Response::new)
    }

    async fn change_visibility(
        &self,
        request: Request<v1::ChangeVisibilityRequest>,
    ) -> Result<Response<v1::ChangeVisibilityResponse>, Status> {
        self.ask(request, Call::ChangeVisibilityRequest).await.map(Response::new)
    }

    async fn change_visibility_batch(
        &self,
        request: Request<v1::ChangeVisibilityBatchRequest>,
    ) -> Result<Response<v1::ChangeVisibilityBatchResponse>, Status> {
        self.ask(request, Call::ChangeVisibilityBatchRequest).await.map(Response::new)
    }

    async fn peek(&self, request: Request<v1::PeekRequest>) -> Result<Response<v1::PeekResponse>, Status> {
        self.ask(request, Call::PeekRequest).await.map(Response::new)
    }

    /// Each block is a call of its own to the test, which may answer them in any order: the answers go out in that of
    /// the blocks, and one that is lost or refused as a call ends the stream.
    async fn produce(
        &self,
        requests: Request<tonic::Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStream>, Status> {
        let (mut requests, service) = (requests.into_inner(), self.clone());
        let (owed_in, mut owed) = mpsc::unbounded_channel::<oneshot::Receiver<Result<v1::ProduceResponse, Status>>>();
        let (answers_in, answers) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let (reply, answer) = oneshot::channel();
                if owed_in.send(answer).is_err() || service.0.send(Call::ProduceRequest(request, Reply(reply))).is_err()
                {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(answer) = owed.recv().await {
                let answer = answer.await.unwrap_or_else(|_| Err(Status::unavailable("the answer is lost")));
                let ends = answer.is_err();
                if answers_in.send(answer).await.is_err() || ends {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn consume(
        &self,
        _requests: Request<tonic::Streaming<v1::ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        Err(Status::unimplemented("the calls of the client do not stream"))
    }
}

macro_rules! readers {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl v1::readers_server::Readers for Service {
            type ReadClaimStream = Pin<Box<dyn Stream<Item = Result<v1::ReadClaimResponse, Status>> + Send>>;

            async fn read_claim(
                &self,
                request: Request<v1::ReadClaimRequest>,
            ) -> Result<Response<Self::ReadClaimStream>, Status> {
                let pieces = self.ask(request, Call::ReadClaimRequest).await?;
                Ok(Response::new(Box::pin(ReceiverStream::new(pieces))))
            }

            $(async fn $name(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                self.ask(request, Call::$request).await.map(Response::new)
            })*
        }
    };
}

readers! {
    open_reader: OpenReaderRequest -> OpenReaderResponse,
    claim: ClaimRequest -> ClaimResponse,
    take_claim: TakeClaimRequest -> TakeClaimResponse,
    abandon: AbandonRequest -> AbandonResponse,
    commit: CommitRequest -> CommitResponse,
    read_values: ReadValuesRequest -> ReadValuesResponse,
    list_readers: ListReadersRequest -> ListReadersResponse,
    describe_reader: DescribeReaderRequest -> DescribeReaderResponse,
    drop_reader: DropReaderRequest -> DropReaderResponse,
}

/// The broker that a test plays.
pub(crate) struct Broker {
    calls: mpsc::UnboundedReceiver<Call>,
    pub(crate) address: SocketAddr,
    relays: Arc<Mutex<JoinSet<()>>>,
    _server: JoinSet<()>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let service = Service(sender);
        let behind = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let inner = behind.local_addr().expect("bound");
        let front = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = front.local_addr().expect("bound");
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_service(v1::queues_server::QueuesServer::new(service.clone()))
                .add_service(
                    v1::messages_server::MessagesServer::new(service.clone()).max_decoding_message_size(1 << 23),
                )
                .add_service(v1::readers_server::ReadersServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(behind));
            serving.await.expect("it serves until the test ends");
        });
        let relays = Arc::new(Mutex::new(JoinSet::new()));
        let accepted = relays.clone();
        server.spawn(async move {
            while let Ok((mut near, _)) = front.accept().await {
                let relay = async move {
                    let Ok(mut far) = TcpStream::connect(inner).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                };
                accepted.lock().expect("no panic under this lock").spawn(relay);
            }
        });
        Broker { calls, address, relays, _server: server }
    }

    /// Breaks every connection in the middle of whatever it carries.
    pub(crate) fn cut(&self) {
        self.relays.lock().expect("no panic under this lock").abort_all();
    }

    /// A client of it that tries again quickly, for at most a minute.
    pub(crate) async fn client(&self) -> Client {
        Client::builder(self.address.to_string()).retry(quick()).connect().await.expect("it listens")
    }

    /// The next call, whatever it is.
    pub(crate) async fn next(&mut self) -> Call {
        self.calls.recv().await.expect("the server lives as long as this")
    }

    /// No call has arrived that nobody asked for.
    pub(crate) fn assert_idle(&mut self) {
        if let Ok(call) = self.calls.try_recv() {
            panic!("unexpected {call:?}");
        }
    }

    /// Answers the producer's question for the window.
    pub(crate) async fn answer_window(&mut self, seconds: u32) {
        let Call::DescribeQueueRequest(_, reply) = self.next().await else { panic!("the window is asked for first") };
        let attributes =
            v1::QueueAttributes { deduplication_window_seconds: Some(seconds), ..v1::QueueAttributes::default() };
        let queue = v1::QueueDescription { attributes: Some(attributes), ..v1::QueueDescription::default() };
        reply.ok(v1::DescribeQueueResponse { queue: Some(queue) });
    }

    /// The next call, which is a block of messages.
    pub(crate) async fn next_send(&mut self) -> SendCall {
        let Call::ProduceRequest(request, reply) = self.next().await else { panic!("a block was expected") };
        SendCall { entries: request.entries, generation: request.queue_generation, reply }
    }
}

/// A block of messages on a stream.
pub(crate) struct SendCall {
    pub(crate) entries: Vec<v1::SendEntry>,
    pub(crate) generation: Option<u64>,
    reply: Reply<v1::ProduceResponse>,
}

impl SendCall {
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.message_deduplication_id.as_str()).collect()
    }

    pub(crate) fn bodies(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| std::str::from_utf8(&entry.body).expect("test bodies are text")).collect()
    }

    /// Answers one result for each entry.
    pub(crate) fn answer(self, results: Vec<Result<v1::Accepted, v1::Refusal>>) {
        let result = |result| v1::SendResult {
            outcome: Some(match result {
                Ok(accepted) => v1::send_result::Outcome::Accepted(accepted),
                Err(refused) => v1::send_result::Outcome::Refused(refused),
            }),
        };
        self.reply.ok(v1::ProduceResponse { results: results.into_iter().map(result).collect() });
    }

    /// Refuses the block as a whole.
    pub(crate) fn refuse(self, code: Code, reason: &str) {
        let refusal = || v1::Refusal { block_code: code as u32, ..entry_refusal(reason) };
        let results = self.entries.iter().map(|_| Err(refusal())).collect();
        self.answer(results);
    }

    /// Accepts every entry; the message id repeats the key, so that a test sees which is which.
    pub(crate) fn accept(self) {
        let results = self.entries.iter().map(|entry| Ok(accepted(entry))).collect();
        self.answer(results);
    }

    pub(crate) fn fail(self, status: Status) {
        self.reply.fail(status);
    }

    pub(crate) fn lose(self) {
        self.fail(Status::unavailable("the answer is lost"));
    }
}

pub(crate) fn accepted(entry: &v1::SendEntry) -> v1::Accepted {
    v1::Accepted { message_id: entry.message_deduplication_id.clone(), sequence_number: 1, duplicate: false }
}

pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy {
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(5),
        time_limit: Duration::from_secs(60),
        try_limit: Duration::from_secs(60),
    }
}
