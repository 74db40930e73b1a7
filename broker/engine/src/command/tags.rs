//! What is asked of a queue's tags (L12).

use super::QueueRef;
use crate::words::{TagKey, Tags};

/// Adds tags to a queue; a key that is there gets the new value.
#[derive(Clone, Debug)]
pub struct TagQueue {
    /// The queue.
    pub queue: QueueRef,
    /// Its new tags.
    pub tags: Tags,
}

/// Removes tags from a queue; a key that is not there is passed over.
#[derive(Clone, Debug)]
pub struct UntagQueue {
    /// The queue.
    pub queue: QueueRef,
    /// The keys of the tags.
    pub keys: Vec<TagKey>,
}
