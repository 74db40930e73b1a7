//! Poison under each policy, against a broker in memory: exactly the message that cannot be processed is dead-lettered,
//! or its group parked, and everything else is published once and in order (B7).

use std::collections::BTreeMap;
use std::path::Path;

use lockstep_emr_sim::inputs::Aside;
use lockstep_emr_sim::job::JobKind;
use lockstep_emr_sim::manifest::Output;
use lockstep_emr_sim::pool::{PoolError, PoolSettings};
use lockstep_emr_sim::step::{OnPoison, Task};

use crate::fake::FakeBroker;
use crate::seeded_crashes;
use crate::streaming::{python, shell};
use crate::world::{judge_leftovers, open, settings};

/// Passes bodies on; dies, talks nonsense or exits with 3 when one says so.
const TOUCHY: &str = r#"
import json, os, signal, sys
for line in sys.stdin:
    record = json.loads(line)
    body = record["body"]
    if '"bad":"exit"' in body:
        print("cannot do it", file=sys.stderr)
        sys.exit(3)
    if '"bad":"die"' in body:
        os.kill(os.getpid(), signal.SIGKILL)
    if '"bad":"garbage"' in body:
        print("garbage")
    print(json.dumps({"group": record["group"], "body": body}))
"#;

/// Messages of five groups; those at the places have a body that says how it is bad, or is no JSON at all.
fn messages(bad: &[(usize, &str)]) -> Vec<(String, Vec<u8>)> {
    let one = |place: usize| {
        let group = format!("g{}", place % 5);
        let body = match bad.iter().find(|(at, _)| *at == place) {
            Some((_, "nonsense")) => format!("nonsense {place}"),
            Some((_, how)) => format!("{{\"place\":{place},\"bad\":\"{how}\"}}"),
            None => format!("{{\"place\":{place}}}"),
        };
        (group, body.into_bytes())
    };
    (0..60).map(one).collect()
}

fn sent(messages: &[(String, Vec<u8>)]) -> (FakeBroker, tempfile::TempDir) {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    broker.state.lock().unwrap().max_receive_count = Some(3);
    for (group, body) in messages {
        broker.send(group, body);
    }
    (broker, out)
}

fn policy(out: &Path, task: Task, on_poison: OnPoison) -> PoolSettings {
    let mut settings = settings(out, JobKind::Transcript);
    settings.step.task = task;
    settings.step.on_poison = on_poison;
    settings.step.limits.seconds = 60;
    settings.claim.max_messages = 25;
    settings.workers = 2;
    settings
}

/// Bodies by group, in order.
type ByGroup = BTreeMap<String, Vec<Vec<u8>>>;

/// What was published, by group in order, and what was set aside.
fn published(out: &Path) -> (ByGroup, Vec<(Aside, u64)>) {
    let output = Output::open(out).unwrap();
    let (mut lines, mut aside) = (BTreeMap::new(), Vec::new());
    for file in output.verified_files() {
        let file = file.unwrap();
        for line in file.lines() {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            let body = value["body"].as_str().map_or(line.to_vec(), |body| body.as_bytes().to_vec());
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let group = format!("g{}", value["place"].as_u64().unwrap() % 5);
            lines.entry(group).or_insert_with(Vec::new).push(body);
        }
        let groups = output.inputs(&file.line).unwrap().unwrap_or_default();
        let found = groups.into_iter().filter_map(|group| group.set_aside);
        aside.extend(found.map(|found| (found.outcome, found.sequence_number - 1)));
        let record = &file.line.record;
        assert!(record.dead_lettered + record.parked <= 5);
    }
    aside.sort_by_key(|(_, place)| *place);
    (lines, aside)
}

/// Everything but the bad messages and, when parked, what is behind them.
fn expected(messages: &[(String, Vec<u8>)], bad: &[usize], on_poison: OnPoison) -> ByGroup {
    let mut lines = BTreeMap::new();
    for (place, (group, body)) in messages.iter().enumerate() {
        let behind = on_poison == OnPoison::Park && bad.iter().any(|at| at % 5 == place % 5 && *at < place);
        if !bad.contains(&place) && !behind {
            lines.entry(group.clone()).or_insert_with(Vec::new).push(body.clone());
        }
    }
    lines
}

async fn run(broker: &FakeBroker, make: impl Fn() -> PoolSettings) {
    for _ in 0..60 {
        let ended = match open(broker, make()).await {
            Ok((pool, handle)) => {
                handle.no_more_messages();
                pool.run().await
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(_) => return,
            Err(PoolError::Killed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it does not come to an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_poison_is_dead_lettered_and_its_group_goes_on() {
    let bad = [(3, "nonsense"), (13, "nonsense"), (18, "nonsense"), (40, "nonsense"), (59, "nonsense")];
    let (messages, places) = (messages(&bad), bad.map(|(place, _)| place));
    for seed in 0..4 {
        let (broker, out) = sent(&messages);
        let broker = broker.with_losses(seed, 0.03);
        let (crash, _) = seeded_crashes(seed, 0.1, if seed == 0 { 0 } else { 6 });
        run(&broker, || {
            let mut settings = policy(out.path(), JobKind::Transcript.into(), OnPoison::Dlq);
            settings.crash = crash.clone();
            settings
        })
        .await;
        let (lines, aside) = published(out.path());
        assert_eq!(lines, expected(&messages, &places, OnPoison::Dlq), "seed {seed}");
        assert_eq!(aside, places.map(|place| (Aside::DeadLettered, place as u64)), "seed {seed}");
        let state = broker.state.lock().unwrap();
        let letters: Vec<_> = (0..60).filter(|place| state.messages[*place].dead_lettered).collect();
        assert_eq!(letters, places, "seed {seed}");
        assert!(state.messages.iter().all(|message| message.done), "nothing is left");
        drop(state);
        judge_leftovers(out.path(), &broker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapper_that_fails_on_one_message_in_any_way_has_that_one_set_aside() {
    let bad = [(4, "exit"), (12, "die"), (21, "garbage")];
    let (messages, places) = (messages(&bad), bad.map(|(place, _)| place));
    for (on_poison, outcome) in [(OnPoison::Dlq, Aside::DeadLettered), (OnPoison::Park, Aside::Parked)] {
        let (broker, out) = sent(&messages);
        run(&broker, || policy(out.path(), python(TOUCHY), on_poison)).await;
        let (lines, aside) = published(out.path());
        assert_eq!(lines, expected(&messages, &places, on_poison), "{on_poison}");
        assert_eq!(aside, places.map(|place| (outcome, place as u64)), "{on_poison}");
        judge_leftovers(out.path(), &broker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_makes_a_mapper_hang_is_set_aside_alone() {
    let messages = messages(&[(33, "hang")]);
    let (broker, out) = sent(&messages);
    // A shell starts at once, also on a busy machine: only the message makes it reach the limit.
    let script = r#"input=$(cat); case $input in *hang*) sleep 1000;; esac; echo "$input""#;
    run(&broker, || {
        let mut settings = policy(out.path(), shell(script), OnPoison::Park);
        settings.step.limits.seconds = 4;
        settings
    })
    .await;
    let (lines, aside) = published(out.path());
    assert_eq!(lines, expected(&messages, &[33], OnPoison::Park));
    assert_eq!(aside, [(Aside::Parked, 33)]);
    judge_leftovers(out.path(), &broker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_group_goes_on_after_it_was_unparked_and_the_program_mended() {
    let bad = [(7, "nonsense")];
    let messages = messages(&bad);
    let (broker, out) = sent(&messages);
    run(&broker, || policy(out.path(), JobKind::Transcript.into(), OnPoison::Park)).await;
    let (lines, aside) = published(out.path());
    assert_eq!(lines, expected(&messages, &[7], OnPoison::Park));
    assert_eq!(aside, [(Aside::Parked, 7)]);
    {
        let mut state = broker.state.lock().unwrap();
        assert_eq!(state.parked.len(), 1, "the others flowed");
        state.parked.clear();
        state.messages[7].body = b"{\"place\":7}".to_vec();
    }
    run(&broker, || policy(out.path(), JobKind::Transcript.into(), OnPoison::Park)).await;
    let mut messages = messages;
    messages[7].1 = b"{\"place\":7}".to_vec();
    assert_eq!(published(out.path()).0, expected(&messages, &[], OnPoison::Park));
    judge_leftovers(out.path(), &broker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_names_the_message_and_another_policy_goes_on_from_there() {
    let messages = messages(&[(7, "nonsense")]);
    let (broker, out) = sent(&messages);
    let (pool, handle) = open(&broker, policy(out.path(), JobKind::Transcript.into(), OnPoison::Fail)).await.unwrap();
    handle.no_more_messages();
    let error = pool.run().await.unwrap_err().to_string();
    assert!(error.contains("message m-7"), "{error}");
    run(&broker, || policy(out.path(), JobKind::Transcript.into(), OnPoison::Dlq)).await;
    assert_eq!(published(out.path()).0, expected(&messages, &[7], OnPoison::Dlq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_tried_as_often_as_the_queue_says_before_it_is_dead_lettered() {
    let messages = messages(&[(0, "exit")]);
    let (broker, out) = sent(&messages);
    broker.state.lock().unwrap().max_receive_count = Some(6);
    let tries = out.path().join("tries");
    let script = format!(
        "input=$(cat); case $input in *exit*) echo >>{}; exit 3;; esac; echo \"$input\" | sed 's/\"sequence.*\"body\"/\"body\"/'",
        tries.display()
    );
    run(&broker, || policy(out.path(), shell(&script), OnPoison::Dlq)).await;
    assert_eq!(published(out.path()).1, [(Aside::DeadLettered, 0)]);
    // Twice the claim, once the group, then the message until it was tried six times.
    assert_eq!(std::fs::read_to_string(tries).unwrap().lines().count(), 2 + 1 + 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_dlq_wants_a_dead_letter_queue() {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    match open(&broker, policy(out.path(), JobKind::Transcript.into(), OnPoison::Dlq)).await.err() {
        Some(PoolError::Settings(why)) => assert!(why.contains("--dead-letter-queue"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(broker.state.lock().unwrap().reader.is_none());
}
