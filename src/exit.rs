//! Exit codes: 0 ok, 1 a failure was found, 2 usage, 3 cannot reach the broker, 4 refused. One place decides.

use lockstep_client::Error as ClientError;

/// Something is wrong with data or output; exit 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Found(pub(crate) String);

/// The call makes no sense; exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Nobody answers; exit 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(pub(crate) String);

/// The call is refused by a rule or by what is there; exit 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// The exit code of an error: that of the first cause that has one.
pub(crate) fn code(error: &anyhow::Error) -> u8 {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<Found>() {
                return Some(1);
            }
            if cause.is::<Usage>() {
                return Some(2);
            }
            if cause.is::<Unreachable>() {
                return Some(3);
            }
            if cause.is::<Refused>() {
                return Some(4);
            }
            cause.downcast_ref::<ClientError>().map(client_code)
        })
        .unwrap_or(1)
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused { .. } => 4,
        ClientError::Unreachable { .. } | ClientError::Unavailable { .. } | ClientError::OutcomeUnknown { .. } => 3,
        ClientError::Protocol { .. } => 1,
    }
}
