//! What each door makes of a message that is sent, before anybody is asked: for benchmarks of that alone.

use lockstep_engine::words::QueueName;
use lockstep_proto::v1;

use crate::{Invalid, NewMessage, front};

/// An entry of gRPC's `Send`, `SendBatch` and `Produce`.
///
/// # Errors
/// What it breaks, with the number of the rule.
pub fn grpc(queue: &QueueName, entry: v1::SendEntry) -> Result<NewMessage, Invalid> {
    front::grpc::sent_message(queue, entry)
}

/// The fields of SQS's `SendMessage` in JSON.
///
/// # Errors
/// The text that SQS answers.
pub fn sqs(queue: &QueueName, fields: &[u8]) -> Result<NewMessage, String> {
    front::sqs::sent_message(queue, fields)
}
