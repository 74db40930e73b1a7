//! How failures look to an AWS SDK (P3): the one table of codes, and what a rejection, a fault or a request without
//! meaning becomes. It has no catch-all, so that a new rejection does not compile until it has a code.
//!
//! SDKs ask again by themselves after a 5xx and after `RequestThrottled`, under the same ids; every other code is final
//! to them. So doubt, a broker that drains and a full disk are 503: space comes back when messages are deleted, and a
//! producer that was told something final would drop what it has. What the SQS door cannot bring about is
//! `UnsupportedOperation`, with its own text.

use std::borrow::Cow;

use lockstep_engine::{Rejected, words::QueueGeneration};

use crate::{failure::Failure, handle::Handle};

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Sender,
    Receiver,
}

/// What a program sees of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    AccessDenied,
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InternalFailure,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidClientTokenId,
    InvalidMessageContents,
    InvalidParameterValue,
    MissingParameter,
    OverLimit,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    RequestThrottled,
    RequestTimeout,
    RequestTooLarge,
    ResourceNotFound,
    Serialization,
    ServiceUnavailable,
    TooManyEntriesInBatchRequest,
    UnknownOperation,
    UnsupportedMediaType,
    UnsupportedOperation,
}

/// The namespace of the shapes that the service's model names.
const MODEL: &str = "com.amazonaws.sqs#";
/// That of the shapes which every service has.
const COMMON: &str = "com.amazon.coral.service#";

impl Code {
    /// Namespace and name of the shape in JSON, the code of the query protocol, the status, who has to act.
    const fn row(self) -> (&'static str, &'static str, &'static str, u16, Fault) {
        use Fault::{Receiver, Sender};
        match self {
            Self::AccessDenied => (COMMON, "AccessDeniedException", "AccessDenied", 403, Sender),
            Self::BatchEntryIdsNotDistinct => {
                (MODEL, "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400, Sender)
            }
            Self::BatchRequestTooLong => {
                (MODEL, "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400, Sender)
            }
            Self::EmptyBatchRequest => {
                (MODEL, "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400, Sender)
            }
            Self::InternalFailure => (COMMON, "InternalFailure", "InternalFailure", 500, Receiver),
            Self::InvalidAttributeName => (MODEL, "InvalidAttributeName", "InvalidAttributeName", 400, Sender),
            Self::InvalidAttributeValue => (MODEL, "InvalidAttributeValue", "InvalidAttributeValue", 400, Sender),
            Self::InvalidBatchEntryId => {
                (MODEL, "InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400, Sender)
            }
            Self::InvalidClientTokenId => (COMMON, "UnrecognizedClientException", "InvalidClientTokenId", 403, Sender),
            Self::InvalidMessageContents => (MODEL, "InvalidMessageContents", "InvalidMessageContents", 400, Sender),
            Self::InvalidParameterValue => {
                (COMMON, "InvalidParameterValueException", "InvalidParameterValue", 400, Sender)
            }
            Self::MissingParameter => (COMMON, "MissingRequiredParameterException", "MissingParameter", 400, Sender),
            Self::OverLimit => (MODEL, "OverLimit", "OverLimit", 403, Sender),
            Self::QueueDoesNotExist => {
                (MODEL, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, Sender)
            }
            Self::QueueNameExists => (MODEL, "QueueNameExists", "QueueAlreadyExists", 400, Sender),
            Self::ReceiptHandleIsInvalid => (MODEL, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 400, Sender),
            Self::RequestThrottled => (MODEL, "RequestThrottled", "RequestThrottled", 403, Sender),
            Self::RequestTimeout => (COMMON, "RequestTimeoutException", "RequestTimeout", 408, Sender),
            Self::RequestTooLarge => (COMMON, "RequestEntityTooLargeException", "RequestEntityTooLarge", 413, Sender),
            Self::ResourceNotFound => (MODEL, "ResourceNotFoundException", "ResourceNotFoundException", 404, Sender),
            Self::Serialization => (COMMON, "SerializationException", "MalformedInput", 400, Sender),
            Self::ServiceUnavailable => (COMMON, "ServiceUnavailableException", "ServiceUnavailable", 503, Receiver),
            Self::TooManyEntriesInBatchRequest => (
                MODEL,
                "TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                400,
                Sender,
            ),
            Self::UnknownOperation => (COMMON, "UnknownOperationException", "InvalidAction", 400, Sender),
            Self::UnsupportedMediaType => {
                (COMMON, "UnsupportedMediaTypeException", "UnsupportedMediaType", 415, Sender)
            }
            Self::UnsupportedOperation => {
                (MODEL, "UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400, Sender)
            }
        }
    }

    /// The shape in JSON, with its namespace.
    pub(super) fn shape(self) -> String {
        let (namespace, name, ..) = self.row();
        format!("{namespace}{name}")
    }

    /// The code of the query protocol, which failed entries of batches have in every protocol.
    pub(super) const fn query(self) -> &'static str {
        self.row().2
    }

    pub(super) const fn status(self) -> u16 {
        self.row().3
    }

    pub(super) const fn fault(self) -> Fault {
        self.row().4
    }
}

/// A failure: a code and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqsError {
    pub(super) code: Code,
    pub(super) text: Cow<'static, str>,
}

impl SqsError {
    pub(super) fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into() }
    }

    /// A parameter that must be there.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(Code::MissingParameter, format!("The request must contain the parameter {parameter}."))
    }

    /// A value that a parameter cannot have.
    pub(super) fn value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Self {
        let text = format!("Value {value} for parameter {parameter} is invalid. Reason: {reason}");
        Self::new(Code::InvalidParameterValue, text)
    }

    /// A parameter that a queue of this kind does not have (S10).
    pub(super) fn wrong_kind(value: impl std::fmt::Display, parameter: &str) -> Self {
        Self::value(value, parameter, "The request include parameter that is not valid for this queue type.")
    }

    /// A text that is no id (L5).
    pub(super) fn id(value: &str, parameter: &str) -> Self {
        let reason =
            format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
        Self::value(value, parameter, &reason)
    }

    /// A handle that this broker never gave, or gave for another queue (R4).
    pub(super) fn garbage_handle(handle: &str) -> Self {
        let text = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
        Self::new(Code::ReceiptHandleIsInvalid, text)
    }
}

impl From<Code> for SqsError {
    /// A code whose text is always the same.
    fn from(code: Code) -> Self {
        let text = match code {
            Code::QueueDoesNotExist => "The specified queue does not exist.",
            Code::InvalidClientTokenId => "The security token included in the request is invalid.",
            Code::InvalidMessageContents => {
                "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to \
                 #xFFFD | #x10000 to #x10FFFF."
            }
            Code::AccessDenied
            | Code::BatchEntryIdsNotDistinct
            | Code::BatchRequestTooLong
            | Code::EmptyBatchRequest
            | Code::InternalFailure
            | Code::InvalidAttributeName
            | Code::InvalidAttributeValue
            | Code::InvalidBatchEntryId
            | Code::InvalidParameterValue
            | Code::MissingParameter
            | Code::OverLimit
            | Code::QueueNameExists
            | Code::ReceiptHandleIsInvalid
            | Code::RequestThrottled
            | Code::RequestTimeout
            | Code::RequestTooLarge
            | Code::ResourceNotFound
            | Code::Serialization
            | Code::ServiceUnavailable
            | Code::TooManyEntriesInBatchRequest
            | Code::UnknownOperation
            | Code::UnsupportedMediaType
            | Code::UnsupportedOperation => "",
        };
        Self::new(code, text)
    }
}

/// What the caller named, for the texts that repeat it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Named<'a> {
    /// Nothing that a text repeats.
    #[default]
    Nothing,
    /// The receipt handle of a single call.
    Handle(&'a str),
    /// That of an entry of a batch, for which some codes differ (R3).
    HandleOfEntry(&'a str),
    /// A message of a batch, for which some texts differ (P4).
    Entry,
    /// A receive request attempt id (R7).
    Attempt(&'a str),
    /// A redrive policy (Q1).
    Redrive(&'a str),
}

impl Named<'_> {
    /// A fault of the receipt handle that was named.
    fn handle_fault(self, reason: &str) -> SqsError {
        match self {
            Self::Handle(handle) | Self::HandleOfEntry(handle) => SqsError::value(handle, "ReceiptHandle", reason),
            Self::Nothing | Self::Entry | Self::Attempt(_) | Self::Redrive(_) => {
                SqsError::new(Code::InvalidParameterValue, reason.to_owned())
            }
        }
    }
}

/// What a call without success looks like.
pub(super) fn failure(failure: &Failure, named: Named<'_>) -> SqsError {
    let unavailable = || SqsError::new(Code::ServiceUnavailable, failure.to_string());
    match failure {
        Failure::Rejected(rejected) => self::rejected(rejected, named),
        Failure::Invalid(invalid) => SqsError::new(Code::InvalidParameterValue, invalid.message.clone()),
        Failure::Unavailable(_) | Failure::Draining => unavailable(),
        Failure::Overloaded => SqsError::new(Code::RequestThrottled, failure.to_string()),
        Failure::Damaged { .. } => SqsError::new(Code::InternalFailure, failure.to_string()),
        Failure::ClockNotManual => SqsError::new(Code::UnsupportedOperation, failure.to_string()),
    }
}

/// A failure that repeats nothing of what the caller named.
pub(super) fn plain(failure: &Failure) -> SqsError {
    self::failure(failure, Named::Nothing)
}

/// What a rejection looks like, of a whole call or of an entry.
pub(super) fn rejected(rejected: &Rejected, named: Named<'_>) -> SqsError {
    let with = |code| SqsError::new(code, rejected.to_string());
    match rejected {
        Rejected::QueueNotFound | Rejected::QueueGenerationChanged { .. } => Code::QueueDoesNotExist.into(),
        Rejected::QueueExists { attribute } => SqsError::new(
            Code::QueueNameExists,
            format!("A queue already exists with the same name and a different value for attribute {attribute}"),
        ),
        Rejected::AttributeInvalid { attribute, .. } => attribute_value(attribute),
        Rejected::AttributeFixed { attribute } => SqsError::new(
            Code::InvalidAttributeValue,
            format!("Invalid value for the parameter {attribute}. Reason: It is fixed at creation."),
        ),
        Rejected::AttributeUnknown { attribute } => unknown_attribute(attribute),
        Rejected::DeadLetterQueueNotFound { .. }
        | Rejected::DeadLetterQueueIsSelf
        | Rejected::DeadLetterQueueKind { .. }
        | Rejected::RedriveNotAllowed { .. } => redrive_policy(rejected, named),
        Rejected::MessageTooLong { limit } => too_long(*limit, matches!(named, Named::Entry)),
        Rejected::DeduplicationIdMissing => SqsError::new(
            Code::InvalidParameterValue,
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
             explicitly",
        ),
        Rejected::DelayNotAllowed | Rejected::DeduplicationIdNotAllowed => with(Code::InvalidParameterValue),
        Rejected::ReceiveAttemptInvalid => match named {
            Named::Attempt(id) => SqsError::value(id, "ReceiveRequestAttemptId", NOT_RETRYABLE),
            Named::Nothing | Named::Entry | Named::Handle(_) | Named::HandleOfEntry(_) | Named::Redrive(_) => {
                with(Code::InvalidParameterValue)
            }
        },
        Rejected::ReceiptForeign => match named {
            Named::Handle(handle) | Named::HandleOfEntry(handle) => SqsError::garbage_handle(handle),
            Named::Nothing | Named::Entry | Named::Attempt(_) | Named::Redrive(_) => with(Code::ReceiptHandleIsInvalid),
        },
        Rejected::ReceiptExpired => match named {
            Named::HandleOfEntry(_) => SqsError::new(Code::ReceiptHandleIsInvalid, "The receipt handle has expired"),
            Named::Handle(_) | Named::Nothing | Named::Entry | Named::Attempt(_) | Named::Redrive(_) => {
                named.handle_fault("The receipt handle has expired.")
            }
        },
        Rejected::MessageNotInFlight => {
            named.handle_fault("Message does not exist or is not available for visibility timeout change.")
        }
        Rejected::VisibilityTooLong => SqsError::new(
            Code::InvalidParameterValue,
            "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
        ),
        Rejected::EarlierInFlight { .. } => named.handle_fault(&format!("{rejected}.")),
        Rejected::StorageFull => with(Code::ServiceUnavailable),
        // An entry that only waits for an earlier one is asked again.
        Rejected::EarlierRejected => with(Code::ServiceUnavailable),
        Rejected::OverLimit => SqsError::new(Code::OverLimit, "Too many messages in flight: at most 120000."),
        Rejected::TooManyTags { .. } => with(Code::InvalidParameterValue),
        Rejected::NotADeadLetterQueue => {
            SqsError::new(Code::InvalidParameterValue, "Source queue must be configured as a Dead Letter Queue.")
        }
        Rejected::MoveDestinationNotFound { .. } => no_resource("DestinationArn"),
        Rejected::MoveTaskRunning => SqsError::new(
            Code::InvalidParameterValue,
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        ),
        Rejected::MoveTaskNotFound => SqsError::new(Code::ResourceNotFound, "Task does not exist."),
        Rejected::MoveDestinationIsSource
        | Rejected::MoveDestinationKind
        | Rejected::MoveRateInvalid
        | Rejected::MoveTaskEnded => with(Code::InvalidParameterValue),
        Rejected::TooManyMoveTasks => with(Code::OverLimit),
        // None of these can be asked for in the words of SQS.
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

/// A message longer than its queue allows, alone (L2) or in a batch (P4).
fn too_long(limit: u32, of_batch: bool) -> SqsError {
    let what = if of_batch { "cannot be validated" } else { "are invalid" };
    let text = format!("One or more parameters {what}. Reason: Message must be shorter than {limit} bytes.");
    SqsError::new(Code::InvalidParameterValue, text)
}

/// An attribute that the queue does not have (L8).
pub(super) fn unknown_attribute(attribute: &str) -> SqsError {
    let text = match attribute {
        "DeduplicationScope" | "FifoThroughputLimit" => {
            format!("You can specify the {attribute} only when FifoQueue is set to true.")
        }
        _ => format!("Unknown Attribute {attribute}."),
    };
    SqsError::new(Code::InvalidAttributeName, text)
}

/// An attribute with a value that it cannot have.
pub(super) fn attribute_value(attribute: &str) -> SqsError {
    SqsError::new(Code::InvalidAttributeValue, format!("Invalid value for the parameter {attribute}."))
}

/// A redrive policy that cannot be (Q1).
fn redrive_policy(rejected: &Rejected, named: Named<'_>) -> SqsError {
    let policy = match named {
        Named::Redrive(policy) => policy,
        Named::Nothing | Named::Entry | Named::Handle(_) | Named::HandleOfEntry(_) | Named::Attempt(_) => "",
    };
    match rejected {
        Rejected::DeadLetterQueueNotFound { .. } => {
            SqsError::value(policy, "RedrivePolicy", "Dead letter target does not exist.")
        }
        other => SqsError::value(policy, "RedrivePolicy", &format!("{other}.")),
    }
}

/// An ARN that names nothing (Q6).
pub(super) fn no_resource(parameter: &str) -> SqsError {
    let text = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
    SqsError::new(Code::ResourceNotFound, text)
}

/// The text of a delete that would leave a hole, with the id of the message that is in the way.
pub(super) fn hole(handle: &Handle, rejected: &Rejected, named: Named<'_>, queue: QueueGeneration) -> SqsError {
    let Rejected::EarlierInFlight { blocking } = rejected else { return self::rejected(rejected, named) };
    let id = handle.message_id(queue, *blocking);
    named.handle_fault(&format!("{rejected}; its id is {id}."))
}
