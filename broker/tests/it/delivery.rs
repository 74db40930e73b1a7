//! The delivery contract over the wire: delays (S10, S11, O7). What the engine decides is told in its own stories; here
//! it is seen that the words arrive.

use lockstep_proto::v1;
use tonic::Code;

use crate::support::{Served, entry, memory, reason};

const Q: &str = "q.fifo";

async fn describe(served: &mut Served) -> v1::QueueDescription {
    let request = v1::DescribeQueueRequest { queue: Q.into() };
    served.queues.describe_queue(request).await.expect("there").into_inner().queue.expect("a queue")
}

#[tokio::test]
async fn s10_a_delay_of_its_own_is_refused_on_a_fifo_queue_and_the_queue_has_one() {
    let mut served = Served::start(&memory()).await;
    let attributes = v1::QueueAttributes { delay_seconds: Some(900), ..v1::QueueAttributes::default() };
    served.create(Q, attributes).await;
    let mut send = async |delay_seconds| {
        let entry = Some(v1::SendEntry { delay_seconds, ..entry("g", "one", "1") });
        served.messages.send(v1::SendRequest { queue: Q.into(), queue_generation: None, entry, session: None }).await
    };
    let (reason_, facts) = reason(&send(Some(2)).await.expect_err("refused"));
    assert_eq!((reason_.as_str(), facts["rule"].as_str()), ("DELAY_NOT_ALLOWED", "S10"));
    let refused = send(Some(901)).await.expect_err("out of range");
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::InvalidArgument, "OUT_OF_RANGE"));
    assert!(send(Some(0)).await.is_ok());
    let seen = describe(&mut served).await;
    assert_eq!((seen.messages_available, seen.messages_delayed), (0, 1));
    assert_eq!(seen.attributes.expect("attributes").delay_seconds, Some(900));
    let peeked = served.messages.peek(v1::PeekRequest { queue: Q.into(), ..v1::PeekRequest::default() }).await;
    let peeked = peeked.expect("seen").into_inner().messages.remove(0);
    assert_eq!(peeked.state(), v1::MessageState::Delayed);
    assert_eq!(peeked.visible_unix_ms, Some(peeked.sent_unix_ms + 900_000));
    served.stop().await.expect("a clean end");
}
