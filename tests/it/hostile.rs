//! Hundreds of callers who mean no good, at a real process: its memory stays small, and who behaves is served.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::world::BrokerProcess;

const MIB: u64 = 1 << 20;

fn connected(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A call that means well; how long its answer took.
fn served(address: &str) -> Duration {
    let began = Instant::now();
    let mut stream = connected(address);
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nConnection: close\r\n";
    let body = r#"{"QueueUrl":"q","MessageBody":"b"}"#;
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    began.elapsed()
}

#[test]
fn hundreds_of_hostile_callers_cost_little_memory_and_nobody_else_anything() {
    let folder = tempfile::tempdir().unwrap();
    let broker = BrokerProcess::start(&folder.path().join("data"));
    let address = broker.endpoint.strip_prefix("http://").unwrap().to_owned();
    let make =
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.CreateQueue\r\nContent-Length: 17\r\n\r\n";
    let mut stream = connected(&address);
    stream.write_all(format!("{make}{{\"QueueName\":\"q\"}}").as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    served(&address);
    let before = broker.resident();
    let head =
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 4194304\r\n\r\n";
    let chunk = vec![b'['; 256 << 10];
    let (mut kept, mut most, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for number in 0..400 {
        let mut stream = connected(&address);
        match number % 4 {
            // Says nothing.
            0 => {}
            // Says the half of a head.
            1 => stream.write_all(b"POST / HTTP/1.1\r\nHost: local").unwrap(),
            // Sends nearly all of a large body, and then nothing; it may be turned away before.
            _ => {
                stream.write_all(head.as_bytes()).unwrap();
                for _ in 0..15 {
                    if stream.write_all(&chunk).is_err() {
                        break;
                    }
                }
            }
        }
        kept.push(stream);
        if number % 40 == 39 {
            slowest = slowest.max(served(&address));
            most = most.max(broker.resident());
        }
    }
    let grown = most.saturating_sub(before) / MIB;
    println!("400 hostile callers: {grown} MiB more than {} MiB, the slowest good call {slowest:?}", before / MIB);
    assert!(grown < 100, "{grown} MiB more");
    assert!(slowest < Duration::from_secs(10), "a good call took {slowest:?}");
    drop(kept);
    assert_eq!(broker.terminate(), Some(0));
}
