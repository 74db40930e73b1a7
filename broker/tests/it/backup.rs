//! A backup over the wire while the broker serves (H9): one at a time, none of what it names goes before it ends, and
//! everything after it does.

use std::time::Duration;

use lockstep_broker::{Broker, BrokerSettings, Receipts, StoreKind, tools};
use lockstep_engine::{command::Delete, words::SequenceNumber};
use lockstep_journal::{MemoryDisk, MemoryJournal};
use lockstep_proto::v1::{BackupRequest, BackupResponse, admin_client::AdminClient};
use tokio::time::Instant;
use tonic::{Streaming, transport::Channel};

use crate::support::{Served, create, memory, message, queue, reason, receive, sled};

const Q: &str = "q.fifo";
/// More than lies between a broker and a client that does not read.
const MESSAGES: usize = 60;

fn body(number: usize) -> String {
    format!("{number:06}").repeat(30_000)
}

async fn begin(admin: &mut AdminClient<Channel>) -> Streaming<BackupResponse> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match admin.backup(BackupRequest {}).await {
            Ok(chunks) => return chunks.into_inner(),
            Err(status) => assert_eq!(reason(&status).0, "BACKUP_RUNNING"),
        }
        assert!(Instant::now() < deadline, "the one before never ends");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn chunk(chunks: &mut Streaming<BackupResponse>) -> Option<BackupResponse> {
    let chunk = tokio::time::timeout(Duration::from_secs(20), chunks.message()).await;
    let chunk = chunk.expect("in time").expect("no error");
    assert!(chunk.as_ref().is_none_or(|chunk| chunk.chunk.len() <= 1 << 20));
    chunk
}

#[tokio::test]
async fn what_a_backup_names_stays_until_it_ends_and_goes_then() {
    let (folder, disk) = (tempfile::tempdir().expect("a directory"), MemoryDisk::new());
    let settings = BrokerSettings { checkpoint_floor: 500, cache_bytes: 0, ..memory() };
    let receipts = Receipts::open(folder.path()).expect("a key");
    let journal = MemoryJournal::open(&disk).expect("it is free");
    let broker = Broker::start_on(journal, receipts, Some(folder.path()), None, &settings).expect("it starts");
    let broker = Served::serve(broker).await;
    let handle = broker.handle.clone();
    create(&handle, Q).await;
    for number in 0..MESSAGES {
        let message = message("g", &number.to_string(), body(number));
        handle.send(queue(Q), vec![message]).await.expect("sent")[0].clone().expect("accepted");
    }
    let mut admin = AdminClient::new(broker.channel.clone()).max_decoding_message_size(8 << 20);
    let mut lost = begin(&mut admin).await;
    chunk(&mut lost).await.expect("the first one");
    let refused = admin.backup(BackupRequest {}).await.expect_err("one at a time");
    assert_eq!((reason(&refused).0.as_str(), refused.code()), ("BACKUP_RUNNING", tonic::Code::FailedPrecondition));
    // A caller that vanishes does not keep others from theirs.
    drop(lost);
    let mut chunks = begin(&mut admin).await;
    let mut saved = chunk(&mut chunks).await.expect("the first one").chunk.to_vec();

    // Serving goes on: all of it is finished, and checkpoints cover that.
    let full = disk.stored_bytes();
    let mut finished = 0;
    while finished < MESSAGES + 200 {
        if finished >= MESSAGES {
            let message = message("g", &finished.to_string(), "short");
            handle.send(queue(Q), vec![message]).await.expect("sent")[0].clone().expect("accepted");
        }
        let deliveries = handle.receive(receive(Q, 10), Some(0)).await.expect("received");
        let receipts: Vec<_> = deliveries.iter().map(|it| handle.receipt(&it.receipt_handle).expect("ours")).collect();
        finished += receipts.len();
        let deleted = handle.delete(Delete { queue: queue(Q), receipts }).await.expect("judged");
        assert!(!deleted.is_empty() && deleted.iter().all(Result::is_ok), "{deleted:?}");
    }
    assert!(disk.stored_bytes() >= full, "{} of {full} bytes", disk.stored_bytes());
    while let Some(next) = chunk(&mut chunks).await {
        saved.extend_from_slice(&next.chunk);
    }
    // Nothing else happens: what is owed goes by itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    while disk.stored_bytes() > full / 10 {
        assert!(Instant::now() < deadline, "{} of {full} bytes are still held", disk.stored_bytes());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.stop().await.expect("a clean end");

    let (file, restored) = (folder.path().join("live.backup"), tempfile::tempdir().expect("a directory"));
    std::fs::write(&file, &saved).expect("written");
    std::fs::remove_dir(restored.path()).expect("its name alone is wanted");
    let said = tools::restore(&file, restored.path(), StoreKind::Sled).expect("whole");
    assert_eq!(said.bodies, MESSAGES as u64);
    assert!(tools::check(restored.path()).expect("it opens").ok());
    let broker = Served::start(&sled(&restored)).await;
    let (mut there, mut after) = (Vec::new(), SequenceNumber(0));
    // An answer is at most 3 MiB.
    while there.len() < MESSAGES {
        let page = broker.handle.peek(queue(Q), None, after, 1_000, 0).await.expect("there");
        after = page.last().expect("more").peeked.sequence;
        there.extend(page.into_iter().map(|it| it.body));
    }
    assert!(there.iter().eq(&(0..MESSAGES).map(body).collect::<Vec<_>>()));
    a_broker_that_stops_ends_its_backup(broker).await;
}

async fn a_broker_that_stops_ends_its_backup(broker: Served) {
    let mut admin = AdminClient::new(broker.channel.clone()).max_decoding_message_size(8 << 20);
    let mut chunks = begin(&mut admin).await;
    chunk(&mut chunks).await.expect("the first one");
    broker.stop().await.expect("a clean end, and soon");
    let end = loop {
        match chunks.message().await {
            Ok(more) => assert!(more.is_some(), "it must not look whole"),
            Err(status) => break status,
        }
    };
    // A caller that does not read may lose its connection before it hears why.
    assert!(matches!(end.code(), tonic::Code::Unavailable | tonic::Code::Unknown), "{end}");
}
