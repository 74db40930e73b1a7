//! Every way a call can end badly, in five meanings, and how a gRPC status becomes one of them.
//! Whether to ask again is decided in `retry`, what a stopped group does in `producer`; neither belongs here.

use std::{error::Error as _, time::Duration};

use lockstep_proto::v1;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

/// The ErrorInfo domain that marks a refusal as the broker's own word.
pub(crate) const DOMAIN: &str = "lockstep";

/// The reason a message is turned away because an earlier one of its group was not accepted (H1).
pub const EARLIER_REJECTED: &str = "EARLIER_REJECTED";

/// Why a call did not succeed. The variants differ in what is *known* about the call's effect, because that alone
/// decides what a caller may do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The broker refused, finally and durably: this call changed nothing, and asking again the same way ends the
    /// same way.
    #[error("refused: {message} ({reason}{})", rule_suffix(rule))]
    Refused {
        /// The gRPC code of a request that was refused as a whole; `None` for one entry of a batch, which carries only
        /// its reason.
        code: Option<Code>,
        /// The broker's name for it, such as `QUEUE_GENERATION_CHANGED`; stable.
        reason: String,
        /// For people; may change.
        message: String,
        /// The number of the rule that was kept, such as `S2`; may be empty.
        rule: String,
    },
    /// The outcome is unknown and the caller's time or patience ended. Ask again *with the same key*.
    #[error("no answer from the broker, the outcome is unknown: {message}")]
    Unavailable {
        /// What the last try met.
        message: String,
    },
    /// No try of this call got a connection: the broker has seen nothing of it.
    #[error("cannot reach the broker at {endpoint}: {message}")]
    Unreachable {
        /// The address that was tried.
        endpoint: String,
        /// What the last try met.
        message: String,
    },
    /// A send whose key would soon be forgotten by the broker stays unanswered: it may or may not be stored, and
    /// sending it again could store it twice (H11, S13).
    #[error(
        "the outcome of a send is unknown and its deduplication window of {} s is nearly over: group {group}, \
         deduplication id {deduplication_id}: {message}",
        window.as_secs()
    )]
    OutcomeUnknown {
        /// The message's group.
        group: String,
        /// The key under which it was sent.
        deduplication_id: String,
        /// The queue's deduplication window, as it was when the producer began.
        window: Duration,
        /// What the last try met.
        message: String,
    },
    /// An answer that breaks the API, or one that no broker gave. Nothing is known about the call's effect.
    #[error("not an answer of a Lockstep broker: {0}")]
    Protocol(String),
}

fn rule_suffix(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { format!(", rule {rule}") }
}

impl Error {
    /// True when the same call with the same key may be made again and may then succeed: [`Error::Unavailable`] and
    /// [`Error::Unreachable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unavailable { .. } | Error::Unreachable { .. } => true,
            Error::Refused { .. } | Error::OutcomeUnknown { .. } | Error::Protocol(_) => false,
        }
    }

    /// The broker's name for a refusal; `None` for everything that is not one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Error::Refused { reason, .. } => Some(reason),
            Error::Unavailable { .. }
            | Error::Unreachable { .. }
            | Error::OutcomeUnknown { .. }
            | Error::Protocol(_) => None,
        }
    }

    /// The refusal of one entry of a batch.
    pub(crate) fn from_refusal(refusal: v1::Refusal) -> Self {
        let v1::Refusal { reason, message, rule, block_code } = refusal;
        let code = i32::try_from(block_code).ok().filter(|code| *code > 0).map(Code::from);
        Error::Refused { code, reason, message, rule }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Error::Protocol(what.into())
    }
}

/// How one try failed, before anybody decided about another.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The answer is known and will not change.
    Final(Error),
    /// The request may have taken effect.
    Unknown(String),
    /// There was no connection: the request was not sent.
    Unsent(String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if never_sent(&status) {
            return Failure::Unsent(chain(&status));
        }
        match status.code() {
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown | Code::Internal => {
                Failure::Unknown(chain(&status))
            }
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => settled(&status),
        }
    }
}

/// A status with a final code: the broker's word when it carries the broker's ErrorInfo.
fn settled(status: &Status) -> Failure {
    if let Some(info) = status.get_details_error_info().filter(|info| info.domain == DOMAIN) {
        let rule = info.metadata.get("rule").cloned().unwrap_or_default();
        let message = status.message().to_owned();
        return Failure::Final(Error::Refused { code: Some(status.code()), reason: info.reason, message, rule });
    }
    // HTTP/2 resets also borrow final codes (ENHANCE_YOUR_CALM becomes RESOURCE_EXHAUSTED). They have a local cause,
    // which a status read from the wire never has, and say nothing about the call's effect.
    if status.source().is_some() {
        return Failure::Unknown(chain(status));
    }
    Failure::Final(Error::Protocol(format!("{:?} without a reason: {}", status.code(), status.message())))
}

/// Connecting failed, so that no byte of the request left this process.
fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The status's message and its causes, each once: the outer ones alone ("transport error") help nobody.
pub(crate) fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&inner);
        }
        cause = error.source();
    }
    if text.is_empty() { format!("{:?}", status.code()) } else { text }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, domain: &str) -> Status {
        let rule = HashMap::from([("rule".to_owned(), "S2".to_owned())]);
        Status::with_error_details(code, "no id", ErrorDetails::with_error_info("MISSING_ID", domain, rule))
    }

    #[test]
    fn every_final_code_with_the_brokers_error_info_is_a_refusal() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let failure = Failure::from(refused(code, DOMAIN));
            let unknown = [Code::Cancelled, Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable];
            if unknown.contains(&code) {
                assert!(matches!(failure, Failure::Unknown(_)), "{code:?}");
                continue;
            }
            let Failure::Final(error) = failure else { panic!("{code:?}") };
            assert_eq!(error.reason(), Some("MISSING_ID"), "{code:?}");
            assert_eq!(error.to_string(), "refused: no id (MISSING_ID, rule S2)");
            assert!(!error.is_retryable());
        }
    }

    #[test]
    fn a_final_code_that_the_broker_did_not_say_is_no_refusal() {
        for status in [Status::not_found("some proxy"), refused(Code::NotFound, "googleapis.com")] {
            let failure = Failure::from(status);
            assert!(matches!(&failure, Failure::Final(Error::Protocol(_))), "{failure:?}");
        }
    }

    #[test]
    fn a_local_cause_with_a_final_code_is_an_unknown_outcome() {
        let mut status = Status::resource_exhausted("h2 protocol error");
        status.set_source(std::sync::Arc::new(std::io::Error::other("reset")));
        assert!(matches!(Failure::from(status), Failure::Unknown(text) if text == "h2 protocol error: reset"));
    }
}
