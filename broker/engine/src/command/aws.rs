//! What only callers of the SQS wire ask for: the same deeds under rules that gRPC has otherwise or not at all.

use super::{CreateQueue, PurgeQueue, QueueRef, Send};
use crate::{GroupDelivery, words::Policy};

/// Creates a queue (A1) whose delivery is SQS's unless it is given, and which may have to wait for its name (A2).
#[derive(Clone, Debug)]
pub struct CreateSqsQueue {
    /// The queue.
    pub create: CreateQueue,
    /// What a new FIFO queue gets where no delivery is given; a queue that is there is not compared with it.
    pub delivery: GroupDelivery,
    /// Whether the name must have been free for 60 s (A2).
    pub spaced: bool,
}

/// Purges a queue, which may have to wait for the purge before it (A3).
#[derive(Clone, Debug)]
pub struct PurgeSqsQueue {
    /// The queue.
    pub purge: PurgeQueue,
    /// Whether the last purge must be 60 s ago (A3).
    pub spaced: bool,
}

/// Sends messages as a batch of SQS does: a rejected entry rejects no other (P4), but one that has no deduplication id
/// and needs one refuses them all (S1). Its session counts for nothing.
#[derive(Clone, Debug)]
pub struct SendSeparately(pub Send);

/// Sets or removes a queue's policy, if the present one is the one that the caller has seen (L12).
#[derive(Clone, Debug)]
pub struct ReplacePolicy {
    /// The queue.
    pub queue: QueueRef,
    /// The policy that the new one was made from.
    pub seen: Option<Policy>,
    /// The policy from now on.
    pub policy: Option<Policy>,
}
