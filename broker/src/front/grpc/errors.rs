//! How failures look on the gRPC wire: a code, and a `google.rpc.ErrorInfo` with a reason for programs and the number
//! of the rule. The one place where a rejection gets its code; it has no catch-all, so that a new rejection does not
//! compile until it has one.
//!
//! `UNAVAILABLE` alone means "ask again with the same key"; every other code is final. `FAILED_PRECONDITION` means
//! that the same call fails again until somebody acts; so does a changed queue generation, because the contract wants
//! its caller to stop and not to try again by itself (B8).

use std::collections::HashMap;

use lockstep_engine::{Rejected, words::QueueGeneration};
use lockstep_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    failure::{Failure, Invalid},
    handle::Handle,
};

const DOMAIN: &str = "lockstep";

/// Code, reason and rule of a rejection.
pub(super) fn code(rejected: &Rejected) -> (Code, &'static str, &'static str) {
    match rejected {
        Rejected::QueueNotFound => (Code::NotFound, "QUEUE_NOT_FOUND", "A1"),
        Rejected::QueueExists { .. } => (Code::AlreadyExists, "QUEUE_EXISTS", "A1"),
        Rejected::QueueGenerationChanged { .. } => (Code::FailedPrecondition, "QUEUE_GENERATION_CHANGED", "B8"),
        Rejected::AttributeInvalid { .. } => (Code::InvalidArgument, "ATTRIBUTE_INVALID", "L4"),
        Rejected::AttributeFixed { .. } => (Code::FailedPrecondition, "ATTRIBUTE_FIXED", "S8"),
        Rejected::DeadLetterQueueNotFound { .. } => (Code::FailedPrecondition, "DEAD_LETTER_QUEUE_NOT_FOUND", "Q1"),
        Rejected::DeadLetterQueueIsSelf => (Code::InvalidArgument, "DEAD_LETTER_QUEUE_IS_SELF", "Q1"),
        Rejected::DeadLetterQueueKind { .. } => (Code::InvalidArgument, "DEAD_LETTER_QUEUE_KIND", "Q1"),
        Rejected::AttributeUnknown { .. } => (Code::InvalidArgument, "ATTRIBUTE_UNKNOWN", "L8"),
        Rejected::NotFifo => (Code::FailedPrecondition, "NOT_FIFO", "B5"),
        Rejected::OverLimit => (Code::ResourceExhausted, "OVER_LIMIT", "L10"),
        Rejected::DeduplicationIdNotAllowed => (Code::InvalidArgument, "DEDUPLICATION_ID_NOT_ALLOWED", "B5"),
        Rejected::RedriveNotAllowed { .. } => (Code::FailedPrecondition, "REDRIVE_NOT_ALLOWED", "Q5"),
        Rejected::MessageTooLong { .. } => (Code::InvalidArgument, "MESSAGE_TOO_LONG", "L2"),
        Rejected::DelayNotAllowed => (Code::InvalidArgument, "DELAY_NOT_ALLOWED", "S10"),
        Rejected::DeduplicationIdMissing => (Code::InvalidArgument, "DEDUPLICATION_ID_MISSING", "S2"),
        Rejected::EarlierRejected => (Code::FailedPrecondition, "EARLIER_REJECTED", "H1"),
        Rejected::ProducerNotFound => (Code::NotFound, "PRODUCER_NOT_FOUND", "B3"),
        Rejected::ProducerFenced { .. } => (Code::FailedPrecondition, "PRODUCER_FENCED", "B3"),
        Rejected::SendNumberInvalid { .. } => (Code::FailedPrecondition, "SEND_NUMBER_INVALID", "B3"),
        Rejected::SendNumberConflict { .. } => (Code::AlreadyExists, "SEND_NUMBER_CONFLICT", "B3"),
        Rejected::AlreadyAccepted => (Code::AlreadyExists, "ALREADY_ACCEPTED", "B3"),
        Rejected::TooManyProducers => (Code::ResourceExhausted, "TOO_MANY_PRODUCERS", "B3"),
        Rejected::QueueDeletedRecently => (Code::FailedPrecondition, "QUEUE_DELETED_RECENTLY", "A2"),
        Rejected::PurgeInProgress => (Code::FailedPrecondition, "PURGE_IN_PROGRESS", "A3"),
        Rejected::PolicyChanged => (Code::Aborted, "POLICY_CHANGED", "L12"),
        Rejected::StorageFull => (Code::ResourceExhausted, "STORAGE_FULL", "H5"),
        Rejected::ReceiveAttemptInvalid => (Code::FailedPrecondition, "RECEIVE_ATTEMPT_INVALID", "R7"),
        Rejected::ReceiptForeign => (Code::InvalidArgument, "RECEIPT_FOREIGN", "R4"),
        Rejected::ReceiptExpired => (Code::FailedPrecondition, "RECEIPT_EXPIRED", "R3"),
        Rejected::MessageNotInFlight => (Code::FailedPrecondition, "MESSAGE_NOT_IN_FLIGHT", "R5"),
        Rejected::VisibilityTooLong => (Code::OutOfRange, "VISIBILITY_TOO_LONG", "R6"),
        Rejected::EarlierInFlight { .. } => (Code::FailedPrecondition, "EARLIER_IN_FLIGHT", "O6"),
        Rejected::NotStrict => (Code::FailedPrecondition, "NOT_STRICT", "B6"),
        Rejected::ReaderNotFound => (Code::NotFound, "READER_NOT_FOUND", "B6"),
        Rejected::ReaderFenced { .. } => (Code::FailedPrecondition, "READER_FENCED", "B6"),
        Rejected::ClaimNumberInvalid { .. } => (Code::FailedPrecondition, "CLAIM_NUMBER_INVALID", "B6"),
        Rejected::TooManyOpenClaims => (Code::ResourceExhausted, "TOO_MANY_OPEN_CLAIMS", "B6"),
        Rejected::TooManyReaders => (Code::ResourceExhausted, "TOO_MANY_READERS", "B6"),
        Rejected::ClaimNotOpen => (Code::FailedPrecondition, "CLAIM_NOT_OPEN", "B6"),
        Rejected::ClaimFenced { .. } => (Code::FailedPrecondition, "CLAIM_FENCED", "B2"),
        Rejected::ClaimBurnt => (Code::FailedPrecondition, "CLAIM_BURNT", "B6"),
        Rejected::CommitConflict => (Code::AlreadyExists, "COMMIT_CONFLICT", "B1"),
        Rejected::OutcomeForgotten => (Code::FailedPrecondition, "OUTCOME_FORGOTTEN", "B1"),
        Rejected::OutputRefused { .. } => (Code::FailedPrecondition, "OUTPUT_REFUSED", "B1"),
        Rejected::OutcomeInvalid { .. } => (Code::InvalidArgument, "OUTCOME_INVALID", "B7"),
        Rejected::NoDeadLetterQueue => (Code::FailedPrecondition, "NO_DEAD_LETTER_QUEUE", "B7"),
        Rejected::TooManyTags { .. } => (Code::ResourceExhausted, "TOO_MANY_TAGS", "L12"),
        Rejected::TooManyParked => (Code::ResourceExhausted, "TOO_MANY_PARKED", "B7"),
        Rejected::NotADeadLetterQueue => (Code::FailedPrecondition, "NOT_A_DEAD_LETTER_QUEUE", "Q6"),
        Rejected::MoveDestinationNotFound { .. } => (Code::NotFound, "MOVE_DESTINATION_NOT_FOUND", "Q6"),
        Rejected::MoveDestinationIsSource => (Code::InvalidArgument, "MOVE_DESTINATION_IS_SOURCE", "Q6"),
        Rejected::MoveDestinationKind => (Code::InvalidArgument, "MOVE_DESTINATION_KIND", "Q1"),
        Rejected::MoveRateInvalid => (Code::OutOfRange, "MOVE_RATE_INVALID", "L13"),
        Rejected::MoveTaskRunning => (Code::FailedPrecondition, "MOVE_TASK_RUNNING", "Q6"),
        Rejected::TooManyMoveTasks => (Code::ResourceExhausted, "TOO_MANY_MOVE_TASKS", "L13"),
        Rejected::MoveTaskNotFound => (Code::NotFound, "MOVE_TASK_NOT_FOUND", "Q6"),
        Rejected::MoveTaskEnded => (Code::FailedPrecondition, "MOVE_TASK_ENDED", "Q6"),
        Rejected::ValueOutsideClaim { .. } => (Code::InvalidArgument, "VALUE_OUTSIDE_CLAIM", "B1"),
        Rejected::ValueTooLong { .. } => (Code::InvalidArgument, "VALUE_TOO_LONG", "B1"),
        Rejected::ReaderFull => (Code::ResourceExhausted, "READER_FULL", "B1"),
    }
}

/// What a program may want to know beside the reason.
fn facts(rejected: &Rejected) -> Vec<(&'static str, String)> {
    match rejected {
        Rejected::QueueExists { attribute }
        | Rejected::AttributeFixed { attribute }
        | Rejected::AttributeUnknown { attribute } => {
            vec![("attribute", (*attribute).into())]
        }
        Rejected::AttributeInvalid { attribute, rule } => {
            vec![("attribute", (*attribute).into()), ("range", (*rule).into())]
        }
        Rejected::QueueGenerationChanged { wanted, current } => {
            let current = current.map(|current| ("current", current.to_string()));
            std::iter::once(("wanted", wanted.to_string())).chain(current).collect()
        }
        Rejected::DeadLetterQueueNotFound { name }
        | Rejected::DeadLetterQueueKind { name }
        | Rejected::RedriveNotAllowed { name } => {
            vec![("dead_letter_queue", name.to_string())]
        }
        Rejected::TooManyTags { tags } => vec![("tags", tags.to_string())],
        Rejected::MessageTooLong { limit } => vec![("limit", limit.to_string())],
        Rejected::EarlierInFlight { blocking } => vec![("sequence_number", blocking.to_string())],
        Rejected::ReaderFenced { given, current }
        | Rejected::ClaimFenced { given, current }
        | Rejected::ProducerFenced { given, current } => {
            vec![("given", given.to_string()), ("current", current.to_string())]
        }
        Rejected::SendNumberInvalid { given, next } => vec![("given", given.to_string()), ("next", next.to_string())],
        Rejected::SendNumberConflict { number } => vec![("number", number.to_string())],
        Rejected::ClaimNumberInvalid { next } => vec![("next", next.to_string())],
        Rejected::OutputRefused { index, reason } => {
            vec![("index", index.to_string()), ("output_reason", code(reason).1.into())]
        }
        Rejected::ValueOutsideClaim { key } | Rejected::ValueTooLong { key } => vec![("key", key.clone())],
        Rejected::OutcomeInvalid { group, .. } => vec![("message_group_id", group.to_string())],
        Rejected::MoveDestinationNotFound { name } => vec![("destination", name.to_string())],
        Rejected::QueueNotFound
        | Rejected::NotADeadLetterQueue
        | Rejected::MoveDestinationIsSource
        | Rejected::MoveDestinationKind
        | Rejected::MoveRateInvalid
        | Rejected::MoveTaskRunning
        | Rejected::TooManyMoveTasks
        | Rejected::MoveTaskNotFound
        | Rejected::MoveTaskEnded
        | Rejected::NotFifo
        | Rejected::OverLimit
        | Rejected::DeduplicationIdNotAllowed
        | Rejected::NoDeadLetterQueue
        | Rejected::TooManyParked
        | Rejected::DeadLetterQueueIsSelf
        | Rejected::DelayNotAllowed
        | Rejected::DeduplicationIdMissing
        | Rejected::EarlierRejected
        | Rejected::ProducerNotFound
        | Rejected::AlreadyAccepted
        | Rejected::TooManyProducers
        | Rejected::StorageFull
        | Rejected::ReceiveAttemptInvalid
        | Rejected::ReceiptForeign
        | Rejected::ReceiptExpired
        | Rejected::MessageNotInFlight
        | Rejected::VisibilityTooLong
        | Rejected::NotStrict
        | Rejected::ReaderNotFound
        | Rejected::TooManyOpenClaims
        | Rejected::TooManyReaders
        | Rejected::ClaimNotOpen
        | Rejected::ClaimBurnt
        | Rejected::CommitConflict
        | Rejected::OutcomeForgotten
        | Rejected::ReaderFull
        | Rejected::QueueDeletedRecently
        | Rejected::PurgeInProgress
        | Rejected::PolicyChanged => Vec::new(),
    }
}

/// The id of the message that is in the way, where one is.
fn blocking_id(rejected: &Rejected, handle: &Handle, queue: Option<QueueGeneration>) -> Option<String> {
    if let (Rejected::EarlierInFlight { blocking }, Some(queue)) = (rejected, queue) {
        Some(handle.message_id(queue, *blocking).to_string())
    } else {
        None
    }
}

/// The status of a failed call; `queue` is the life of the queue that it named by receipts, if it did.
pub(super) fn status(failure: &Failure, handle: &Handle, queue: Option<QueueGeneration>) -> Status {
    let text = failure.to_string();
    match failure {
        Failure::Rejected(rejected) => {
            let (code, reason, rule) = code(rejected);
            let mut facts = facts(rejected);
            facts.extend(blocking_id(rejected, handle, queue).map(|id| ("message_id", id)));
            status_with(code, text, reason, rule, facts)
        }
        Failure::Invalid(invalid) => invalid_status(invalid),
        Failure::Unavailable(_) => status_with(Code::Unavailable, text, "OUTCOME_UNKNOWN", "H4", Vec::new()),
        Failure::Overloaded => status_with(Code::Unavailable, text, "OVERLOADED", "H4", Vec::new()),
        Failure::Draining => status_with(Code::Unavailable, text, "DRAINING", "H4", Vec::new()),
        Failure::ClockNotManual => status_with(Code::FailedPrecondition, text, "CLOCK_NOT_MANUAL", "H2", Vec::new()),
        Failure::BackupRunning => status_with(Code::FailedPrecondition, text, "BACKUP_RUNNING", "H9", Vec::new()),
        Failure::BackupFailed(_) => status_with(Code::Aborted, text, "BACKUP_FAILED", "H9", Vec::new()),
        Failure::Damaged { sequence, .. } => {
            let facts = vec![("sequence_number", sequence.to_string())];
            status_with(Code::DataLoss, text, "BODY_DAMAGED", "H6", facts)
        }
    }
}

/// The status of a request that means nothing.
pub(super) fn invalid_status(invalid: &Invalid) -> Status {
    status_with(Code::InvalidArgument, invalid.message.clone(), invalid.reason, invalid.rule, Vec::new())
}

pub(super) fn status_with(
    code: Code,
    text: String,
    reason: &'static str,
    rule: &'static str,
    facts: Vec<(&'static str, String)>,
) -> Status {
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    let metadata: HashMap<String, String> = facts.chain([("rule".to_owned(), rule.to_owned())]).collect();
    Status::with_error_details(code, text, ErrorDetails::with_error_info(reason, DOMAIN, metadata))
}

/// A refused entry of a batch.
pub(super) fn refusal(rejected: &Rejected, handle: &Handle, queue: Option<QueueGeneration>) -> v1::Refusal {
    let (_, reason, rule) = code(rejected);
    let message = match blocking_id(rejected, handle, queue) {
        Some(id) => format!("{rejected} (its id is {id})"),
        None => rejected.to_string(),
    };
    v1::Refusal { reason: reason.into(), message, rule: rule.into(), block_code: 0 }
}

/// An entry of a batch that means nothing.
pub(super) fn invalid_refusal(invalid: &Invalid) -> v1::Refusal {
    let Invalid { reason, message, rule } = invalid;
    v1::Refusal { reason: (*reason).into(), message: message.clone(), rule: (*rule).into(), block_code: 0 }
}

/// The same word for every entry of a block that is refused as a whole.
pub(super) fn of_block(code: Code, refusal: v1::Refusal) -> v1::Refusal {
    v1::Refusal { block_code: u32::try_from(i32::from(code)).expect("codes are 0 to 16"), ..refusal }
}
