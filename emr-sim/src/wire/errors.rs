//! EMR's error shapes: `InvalidRequestException`, `ValidationException`, `InternalServerException`, with the machine's words
//! as the message. Which rejection is which error is said here, once.

use axum::http::StatusCode;
use serde_json::json;

use crate::cluster::Rejected;
use crate::controller::Refused;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// What is named is not there, or the operation is none of ours.
    #[error("InvalidRequestException: {0}")]
    InvalidRequest(String),
    /// What is asked cannot be.
    #[error("ValidationException: {0}")]
    Validation(String),
    /// The request is not JSON.
    #[error("SerializationException: {0}")]
    Serialization(String),
    /// Nobody can answer now.
    #[error("InternalServerException: {0}")]
    Unavailable(String),
}

impl WireError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::InvalidRequest(_) | Self::Validation(_) | Self::Serialization(_) => StatusCode::BAD_REQUEST,
            Self::Unavailable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn body(&self) -> String {
        let body = match self {
            Self::InvalidRequest(text) => {
                json!({ "__type": "InvalidRequestException", "ErrorCode": "InvalidRequest", "Message": text })
            }
            Self::Validation(text) => json!({ "__type": "ValidationException", "message": text }),
            Self::Serialization(text) => json!({ "__type": "SerializationException", "message": text }),
            Self::Unavailable(text) => json!({ "__type": "InternalServerException", "Message": text }),
        };
        body.to_string()
    }
}

/// The shape and the message of an error answer, for whoever reads one.
#[must_use]
pub fn shown(body: &[u8]) -> Option<(String, String)> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let message = body.get("Message").or_else(|| body.get("message"))?.as_str()?;
    Some((body.get("__type")?.as_str()?.to_owned(), message.to_owned()))
}

impl From<Refused> for WireError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(rejected) => rejected.into(),
            Refused::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<Rejected> for WireError {
    fn from(rejected: Rejected) -> Self {
        let text = rejected.to_string();
        match rejected {
            Rejected::NoSuchCluster(_) | Rejected::NoSuchGroup(_) => Self::InvalidRequest(text),
            Rejected::ClusterEnded(_)
            | Rejected::Protected(_)
            | Rejected::TooManySteps { .. }
            | Rejected::ActionNeedsOneStep(_)
            | Rejected::TooManyClusters
            | Rejected::TooManyInstances(_)
            | Rejected::Invalid(_) => Self::Validation(text),
        }
    }
}
