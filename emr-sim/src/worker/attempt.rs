//! One attempt at one claim: take it, read it, run the job, write and sync the files, commit (B9). A step that the broker
//! does not answer is repeated as it is; one that it refuses ends the attempt. No file is deleted here, whatever happens.

use crate::attempt::{Attempt, AttemptPart};
use crate::blocking::blocking;
use crate::crash::{CrashPoint, CrashPoints};
use crate::job::{JobMessage, StateChange};
use crate::port::{ClaimCommit, ClaimContents, Port, PortError};
use crate::protocol::{Assignment, FailureKind, Report};
use crate::record::Record;
use crate::sink::{Sink, SinkError, WrittenFile};
use crate::state::{self, StateError, StoredChange};
use crate::step::Task;

use super::{WorkerError, WorkerSettings};

/// A claim as the job left it.
struct Processed {
    lines: u64,
    output: Vec<u8>,
    changes: Vec<StateChange>,
}

/// An attempt's files, synced.
struct Written {
    output: WrittenFile,
    values: Vec<StoredChange>,
}

/// What ends an attempt early with a report.
struct Failure {
    kind: FailureKind,
    reason: String,
}

/// Runs one attempt. An answer is a report for the controller; an error ends the worker.
pub(super) async fn run<P: Port>(
    port: &P,
    settings: &WorkerSettings,
    crash: &CrashPoints,
    assignment: Assignment,
) -> Result<Report, WorkerError> {
    let Assignment { claim: number, previous_failed } = assignment;
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
    let messages = contents.messages.len() as u64;
    let own = settings.clone();
    let processed = match blocking(move || process(&own, contents)).await {
        Ok(processed) => processed,
        Err(failure) => return Ok(failed(number, failure)),
    };
    crash.at(CrashPoint::BeforeFile, number)?;
    let attempt = Attempt::new(number, epoch);
    let commit_id = attempt.stem();
    let own = settings.clone();
    let lines = processed.lines;
    let written = match blocking(move || write(&own, &attempt, processed)).await {
        Ok(written) => written,
        Err(error) => return Ok(failed(number, error.into())),
    };
    crash.at(CrashPoint::AfterFile, number)?;
    let WrittenFile { file, length, sha256 } = written.output;
    let record = Record { claim: number, epoch, file, length, sha256, messages, lines }.to_bytes();
    let commit = ClaimCommit { commit_id, number, epoch, record, values: written.values };
    match patience.ask(|| port.commit_claim(&reader, &commit)).await {
        Ok(commit) => {
            crash.at(CrashPoint::AfterCommit, number)?;
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

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let kind = match &error {
            StateError::Foreign { .. } | StateError::Damaged { .. } => FailureKind::State,
            StateError::Disk(_) => FailureKind::Disk,
        };
        Self { kind, reason: error.to_string() }
    }
}

impl From<crate::job::JobError> for Failure {
    fn from(error: crate::job::JobError) -> Self {
        Self { kind: FailureKind::Job, reason: error.to_string() }
    }
}

fn process(settings: &WorkerSettings, contents: ClaimContents) -> Result<Processed, Failure> {
    let mut job = match &settings.step.task {
        Task::Job(job) => job.start(),
        Task::Mapper(_) => {
            return Err(Failure { kind: FailureKind::Job, reason: "mappers cannot be run yet".to_owned() });
        }
    };
    for value in contents.values {
        let bytes = state::load(&settings.step.output, &settings.identity, &value.group, &value.key, value.value)?;
        job.state(&value.group, &value.key, &bytes)?;
    }
    let (mut output, mut lines) = (Vec::new(), 0);
    for message in &contents.messages {
        let message = JobMessage {
            message_id: &message.message_id,
            sequence_number: message.sequence_number,
            group: &message.group,
            body: &message.body,
        };
        lines += job.message(&message, &mut output)?;
    }
    Ok(Processed { lines, output, changes: job.finish() })
}

fn write(settings: &WorkerSettings, attempt: &Attempt, processed: Processed) -> Result<Written, SinkError> {
    let sink = Sink::open(&settings.step.output, &settings.identity)?;
    let mut file = sink.create(attempt, AttemptPart::Output)?;
    file.write(&processed.output)?;
    let values = state::store(processed.changes, &sink, attempt)?;
    Ok(Written { output: file.finish()?, values })
}
