//! Plain HTTP on the port that gRPC is served on.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Served, memory};

/// One request of HTTP/1.1; head and body of the answer.
pub(crate) async fn get(broker: &Served, path: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(broker.address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn plain_http_and_grpc_share_the_port() {
    let mut broker = Served::start(&memory()).await;
    let (head, body) = get(&broker, "/healthz", "").await;
    assert!(head.starts_with("http/1.1 200") && body == "ok\n", "{head}\n{body}");
    let (head, _) = get(&broker, "/nothing", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    let (head, _) = get(&broker, "/lockstep.v1.Nothing/At", "Content-Type: application/grpc\r\n").await;
    assert!(head.contains("grpc-status: 12"), "a gRPC caller gets a status it can read: {head}");
    broker.create("q.fifo", lockstep_proto::v1::QueueAttributes::default()).await;
    broker.stop().await.expect("a clean end");
}
