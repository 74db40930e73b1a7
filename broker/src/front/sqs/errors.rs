//! How failures look to an AWS SDK: the one table of codes (P3), and the texts that several operations have in common.
//! Which code a rejection of the engine gets is said in `refusals`.

use std::borrow::Cow;

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
    ExpiredToken,
    IncompleteSignature,
    InternalFailure,
    InvalidAction,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidClientTokenId,
    InvalidMessageContents,
    InvalidParameterValue,
    MissingAuthenticationToken,
    MissingParameter,
    OverLimit,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    RequestExpired,
    RequestThrottled,
    RequestTimeout,
    RequestTooLarge,
    ResourceNotFound,
    Serialization,
    ServiceUnavailable,
    SignatureDoesNotMatch,
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
            Self::ExpiredToken => (COMMON, "ExpiredTokenException", "ExpiredToken", 403, Sender),
            Self::IncompleteSignature => (COMMON, "IncompleteSignatureException", "IncompleteSignature", 400, Sender),
            Self::InternalFailure => (COMMON, "InternalFailure", "InternalFailure", 500, Receiver),
            Self::InvalidAction => (COMMON, "InvalidAction", "InvalidAction", 400, Sender),
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
            Self::MissingAuthenticationToken => {
                (COMMON, "MissingAuthenticationTokenException", "MissingAuthenticationToken", 403, Sender)
            }
            Self::MissingParameter => (COMMON, "MissingRequiredParameterException", "MissingParameter", 400, Sender),
            Self::OverLimit => (MODEL, "OverLimit", "OverLimit", 403, Sender),
            Self::PurgeQueueInProgress => {
                (MODEL, "PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403, Sender)
            }
            Self::QueueDeletedRecently => {
                (MODEL, "QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400, Sender)
            }
            Self::QueueDoesNotExist => {
                (MODEL, "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, Sender)
            }
            Self::QueueNameExists => (MODEL, "QueueNameExists", "QueueAlreadyExists", 400, Sender),
            Self::ReceiptHandleIsInvalid => (MODEL, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 400, Sender),
            Self::RequestExpired => (COMMON, "RequestExpiredException", "RequestExpired", 403, Sender),
            Self::RequestThrottled => (MODEL, "RequestThrottled", "RequestThrottled", 403, Sender),
            Self::RequestTimeout => (COMMON, "RequestTimeoutException", "RequestTimeout", 408, Sender),
            Self::RequestTooLarge => (COMMON, "RequestEntityTooLargeException", "RequestEntityTooLarge", 413, Sender),
            Self::ResourceNotFound => (MODEL, "ResourceNotFoundException", "ResourceNotFoundException", 404, Sender),
            Self::Serialization => (COMMON, "SerializationException", "MalformedInput", 400, Sender),
            Self::ServiceUnavailable => (COMMON, "ServiceUnavailableException", "ServiceUnavailable", 503, Receiver),
            Self::SignatureDoesNotMatch => (COMMON, "InvalidSignatureException", "SignatureDoesNotMatch", 403, Sender),
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

impl SqsError {
    /// No queue of that name, or no name of a queue.
    pub(super) fn no_queue() -> Self {
        Self::new(Code::QueueDoesNotExist, "The specified queue does not exist.")
    }

    /// A character that no message may have (L6).
    pub(super) fn characters() -> Self {
        let text = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to \
                    #xFFFD | #x10000 to #x10FFFF";
        Self::new(Code::InvalidMessageContents, text)
    }

    /// A caller that nobody knows.
    pub(super) fn unknown_caller() -> Self {
        Self::new(Code::InvalidClientTokenId, "The security token included in the request is invalid.")
    }
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

/// An ARN that names nothing (Q6).
pub(super) fn no_resource(parameter: &str) -> SqsError {
    let text = format!("The resource that you specified for the {parameter} parameter doesn't exist.");
    SqsError::new(Code::ResourceNotFound, text)
}
