//! Pool and workers together, against a broker in memory: plain runs, seeded crashes at every named point with lost
//! answers, fencing, and the ends that must be loud.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets the unexpected may panic")]
#![allow(clippy::cast_possible_truncation, reason = "made data is small")]

mod compact;
mod fake;
mod poison;
mod silent;
mod streaming;
mod world;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::FakeBroker;
use lockstep_emr_sim::crash::{CrashPoint, CrashPoints};
use lockstep_emr_sim::job::JobKind;
use lockstep_emr_sim::manifest::{Output, RefusedBecause};
use lockstep_emr_sim::pool::{Launched, Pool, PoolError, PoolHandle, WorkerLauncher};
use lockstep_emr_sim::port::{Port, PortError};
use lockstep_emr_sim::worker::WorkerSettings;
use world::{conversations, judge, open, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_published_once_and_in_order() {
    for job in JobKind::ALL {
        for one_group in [false, true] {
            let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
            let messages = conversations(1, 200, one_group);
            let (pool, handle) = open(&broker, settings(out.path(), job)).await.unwrap();
            let running = tokio::spawn(pool.run());
            for (group, body) in &messages {
                broker.send(group, body);
            }
            handle.no_more_messages();
            let summary = running.await.unwrap().unwrap();
            assert_eq!((summary.messages, summary.worker_deaths), (200, 0));
            let progress = handle.progress().borrow().clone();
            assert_eq!((progress.messages_committed, progress.claims_open), (200, 0));
            assert_eq!((progress.commits, progress.manifest_lines), (summary.commits, summary.commits));
            judge(out.path(), &broker, job, &messages, one_group);
        }
    }
}

/// Dies with a share of chance at every point, at most `budget` times.
fn seeded_crashes(seed: u64, share: f64, budget: u32) -> (CrashPoints, Arc<Mutex<Vec<CrashPoint>>>) {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let died = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&died);
    let left = AtomicU32::new(budget);
    let hook = move |point, _| {
        let dies = random.lock().unwrap().f64() < share
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if dies {
            seen.lock().unwrap().push(point);
        }
        dies
    };
    (CrashPoints::new(hook), died)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeded_crashes_and_lost_answers_change_nothing_in_the_output() {
    let mut all = std::collections::BTreeMap::new();
    for seed in 0..40 {
        let (job, one_group) = (JobKind::ALL[seed as usize % 3], seed % 4 >= 2);
        let broker = FakeBroker::new().with_losses(seed, 0.05);
        let out = tempfile::tempdir().unwrap();
        let messages = conversations(seed, 120, one_group);
        let (crash, died) = seeded_crashes(seed, 0.15, 25);
        for (group, body) in &messages {
            broker.send(group, body);
        }
        let mut runs = 0;
        loop {
            runs += 1;
            assert!(runs < 100, "seed {seed} does not come to an end");
            let mut settings = settings(out.path(), job);
            settings.crash = crash.clone();
            let ended = match open(&broker, settings).await {
                Ok((pool, handle)) => {
                    handle.no_more_messages();
                    pool.run().await
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(summary) => {
                    assert_eq!(summary.messages, 120, "totals span continued runs");
                    break;
                }
                Err(PoolError::Killed(_)) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        judge(out.path(), &broker, job, &messages, one_group);
        for point in died.lock().unwrap().iter() {
            *all.entry(*point).or_insert(0) += 1;
        }
    }
    assert_eq!(all.len(), 7, "every point was died at: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_claim_is_taken_over_and_counted_as_one_more_receive() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(5, 30, true);
    let once = AtomicU32::new(0);
    let mut settings = settings(out.path(), JobKind::Transcript);
    settings.crash =
        CrashPoints::new(move |point, _| point == CrashPoint::AfterFile && once.fetch_add(1, Ordering::SeqCst) == 0);
    for (group, body) in &messages {
        broker.send(group, body);
    }
    let (pool, handle) = open(&broker, settings).await.unwrap();
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().worker_deaths, 1);
    let receives: Vec<_> = broker.state.lock().unwrap().messages.iter().map(|message| message.receives).collect();
    assert_eq!((&receives[..7], receives[7..].iter().max()), (&[2; 7][..], Some(&1)));
    judge(out.path(), &broker, JobKind::Transcript, &messages, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_by_the_handle_kills_workers_and_changes_nothing() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(6, 150, false);
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::ReplyPairs)).await.unwrap();
    let running = tokio::spawn(pool.run());
    let mut progress = handle.progress();
    for (sent, (group, body)) in messages.iter().enumerate() {
        broker.send(group, body);
        if sent % 30 == 29 {
            let committed = progress.borrow().messages_committed;
            handle.kill_worker(sent / 30 % 3);
            progress.wait_for(|progress| progress.messages_committed > committed).await.unwrap();
        }
    }
    handle.no_more_messages();
    assert!(running.await.unwrap().unwrap().worker_deaths >= 3);
    judge(out.path(), &broker, JobKind::ReplyPairs, &messages, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_beyond_the_limits_goes_through_files_and_comes_back() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages: Vec<_> = (0..40)
        .map(|turn| {
            let sender = if turn % 2 == 0 { "customer" } else { "agent" };
            let text = "y".repeat(5_000);
            let body = serde_json::json!({ "conversation_id": "c", "turn": turn, "sender": sender, "text": text });
            ("c".to_owned(), body.to_string().into_bytes())
        })
        .collect();
    for (group, body) in &messages {
        broker.send(group, body);
    }
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::ReplyPairs)).await.unwrap();
    handle.no_more_messages();
    pool.run().await.unwrap();
    judge(out.path(), &broker, JobKind::ReplyPairs, &messages, false);
    let state = broker.state.lock().unwrap();
    let value = &state.reader.as_ref().unwrap().values[&(Some("c".into()), "c".into())];
    assert!(value.starts_with(b"{\"file\":"), "200 KB of turns are a pointer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_abandoned_by_the_operator_comes_again_under_another_number() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(8, 20, true);
    for (group, body) in &messages {
        broker.send(group, body);
    }
    let burnt = AtomicU32::new(0);
    let operator = broker.clone();
    let mut settings = settings(out.path(), JobKind::Transcript);
    settings.crash = CrashPoints::new(move |point, claim| {
        if point == CrashPoint::AfterFile && burnt.fetch_add(1, Ordering::SeqCst) == 0 {
            operator.burn(claim);
        }
        false
    });
    let (pool, handle) = open(&broker, settings).await.unwrap();
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().messages, 20);
    judge(out.path(), &broker, JobKind::Transcript, &messages, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_the_job_cannot_use_ends_the_pool_with_its_name_and_leaves_the_claim_open() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    broker.send("g", b"no json");
    let (pool, _handle) = open(&broker, settings(out.path(), JobKind::ReplyPairs)).await.unwrap();
    let error = pool.run().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, PoolError::Step { claim: 1, .. }), "{text}");
    assert!(text.contains("m-0") && text.contains("sequence number 1"), "{text}");
    assert_eq!(broker.open_numbers(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_fenced_stops_with_a_clear_error() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let (pool, _handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    broker.open_reader("q.fifo", 1, "pool", "another").await.unwrap();
    let error = pool.run().await.unwrap_err();
    assert!(matches!(error, PoolError::Fenced(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_folder_is_refused_without_disturbing_the_pool_that_works() {
    let (broker, out, other) = (FakeBroker::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    let generation = broker.state.lock().unwrap().reader.as_ref().unwrap().generation;
    match open(&broker, settings(other.path(), JobKind::Transcript)).await.err().unwrap() {
        PoolError::Refused(refused) => assert_eq!(refused.because, RefusedBecause::Foreign),
        error => panic!("{error}"),
    }
    assert_eq!(broker.state.lock().unwrap().reader.as_ref().unwrap().generation, generation);
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().commits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_job_on_the_same_folder_is_refused() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    drop(open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap());
    match open(&broker, settings(out.path(), JobKind::ReplyPairs)).await.err().unwrap() {
        PoolError::Refused(refused) => assert!(matches!(refused.because, RefusedBecause::OtherRun { .. })),
        error => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_made_anew_ends_the_pool() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let (pool, _handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    broker.state.lock().unwrap().queue_generation = 2;
    let error = pool.run().await.unwrap_err();
    assert!(matches!(error, PoolError::QueueGenerationChanged(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_never_answers_ends_the_pool_when_patience_does() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let mut settings = settings(out.path(), JobKind::Transcript);
    settings.patience = Duration::from_millis(200);
    let (pool, _handle) = open(&broker, settings).await.unwrap();
    broker.state.lock().unwrap().down = true;
    let error = pool.run().await.unwrap_err();
    assert!(matches!(error, PoolError::Broker(PortError::Unavailable(_))), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_pool_is_continued_by_the_next() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(9, 100, false);
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    let running = tokio::spawn(pool.run());
    for (group, body) in &messages {
        broker.send(group, body);
    }
    let mut progress = handle.progress();
    progress.wait_for(|progress| progress.messages_committed > 20).await.unwrap();
    handle.stop();
    assert!(matches!(running.await.unwrap(), Err(PoolError::Stopped)));
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().messages, 100);
    judge(out.path(), &broker, JobKind::Transcript, &messages, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_come_and_go_while_the_pool_works_and_whoever_goes_finishes_its_claim() {
    for seed in 0..3 {
        let (broker, out) = (FakeBroker::new().with_losses(seed, 0.02), tempfile::tempdir().unwrap());
        let messages = conversations(seed, 240, seed % 2 == 0);
        let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
        handle.staff([4].into());
        let running = tokio::spawn(pool.run());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut progress = handle.progress();
        for batch in messages.chunks(40) {
            batch.iter().for_each(|(group, body)| broker.send(group, body));
            let committed = progress.borrow().messages_committed;
            progress.wait_for(|progress| progress.messages_committed > committed).await.unwrap();
            handle.staff((0..5).filter(|place| *place == 4 || random.bool()).collect());
        }
        handle.staff([2].into());
        progress.wait_for(|progress| progress.worker_pids.keys().eq([&2])).await.unwrap();
        handle.no_more_messages();
        let summary = running.await.unwrap().unwrap();
        assert_eq!((summary.messages, summary.worker_deaths), (240, 0), "to go is not to die");
        let receives = broker.state.lock().unwrap().messages.iter().map(|message| message.receives).max();
        assert_eq!(receives, Some(1), "nobody was cut short");
        judge(out.path(), &broker, JobKind::Transcript, &messages, seed % 2 == 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_pool_publishes_what_is_committed_and_a_later_one_goes_on() {
    for kill in [false, true] {
        let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
        let messages = conversations(11, 200, false);
        messages.iter().for_each(|(group, body)| broker.send(group, body));
        let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
        let reader = pool.reader().clone();
        let running = tokio::spawn(pool.run());
        handle.progress().wait_for(|progress| progress.messages_committed > 20).await.unwrap();
        handle.cancel(kill);
        assert!(matches!(running.await.unwrap(), Err(PoolError::Stopped)));
        let commits = broker.state.lock().unwrap().reader.as_ref().unwrap().commits;
        let published = Output::open(out.path()).unwrap().published_files().len() as u64;
        assert_eq!(published, commits, "what is committed is published");
        broker.abandon(&reader).await.unwrap();
        assert!(broker.open_numbers().is_empty());
        let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
        handle.no_more_messages();
        assert_eq!(pool.run().await.unwrap().messages, 200);
        judge(out.path(), &broker, JobKind::Transcript, &messages, false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_another_consumer_holds_are_waited_for() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(10, 5, true);
    for (group, body) in &messages {
        broker.send(group, body);
    }
    broker.state.lock().unwrap().held_for = 2;
    let (pool, handle) = open(&broker, settings(out.path(), JobKind::Transcript)).await.unwrap();
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().messages, 5);
    judge(out.path(), &broker, JobKind::Transcript, &messages, true);
}

/// Starts workers that end at once.
struct Stillborn;

impl WorkerLauncher for Stillborn {
    fn launch(&self, _: &WorkerSettings) -> std::io::Result<Launched> {
        Ok(Launched {
            pid: None,
            stdin: Box::new(tokio::io::sink()),
            stdout: Box::new(tokio::io::empty()),
            kill: Box::new(|| {}),
            ended: Box::pin(async { "exit status: 2".to_owned() }),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_never_become_ready_end_the_pool() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let settings = settings(out.path(), JobKind::Transcript);
    let (pool, _handle): (Pool<FakeBroker>, PoolHandle) =
        Pool::open(broker, settings, Arc::new(Stillborn)).await.unwrap();
    let error = pool.run().await.unwrap_err();
    assert!(matches!(&error, PoolError::Workers(why) if why.contains("exit status: 2")), "{error}");
}
