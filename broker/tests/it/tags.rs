//! Tags of queues from outside (L12).

use lockstep_proto::v1;
use tonic::Code;

use crate::support::{Served, memory, reason, sled};

const Q: &str = "q.fifo";

fn tag(key: &str, value: &str) -> v1::Tag {
    v1::Tag { key: key.into(), value: value.into() }
}

async fn seen(broker: &mut Served) -> Vec<(String, String)> {
    let request = v1::ListQueueTagsRequest { queue: Q.into() };
    let tags = broker.queues.list_queue_tags(request).await.expect("listed").into_inner().tags;
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn l12_tags_stay_over_a_restart_and_are_listed_by_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    let tags = vec![tag("team", "blue"), tag("größe", "")];
    let create = v1::CreateQueueRequest { queue: Q.into(), attributes: None, tags };
    broker.queues.create_queue(create).await.expect("created");
    let more = v1::TagQueueRequest { queue: Q.into(), tags: vec![tag("team", "red"), tag("cost", "7")] };
    broker.queues.tag_queue(more).await.expect("tagged");
    let untag = v1::UntagQueueRequest { queue: Q.into(), keys: vec!["cost".into(), "nobody".into()] };
    broker.queues.untag_queue(untag).await.expect("untagged");
    assert_eq!(seen(&mut broker).await, pairs(&[("größe", ""), ("team", "red")]));
    broker.stop().await.expect("a clean end");
    let mut broker = Served::start(&sled(&directory)).await;
    assert_eq!(seen(&mut broker).await, pairs(&[("größe", ""), ("team", "red")]));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn l12_tags_that_mean_nothing_are_refused_with_their_rule() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let many = |many: u32| (0..many).map(|n| tag(&n.to_string(), "")).collect::<Vec<_>>();
    let cases = [
        (vec![], Code::InvalidArgument, "OUT_OF_RANGE"),
        (many(51), Code::InvalidArgument, "OUT_OF_RANGE"),
        (vec![tag("", "x")], Code::InvalidArgument, "TAG_KEY_INVALID"),
        (vec![tag(&"k".repeat(129), "x")], Code::InvalidArgument, "TAG_KEY_INVALID"),
        (vec![tag("k", &"v".repeat(257))], Code::InvalidArgument, "TAG_VALUE_INVALID"),
        (vec![tag("k", "1"), tag("k", "2")], Code::InvalidArgument, "TAG_REPEATED"),
    ];
    for (tags, code, wanted) in cases {
        let request = v1::TagQueueRequest { queue: Q.into(), tags };
        let status = broker.queues.tag_queue(request).await.expect_err(wanted);
        let (reason, facts) = reason(&status);
        assert_eq!((status.code(), reason.as_str(), facts["rule"].as_str()), (code, wanted, "L12"), "{status}");
    }
    let full = v1::TagQueueRequest { queue: Q.into(), tags: many(50) };
    broker.queues.tag_queue(full).await.expect("tagged");
    let more = v1::TagQueueRequest { queue: Q.into(), tags: vec![tag("one more", "")] };
    let status = broker.queues.tag_queue(more).await.expect_err("51 tags");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::ResourceExhausted, "TOO_MANY_TAGS"));
    let keys = v1::UntagQueueRequest { queue: Q.into(), keys: vec![] };
    assert_eq!(reason(&broker.queues.untag_queue(keys).await.expect_err("no key")).0, "OUT_OF_RANGE");
    let nowhere = v1::ListQueueTagsRequest { queue: "none.fifo".into() };
    assert_eq!(broker.queues.list_queue_tags(nowhere).await.expect_err("no queue").code(), Code::NotFound);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn l13_readers_are_listed_page_by_page() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    for reader in ["c", "a", "b"] {
        let (queue, reader, instance) = (Q.into(), reader.into(), "one".into());
        let open = v1::OpenReaderRequest { queue, reader, instance, ..Default::default() };
        broker.readers.open_reader(open).await.expect("opened");
    }
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let request = v1::ListReadersRequest { queue: Q.into(), max_results: 2, after };
        let page = broker.readers.list_readers(request).await.expect("listed").into_inner();
        pages.push(page.readers.iter().map(|reader| reader.reader.clone()).collect::<String>());
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["ab", "c"]);
    let all = v1::ListReadersRequest { queue: Q.into(), ..Default::default() };
    let all = broker.readers.list_readers(all).await.expect("listed").into_inner();
    assert_eq!((all.readers.len(), all.next.as_str()), (3, ""));
    let much = v1::ListReadersRequest { queue: Q.into(), max_results: 1_001, after: String::new() };
    let status = broker.readers.list_readers(much).await.expect_err("too many");
    assert_eq!(reason(&status).0, "OUT_OF_RANGE");
    broker.stop().await.expect("a clean end");
}
