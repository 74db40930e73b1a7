//! Checkpoints and the release of frames through a whole broker (H6): the past comes back from the checkpoint and the
//! frames after it, what is gone gives its bytes back, and a checkpoint that fails ends the process like any doubt.

use std::{collections::BTreeSet, time::Duration};

use lockstep_broker::{Broker, BrokerSettings, Failure, Handle, Receipts};
use lockstep_engine::{
    Rejected,
    command::{Abandon, Claim, Delete, OpenReader, ReaderRef},
    reply::Claimed,
    words::{ClaimNumber, Epoch, SequenceNumber},
};
use lockstep_journal::{Fault, FaultyJournal, FrameNumber, Journal, MemoryDisk, MemoryJournal};

use crate::support::{create, label, memory, message, queue, receive, send};

const Q: &str = "q.fifo";

/// Settings with which a checkpoint is written every few frames, and every body is read from the journal.
fn eager() -> BrokerSettings {
    BrokerSettings { checkpoint_floor: 500, cache_bytes: 0, ..memory() }
}

fn start_on<J: Journal>(journal: J) -> Broker {
    Broker::start_on(journal, Receipts::ephemeral().expect("a key"), None, None, &eager()).expect("it starts")
}

fn start(disk: &MemoryDisk) -> Broker {
    start_on(MemoryJournal::open(disk).expect("it is free"))
}

/// What the journal on a disk says of itself: the covered frame, the last one, and the covered ones that are held.
fn look(disk: &MemoryDisk) -> (u64, u64, BTreeSet<u64>) {
    let journal = MemoryJournal::open(disk).expect("it is free");
    let kept = journal.kept().map(|kept| kept.expect("whole").number.0).collect();
    let number = |number: Option<FrameNumber>| number.map_or(0, |number| number.0);
    (number(journal.checkpointed()), number(journal.last()), kept)
}

async fn finish(handle: &Handle, messages: u32) {
    let deliveries = handle.receive(receive(Q, messages), Some(0)).await.expect("received");
    assert!(!deliveries.is_empty());
    let receipts = deliveries.iter().map(|it| handle.receipt(&it.receipt_handle).expect("ours")).collect();
    let outcomes = handle.delete(Delete { queue: queue(Q), receipts }).await.expect("judged");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

async fn waiting(handle: &Handle) -> Vec<(SequenceNumber, String)> {
    let there = handle.peek(queue(Q), None, SequenceNumber(0), 100_000, 0).await.expect("there");
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).expect("text");
    there.iter().map(|it| (it.peeked.sequence, text(&it.body))).collect()
}

#[tokio::test]
async fn a_start_gets_the_state_from_the_checkpoint_and_the_frames_after_it() {
    let disk = MemoryDisk::new();
    let mut accepted = Vec::new();
    for life in 0..4 {
        let broker = start(&disk);
        let handle = broker.handle();
        if life == 0 {
            create(handle, Q).await;
        }
        for n in 0..60 {
            let id = format!("{life}-{n}");
            accepted.push((send(handle, Q, &format!("g{}", n % 7), &id).await.sequence, id));
        }
        assert_eq!(waiting(handle).await, accepted);
        broker.stop().await.expect("a clean end");
    }
    let (covered, last, _) = look(&disk);
    assert!(covered > 0, "no checkpoint among {last} frames");
    let broker = start(&disk);
    for (sequence, id) in &accepted {
        let again = send(broker.handle(), Q, "g0", id).await;
        assert!(again.duplicate && again.sequence == *sequence, "the keys came back, too");
    }
    assert_eq!(waiting(broker.handle()).await, accepted);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_is_finished_gives_its_frames_back_and_what_waits_keeps_its_own() {
    let disk = MemoryDisk::new();
    let broker = start(&disk);
    let handle = broker.handle().clone();
    create(&handle, Q).await;
    // One message that nobody finishes, then many that come and go.
    let stuck = send(&handle, Q, "stuck", "stuck").await.sequence;
    handle.receive(receive(Q, 1), Some(0)).await.expect("taken and kept");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut rounds = 0;
    while rounds < 200 || disk.stored_bytes() > 60_000 {
        assert!(tokio::time::Instant::now() < deadline, "{} bytes after {rounds} rounds", disk.stored_bytes());
        send(&handle, Q, "g", &"x".repeat(100).replacen("xxxxxx", &format!("{rounds:06}"), 1)).await;
        finish(&handle, 1).await;
        rounds += 1;
    }
    broker.stop().await.expect("a clean end");
    let (covered, last, kept) = look(&disk);
    assert!(covered > 0 && last > 400 && kept.len() < 200, "{covered} of {last}, {} kept", kept.len());
    let broker = start(&disk);
    assert_eq!(waiting(broker.handle()).await, [(stuck, "stuck".to_owned())]);
    broker.stop().await.expect("a clean end");
}

/// Whatever call of the journal fails, frame or slice: who was accepted is there after a restart.
#[tokio::test]
async fn a_slice_that_fails_ends_the_broker_as_a_frame_does() {
    let mut slices = 0;
    for nth in 10..60 {
        for fault in [Fault::Lost, Fault::Stored] {
            let disk = MemoryDisk::new();
            let journal = MemoryJournal::open(&disk).expect("a fresh disk");
            let broker = start_on(FaultyJournal::new(journal, nth, fault));
            let handle = broker.handle().clone();
            create(&handle, Q).await;
            let mut accepted = Vec::new();
            let reason = loop {
                let id = accepted.len().to_string();
                match handle.send(queue(Q), vec![message("g", &id, id.clone())]).await {
                    Ok(outcomes) => accepted.push((outcomes[0].clone().expect("accepted").sequence, id)),
                    Err(Failure::Unavailable(reason)) => break reason,
                    Err(failure) => panic!("{failure}"),
                }
            };
            slices += u32::from(reason.contains("the checkpoint of frame"));
            broker.stop().await.expect_err("it failed");
            let broker = start(&disk);
            let there = waiting(broker.handle()).await;
            assert!(there.starts_with(&accepted), "{nth} {fault:?}: {accepted:?}, {there:?}");
            assert!(there.len() <= accepted.len() + 1);
            broker.stop().await.expect("a clean end");
        }
    }
    assert!(slices > 0, "no slice was ever hit");
}

#[tokio::test]
async fn a_frame_that_is_gone_stops_only_the_groups_of_its_messages() {
    let disk = MemoryDisk::new();
    let broker = start(&disk);
    create(broker.handle(), Q).await;
    for n in 0..80 {
        send(broker.handle(), Q, if n == 0 { "bad" } else { "good" }, &n.to_string()).await;
    }
    broker.stop().await.expect("a clean end");
    let (_, _, kept) = look(&disk);
    // Frame 1 made the queue, frame 2 holds the only message of its group.
    assert!(kept.contains(&2), "{kept:?}");
    disk.lose(FrameNumber(2));
    let broker = start(&disk);
    let deliveries = broker.handle().receive(receive(Q, 10), Some(0)).await.expect("the whole group");
    assert!(!deliveries.is_empty() && deliveries.iter().all(|it| it.delivered.group.as_str() == "good"));
    broker.stop().await.expect("a clean end");
}

/// Ends of other messages, until `done` says that it is enough.
async fn traffic(handle: &Handle, mut done: impl AsyncFnMut(u32) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut rounds = 0;
    while !done(rounds).await {
        assert!(tokio::time::Instant::now() < deadline, "not within {rounds} rounds");
        send(handle, Q, "g", &format!("{rounds:06}{}", "x".repeat(100))).await;
        finish(handle, 1).await;
        rounds += 1;
    }
}

fn reader(generation: Option<Epoch>) -> ReaderRef {
    ReaderRef { queue: queue(Q), name: label("pool"), generation }
}

#[tokio::test]
async fn what_stays_in_old_frames_moves_and_who_asked_before_finds_it() {
    let disk = MemoryDisk::new();
    let broker = start(&disk);
    let handle = broker.handle().clone();
    create(&handle, Q).await;
    send(&handle, Q, "stuck", "stuck").await;
    let opened = OpenReader { queue: queue(Q), reader: label("pool"), instance: label("i"), claim_limit: None };
    let opened = handle.open_reader(opened).await.expect("opened");
    let reader = reader(Some(opened.generation));
    let claim =
        Claim { reader: reader.clone(), number: ClaimNumber(1), max_messages: 1, max_bytes: 1_000, at_least: 1 };
    let Claimed::Open(claim) = handle.claim(claim, 0, 0).await.expect("claimed") else { panic!("nothing there") };
    let mut pages = handle.read_claim(reader, claim.number, claim.epoch, 0, 1).await.expect("read");
    let place =
        async || handle.peek(queue(Q), None, SequenceNumber(0), 1, 0).await.expect("there")[0].peeked.body.position;
    let first = place().await;
    // From now on `pages` knows a place that will be gone.
    traffic(&handle, async |_| place().await != first && disk.lacks(FrameNumber(first.frame))).await;
    let (_, messages) = pages.next().await.expect("read").expect("one page");
    assert_eq!(messages[0].body, "stuck");
    broker.stop().await.expect("a clean end");
    let broker = start(&disk);
    assert_eq!(waiting(broker.handle()).await, [(SequenceNumber(1), "stuck".to_owned())]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_is_gone_since_it_was_named_is_left_out() {
    let disk = MemoryDisk::new();
    let broker = start(&disk);
    let handle = broker.handle().clone();
    create(&handle, Q).await;
    send(&handle, Q, "short", "short").await;
    let opened = OpenReader { queue: queue(Q), reader: label("pool"), instance: label("i"), claim_limit: None };
    let opened = handle.open_reader(opened).await.expect("opened");
    let reader = reader(Some(opened.generation));
    let claim =
        Claim { reader: reader.clone(), number: ClaimNumber(1), max_messages: 1, max_bytes: 1_000, at_least: 1 };
    let Claimed::Open(claim) = handle.claim(claim, 0, 0).await.expect("claimed") else { panic!("nothing there") };
    let mut pages = handle.read_claim(reader.clone(), claim.number, claim.epoch, 0, 1).await.expect("read");
    handle.abandon(Abandon { reader, number: None }).await.expect("given back");
    finish(&handle, 1).await;
    // Frame 2 held the message.
    traffic(&handle, async |_| disk.lacks(FrameNumber(2))).await;
    let failed = pages.next().await.expect_err("the claim ended");
    assert!(matches!(failed, Failure::Rejected(Rejected::ClaimNotOpen)), "{failed}");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_full_journal_that_is_drained_takes_messages_again_without_any_other_traffic() {
    let journal = MemoryJournal::new();
    let broker = Broker::start_on(journal, Receipts::ephemeral().expect("a key"), None, Some(60_000), &eager());
    let broker = broker.expect("it starts");
    let handle = broker.handle();
    create(handle, Q).await;
    let attempt = async |n: u32| {
        let message = message("g", &n.to_string(), "x".repeat(5_000));
        handle.send(queue(Q), vec![message]).await.expect("judged").remove(0)
    };
    let mut sent = 0;
    let refused = loop {
        match attempt(sent).await {
            Ok(_) => sent += 1,
            Err(rejected) => break rejected,
        }
    };
    assert_eq!(refused, Rejected::StorageFull);
    for _ in 0..sent {
        finish(handle, 1).await;
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while attempt(sent).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it stays full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.stop().await.expect("a clean end");
}
