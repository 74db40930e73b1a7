//! What a rejection of the engine, a fault or a request without meaning becomes for an AWS SDK. It has no catch-all, so
//! that a new rejection does not compile until it has a code.
//!
//! SDKs ask again by themselves after a 5xx and after `RequestThrottled`, under the same ids; every other code is final
//! to them. So doubt, a broker that drains and a full disk are 503: space comes back when messages are deleted, and a
//! producer that was told something final would drop what it has. What the SQS door cannot bring about is
//! `UnsupportedOperation`, with its own text.

use lockstep_engine::{Rejected, words::QueueGeneration};

use super::errors::{Code, SqsError, attribute_value, no_resource, unknown_attribute};
use crate::{failure::Failure, handle::Handle};

/// What the caller named, for the texts that repeat it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Named<'a> {
    /// Nothing that a text repeats.
    #[default]
    Nothing,
    /// A message of a batch, for which some texts differ (P4).
    Entry,
    /// The receipt handle of a single call.
    Handle(&'a str),
    /// That of an entry of a batch, for which some codes differ (R3).
    HandleOfEntry(&'a str),
    /// A receive request attempt id (R7).
    Attempt(&'a str),
    /// A redrive policy (Q1).
    Redrive(&'a str),
    /// A queue (A3).
    Queue(&'a str),
}

impl<'a> Named<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Nothing | Self::Entry => "",
            Self::Handle(text)
            | Self::HandleOfEntry(text)
            | Self::Attempt(text)
            | Self::Redrive(text)
            | Self::Queue(text) => text,
        }
    }

    /// A fault of the receipt handle that was named.
    fn handle(self, reason: &str) -> SqsError {
        SqsError::value(self.text(), "ReceiptHandle", reason)
    }
}

/// What a call without success looks like.
pub(super) fn failure(failure: &Failure, named: Named<'_>) -> SqsError {
    let with = |code| SqsError::new(code, failure.to_string());
    match failure {
        Failure::Rejected(rejected) => self::rejected(rejected, named),
        Failure::Invalid(_) => with(Code::InvalidParameterValue),
        Failure::Unavailable(_) | Failure::Draining => with(Code::ServiceUnavailable),
        Failure::Overloaded => with(Code::RequestThrottled),
        Failure::Damaged { .. } => with(Code::InternalFailure),
        Failure::ClockNotManual | Failure::BackupRunning | Failure::BackupFailed(_) => with(Code::UnsupportedOperation),
    }
}

/// A failure whose text repeats nothing that the caller named.
pub(super) fn plain(failure: &Failure) -> SqsError {
    self::failure(failure, Named::Nothing)
}

/// The text of a delete that would leave a hole, with the id of the message that is in the way.
pub(super) fn hole(handle: &Handle, rejected: &Rejected, named: Named<'_>, queue: QueueGeneration) -> SqsError {
    let Rejected::EarlierInFlight { blocking } = rejected else { return self::rejected(rejected, named) };
    let id = handle.message_id(queue, *blocking);
    named.handle(&format!("{rejected}; its id is {id}."))
}

/// What a rejection looks like, of a whole call or of an entry.
pub(super) fn rejected(rejected: &Rejected, named: Named<'_>) -> SqsError {
    let with = |code| SqsError::new(code, rejected.to_string());
    let invalid = |text: &'static str| SqsError::new(Code::InvalidParameterValue, text);
    match rejected {
        Rejected::QueueNotFound | Rejected::QueueGenerationChanged { .. } => SqsError::no_queue(),
        Rejected::QueueExists { attribute } => exists(attribute),
        Rejected::QueueDeletedRecently => SqsError::new(
            Code::QueueDeletedRecently,
            "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        ),
        Rejected::PurgeInProgress => purged(named),
        Rejected::AttributeInvalid { attribute, .. } | Rejected::AttributeFixed { attribute } => {
            attribute_value(attribute)
        }
        Rejected::AttributeUnknown { attribute } => unknown_attribute(attribute),
        Rejected::DeadLetterQueueNotFound { .. } => {
            SqsError::value(named.text(), "RedrivePolicy", "Dead letter target does not exist.")
        }
        Rejected::DeadLetterQueueIsSelf | Rejected::DeadLetterQueueKind { .. } | Rejected::RedriveNotAllowed { .. } => {
            SqsError::value(named.text(), "RedrivePolicy", &format!("{rejected}."))
        }
        Rejected::MessageTooLong { limit } => too_long(*limit, named),
        Rejected::DeduplicationIdMissing => invalid(NO_ID),
        Rejected::ReceiveAttemptInvalid => SqsError::value(named.text(), "ReceiveRequestAttemptId", NOT_RETRYABLE),
        Rejected::ReceiptForeign => SqsError::garbage_handle(named.text()),
        Rejected::ReceiptExpired if matches!(named, Named::HandleOfEntry(_)) => {
            SqsError::new(Code::ReceiptHandleIsInvalid, "The receipt handle has expired")
        }
        Rejected::ReceiptExpired => named.handle("The receipt handle has expired."),
        Rejected::MessageNotInFlight => {
            named.handle("Message does not exist or is not available for visibility timeout change.")
        }
        Rejected::VisibilityTooLong => {
            invalid("Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
        }
        Rejected::EarlierInFlight { .. } => named.handle(&format!("{rejected}.")),
        Rejected::OverLimit | Rejected::TooManyMoveTasks => with(Code::OverLimit),
        Rejected::NotADeadLetterQueue => invalid("Source queue must be configured as a Dead Letter Queue."),
        Rejected::MoveDestinationNotFound { .. } => no_resource("DestinationArn"),
        Rejected::MoveTaskRunning => invalid(TASK_RUNNING),
        Rejected::MoveTaskNotFound => SqsError::new(Code::ResourceNotFound, "Task does not exist."),
        // Space comes back, an earlier entry may fare better, and who was faster is done by now.
        Rejected::StorageFull | Rejected::EarlierRejected | Rejected::PolicyChanged => with(Code::ServiceUnavailable),
        Rejected::DelayNotAllowed
        | Rejected::DeduplicationIdNotAllowed
        | Rejected::TooManyTags { .. }
        | Rejected::MoveDestinationIsSource
        | Rejected::MoveDestinationKind
        | Rejected::MoveRateInvalid
        | Rejected::MoveTaskEnded => with(Code::InvalidParameterValue),
        // None of these can be brought about in the words of SQS.
        Rejected::NotFifo
        | Rejected::ProducerNotFound
        | Rejected::ProducerFenced { .. }
        | Rejected::SendNumberInvalid { .. }
        | Rejected::SendNumberConflict { .. }
        | Rejected::AlreadyAccepted
        | Rejected::TooManyProducers
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
        | Rejected::ValueOutsideClaim { .. }
        | Rejected::ValueTooLong { .. }
        | Rejected::ReaderFull => with(Code::UnsupportedOperation),
    }
}

const NOT_RETRYABLE: &str = "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable.";
const NO_ID: &str =
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly";
const TASK_RUNNING: &str =
    "There is already a task running. Only one active task is allowed for a source queue arn at a given time.";

fn exists(attribute: &str) -> SqsError {
    let text = format!("A queue already exists with the same name and a different value for attribute {attribute}");
    SqsError::new(Code::QueueNameExists, text)
}

fn purged(named: Named<'_>) -> SqsError {
    let text = format!("Only one PurgeQueue operation on {} is allowed every 60 seconds.", named.text());
    SqsError::new(Code::PurgeQueueInProgress, text)
}

/// A message longer than its queue allows, alone (L2) or in a batch (P4).
fn too_long(limit: u32, named: Named<'_>) -> SqsError {
    let what = if matches!(named, Named::Entry) { "cannot be validated" } else { "are invalid" };
    let text = format!("One or more parameters {what}. Reason: Message must be shorter than {limit} bytes.");
    SqsError::new(Code::InvalidParameterValue, text)
}
