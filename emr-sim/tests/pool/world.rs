//! Pools over the fake broker: workers as tasks, made conversations, and the judgement on what was published.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_emr_sim::attempt::Attempt;
use lockstep_emr_sim::crash::CrashPoints;
use lockstep_emr_sim::job::{JobKind, Total, recompute_pairs};
use lockstep_emr_sim::manifest::Output;
use lockstep_emr_sim::pool::{Launched, Pool, PoolError, PoolHandle, PoolSettings, Source, WorkerLauncher};
use lockstep_emr_sim::record;
use lockstep_emr_sim::step::StepSpec;
use lockstep_emr_sim::worker::{WorkerSettings, run_worker_on};
use tokio::sync::Notify;

use crate::fake::FakeBroker;

/// Starts workers as tasks over in-memory pipes.
pub(crate) struct TaskLauncher {
    pub(crate) broker: FakeBroker,
    pub(crate) crash: CrashPoints,
}

impl WorkerLauncher for TaskLauncher {
    fn launch(&self, settings: &WorkerSettings) -> io::Result<Launched> {
        assert_eq!(WorkerSettings::from_argument(&settings.to_argument()).unwrap(), *settings);
        let (stdin, its_stdin) = tokio::io::duplex(4096);
        let (stdout, its_stdout) = tokio::io::duplex(4096);
        let killed = Arc::new(Notify::new());
        let (broker, crash, settings, kill) =
            (self.broker.clone(), self.crash.clone(), settings.clone(), Arc::clone(&killed));
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = killed.notified() => "killed".to_owned(),
                end = run_worker_on(&broker, &settings, &crash, its_stdin, its_stdout) => format!("{end:?}"),
            }
        });
        Ok(Launched {
            pid: None,
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            kill: Box::new(move || kill.notify_one()),
            ended: Box::pin(async move { task.await.unwrap() }),
        })
    }
}

pub(crate) fn settings(out: &Path, job: JobKind) -> PoolSettings {
    let run = serde_json::json!({ "input": "made" });
    let source = Source { queue: "q.fifo".into(), queue_generation: 1, reader: "pool".into() };
    let step = StepSpec::new(job.into(), out.to_owned());
    let mut settings = PoolSettings::new("http://unused".into(), source, step, run, 3);
    settings.claim.max_messages = 7;
    settings.claim.wait_seconds = 1;
    settings.patience = Duration::from_secs(10);
    settings
}

pub(crate) async fn open(
    broker: &FakeBroker,
    settings: PoolSettings,
) -> Result<(Pool<FakeBroker>, PoolHandle), PoolError> {
    let launcher = TaskLauncher { broker: broker.clone(), crash: settings.crash.clone() };
    Pool::open(broker.clone(), settings, Arc::new(launcher)).await
}

/// Seeded conversations, interleaved: (group, body) in arrival order. With `one_group` all are in one.
pub(crate) fn conversations(seed: u64, messages: usize, one_group: bool) -> Vec<(String, Vec<u8>)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut turns = [0; 6];
    let one = |_| {
        let place = random.usize(0..turns.len());
        turns[place] += 1;
        let sender = if random.bool() { "agent" } else { "customer" };
        let body = serde_json::json!({
            "conversation_id": format!("c{place}"),
            "turn": turns[place],
            "sender": sender,
            "text": "x".repeat(random.usize(1..40)),
        });
        let group = if one_group { "all".to_owned() } else { format!("c{place}") };
        (group, body.to_string().into_bytes())
    };
    (0..messages).map(one).collect()
}

/// What must be published, per group in order.
fn expected(job: JobKind, messages: &[(String, Vec<u8>)], group: &str) -> Vec<Vec<u8>> {
    match job {
        JobKind::Count => unreachable!("totals are judged by `judge_totals`"),
        JobKind::Transcript => messages.iter().filter(|(g, _)| g == group).map(|(_, body)| body.clone()).collect(),
        JobKind::ReplyPairs => {
            let pairs = recompute_pairs(messages.iter().map(|(g, body)| (g.as_str(), body.as_slice()))).unwrap();
            pairs.filter(|pair| messages[pair.input].0 == group).map(|pair| pair.line.into_bytes()).collect()
        }
    }
}

/// Judges the output of the job `count`: the totals of a group rise, and the last one is that of all its messages.
pub(crate) fn judge_totals(out: &Path, messages: &[(String, Vec<u8>)]) {
    let output = Output::open(out).unwrap();
    let mut totals: BTreeMap<String, Total> = BTreeMap::new();
    for file in output.verified_files() {
        for line in file.unwrap().lines() {
            let total = Total::parse(line).unwrap();
            let earlier = totals.insert(total.group.clone(), total.clone());
            assert!(earlier.is_none_or(|earlier| earlier.messages < total.messages), "{total:?}");
        }
    }
    for (group, total) in &totals {
        let bodies = messages.iter().filter(|(g, _)| g == group).map(|(_, body)| body.len() as u64);
        assert_eq!((total.messages, total.bytes), (bodies.clone().count() as u64, bodies.sum()), "{group}");
    }
    assert_eq!(output.join().unwrap().lines as usize, totals.len(), "one line a group");
}

/// Judges a finished output: every group's lines complete, once, in order; nothing else; nothing left over.
pub(crate) fn judge(out: &Path, broker: &FakeBroker, job: JobKind, messages: &[(String, Vec<u8>)], one_group: bool) {
    judge_leftovers(out, broker);
    if job == JobKind::Count {
        return judge_totals(out, messages);
    }
    let output = Output::open(out).unwrap();
    let mut lines = Vec::new();
    for file in output.verified_files() {
        lines.extend(file.unwrap().lines().map(<[u8]>::to_vec));
    }
    let group_of = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        value["conversation_id"].as_str().unwrap().to_owned()
    };
    let mut groups: Vec<_> = messages.iter().map(|(group, _)| group.clone()).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut total = 0;
    for group in &groups {
        let got: Vec<_> = lines.iter().filter(|line| one_group || group_of(line) == *group).cloned().collect();
        let expected = expected(job, messages, group);
        total += expected.len();
        assert!(got == expected, "group {group}: {} lines, not the {} expected ones", got.len(), expected.len());
    }
    assert_eq!(lines.len(), total, "nothing extra");
    assert_eq!(output.join().unwrap().lines as usize, total);
}

/// Nothing is left over: every commit is in the manifest, every record removed, every other attempt swept.
pub(crate) fn judge_leftovers(out: &Path, broker: &FakeBroker) {
    let output = Output::open(out).unwrap();
    let state = broker.state.lock().unwrap();
    let reader = state.reader.as_ref().unwrap();
    assert_eq!(output.published_files().len() as u64, reader.commits);
    let records = reader.values.keys().filter(|(group, key)| group.is_none() && key.starts_with(record::PREFIX));
    assert_eq!(records.count(), 0, "every record is removed");
    let published: Vec<_> = output.published_files().iter().map(|line| out.join(&line.record.file)).collect();
    let folder = out.join(output.header().identity().folder());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (attempt, _) = Attempt::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let kept = published.iter().any(|file| file.to_str().unwrap().contains(&attempt.stem()));
        assert!(kept, "{} was not swept", path.display());
    }
}
