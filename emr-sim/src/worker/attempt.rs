//! One attempt at one claim: take it, read it, run the task, write and sync the files, commit (B9). A step that the broker
//! does not answer is repeated as it is; one that it refuses ends the attempt. No file is deleted here, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::isolate::{Isolated, Policy, isolate};
use super::task::{Failure, Runs};
use super::{WorkerError, WorkerSettings};
use crate::attempt::{Attempt, AttemptPart};
use crate::batch::{Batch, Made};
use crate::blocking::blocking;
use crate::crash::{CrashPoint, CrashPoints};
use crate::digest::sha256_hex;
use crate::encoding::{EncodingError, encode};
use crate::format::Format;
use crate::inputs::{self, Aside, Bodies, GroupInputs, SetAside};
use crate::mapper::Runner;
use crate::port::{ClaimCommit, ClaimContents, GroupOutcome, Port, PortError, Rest, StoredValue};
use crate::protocol::{Assignment, FailureKind, Report};
use crate::record::{Digested, Record};
use crate::sink::{Sink, SinkError, WrittenFile};
use crate::state::{self, StateError, StoredChange};
use crate::step::{OnPoison, Task};

/// After so many failures of the whole, a claim is run in parts (B7).
const FAILURES_BEFORE_ISOLATION: u32 = 2;

/// A claim as the task left it.
struct Processed {
    made: Made,
    groups: Vec<GroupInputs>,
}

/// An attempt's files, synced.
struct Written {
    output: WrittenFile,
    inputs: Option<Digested>,
    content: Option<String>,
    values: Vec<StoredChange>,
}

/// Runs one attempt. An answer is a report for the controller; an error ends the worker.
pub(super) async fn run<P: Port>(
    port: &P,
    settings: &WorkerSettings,
    crash: &CrashPoints,
    assignment: Assignment,
) -> Result<Report, WorkerError> {
    let Assignment { claim: number, previous_failed, failures } = assignment;
    let (reader, patience) = (settings.reader_ref(), settings.patience());
    let taken = patience.ask(|| port.take_claim(&reader, number, &settings.worker, previous_failed)).await;
    let epoch = match taken {
        Ok(claim) => claim.epoch,
        Err(error) => return refused(number, error),
    };
    let contents = match patience.ask(|| port.read_claim(&reader, number, epoch)).await {
        Ok(contents) => contents,
        Err(error) => return refused(number, error),
    };
    let attempt = Attempt::new(number, epoch);
    let processed = match process(settings, &attempt, contents, failures).await {
        Ok(processed) => Arc::new(processed),
        Err(failure) => return Ok(failed(number, failure)),
    };
    crash.at(CrashPoint::BeforeFile, number)?;
    let (own, its, stem) = (settings.clone(), Arc::clone(&processed), attempt.stem());
    let full = crash.is_disk_full(number);
    let written = match blocking(move || write(&own, &attempt, &its, full)).await {
        Ok(written) => written,
        Err(failure) => return Ok(failed(number, failure)),
    };
    crash.at(CrashPoint::AfterFile, number)?;
    let (record, commit) = finish(stem, number, epoch, &processed, written);
    match patience.ask(|| port.commit_claim(&reader, &commit)).await {
        Ok(commit) => {
            crash.at(CrashPoint::AfterCommit, number)?;
            let Record { messages, lines, length, .. } = record;
            Ok(Report::Done { done: number, commit, messages, lines, length })
        }
        Err(error) => refused(number, error),
    }
}

fn refused(number: u64, error: PortError) -> Result<Report, WorkerError> {
    match error {
        PortError::Refused { reason, message } => Ok(Report::Refused { refused: number, reason, message }),
        PortError::Unavailable(_) => Err(error.into()),
    }
}

fn failed(number: u64, failure: Failure) -> Report {
    Report::Failed { failed: number, kind: failure.kind, reason: failure.reason }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self { kind: FailureKind::Disk, reason: error.to_string() }
    }
}

impl From<EncodingError> for Failure {
    fn from(error: EncodingError) -> Self {
        Self { kind: FailureKind::Disk, reason: error.to_string() }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let kind = match &error {
            StateError::Foreign { .. } | StateError::Damaged { .. } => FailureKind::State,
            StateError::Disk(_) => FailureKind::Disk,
        };
        Self { kind, reason: error.to_string() }
    }
}

/// Loads the state and runs the task: over the whole claim, or in parts when that failed before.
async fn process(
    settings: &WorkerSettings,
    attempt: &Attempt,
    contents: ClaimContents,
    failures: u32,
) -> Result<Processed, Failure> {
    let (out, identity) = (settings.step.output.clone(), settings.identity.clone());
    let batch = blocking(move || {
        let ClaimContents { values, messages } = contents;
        let values = values.into_iter().map(|StoredValue { group, key, value }| {
            let value = state::load(&out, &identity, &group, &key, value)?;
            Ok(StoredValue { group, key, value })
        });
        Ok::<_, Failure>(Batch { values: values.collect::<Result<_, StateError>>()?, messages })
    });
    let batch = Arc::new(batch.await?);
    let runs = match &settings.step.task {
        Task::Job(job) => Runs::Job(*job),
        Task::Mapper(mapper) => Runs::Mapper(Runner {
            mapper: mapper.clone(),
            limits: settings.step.limits,
            guard: settings.guard.clone(),
            out: settings.step.output.clone(),
            log: format!("logs/mapper/{}.stderr", attempt.stem()),
        }),
    };
    let aside = match settings.step.on_poison {
        OnPoison::Fail => None,
        OnPoison::Dlq => Some((Aside::DeadLettered, settings.max_receives)),
        OnPoison::Park => Some((Aside::Parked, 0)),
    };
    let isolated = match aside {
        Some((aside, tries)) if failures >= FAILURES_BEFORE_ISOLATION => {
            isolate(&runs, &batch, Policy { aside, tries, had: failures }).await?
        }
        Some(_) | None => Isolated { made: runs.over(Arc::clone(&batch)).await?, aside: BTreeMap::new() },
    };
    let Isolated { made, aside } = isolated;
    Ok(Processed { made, groups: groups(&batch, aside) })
}

/// What became of each group of the claim.
fn groups(batch: &Batch, mut aside: BTreeMap<String, SetAside>) -> Vec<GroupInputs> {
    let of_group = |(group, part): (String, Batch)| {
        let set_aside = aside.remove(&group);
        let end = set_aside.as_ref().map_or(u64::MAX, |message| message.sequence_number);
        let done: Vec<_> = part.messages.iter().take_while(|message| message.sequence_number < end).collect();
        let mut bodies = Bodies::default();
        done.iter().for_each(|message| bodies.add(&message.body));
        GroupInputs {
            group,
            messages: done.len() as u64,
            first: done.first().map(|message| message.sequence_number),
            last: done.last().map(|message| message.sequence_number),
            sha256: bodies.finish(),
            set_aside,
        }
    };
    batch.by_group().into_iter().map(of_group).collect()
}

fn write(settings: &WorkerSettings, attempt: &Attempt, processed: &Processed, full: bool) -> Result<Written, Failure> {
    let (step, made) = (&settings.step, &processed.made);
    let sink = Sink::open(&step.output, &settings.identity)?;
    let bytes = encode(step.format, &made.rows)?;
    let content = (step.format == Format::Parquet).then(|| sha256_hex(made.rows.bytes()));
    let mut file = sink.create(attempt, AttemptPart::Output(step.format))?;
    if full {
        file.fill();
    }
    file.write(&bytes)?;
    let values = state::store(made.changes.clone(), &sink, attempt)?;
    // Where a job of this program does everything, its output alone shows what it stands for.
    let told = matches!(step.task, Task::Mapper(_))
        || step.on_poison != OnPoison::Fail
        || processed.groups.iter().any(|group| group.set_aside.is_some());
    let inputs = match told {
        true => {
            let mut file = sink.create(attempt, AttemptPart::Inputs)?;
            file.write(&inputs::to_bytes(&processed.groups))?;
            let WrittenFile { length, sha256, .. } = file.finish()?;
            Some(Digested { length, sha256 })
        }
        false => None,
    };
    Ok(Written { output: file.finish()?, inputs, content, values })
}

/// The record and the Commit that carries it.
fn finish(stem: String, number: u64, epoch: u64, processed: &Processed, written: Written) -> (Record, ClaimCommit) {
    let aside = |outcome| {
        let is_so = |group: &&GroupInputs| group.set_aside.as_ref().is_some_and(|aside| aside.outcome == outcome);
        processed.groups.iter().filter(is_so).count() as u64
    };
    let WrittenFile { file, length, sha256 } = written.output;
    let record = Record {
        claim: number,
        epoch,
        file,
        length,
        sha256,
        messages: processed.groups.iter().map(|group| group.messages).sum(),
        lines: processed.made.rows.lines(),
        dead_lettered: aside(Aside::DeadLettered),
        parked: aside(Aside::Parked),
        inputs: written.inputs,
        content: written.content,
    };
    let outcomes = processed.groups.iter().filter_map(|group| {
        let rest = match group.set_aside.as_ref()?.outcome {
            Aside::DeadLettered => Rest::DeadLetterHead,
            Aside::Parked => Rest::Park,
        };
        Some(GroupOutcome { group: group.group.clone(), done_through: group.last, rest })
    });
    let commit = ClaimCommit {
        commit_id: stem,
        number,
        epoch,
        record: record.to_bytes(),
        values: written.values,
        outcomes: outcomes.collect(),
    };
    (record, commit)
}
