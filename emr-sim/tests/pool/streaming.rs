//! Streaming steps against a broker in memory: programs that work, keep state, fail, hang and write garbage, in every form
//! of file, under crashes. Whatever happens, each message is in the output once and in order.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use lockstep_emr_sim::crash::{CrashPoint, CrashPoints};
use lockstep_emr_sim::format::Format;
use lockstep_emr_sim::inputs::Bodies;
use lockstep_emr_sim::job::JobKind;
use lockstep_emr_sim::manifest::Output;
use lockstep_emr_sim::pool::{PoolError, PoolSettings};
use lockstep_emr_sim::step::{Mapper, Task};

use crate::fake::FakeBroker;
use crate::seeded_crashes;
use crate::world::{conversations, judge_leftovers, open, settings};

/// Passes every message on, with its number in its group, which it keeps as state.
pub(crate) const NUMBERING: &str = r#"
import json, sys
seen, out = {}, []
for line in sys.stdin:
    record = json.loads(line)
    if "state" in record:
        seen[record["state"]["group"]] = record["state"]["value"]
        continue
    group = record["group"]
    seen[group] = seen.get(group, 0) + 1
    print(json.dumps({"group": group, "number": seen[group], "body": record["body"]}))
for group, value in seen.items():
    print(json.dumps({"state": {"group": group, "key": "seen", "value": value}}))
"#;

pub(crate) fn python(script: &str) -> Task {
    Task::Mapper(Mapper::new(vec!["python3".into(), "-c".into(), script.into()]).unwrap())
}

pub(crate) fn shell(script: &str) -> Task {
    Task::Mapper(Mapper::new(vec!["sh".into(), "-c".into(), script.into()]).unwrap())
}

fn streaming(out: &Path, task: Task) -> PoolSettings {
    let mut settings = settings(out, JobKind::Transcript);
    settings.step.task = task;
    settings.step.limits.seconds = 60;
    settings.claim.max_messages = 40;
    settings
}

/// Every message stands in the output of `NUMBERING` once, with the number it has in its group; and the inputs say so.
fn judge_numbers(out: &Path, messages: &[(String, Vec<u8>)]) {
    let output = Output::open(out).unwrap();
    let mut groups: std::collections::BTreeMap<&str, std::vec::IntoIter<&[u8]>> = std::collections::BTreeMap::new();
    for (group, _) in messages {
        let own: Vec<_> = messages.iter().filter(|(g, _)| g == group).map(|(_, body)| body.as_slice()).collect();
        groups.entry(group).or_insert_with(|| own.into_iter());
    }
    let mut expected = groups.clone();
    let mut numbers = std::collections::BTreeMap::new();
    for file in output.verified_files() {
        let file = file.unwrap();
        for line in file.lines() {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            let group = line["group"].as_str().unwrap().to_owned();
            assert_eq!(line["body"].as_str().unwrap().as_bytes(), expected.get_mut(&*group).unwrap().next().unwrap());
            let number = numbers.entry(group).or_insert(0);
            *number += 1;
            assert_eq!(line["number"], *number);
        }
        for group in output.inputs(&file.line).unwrap().unwrap() {
            let mut bodies = Bodies::default();
            let own = groups.get_mut(&*group.group).unwrap();
            own.take(group.messages as usize).for_each(|body| bodies.add(body));
            assert_eq!((group.sha256, group.set_aside), (bodies.finish(), None));
        }
    }
    assert!(expected.values().chain(groups.values()).all(|left| left.len() == 0), "nothing is lost");
}

/// Runs pools until one ends well, as an operator would.
async fn run_to_the_end(broker: &FakeBroker, make: impl Fn() -> PoolSettings) {
    for _ in 0..100 {
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

fn sent(seed: u64, messages: usize) -> (FakeBroker, tempfile::TempDir, Vec<(String, Vec<u8>)>) {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    let messages = conversations(seed, messages, false);
    for (group, body) in &messages {
        broker.send(group, body);
    }
    (broker, out, messages)
}

/// The end of a pool whose mapper never works; nothing is published.
async fn fails(task: Task, change: impl Fn(&mut PoolSettings)) -> String {
    let (broker, out, _) = sent(1, 10);
    let mut settings = streaming(out.path(), task);
    settings.workers = 1;
    change(&mut settings);
    let (pool, handle) = open(&broker, settings).await.unwrap();
    handle.no_more_messages();
    let error = pool.run().await.unwrap_err();
    assert!(matches!(error, PoolError::Step { claim: 1, .. }), "{error}");
    assert_eq!(Output::open(out.path()).unwrap().published_files().len(), 0, "a failed try is never published");
    let kept = std::fs::read_dir(out.path().join("logs/mapper")).unwrap().count();
    assert_eq!(kept, 3, "what three tries said is kept");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeded_crashes_change_nothing_in_what_a_mapper_with_state_publishes_in_any_form() {
    for format in Format::ALL.into_iter().filter(|format| format.is_built_in()) {
        let seed = 70 + format as u64;
        let (broker, out, messages) = sent(seed, 120);
        let broker = broker.with_losses(seed, 0.03);
        let (crash, died) = seeded_crashes(seed, 0.4, 8);
        run_to_the_end(&broker, || {
            let mut settings = streaming(out.path(), python(NUMBERING));
            settings.step.format = format;
            settings.crash = crash.clone();
            settings
        })
        .await;
        judge_numbers(out.path(), &messages);
        judge_leftovers(out.path(), &broker);
        assert!(!died.lock().unwrap().is_empty(), "{format}: somebody died");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_at_each_point_leaves_a_mappers_output_whole() {
    for point in [CrashPoint::BeforeFile, CrashPoint::AfterFile, CrashPoint::AfterCommit] {
        let (broker, out, messages) = sent(5, 60);
        let once = AtomicU32::new(0);
        let mut settings = streaming(out.path(), python(NUMBERING));
        settings.step.format = Format::Zstd;
        settings.crash = CrashPoints::new(move |at, _| at == point && once.fetch_add(1, Ordering::SeqCst) == 0);
        let (pool, handle) = open(&broker, settings).await.unwrap();
        handle.no_more_messages();
        assert_eq!(pool.run().await.unwrap().worker_deaths, 1, "{point:?}");
        judge_numbers(out.path(), &messages);
        judge_leftovers(out.path(), &broker);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_try_and_the_next_one_publishes() {
    for format in [Format::JsonLines, Format::Gzip, Format::Zstd] {
        let (broker, out, messages) = sent(6, 60);
        let twice = AtomicU32::new(0);
        let mut settings = streaming(out.path(), python(NUMBERING));
        settings.step.format = format;
        settings.crash = CrashPoints::default().with_full_disk(move |_| twice.fetch_add(1, Ordering::SeqCst) < 2);
        let (pool, handle) = open(&broker, settings).await.unwrap();
        handle.no_more_messages();
        pool.run().await.unwrap();
        judge_numbers(out.path(), &messages);
        judge_leftovers(out.path(), &broker);
    }
    let full = CrashPoints::default().with_full_disk(|_| true);
    let (broker, out, _) = sent(6, 10);
    let mut settings = streaming(out.path(), python(NUMBERING));
    settings.crash = full;
    let (pool, handle) = open(&broker, settings).await.unwrap();
    handle.no_more_messages();
    let error = pool.run().await.unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("claim 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_code_3_is_named_with_the_last_words_on_stderr() {
    let error = fails(shell("cat >/dev/null; echo '{\"group\":\"c0\"}'; echo no table >&2; exit 3"), |_| {}).await;
    assert!(error.contains("exit code 3") && error.contains("no table"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_named_with_its_line_and_the_exit_code() {
    let error = fails(shell("cat >/dev/null; echo '{\"group\":\"c0\"}'; echo oops"), |_| {}).await;
    assert!(error.contains("exit code 0: line 2 of its output is no JSON object"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapper_that_hangs_is_killed_at_its_time_limit() {
    let error = fails(shell("cat >/dev/null; sleep 1000"), |settings| settings.step.limits.seconds = 1).await;
    assert!(error.contains("hung") && error.contains("1 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_mapper_is_tried_again_and_what_it_says_on_stderr_hurts_nobody() {
    let (broker, out, messages) = sent(8, 60);
    let flag = out.path().join("killed");
    let kills = format!("[ -e {0} ] || {{ touch {0}; kill -9 $$; }}", flag.display());
    let script = format!("echo talking >&2; {kills}; exec python3 -c \"$0\"");
    let words = vec!["sh".into(), "-c".into(), script, NUMBERING.into()];
    let (pool, handle) = open(&broker, streaming(out.path(), Task::Mapper(Mapper::new(words).unwrap()))).await.unwrap();
    handle.no_more_messages();
    assert_eq!(pool.run().await.unwrap().worker_deaths, 0, "the worker survives its mapper");
    judge_numbers(out.path(), &messages);
    judge_leftovers(out.path(), &broker);
    let logs = std::fs::read_dir(out.path().join("logs/mapper")).unwrap();
    let logs: String = logs.map(|log| std::fs::read_to_string(log.unwrap().path()).unwrap()).collect();
    assert!(logs.contains("talking") && logs.contains("signal: 9"), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_cannot_run_is_refused_before_anything_begins() {
    let broker = FakeBroker::new();
    let out = tempfile::tempdir().unwrap();
    let refused = async |change: &dyn Fn(&mut PoolSettings)| {
        let mut settings = streaming(out.path(), shell("cat"));
        change(&mut settings);
        match open(&broker, settings).await.err() {
            Some(PoolError::Settings(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let task = Task::Mapper("no-such-program -x".parse().unwrap());
    let why = refused(&|settings| settings.step.task = task.clone()).await;
    assert!(why.contains("no-such-program") && why.contains("PATH"), "{why}");
    if !Format::Parquet.is_built_in() {
        let why = refused(&|settings| settings.step.format = Format::Parquet).await;
        assert!(why.contains("cargo feature `parquet`"), "{why}");
    }
    let why = refused(&|settings| settings.step.limits.seconds = 0).await;
    assert!(why.contains("time limit"), "{why}");
    assert!(broker.state.lock().unwrap().reader.is_none() && !out.path().join("manifest.lock").exists());
}
