//! A queue's attributes in Rust's words: durations instead of numbers of seconds, enums instead of numbers.
//! The limits are the broker's to judge; nothing is checked here.

use std::time::Duration;

use lockstep_proto::v1;
pub use lockstep_proto::v1::{DeduplicationScope, GroupDelivery};

/// Where messages go that were received too often (Q1, Q2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedrivePolicy {
    /// To this queue, instead of the receive after this many.
    To {
        /// Another queue that is there, of the same kind.
        dead_letter_queue: String,
        /// 1 to 1,000.
        max_receive_count: u32,
    },
    /// Nowhere: removes the policy.
    Nowhere,
}

/// Which queues may name this one as their dead-letter queue (Q5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedriveAllowPolicy {
    /// Every queue.
    AllowAll,
    /// No queue.
    DenyAll,
    /// These, 1 to 10.
    ByQueue(Vec<String>),
}

impl From<RedrivePolicy> for v1::RedrivePolicy {
    fn from(given: RedrivePolicy) -> Self {
        match given {
            RedrivePolicy::To { dead_letter_queue, max_receive_count } => {
                v1::RedrivePolicy { dead_letter_queue, max_receive_count }
            }
            RedrivePolicy::Nowhere => v1::RedrivePolicy::default(),
        }
    }
}

impl From<v1::RedrivePolicy> for RedrivePolicy {
    fn from(read: v1::RedrivePolicy) -> Self {
        let v1::RedrivePolicy { dead_letter_queue, max_receive_count } = read;
        if dead_letter_queue.is_empty() {
            RedrivePolicy::Nowhere
        } else {
            RedrivePolicy::To { dead_letter_queue, max_receive_count }
        }
    }
}

impl From<RedriveAllowPolicy> for v1::RedriveAllowPolicy {
    fn from(given: RedriveAllowPolicy) -> Self {
        let (permission, source_queues) = match given {
            RedriveAllowPolicy::AllowAll => (v1::RedrivePermission::AllowAll, Vec::new()),
            RedriveAllowPolicy::DenyAll => (v1::RedrivePermission::DenyAll, Vec::new()),
            RedriveAllowPolicy::ByQueue(queues) => (v1::RedrivePermission::ByQueue, queues),
        };
        v1::RedriveAllowPolicy { permission: permission.into(), source_queues }
    }
}

/// A permission that this client does not know is none.
fn redrive_allow(read: v1::RedriveAllowPolicy) -> Option<RedriveAllowPolicy> {
    match read.permission() {
        v1::RedrivePermission::AllowAll => Some(RedriveAllowPolicy::AllowAll),
        v1::RedrivePermission::DenyAll => Some(RedriveAllowPolicy::DenyAll),
        v1::RedrivePermission::ByQueue => Some(RedriveAllowPolicy::ByQueue(read.source_queues)),
        v1::RedrivePermission::Unspecified => None,
    }
}

/// What a queue is made with or changed to. An absent value means "the default" at creation and "as it is" in a
/// change. Durations are sent in whole seconds, parts of a second rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueAttributes {
    /// Who may hold a group; fixed at creation. `Strict` when absent.
    pub group_delivery: Option<GroupDelivery>,
    /// Use the SHA-256 of the body where a send names no deduplication id (S2, S3). False when absent.
    pub content_based_deduplication: Option<bool>,
    /// Where an equal key is a duplicate; fixed at creation (S7, S8). `Queue` when absent.
    pub deduplication_scope: Option<DeduplicationScope>,
    /// How long a key is remembered: 300 s to 14 days; 300 s when absent (S4, H11).
    pub deduplication_window: Option<Duration>,
    /// How long a receive holds its messages: 0 to 12 h; 30 s when absent (L4).
    pub visibility_timeout: Option<Duration>,
    /// How long an unread message is kept: 60 s to 14 days; 4 days when absent (L4).
    pub message_retention: Option<Duration>,
    /// 1,024 to 1,048,576 bytes of body; 1,048,576 when absent (L2).
    pub maximum_message_size: Option<u32>,
    /// How long a receive waits for a first message: 0 to 20 s; 0 when absent (R1).
    pub receive_wait: Option<Duration>,
    /// Where messages go that were received too often; nowhere when absent (Q1).
    pub redrive_policy: Option<RedrivePolicy>,
    /// Which queues may name this one as their dead-letter queue; all when absent (Q5).
    pub redrive_allow_policy: Option<RedriveAllowPolicy>,
    /// How long a new message stays hidden: 0 to 900 s; 0 when absent. A change moves the messages that are still
    /// delayed with it (L4, S11).
    pub delay: Option<Duration>,
}

/// Whole seconds, rounded up; more than fits is as much as fits, and the broker says no to it.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

impl From<QueueAttributes> for v1::QueueAttributes {
    fn from(given: QueueAttributes) -> Self {
        v1::QueueAttributes {
            group_delivery: given.group_delivery.map(i32::from),
            content_based_deduplication: given.content_based_deduplication,
            deduplication_scope: given.deduplication_scope.map(i32::from),
            deduplication_window_seconds: given.deduplication_window.map(seconds),
            visibility_timeout_seconds: given.visibility_timeout.map(seconds),
            message_retention_seconds: given.message_retention.map(seconds),
            maximum_message_size_bytes: given.maximum_message_size,
            receive_wait_seconds: given.receive_wait.map(seconds),
            redrive_policy: given.redrive_policy.map(Into::into),
            redrive_allow_policy: given.redrive_allow_policy.map(Into::into),
            delay_seconds: given.delay.map(seconds),
        }
    }
}

/// Enum numbers that this client does not know become `Unspecified`.
impl From<v1::QueueAttributes> for QueueAttributes {
    fn from(read: v1::QueueAttributes) -> Self {
        let duration = |seconds: u32| Duration::from_secs(seconds.into());
        QueueAttributes {
            group_delivery: read.group_delivery.map(|_| read.group_delivery()),
            content_based_deduplication: read.content_based_deduplication,
            deduplication_scope: read.deduplication_scope.map(|_| read.deduplication_scope()),
            deduplication_window: read.deduplication_window_seconds.map(duration),
            visibility_timeout: read.visibility_timeout_seconds.map(duration),
            message_retention: read.message_retention_seconds.map(duration),
            maximum_message_size: read.maximum_message_size_bytes,
            receive_wait: read.receive_wait_seconds.map(duration),
            redrive_policy: read.redrive_policy.map(Into::into),
            redrive_allow_policy: read.redrive_allow_policy.and_then(redrive_allow),
            delay: read.delay_seconds.map(duration),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_their_units_both_ways() {
        let given = QueueAttributes {
            group_delivery: Some(GroupDelivery::Prefix),
            content_based_deduplication: Some(true),
            deduplication_scope: Some(DeduplicationScope::MessageGroup),
            deduplication_window: Some(Duration::from_secs(300)),
            visibility_timeout: Some(Duration::ZERO),
            message_retention: None,
            maximum_message_size: Some(1024),
            receive_wait: Some(Duration::from_secs(20)),
            redrive_policy: Some(RedrivePolicy::To { dead_letter_queue: "dead.fifo".into(), max_receive_count: 3 }),
            redrive_allow_policy: Some(RedriveAllowPolicy::ByQueue(vec!["a.fifo".into()])),
            delay: Some(Duration::from_secs(900)),
        };
        assert_eq!(QueueAttributes::from(v1::QueueAttributes::from(given.clone())), given);
    }

    #[test]
    fn parts_of_a_second_are_rounded_up_so_that_a_small_timeout_never_means_none() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(30)), 30);
        assert_eq!(seconds(Duration::MAX), u32::MAX);
    }
}
