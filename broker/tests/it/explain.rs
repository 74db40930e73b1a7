//! Explain over the wire (B4): reasons, words, ids, pages and bad questions.

use lockstep_proto::v1::{self, explain_request::Subject};
use tonic::Code;

use crate::support::{Served, memory, reason};

const Q: &str = "q.fifo";

async fn explain(broker: &mut Served, subject: Option<Subject>) -> v1::ExplainResponse {
    let request = v1::ExplainRequest { queue: Q.into(), subject, ..v1::ExplainRequest::default() };
    broker.queues.explain(request).await.expect("explained").into_inner()
}

#[tokio::test]
async fn a_lost_reader_is_named_with_what_to_do_about_it() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let sent = broker.send(Q, "g", "1", "x").await;
    broker.send(Q, "g", "2", "x").await;
    let open = v1::OpenReaderRequest {
        queue: Q.into(),
        reader: "pool".into(),
        instance: "controller-1".into(),
        ..v1::OpenReaderRequest::default()
    };
    let opened = broker.readers.open_reader(open).await.expect("opened").into_inner();
    let claim = v1::ClaimRequest {
        queue: Q.into(),
        queue_generation: opened.queue_generation,
        reader: "pool".into(),
        reader_generation: opened.reader_generation,
        number: 1,
        max_messages: 1,
        ..v1::ClaimRequest::default()
    };
    broker.readers.claim(claim).await.expect("claimed");
    let answer = explain(&mut broker, None).await;
    let whole = answer.explanation.expect("an explanation");
    assert_eq!((whole.reason(), whole.rule.as_str(), whole.messages), (v1::ExplainReason::Claimed, "B6", 2));
    let blocking = whole.blocking.expect("held");
    assert_eq!((blocking.reader.as_str(), blocking.claim, blocking.until_unix_ms), ("pool", 1, None));
    assert_eq!((blocking.instance.as_str(), blocking.worker.as_str()), ("controller-1", ""));
    assert!(whole.text.contains("`lockstep reader abandon q.fifo pool --claim 1`"), "{}", whole.text);
    let by_id = explain(&mut broker, Some(Subject::MessageId(sent.message_id.clone()))).await;
    let by_id = by_id.explanation.expect("an explanation");
    assert_eq!((by_id.reason(), by_id.sequence_number), (v1::ExplainReason::Claimed, sent.sequence_number));
    let behind = explain(&mut broker, Some(Subject::SequenceNumber(2))).await.explanation.expect("an explanation");
    assert_eq!(behind.reason(), v1::ExplainReason::BehindClaim);
    assert_eq!(behind.blocking.expect("held").message_id, sent.message_id);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn held_groups_come_in_pages_and_the_counts_are_of_all() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    for group in ["a", "b", "c", "d"] {
        broker.send(Q, group, group, "x").await;
    }
    broker.receive(Q, 3).await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let request = v1::ExplainRequest { queue: Q.into(), subject: None, max_groups: 2, after_group: after };
        let answer = broker.queues.explain(request).await.expect("explained").into_inner();
        let counts: Vec<_> = answer.counts.iter().map(|count| (count.reason(), count.groups)).collect();
        assert_eq!(counts, [(v1::ExplainReason::Available, 1), (v1::ExplainReason::InFlight, 3)]);
        assert_eq!(answer.explanation.expect("one").message_group_id, "a", "held for longest, or as long as others");
        seen.extend(answer.held_groups.into_iter().map(|group| group.message_group_id));
        if answer.next_group.is_empty() {
            break;
        }
        after = answer.next_group;
    }
    assert_eq!(seen, ["a", "b", "c"]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn bad_questions_name_the_rule() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let unknown_id = "00000000-0000-8000-8000-000000000000".to_owned();
    for (queue, subject, expected) in [
        ("none.fifo", None, "QUEUE_NOT_FOUND"),
        ("bad.name", None, "QUEUE_NAME_INVALID"),
        (Q, Some(Subject::MessageGroupId("a b".into())), "MESSAGE_GROUP_ID_INVALID"),
        (Q, Some(Subject::SequenceNumber(0)), "FIELD_MISSING"),
        (Q, Some(Subject::MessageId("17".into())), "MESSAGE_ID_INVALID"),
        (Q, Some(Subject::MessageId(unknown_id)), "MESSAGE_NOT_FOUND"),
        (Q, Some(Subject::ReceiptHandle("garbage".into())), "RECEIPT_HANDLE_INVALID"),
    ] {
        let request = v1::ExplainRequest { queue: queue.into(), subject, ..v1::ExplainRequest::default() };
        let status = broker.queues.explain(request).await.expect_err(expected);
        assert_eq!(reason(&status).0, expected);
        assert!(matches!(status.code(), Code::InvalidArgument | Code::NotFound), "{status}");
    }
    broker.stop().await.expect("a clean end");
}
