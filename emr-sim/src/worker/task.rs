//! A worker's task over one batch: a job of this program, or the user's mapper. Says whether a failure may be a message's
//! fault; which message it is, is found by `isolate`.

use std::sync::Arc;

use crate::batch::{Batch, Made};
use crate::blocking::blocking;
use crate::job::{JobError, JobKind, JobMessage};
use crate::mapper::{MapperError, Runner};
use crate::protocol::FailureKind;

/// What ends an attempt early with a report.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) reason: String,
}

impl Failure {
    /// Whether messages of the batch may be to blame, so that others would go through without them.
    pub(super) fn may_be_poison(&self) -> bool {
        match self.kind {
            FailureKind::Job | FailureKind::Mapper => true,
            FailureKind::State | FailureKind::Disk => false,
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        let kind = match &error {
            JobError::Message { .. } => FailureKind::Job,
            JobError::State { .. } => FailureKind::State,
        };
        Self { kind, reason: error.to_string() }
    }
}

impl From<MapperError> for Failure {
    fn from(error: MapperError) -> Self {
        let kind = match &error {
            MapperError::Failed(_) => FailureKind::Mapper,
            MapperError::State { .. } => FailureKind::State,
        };
        Self { kind, reason: error.to_string() }
    }
}

/// What runs over batches.
pub(super) enum Runs {
    Job(JobKind),
    Mapper(Runner),
}

impl Runs {
    /// Runs it over a batch; the same batch gives the same result, where a mapper keeps to that.
    pub(super) async fn over(&self, batch: Arc<Batch>) -> Result<Made, Failure> {
        match self {
            Self::Job(job) => {
                let job = *job;
                blocking(move || run_job(job, &batch)).await
            }
            Self::Mapper(runner) => Ok(Box::pin(runner.run(&batch)).await?),
        }
    }

    /// Whether a failure that was met once may be gone the next time.
    pub(super) fn may_recover(&self) -> bool {
        matches!(self, Self::Mapper(_))
    }
}

fn run_job(job: JobKind, batch: &Batch) -> Result<Made, Failure> {
    let mut job = job.start();
    for value in &batch.values {
        job.state(&value.group, &value.key, &value.value)?;
    }
    let mut made = Made::default();
    for message in &batch.messages {
        let message = JobMessage {
            message_id: &message.message_id,
            sequence_number: message.sequence_number,
            group: &message.group,
            body: &message.body,
        };
        job.message(&message, &mut made.rows)?;
    }
    made.changes = job.finish(&mut made.rows);
    Ok(made)
}
