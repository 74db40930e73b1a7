//! Requests that nobody means well with: each is refused in AWS's shape or its connection ends, and who behaves is served
//! all the while.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{HEAD, Http, Sqs};

/// Long enough for anything but a hang.
const SOON: Duration = Duration::from_secs(20);

/// What comes back until the broker ends the connection.
async fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // An end with a reset is an end.
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    answer
}

/// A text between others, repeated.
fn many(before: &str, one: impl Fn(usize) -> String, count: usize, after: &str) -> Vec<u8> {
    let all: Vec<String> = (0..count).map(one).collect();
    format!("{before}{}{after}", all.join(",")).into_bytes()
}

#[tokio::test]
async fn what_means_nothing_is_refused_in_awss_shape() {
    let mut sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let attribute = |n: usize| format!(r#""a{n}":{{"DataType":"String","StringValue":"v"}}"#);
    let name = |n: usize| format!(r#""n{n}""#);
    let send = r#"{"QueueUrl":"q","MessageBody":"b","MessageAttributes":{"#;
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("SendMessage", b"{".to_vec()),
        ("SendMessage", b"[]".to_vec()),
        ("SendMessage", b"null".to_vec()),
        ("SendMessage", b"\"text\"".to_vec()),
        ("SendMessage", b"{} trailing".to_vec()),
        ("SendMessage", b"Action=SendMessage&MessageBody=x".to_vec()),
        ("SendMessage", vec![0; 1_000]),
        ("SendMessage", b"{\"QueueUrl\":\"q\",\"MessageBody\":\"\xff\xfe\"}".to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q","MessageBody":"\ud800"}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q","MessageBody":"\u0000"}"#.to_vec()),
        ("SendMessage", b"{\"QueueUrl\":\"q\",\"MessageBody\":\"\x01\"}".to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q","MessageBody":7}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":["q"],"MessageBody":"b"}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q","MessageBody":"b","DelaySeconds":1e400}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q","MessageBody":"b","DelaySeconds":"soon"}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":"../../etc/passwd","MessageBody":"b"}"#.to_vec()),
        ("SendMessage", br#"{"QueueUrl":"q\u0000","MessageBody":"b"}"#.to_vec()),
        ("SendMessage", many(send, attribute, 10_000, "}}")),
        (
            "SendMessage",
            br#"{"QueueUrl":"q","MessageBody":"b","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"%%"}}}"#
                .to_vec(),
        ),
        ("SendMessage", [b"[".repeat(100_000), b"]".repeat(100_000)].concat()),
        (
            "SendMessage",
            [br#"{"QueueUrl":"#.to_vec(), b"{\"a\":".repeat(50_000), b"1".to_vec(), b"}".repeat(50_001)].concat(),
        ),
        (
            "SendMessageBatch",
            many(r#"{"QueueUrl":"q","Entries":["#, |n| format!(r#"{{"Id":"{n}","MessageBody":"b"}}"#), 10_000, "]}"),
        ),
        ("ReceiveMessage", br#"{"QueueUrl":"q","MaxNumberOfMessages":99999999999999999999}"#.to_vec()),
        ("ReceiveMessage", br#"{"QueueUrl":"q","WaitTimeSeconds":-1}"#.to_vec()),
        ("DeleteMessage", format!(r#"{{"QueueUrl":"q","ReceiptHandle":"{}"}}"#, "A".repeat(100_000)).into_bytes()),
        ("GetQueueAttributes", many(r#"{"QueueUrl":"q","AttributeNames":["#, name, 10_000, "]}")),
        ("CreateQueue", br#"{"QueueName":"q2","Attributes":{"RedrivePolicy":"[[[[[[[["}}"#.to_vec()),
        (
            "CreateQueue",
            br#"{"QueueName":"q2","Attributes":{"VisibilityTimeout":"1","VisibilityTimeout":"x"}}"#.to_vec(),
        ),
        ("CreateQueue", format!(r#"{{"QueueName":"{}"}}"#, "q".repeat(1_000_000)).into_bytes()),
        ("ListQueues", br#"{"NextToken":"\u0000\u0001"}"#.to_vec()),
        ("TagQueue", many(r#"{"QueueUrl":"q","Tags":{"#, |n| format!(r#""t{n}":"v""#), 10_000, "}}")),
        ("NoSuchThing", b"{}".to_vec()),
        ("SendMessage\u{7f}", b"{}".to_vec()),
    ];
    for (operation, body) in bodies {
        let shown: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        let mut http = Http::to(&sqs.served).await;
        let headers = format!("{HEAD}X-Amz-Target: AmazonSQS.{operation}\r\n");
        if operation.contains('\u{7f}') {
            let head = format!("POST / HTTP/1.1\r\n{headers}Content-Length: 2\r\n\r\n{{}}");
            let mut stream = TcpStream::connect(sqs.served.address).await.expect("connected");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let answer = String::from_utf8(rest_of(stream).await).expect("text");
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
            continue;
        }
        let answer = timeout(SOON, http.ask("POST /", &headers, &body)).await.expect("an answer");
        let (status, shape, text) = answer.refused();
        assert!((400..500).contains(&status), "{operation} {shown}: {status} {shape} {text}");
        assert!(text.len() < 3_000_000, "{operation} {shown}: an answer of {} bytes", text.len());
        assert!(answer.headers.contains_key("x-amzn-requestid"), "{operation} {shown}");
    }
    assert_eq!(
        sqs.ok("GetQueueAttributes", json!({ "QueueUrl": "q", "AttributeNames": ["ApproximateNumberOfMessages"] }))
            .await["Attributes"]["ApproximateNumberOfMessages"],
        "0",
        "nothing was stored"
    );
    sqs.stop().await;
}

#[tokio::test]
async fn what_is_too_large_or_packed_is_refused() {
    let mut sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let target = "X-Amz-Target: AmazonSQS.SendMessage\r\n";
    let mut http = Http::to(&sqs.served).await;
    for encoding in ["gzip", "br", "deflate, gzip"] {
        let headers = format!("{HEAD}{target}Content-Encoding: {encoding}\r\n");
        let packed = http.ask("POST /", &headers, b"\x1f\x8b\x08").await.refused();
        assert_eq!((packed.0, packed.1.as_str()), (415, "UnsupportedMediaTypeException"), "{encoding}");
    }
    let large = format!("POST / HTTP/1.1\r\n{HEAD}{target}Content-Length: {}\r\n\r\n", 5 << 20);
    let chunked = format!("POST / HTTP/1.1\r\n{HEAD}{target}Transfer-Encoding: chunked\r\n\r\n");
    let long_head =
        format!("POST / HTTP/1.1\r\n{HEAD}{target}X-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1 << 20));
    let many_heads = format!("POST / HTTP/1.1\r\n{HEAD}{target}{}\r\n", "X-Many: x\r\n".repeat(10_000));
    for (head, endless, codes) in [
        (large, false, &["413"][..]),
        (chunked, true, &["413"]),
        (long_head, false, &["431", "400"]),
        (many_heads, false, &["431", "400"]),
    ] {
        let mut stream = TcpStream::connect(sqs.served.address).await.expect("connected");
        // It may be refused before all of it was sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
        for _ in 0..if endless { 80 } else { 0 } {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        let mut begun = vec![0; 12];
        match timeout(SOON, stream.read_exact(&mut begun)).await.expect("soon") {
            Ok(_) => {
                let begun = String::from_utf8(begun).expect("text");
                assert!(codes.iter().any(|code| begun.ends_with(code)), "{begun}: {}", &head[..40]);
            }
            // The end may overtake the answer where more was sent than was read.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    sqs.ok("SendMessage", json!({ "QueueUrl": "q", "MessageBody": "x" })).await;
    sqs.stop().await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_their_connection_alone() {
    let mut sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let mut flood = TcpStream::connect(sqs.served.address).await.expect("connected");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    // POST, http, `/` and the authority `h`, out of the static table of HPACK.
    let head = [0x83, 0x86, 0x84, 0x41, 0x01, b'h'];
    for number in 0..20_000_u32 {
        bytes.extend(frame(1, 4, 2 * number + 1, &head));
        bytes.extend(frame(3, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    // The broker may hang up before all of it was sent.
    let flooded = async {
        let _ = flood.write_all(&bytes).await;
        rest_of(flood).await
    };
    let behaving = async {
        for number in 0..50 {
            sqs.ok("SendMessage", json!({ "QueueUrl": "q", "MessageBody": number.to_string() })).await;
        }
    };
    timeout(SOON, async { tokio::join!(flooded, behaving) }).await.expect("both end");
    sqs.stop().await;
}

#[tokio::test]
async fn bytes_of_no_protocol_end_their_connection() {
    let mut sqs = Sqs::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(sqs.served.address).await.expect("connected");
        stream.write_all(&[bytes, &[b'\n'; 64]].concat()).await.expect("sent");
        let answer = rest_of(stream).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    sqs.ok("ListQueues", json!({})).await;
    sqs.stop().await;
}
