//! Batch claims: the numbers that travel, keys on every try, contents read whole, values read page by page.

use std::time::Duration;

use lockstep_client::{
    BatchReader, ClaimAnswer, ClaimContents, ClaimItem, ClaimOptions, Commit, Error, Message, Shard, ValuesCommit, v1,
};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::fake::{Broker, Call};

async fn started() -> (Broker, BatchReader) {
    let broker = Broker::start().await;
    let reader = BatchReader::attach(broker.client().await, "q.fifo", 5, "pool", 6);
    (broker, reader)
}

fn value(key: &str) -> v1::StoredValue {
    v1::StoredValue { message_group_id: None, key: key.to_owned(), value: "v".into() }
}

fn claimed(number: u64) -> v1::ClaimedMessage {
    v1::ClaimedMessage { sequence_number: number, ..v1::ClaimedMessage::default() }
}

fn pieces(pieces: Vec<Result<v1::ReadClaimResponse, Status>>) -> mpsc::Receiver<Result<v1::ReadClaimResponse, Status>> {
    let (sender, receiver) = mpsc::channel(pieces.len().max(1));
    pieces.into_iter().for_each(|piece| sender.try_send(piece).expect("there is room"));
    receiver
}

fn piece(values: Vec<v1::StoredValue>, messages: Vec<v1::ClaimedMessage>) -> Result<v1::ReadClaimResponse, Status> {
    Ok(v1::ReadClaimResponse { values, messages })
}

#[tokio::test]
async fn opening_keeps_its_instance_on_every_try_and_carries_the_generations() {
    let mut broker = Broker::start().await;
    let client = broker.client().await;
    let opening = tokio::spawn(async move {
        client.open_reader("q.fifo", "pool", "i1").claim_limit(Duration::from_secs(60)).queue_generation(5).await
    });
    for lost in [true, false] {
        let Call::OpenReaderRequest(request, reply) = broker.next().await else { panic!("not an opening") };
        assert_eq!((request.reader.as_str(), request.instance.as_str()), ("pool", "i1"));
        assert_eq!((request.claim_limit_seconds, request.queue_generation), (Some(60), Some(5)));
        if lost {
            reply.lose();
            continue;
        }
        let open_claims = vec![v1::OpenClaim { number: 4, epoch: 8, ..v1::OpenClaim::default() }];
        let numbers =
            v1::OpenReaderResponse { queue_generation: 5, reader_generation: 6, reader_id: 2, ..Default::default() };
        reply.ok(v1::OpenReaderResponse { open_claims, last_committed: 3, last_number: 4, commits: 3, ..numbers });
    }
    let reader = opening.await.unwrap().unwrap();
    assert_eq!((reader.queue_generation(), reader.reader_generation()), (5, 6));
    let opened = reader.opened().unwrap();
    assert_eq!((opened.last_number, opened.last_committed, opened.open_claims[0].number), (4, 3, 4));
}

#[tokio::test]
async fn a_claim_keeps_its_number_and_says_how_the_number_ended() {
    use v1::claim_response::Outcome;
    let (mut broker, reader) = started().await;
    let open = v1::OpenClaim { number: 7, epoch: 1, messages: 3, ..v1::OpenClaim::default() };
    let answers = [
        (Outcome::Open(open.clone()), ClaimAnswer::Open(open)),
        (Outcome::Empty(v1::ClaimEmpty {}), ClaimAnswer::Empty),
        (Outcome::Committed(v1::ClaimCommitted { commit_number: 2 }), ClaimAnswer::Committed { commit_number: 2 }),
        (Outcome::Burnt(v1::ClaimBurnt {}), ClaimAnswer::Burnt),
    ];
    for (outcome, expected) in answers {
        let claiming = tokio::spawn({
            let reader = reader.clone();
            let linger = Duration::from_millis(250);
            let options = ClaimOptions { max_messages: 10, wait: Duration::from_secs(2), linger, ..Default::default() };
            async move { reader.claim(7, options).await }
        });
        for lost in [true, false] {
            let Call::ClaimRequest(request, reply) = broker.next().await else { panic!("not a claim") };
            assert_eq!((request.number, request.queue_generation, request.reader_generation), (7, 5, 6));
            assert_eq!((request.max_messages, request.wait_seconds, request.linger_ms), (10, 2, 250));
            if lost { reply.lose() } else { reply.ok(v1::ClaimResponse { outcome: Some(outcome.clone()) }) }
        }
        assert_eq!(claiming.await.unwrap().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_claim_that_breaks_in_the_middle_is_read_again_from_its_start() {
    let (mut broker, reader) = started().await;
    let reading = tokio::spawn(async move { reader.read(7, 3).await });
    let start = || piece(vec![value("a")], vec![]);
    let attempts = [
        vec![start(), piece(vec![], vec![claimed(1)]), Err(Status::unavailable("broken"))],
        vec![start(), piece(vec![value("b")], vec![claimed(1)]), piece(vec![], vec![claimed(4), claimed(9)])],
    ];
    for attempt in attempts {
        let Call::ReadClaimRequest(request, reply) = broker.next().await else { panic!("not a read") };
        assert_eq!((request.number, request.epoch, request.shard, request.shards), (7, 3, 0, 1));
        reply.ok(pieces(attempt));
    }
    let expected =
        ClaimContents { values: vec![value("a"), value("b")], messages: vec![claimed(1), claimed(4), claimed(9)] };
    assert_eq!(reading.await.unwrap().unwrap(), expected);
    broker.assert_idle();
}

#[tokio::test]
async fn a_fenced_reading_is_refused_and_a_disordered_one_is_no_answer() {
    let (mut broker, reader) = started().await;
    let fenced = pieces(vec![piece(vec![], vec![claimed(1)]), Err(crate::fake::refusal(Code::Aborted, "FENCED"))]);
    let falling = pieces(vec![piece(vec![], vec![claimed(2), claimed(1)])]);
    let late_value = pieces(vec![piece(vec![], vec![claimed(2)]), piece(vec![value("a")], vec![])]);
    for (contents, is_refused) in [(fenced, true), (falling, false), (late_value, false)] {
        let reading = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read(7, 3).await }
        });
        let Call::ReadClaimRequest(_, reply) = broker.next().await else { panic!("not a read") };
        reply.ok(contents);
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.reason(), is_refused.then_some("FENCED"), "{error:?}");
        assert!(is_refused || matches!(error, Error::Protocol(_)));
        broker.assert_idle();
    }
}

#[tokio::test]
async fn a_stream_gives_values_then_messages_and_reports_a_break() {
    let (mut broker, reader) = started().await;
    let reading = tokio::spawn(async move {
        let mut stream = reader.stream(7, 3, Shard { index: 1, of: 4 }).await.unwrap();
        let items = (stream.next().await.unwrap(), stream.next().await.unwrap());
        (items, stream.next().await.unwrap_err())
    });
    let Call::ReadClaimRequest(request, reply) = broker.next().await else { panic!("not a read") };
    assert_eq!((request.shard, request.shards), (1, 4));
    reply.ok(pieces(vec![piece(vec![value("a")], vec![claimed(1)]), Err(Status::internal("broken"))]));
    let ((first, second), error) = reading.await.unwrap();
    assert_eq!(first, Some(ClaimItem::Value(value("a"))));
    assert_eq!(second, Some(ClaimItem::Message(claimed(1))));
    assert!(matches!(error, Error::Unavailable { .. }));
}

#[tokio::test]
async fn values_are_read_page_by_page_to_the_end() {
    let (mut broker, reader) = started().await;
    let reading = tokio::spawn({
        let reader = reader.clone();
        async move { reader.read_values("published/").await }
    });
    for (after, keys, next) in [("", ["published/1", "published/2"], "published/2"), ("published/2", ["p3", "p4"], "")]
    {
        let Call::ReadValuesRequest(request, reply) = broker.next().await else { panic!("not a read") };
        assert_eq!((request.key_prefix.as_str(), request.after.as_str()), ("published/", after));
        assert_eq!((request.message_group_id, request.max_results), (None, 1_000));
        reply.ok(v1::ReadValuesResponse { values: keys.map(value).into(), next: next.to_owned() });
    }
    let keys: Vec<_> = reading.await.unwrap().unwrap().into_iter().map(|value| value.key).collect();
    assert_eq!(keys, ["published/1", "published/2", "p3", "p4"]);

    let reading = tokio::spawn(async move { reader.read_group_values("g", "").await });
    for _ in 0..2 {
        let Call::ReadValuesRequest(request, reply) = broker.next().await else { panic!("not a read") };
        assert_eq!(request.message_group_id.as_deref(), Some("g"));
        reply.ok(v1::ReadValuesResponse { values: vec![], next: "k".to_owned() });
    }
    assert!(matches!(reading.await.unwrap(), Err(Error::Protocol(_))), "pages that do not advance end the reading");
}

#[tokio::test]
async fn a_commit_is_repeated_word_for_word() {
    let (mut broker, reader) = started().await;
    let commit = Commit::new("c-7", 7, 3)
        .record("digest")
        .set("g", "turns", "12")
        .remove("h", "turns")
        .output("out.fifo", Message::new("g", "done"))
        .output("out.fifo", Message::new("g", "more").deduplication_id("mine"));
    let committing = tokio::spawn({
        let reader = reader.clone();
        async move { reader.commit(&commit).await }
    });
    let Call::CommitRequest(first, reply) = broker.next().await else { panic!("not a commit") };
    reply.lose();
    let Call::CommitRequest(again, reply) = broker.next().await else { panic!("not a commit") };
    assert_eq!(first, again);
    let Some(v1::commit_request::Target::Claim(target)) = again.target else { panic!("not a claim's commit") };
    assert_eq!((target.number, target.epoch, target.reader_generation), (7, 3, 6));
    assert_eq!(target.record, "digest");
    assert_eq!(again.values[1].value, None, "an absent value removes its key");
    let ids: Vec<_> =
        again.outputs.iter().map(|output| output.entry.as_ref().unwrap().message_deduplication_id.as_str()).collect();
    assert_eq!(ids, ["", "mine"], "the broker makes the id of an output that names none");
    let outputs = vec![v1::Accepted::default(), v1::Accepted::default()];
    reply.ok(v1::CommitResponse { commit_number: 4, outputs, already_committed: true });
    let committed = committing.await.unwrap().unwrap();
    assert!(committed.already_committed && committed.commit_number == 4 && committed.outputs.len() == 2);

    let values = ValuesCommit::new("v-1").set("manifest", "3").remove("published/1");
    let committing = tokio::spawn(async move { reader.commit_values(&values).await });
    let Call::CommitRequest(request, reply) = broker.next().await else { panic!("not a commit") };
    assert!(
        matches!(request.target, Some(v1::commit_request::Target::Reader(target)) if target.reader_generation == 6)
    );
    assert!(request.values.iter().all(|change| change.message_group_id.is_none()));
    reply.refuse(Code::Aborted, "READER_FENCED");
    assert_eq!(committing.await.unwrap().unwrap_err().reason(), Some("READER_FENCED"));
}

#[tokio::test]
async fn taking_and_abandoning_name_what_they_mean() {
    let (mut broker, reader) = started().await;
    let working = tokio::spawn(async move {
        let taken = reader.take(7, "w1", true).await.unwrap();
        let zero = reader.abandon(0).await.unwrap_err();
        let burnt = reader.abandon(7).await.unwrap();
        (taken, zero, burnt, reader.abandon_all().await.unwrap_err())
    });
    for lost in [true, false] {
        let Call::TakeClaimRequest(request, reply) = broker.next().await else { panic!("not a taking") };
        assert_eq!((request.number, request.worker.as_str(), request.previous_failed), (7, "w1", true));
        let claim = Some(v1::OpenClaim { number: 7, epoch: 4, ..v1::OpenClaim::default() });
        if lost { reply.lose() } else { reply.ok(v1::TakeClaimResponse { claim }) }
    }
    for lost in [true, false] {
        let Call::AbandonRequest(request, reply) = broker.next().await else { panic!("not an abandoning") };
        assert_eq!((request.number, request.queue_generation, request.reader_generation), (7, Some(5), Some(6)));
        if lost { reply.lose() } else { reply.ok(v1::AbandonResponse { burnt: vec![7] }) }
    }
    let Call::AbandonRequest(request, reply) = broker.next().await else { panic!("not an abandoning") };
    assert_eq!(request.number, 0);
    reply.lose();
    let (taken, zero, burnt, all) = working.await.unwrap();
    assert_eq!((taken.epoch, burnt), (4, vec![7]));
    assert!(matches!(zero, Error::Protocol(_)) && matches!(all, Error::Unavailable { .. }));
    broker.assert_idle();
}
