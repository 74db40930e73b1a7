//! The plain calls: what a failure means, what is repeated and what never is.

use std::time::Duration;

use lockstep_client::{Client, Error, GroupDelivery, QueueAttributes, RetryPolicy, v1};
use tokio::net::TcpListener;
use tonic::{Code, Status};

use crate::fake::{Broker, Call, quick};

#[tokio::test]
async fn a_refusal_carries_code_reason_message_and_rule() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let codes = [
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::NotFound,
        Code::AlreadyExists,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::PermissionDenied,
    ];
    for expected in codes {
        let asking = tokio::spawn({
            let client = client.clone();
            async move { client.describe_queue("q.fifo").await }
        });
        let Call::DescribeQueueRequest(_, reply) = broker.next().await else { panic!("not a describe") };
        reply.refuse(expected, "SOME_REASON");
        let error = asking.await.unwrap().unwrap_err();
        let Error::Refused { code, reason, message, rule } = &error else { panic!("{error:?}") };
        assert_eq!((*code, reason.as_str(), rule.as_str()), (Some(expected), "SOME_REASON", "T1"));
        assert_eq!(message, "SOME_REASON it is");
    }
    broker.assert_idle();
}

#[tokio::test]
async fn a_read_is_asked_again_through_losses_and_cuts() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let asking = tokio::spawn(async move { client.list_queues("or").await });
    for failure in 0..4 {
        let Call::ListQueuesRequest(request, reply) = broker.next().await else { panic!("not a list") };
        assert_eq!((request.prefix.as_str(), request.after.as_str()), ("or", ""));
        match failure {
            0 => reply.lose(),
            1 => reply.fail(Status::unknown("?")),
            2 => broker.cut(),
            _ => {
                let page = |name: &str| v1::QueueDescription { queue: name.to_owned(), ..Default::default() };
                reply.ok(v1::ListQueuesResponse { queues: vec![page("ora.fifo")], next: "ora.fifo".to_owned() });
                let Call::ListQueuesRequest(request, reply) = broker.next().await else { panic!("not a list") };
                assert_eq!(request.after, "ora.fifo");
                reply.ok(v1::ListQueuesResponse { queues: vec![page("orb.fifo")], next: String::new() });
            }
        }
    }
    let queues = asking.await.unwrap().unwrap();
    assert_eq!(queues.iter().map(|queue| queue.queue.as_str()).collect::<Vec<_>>(), ["ora.fifo", "orb.fifo"]);
}

#[tokio::test]
async fn every_page_of_readers_is_read() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let asking = tokio::spawn(async move { client.list_readers("q.fifo").await });
    let pages = [("", "a", "a"), ("a", "b", "")];
    for (after, reader, next) in pages {
        let Call::ListReadersRequest(request, reply) = broker.next().await else { panic!("not a list") };
        assert_eq!((request.max_results, request.after.as_str()), (0, after));
        let readers = vec![v1::ReaderDescription { reader: reader.to_owned(), ..Default::default() }];
        reply.ok(v1::ListReadersResponse { readers, next: next.to_owned() });
    }
    let readers = asking.await.unwrap().unwrap();
    assert_eq!(readers.iter().map(|reader| reader.reader.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn what_could_act_twice_is_not_repeated() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    for verb in 0..5 {
        let asking = tokio::spawn({
            let client = client.clone();
            async move {
                match verb {
                    0 => client.purge_queue("q.fifo", Some(1)).await.map(drop),
                    1 => client.delete_queue("q.fifo", Some(1)).await,
                    2 => client.drop_reader("q.fifo", "r", None).await,
                    3 => client.abandon(v1::AbandonRequest::default()).await.map(drop),
                    _ => client.receive(v1::ReceiveRequest::default()).await.map(drop),
                }
            }
        });
        drop(broker.next().await);
        let error = asking.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        broker.assert_idle();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_the_api_is_no_success() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.describe_queue("q.fifo").await }
    });
    let Call::DescribeQueueRequest(_, reply) = broker.next().await else { panic!("not a describe") };
    reply.ok(v1::DescribeQueueResponse { queue: None });
    assert!(matches!(asking.await.unwrap(), Err(Error::Protocol(_))));

    let asking =
        tokio::spawn(async move { client.delete_batch("q.fifo", vec!["r1".to_owned(), "r2".to_owned()]).await });
    let Call::DeleteBatchRequest(_, reply) = broker.next().await else { panic!("not a delete") };
    reply.ok(v1::DeleteBatchResponse { results: vec![v1::DeleteResult::default()] });
    assert!(matches!(asking.await.unwrap(), Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::connect(address.as_str()).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { endpoint, .. } if *endpoint == address), "{error:?}");
    let short = RetryPolicy { time_limit: Duration::from_millis(30), ..quick() };
    let client = Client::builder(address).retry(short).connect_lazy().unwrap();
    // Also a call that is never repeated once it was sent: it never was.
    for error in [
        client.describe_queue("q.fifo").await.unwrap_err(),
        client.purge_queue("q.fifo", None).await.unwrap_err(),
        client.consumer("q.fifo").build().receive().await.unwrap_err(),
    ] {
        assert!(error.is_retryable() && matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
    assert!(matches!(Client::connect("not an address").await, Err(Error::Protocol(_))));
}

#[tokio::test]
async fn a_broker_that_hangs_is_asked_again_with_the_same_key() {
    let mut broker = Broker::start().await;
    // Its connection lives and its pings are answered; only the call is not.
    let short = RetryPolicy { try_limit: Duration::from_millis(50), ..quick() };
    let client = broker.client().await.with_retry(short);
    let request = v1::SendRequest {
        queue: "q.fifo".into(),
        queue_generation: None,
        entry: Some(v1::SendEntry { message_deduplication_id: "key".into(), ..v1::SendEntry::default() }),
        ..v1::SendRequest::default()
    };
    let sending = tokio::spawn({
        let (client, request) = (client.clone(), request.clone());
        async move { client.send(request).await }
    });
    let Call::SendRequest(first, _hanging) = broker.next().await else { panic!("not a send") };
    let Call::SendRequest(second, reply) = broker.next().await else { panic!("not a send") };
    assert_eq!((&first, &second), (&request, &request));
    // Without this answer it would be asked a third time.
    reply.ok(v1::SendResponse { accepted: Some(v1::Accepted { sequence_number: 7, ..v1::Accepted::default() }) });
    assert_eq!(sending.await.unwrap().unwrap().sequence_number, 7);
    // A receive has no key: the caller learns that its outcome is unknown.
    let asking = tokio::spawn(async move {
        let request = v1::ReceiveRequest { wait_seconds: Some(0), ..v1::ReceiveRequest::default() };
        client.receive(request).await
    });
    let Call::ReceiveRequest(_, _hanging) = next_receive(&mut broker).await else { panic!("not a receive") };
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Unavailable { message } if message.contains("no answer within")), "{error:?}");
}

/// The next call but for a send that was given up in the very moment of its answer.
async fn next_receive(broker: &mut Broker) -> Call {
    loop {
        let call = broker.next().await;
        if !matches!(call, Call::SendRequest(..)) {
            return call;
        }
    }
}

#[tokio::test]
async fn attributes_travel_in_seconds() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let attributes = QueueAttributes {
        group_delivery: Some(GroupDelivery::Strict),
        deduplication_window: Some(Duration::from_secs(14 * 86_400)),
        receive_wait: Some(Duration::from_millis(1_500)),
        ..QueueAttributes::default()
    };
    let asking = tokio::spawn(async move { client.create_queue("q.fifo", attributes).await });
    let Call::CreateQueueRequest(request, reply) = broker.next().await else { panic!("not a create") };
    let sent = request.attributes.unwrap();
    assert_eq!(sent.group_delivery(), GroupDelivery::Strict);
    assert_eq!((sent.deduplication_window_seconds, sent.receive_wait_seconds), (Some(1_209_600), Some(2)));
    assert_eq!(sent.visibility_timeout_seconds, None);
    reply.ok(v1::CreateQueueResponse { queue_generation: 3, created: true });
    let created = asking.await.unwrap().unwrap();
    assert!(created.created && created.queue_generation == 3);
}
