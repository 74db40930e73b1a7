//! The operations, one file a family: a typed request to commands of the handle, and what they answer to a typed answer.
//! No protocol is known here. Which right an operation needs is said in its row.

mod attributes;
mod batches;
mod change;
mod delete;
mod moves;
mod outgoing;
mod permissions;
mod queues;
mod receive;
mod send;
mod tags;

use axum::response::Response;

pub(crate) use self::send::sent_message;

use super::{
    Protocol, Services,
    caller::Caller,
    errors::SqsError,
    refusals::{failure, plain},
};
use crate::front::access::Right;

macro_rules! operations {
    ($($name:ident => $module:ident::$function:ident, $right:ident;)*) => {
        /// What can be asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {
            $($name,)*
        }

        impl Operation {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The operation of that name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The right that it needs.
            pub(super) const fn right(self) -> Right {
                match self {
                    $(Self::$name => Right::$right,)*
                }
            }
        }

        /// Reads a request, carries it out and writes its answer.
        pub(super) async fn perform<P: Protocol>(
            protocol: &P,
            services: &Services,
            caller: &Caller,
            operation: Operation,
            body: &[u8],
        ) -> Result<Response, SqsError> {
            match operation {
                $(Operation::$name => {
                    let answer = $module::$function(services, caller, protocol.read(body)?).await?;
                    Ok(protocol.write(operation, &answer))
                })*
            }
        }
    };
}

operations! {
    AddPermission => permissions::add_permission, Admin;
    CancelMessageMoveTask => moves::cancel_message_move_task, Admin;
    ChangeMessageVisibility => change::change_message_visibility, Receive;
    ChangeMessageVisibilityBatch => change::change_message_visibility_batch, Receive;
    CreateQueue => queues::create_queue, Admin;
    DeleteMessage => delete::delete_message, Receive;
    DeleteMessageBatch => delete::delete_message_batch, Receive;
    DeleteQueue => queues::delete_queue, Admin;
    GetQueueAttributes => queues::get_queue_attributes, Read;
    GetQueueUrl => queues::get_queue_url, Read;
    ListDeadLetterSourceQueues => moves::list_dead_letter_source_queues, Read;
    ListMessageMoveTasks => moves::list_message_move_tasks, Read;
    ListQueueTags => tags::list_queue_tags, Read;
    ListQueues => queues::list_queues, Read;
    PurgeQueue => queues::purge_queue, Admin;
    ReceiveMessage => receive::receive_message, Receive;
    RemovePermission => permissions::remove_permission, Admin;
    SendMessage => send::send_message, Send;
    SendMessageBatch => send::send_message_batch, Send;
    SetQueueAttributes => queues::set_queue_attributes, Admin;
    StartMessageMoveTask => moves::start_message_move_task, Admin;
    TagQueue => tags::tag_queue, Admin;
    UntagQueue => tags::untag_queue, Admin;
}

/// What an operation comes to.
type Answered<T> = Result<T, SqsError>;

/// A field that must be there and not empty.
fn required<'a, T: std::ops::Deref<Target = str>>(field: &'a Option<T>, name: &str) -> Answered<&'a str> {
    field.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| SqsError::missing(name))
}

/// A number within a range; in seconds, counts or whatever its text says.
fn ranged(value: Option<i64>, low: i64, high: i64, name: &str, reason: &str) -> Answered<Option<u64>> {
    match value {
        Some(value) if value < low || value > high => Err(SqsError::value(value, name, reason)),
        Some(value) => Ok(Some(u64::try_from(value).expect("no range begins below 0"))),
        None => Ok(None),
    }
}

/// A visibility timeout in milliseconds (L4, R6).
fn visibility(seconds: Option<i64>) -> Answered<Option<u64>> {
    let reason = "Must be between 0 and 43200, if provided.";
    Ok(ranged(seconds, 0, 43_200, "VisibilityTimeout", reason)?.map(|seconds| seconds * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_known_by_their_names_and_have_the_rights_of_their_likes() {
        for operation in Operation::ALL {
            let name = operation.name();
            assert_eq!(Operation::named(name), Some(*operation));
            let looks = name.starts_with("Get") || name.starts_with("List");
            assert_eq!(operation.right() == Right::Read, looks, "{name}");
        }
        assert_eq!(Operation::named("Nothing"), None);
    }
}
