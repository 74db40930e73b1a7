//! What a call costs here without a broker: a tonic echo and an axum echo, bare, and the same awaiting one sync that all
//! calls under way share. The server is a process of its own, this program with other arguments, as a broker is.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tonic::codegen::{Body, BoxFuture, Context, Poll, StdError, http};

use crate::server::Server;

/// Calls under way over one gRPC connection.
pub(crate) const CALLS: usize = 256;
/// HTTP/1.1 connections with one call each.
pub(crate) const CONNECTIONS: usize = 64;
const WARMUP: Duration = Duration::from_millis(500);
const PATH: &str = "/lockstep.peers.Echo/Say";

/// What is said and answered: what a Send carries, by size.
#[derive(Clone, PartialEq, prost::Message)]
struct Said {
    #[prost(string, tag = "1")]
    queue: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

type Codec = tonic_prost::ProstCodec<Said, Said>;

/// One writer: what has come is written and synced once, then all of it is answered.
#[derive(Clone)]
struct Syncer(Option<mpsc::UnboundedSender<(Bytes, oneshot::Sender<()>)>>);

impl Syncer {
    fn start(path: Option<PathBuf>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let mut file = File::create(path)?;
        let (into, mut from) = mpsc::unbounded_channel::<(Bytes, oneshot::Sender<()>)>();
        thread::spawn(move || {
            let mut lot = Vec::new();
            while from.blocking_recv_many(&mut lot, 4_096) > 0 {
                let bytes: Vec<u8> = lot.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
                file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk takes it");
                for (_, answer) in lot.drain(..) {
                    // Whoever asked may be gone.
                    let _ = answer.send(());
                }
            }
        });
        Ok(Self(Some(into)))
    }

    async fn durable(&self, bytes: Bytes) {
        if let Some(into) = &self.0 {
            let (answer, answered) = oneshot::channel();
            into.send((bytes, answer)).expect("the writer lives as long as the server");
            answered.await.expect("the writer answers all");
        }
    }
}

#[derive(Clone)]
struct Echo(Syncer);

impl tonic::server::UnaryService<Said> for Echo {
    type Response = Said;
    type Future = BoxFuture<tonic::Response<Said>, tonic::Status>;

    fn call(&mut self, request: tonic::Request<Said>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let said = request.into_inner();
            echo.0.durable(said.body.clone()).await;
            Ok(tonic::Response::new(said))
        })
    }
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "lockstep.peers.Echo";
}

impl<B> tonic::codegen::Service<http::Request<B>> for Echo
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(tonic::server::Grpc::new(Codec::default()).unary(echo, request).await) })
    }
}

/// Serves an echo on a port of loopback until it is ended.
pub(crate) async fn serve(kind: &str, port: u16, sync: Option<PathBuf>) -> Result<()> {
    let syncer = Syncer::start(sync)?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    if kind == "tonic" {
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder().add_service(Echo(syncer)).serve_with_incoming(incoming).await?;
    } else {
        let answer = move |body: Bytes| async move {
            syncer.durable(body.clone()).await;
            body
        };
        let router = axum::Router::new().route("/", axum::routing::post(answer));
        let listener = axum::serve::ListenerExt::tap_io(listener, |socket: &mut TcpStream| {
            // Without it the echo is slower, never wrong.
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, router).await?;
    }
    Ok(())
}

/// Calls a second of an echo.
pub(crate) async fn measure(kind: &str, synced: bool, directory: &Path, time: Duration) -> Result<f64> {
    let program = std::env::current_exe()?;
    let server = Server::start(directory, |port, data| {
        let mut command = Command::new(program);
        command.args(["--serve-echo", kind, &port.to_string()]);
        if synced {
            command.arg(data.join("synced"));
        }
        command
    })?;
    let counted = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let ends = Instant::now() + WARMUP + time;
    let meter = Meter { counted: Arc::clone(&counted), begins: ends - time, ends };
    if kind == "tonic" {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{}", server.port()))?;
        let channel = endpoint.tcp_nodelay(true).connect().await?;
        for _ in 0..CALLS {
            callers.spawn(call(channel.clone(), meter.clone()));
        }
    } else {
        for _ in 0..CONNECTIONS {
            callers.spawn(post(server.port(), meter.clone()));
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(counted.load(Ordering::Relaxed) as f64 / time.as_secs_f64())
}

#[derive(Clone)]
struct Meter {
    counted: Arc<AtomicU64>,
    begins: Instant,
    ends: Instant,
}

impl Meter {
    /// Notes an answer; false when the time is over.
    fn goes_on(&self) -> bool {
        let now = Instant::now();
        if now >= self.begins && now < self.ends {
            self.counted.fetch_add(1, Ordering::Relaxed);
        }
        now < self.ends
    }
}

async fn call(channel: tonic::transport::Channel, meter: Meter) -> Result<()> {
    let said = Said {
        queue: "bench.fifo".to_owned(),
        group: "group-0123".to_owned(),
        id: "0123456789abcd".to_owned(),
        body: Bytes::from(vec![b'x'; crate::load::BODY]),
    };
    let mut grpc = tonic::client::Grpc::new(channel);
    loop {
        grpc.ready().await?;
        let path = http::uri::PathAndQuery::from_static(PATH);
        let answer = grpc.unary(tonic::Request::new(said.clone()), path, Codec::default()).await?;
        ensure!(answer.into_inner() == said, "the echo said something else");
        if !meter.goes_on() {
            return Ok(());
        }
    }
}

async fn post(port: u16, meter: Meter) -> Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let body = "x".repeat(crate::load::BODY);
    // What a SendMessage is, by size.
    let json = format!(
        "{{\"QueueUrl\":\"http://127.0.0.1:9324/000000000000/bench.fifo\",\"MessageBody\":\"{body}\",\
         \"MessageGroupId\":\"group-0123\",\"MessageDeduplicationId\":\"0123456789abcd\"}}"
    );
    let request = format!("POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n{json}", json.len());
    let mut buffer = Vec::new();
    loop {
        socket.write_all(request.as_bytes()).await?;
        buffer.clear();
        let head = loop {
            ensure!(socket.read_buf(&mut buffer).await? > 0, "the echo ended the connection");
            if let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break head + 4;
            }
        };
        while buffer.len() < head + json.len() {
            ensure!(socket.read_buf(&mut buffer).await? > 0, "the echo ended the connection");
        }
        let echoed = buffer.get(head..).context("a body")?;
        ensure!(buffer.starts_with(b"HTTP/1.1 200") && echoed == json.as_bytes(), "the echo said something else");
        if !meter.goes_on() {
            return Ok(());
        }
    }
}
