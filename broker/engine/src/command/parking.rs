//! What an operator asks of groups: to deliver nothing, and to go on (B7).

use super::QueueRef;
use crate::words::GroupId;

/// Parks a group: it delivers nothing until it is unparked. What is held of it stays with its holder.
#[derive(Clone, Debug)]
pub struct Park {
    /// The queue.
    pub queue: QueueRef,
    /// The group; it need not have messages yet.
    pub group: GroupId,
}

/// Lets parked groups deliver again.
#[derive(Clone, Debug)]
pub struct Unpark {
    /// The queue.
    pub queue: QueueRef,
    /// One group; absent: the first 1,000 of all.
    pub group: Option<GroupId>,
}
