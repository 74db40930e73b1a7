//! What the tests share: brokers on sockets and without, words, and futures that are looked at without waiting.

use std::{future::Future, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use lockstep_broker::{
    Broker, BrokerSettings, ClockChoice, Handle, JournalChoice, ManualClock, MessageAttributes, NewMessage, ServeError,
};
use lockstep_engine::{
    AttributeChanges,
    command::{CreateQueue, QueueRef, Receive},
    reply::Accepted,
    words::{DeduplicationId, GroupId, Label, QueueName, Tags, Timestamp},
};
use lockstep_proto::v1::{
    self, messages_client::MessagesClient, producers_client::ProducersClient, queues_client::QueuesClient,
    readers_client::ReadersClient,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

/// A broker that serves on a loopback socket.
pub(crate) struct Served {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) queues: QueuesClient<Channel>,
    pub(crate) messages: MessagesClient<Channel>,
    pub(crate) producers: ProducersClient<Channel>,
    pub(crate) readers: ReadersClient<Channel>,
    pub(crate) channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub(crate) async fn start(settings: &BrokerSettings) -> Self {
        Self::serve(Broker::start(settings).expect("it starts")).await
    }

    pub(crate) async fn serve(broker: Broker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let handle = broker.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(broker.serve(listener, async move {
            // A test that ends early stops it too.
            let _ = stopped.await;
        }));
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect().await.expect("up");
        Self {
            address,
            handle,
            queues: QueuesClient::new(channel.clone()),
            messages: MessagesClient::new(channel.clone()),
            producers: ProducersClient::new(channel.clone()),
            readers: ReadersClient::new(channel.clone()),
            channel,
            stop,
            serving,
        }
    }

    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        let _ = self.stop.send(());
        self.serving.await.expect("serving does not panic")
    }

    /// Ends by itself, as after a fault.
    pub(crate) async fn ended(self) -> Result<(), ServeError> {
        self.serving.await.expect("serving does not panic")
    }

    pub(crate) async fn create(&mut self, queue: &str, attributes: v1::QueueAttributes) -> u64 {
        let request = v1::CreateQueueRequest { queue: queue.into(), attributes: Some(attributes), tags: Vec::new() };
        self.queues.create_queue(request).await.expect("created").into_inner().queue_generation
    }

    pub(crate) async fn send(&mut self, queue: &str, group: &str, id: &str, body: &str) -> v1::Accepted {
        let entry = Some(entry(group, id, body));
        let request =
            v1::SendRequest { queue: queue.into(), queue_generation: None, entry, ..v1::SendRequest::default() };
        self.messages.send(request).await.expect("sent").into_inner().accepted.expect("accepted")
    }

    pub(crate) async fn receive(&mut self, queue: &str, max_messages: u32) -> Vec<v1::Delivery> {
        let request = v1::ReceiveRequest { queue: queue.into(), max_messages, ..v1::ReceiveRequest::default() };
        self.messages.receive(request).await.expect("received").into_inner().deliveries
    }
}

pub(crate) fn entry(group: &str, id: &str, body: &str) -> v1::SendEntry {
    v1::SendEntry {
        message_group_id: group.into(),
        message_deduplication_id: id.into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        ..v1::SendEntry::default()
    }
}

/// The reason and the facts of a refused call.
pub(crate) fn reason(status: &tonic::Status) -> (String, std::collections::HashMap<String, String>) {
    let info = status.get_error_details().error_info().cloned().expect("an ErrorInfo");
    assert_eq!(info.domain, "lockstep");
    assert!(info.metadata.contains_key("rule"), "{info:?}");
    (info.reason, info.metadata)
}

pub(crate) fn memory() -> BrokerSettings {
    BrokerSettings::new(JournalChoice::Memory)
}

pub(crate) fn sled(directory: &tempfile::TempDir) -> BrokerSettings {
    BrokerSettings::new(JournalChoice::Sled(directory.path().to_path_buf()))
}

/// A broker in memory, under a clock that only the test moves.
pub(crate) fn with_clock() -> (Broker, ManualClock) {
    let clock = ManualClock::new(Timestamp(1_000_000));
    let settings = BrokerSettings { clock: ClockChoice::Manual(clock.clone()), ..memory() };
    (Broker::start(&settings).expect("it starts"), clock)
}

pub(crate) fn queue(name: &str) -> QueueRef {
    QueueRef { name: QueueName::parse(name).expect("a name"), generation: None }
}

pub(crate) fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

pub(crate) async fn create(handle: &Handle, name: &str) {
    let (name, attributes) = (QueueName::parse(name).expect("a name"), AttributeChanges::default());
    handle.create_queue(CreateQueue { name, attributes, tags: Tags::default() }).await.expect("created");
}

pub(crate) fn message(group: &str, id: &str, body: impl Into<Bytes>) -> NewMessage {
    NewMessage {
        group: GroupId::parse(group).expect("a group"),
        deduplication_id: Some(DeduplicationId::parse(id).expect("an id")),
        body: body.into(),
        delay: None,
        attributes: MessageAttributes::default(),
        trace_header: String::new(),
        sender_id: String::new(),
    }
}

pub(crate) async fn send(handle: &Handle, name: &str, group: &str, id: &str) -> Accepted {
    let outcomes = handle.send(queue(name), vec![message(group, id, id.to_owned())]).await.expect("sent");
    outcomes.into_iter().next().expect("one").expect("accepted")
}

pub(crate) fn receive(name: &str, max_messages: u32) -> Receive {
    Receive { queue: queue(name), max_messages, visibility: None, attempt: None }
}

pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Polls a future once; its value if it has one already.
pub(crate) async fn glance<T>(future: &mut Pending<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Puts a poll before the sequencer and returns once a later request was answered: then the poll is parked.
pub(crate) async fn park<'a, T>(handle: &Handle, poll: impl Future<Output = T> + Send + 'a) -> Pending<'a, T> {
    // A poll that nothing wakes is a failure, not a test that hangs.
    let mut poll: Pending<'a, T> =
        Box::pin(
            async move { tokio::time::timeout(Duration::from_secs(20), poll).await.expect("nothing woke the poll") },
        );
    assert!(glance(&mut poll).await.is_none(), "answered at once");
    handle.list_queues(String::new(), String::new(), 1).await.expect("a turn");
    assert!(glance(&mut poll).await.is_none(), "it was to wait");
    poll
}
