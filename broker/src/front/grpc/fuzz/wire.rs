//! Raw calls: whatever bytes, framed as gRPC frames them or not, to any path of a listening broker. What the answers
//! mean is said in `fuzz`.

use std::{future::poll_fn, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    Status,
    body::Body,
    codegen::{Service as _, http},
    transport::{Channel, Endpoint},
};

use crate::{Broker, BrokerSettings, ClockChoice, JournalChoice, ManualClock, ServeError, Timestamp};

/// A broker in memory, under a manual clock, on a port of its own.
pub(super) struct Served {
    pub(super) channel: Channel,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

/// Starts one.
pub(super) async fn serve() -> Served {
    let clock = ClockChoice::Manual(ManualClock::new(Timestamp(1_000_000)));
    let settings = BrokerSettings { clock, ..BrokerSettings::new(JournalChoice::Memory) };
    let broker = Broker::start(&settings).expect("it starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(broker.serve(listener, async move { drop(stopped.await) }));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    Served { channel, address, stop, serving }
}

impl Served {
    /// Puts a body to a method; every answer must bear a status.
    pub(super) async fn post(&mut self, path: &str, body: Vec<u8>) -> Status {
        let request = http::Request::post(format!("http://{}/lockstep.v1.{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(Full::new(Bytes::from(body))))
            .expect("a request");
        poll_fn(|context| self.channel.poll_ready(context)).await.expect("the connection is there");
        let answer = self.channel.call(request).await.unwrap_or_else(|error| panic!("{path}: no answer: {error:?}"));
        let (parts, body) = answer.into_parts();
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return status;
        }
        let body = body.collect().await.unwrap_or_else(|status| panic!("{path}: the answer broke off: {status:?}"));
        let trailers = body.trailers().unwrap_or_else(|| panic!("{path}: an answer without a status"));
        Status::from_header_map(trailers).unwrap_or_else(|| panic!("{path}: trailers without a status: {trailers:?}"))
    }

    /// Ends it: nothing in it panicked.
    pub(super) async fn end(self) {
        let Self { channel, stop, serving, .. } = self;
        drop(channel);
        stop.send(()).expect("it serves");
        serving.await.expect("no panic").expect("a clean end");
    }
}

/// The messages of a call, each behind the five bytes that gRPC puts there.
pub(super) fn framed<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        body.push(0);
        body.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
        body.extend(message);
    }
    body
}
