//! How failures look to the page: a status, a code for programs, the rule, and what to do. A rejection that the console can
//! meet has a code of its own; there is no catch-all, so that a new one does not compile until it is said which it is.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lockstep_engine::{Rejected, words::WordError};
use serde::Serialize;

use super::json;
use crate::failure::{Failure, Invalid};

/// Why a request has no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    rule: Option<&'static str>,
    message: String,
}

#[derive(Serialize)]
struct Told<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    rule: Option<&'static str>,
    message: &'a str,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        rule: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self { status, code, rule, message: message.into() }
    }

    /// Somebody must not.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, None, message)
    }

    /// A parameter that means nothing.
    pub(super) fn parameter(name: &str, what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", None, format!("parameter {name}: {what}"))
    }

    /// Nothing of the caller's doing.
    pub(super) fn broken(error: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", None, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = Told { error: Error { code: self.code, rule: self.rule, message: &self.message } };
        let mut response = json(&told).expect("an error is JSON");
        *response.status_mut() = self.status;
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let not_found = invalid.reason == "MESSAGE_NOT_FOUND";
        let status = if not_found { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self::new(status, invalid.reason, Some(invalid.rule), invalid.message)
    }
}

impl From<WordError> for Problem {
    fn from(error: WordError) -> Self {
        Invalid::from(error).into()
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Failure::Rejected(rejected).into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        let (status, code, rule) = match &failure {
            Failure::Rejected(rejected) => refused(rejected),
            Failure::Invalid(invalid) => return invalid.clone().into(),
            Failure::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "OUTCOME_UNKNOWN", "H4"),
            Failure::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "H4"),
            Failure::Draining => (StatusCode::SERVICE_UNAVAILABLE, "DRAINING", "H4"),
            Failure::ClockNotManual => (StatusCode::CONFLICT, "CLOCK_NOT_MANUAL", "H2"),
            Failure::BackupRunning => (StatusCode::CONFLICT, "BACKUP_RUNNING", "H9"),
            Failure::BackupFailed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "BACKUP_FAILED", "H9"),
            Failure::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "BODY_DAMAGED", "H6"),
        };
        Self::new(status, code, Some(rule), text)
    }
}

/// Status, code and rule of a rejection.
fn refused(rejected: &Rejected) -> (StatusCode, &'static str, &'static str) {
    match rejected {
        Rejected::QueueNotFound => (StatusCode::NOT_FOUND, "QUEUE_NOT_FOUND", "A1"),
        Rejected::QueueGenerationChanged { .. } => (StatusCode::CONFLICT, "QUEUE_GENERATION_CHANGED", "B8"),
        Rejected::NotFifo => (StatusCode::CONFLICT, "NOT_FIFO", "B5"),
        Rejected::MessageTooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "MESSAGE_TOO_LONG", "L2"),
        Rejected::DelayNotAllowed => (StatusCode::BAD_REQUEST, "DELAY_NOT_ALLOWED", "S10"),
        Rejected::DeduplicationIdMissing => (StatusCode::BAD_REQUEST, "DEDUPLICATION_ID_MISSING", "S2"),
        Rejected::DeduplicationIdNotAllowed => (StatusCode::BAD_REQUEST, "DEDUPLICATION_ID_NOT_ALLOWED", "B5"),
        Rejected::EarlierRejected => (StatusCode::CONFLICT, "EARLIER_REJECTED", "H1"),
        Rejected::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", "H5"),
        Rejected::PurgeInProgress => (StatusCode::CONFLICT, "PURGE_IN_PROGRESS", "A3"),
        Rejected::NotADeadLetterQueue => (StatusCode::CONFLICT, "NOT_A_DEAD_LETTER_QUEUE", "Q6"),
        Rejected::MoveDestinationNotFound { .. } => (StatusCode::NOT_FOUND, "MOVE_DESTINATION_NOT_FOUND", "Q6"),
        Rejected::MoveDestinationIsSource => (StatusCode::BAD_REQUEST, "MOVE_DESTINATION_IS_SOURCE", "Q6"),
        Rejected::MoveDestinationKind => (StatusCode::BAD_REQUEST, "MOVE_DESTINATION_KIND", "Q1"),
        Rejected::MoveRateInvalid => (StatusCode::BAD_REQUEST, "MOVE_RATE_INVALID", "L13"),
        Rejected::MoveTaskRunning => (StatusCode::CONFLICT, "MOVE_TASK_RUNNING", "Q6"),
        Rejected::TooManyMoveTasks => (StatusCode::CONFLICT, "TOO_MANY_MOVE_TASKS", "L13"),
        // The console asks nothing that is refused so; the text says what it is.
        Rejected::QueueExists { .. }
        | Rejected::AttributeInvalid { .. }
        | Rejected::AttributeFixed { .. }
        | Rejected::AttributeUnknown { .. }
        | Rejected::DeadLetterQueueNotFound { .. }
        | Rejected::DeadLetterQueueIsSelf
        | Rejected::DeadLetterQueueKind { .. }
        | Rejected::RedriveNotAllowed { .. }
        | Rejected::OverLimit
        | Rejected::ProducerNotFound
        | Rejected::ProducerFenced { .. }
        | Rejected::SendNumberInvalid { .. }
        | Rejected::SendNumberConflict { .. }
        | Rejected::AlreadyAccepted
        | Rejected::TooManyProducers
        | Rejected::TooManyTags { .. }
        | Rejected::QueueDeletedRecently
        | Rejected::PolicyChanged
        | Rejected::ReceiveAttemptInvalid
        | Rejected::ReceiptForeign
        | Rejected::ReceiptExpired
        | Rejected::MessageNotInFlight
        | Rejected::VisibilityTooLong
        | Rejected::EarlierInFlight { .. }
        | Rejected::NotStrict
        | Rejected::ReaderNotFound
        | Rejected::ReaderFenced { .. }
        | Rejected::ClaimNumberInvalid { .. }
        | Rejected::TooManyOpenClaims
        | Rejected::TooManyReaders
        | Rejected::ClaimNotOpen
        | Rejected::ClaimFenced { .. }
        | Rejected::ClaimBurnt
        | Rejected::CommitConflict
        | Rejected::OutcomeForgotten
        | Rejected::OutputRefused { .. }
        | Rejected::OutcomeInvalid { .. }
        | Rejected::NoDeadLetterQueue
        | Rejected::TooManyParked
        | Rejected::MoveTaskNotFound
        | Rejected::MoveTaskEnded
        | Rejected::ValueOutsideClaim { .. }
        | Rejected::ValueTooLong { .. }
        | Rejected::ReaderFull => (StatusCode::CONFLICT, "REFUSED", "H4"),
    }
}
