//! What only the SQS wire asks of the broker, as its front sees it: the same deeds under AWS's rules.

use lockstep_engine::{
    command::{CreateSqsQueue, PurgeSqsQueue, QueueRef, ReplacePolicy, SendSeparately},
    reply::{Accepted, QueueCreated},
};

use super::{Handle, NewMessage, Outcomes, pending::prepare_send};
use crate::failure::Failure;

impl Handle {
    /// As [`Handle::create_queue`], with a delivery for a queue of which none is given, and AWS's distance to the
    /// deletion of the name, where it is wanted (A2).
    ///
    /// # Errors
    /// As [`Handle::create_queue`], and [`lockstep_engine::Rejected::QueueDeletedRecently`].
    pub async fn create_sqs_queue(&self, command: CreateSqsQueue) -> Result<QueueCreated, Failure> {
        self.command(command).await
    }

    /// As [`Handle::purge_queue`], with AWS's distance to the last purge, where it is wanted (A3).
    ///
    /// # Errors
    /// As [`Handle::purge_queue`], and [`lockstep_engine::Rejected::PurgeInProgress`].
    pub async fn purge_sqs_queue(&self, command: PurgeSqsQueue) -> Result<u64, Failure> {
        self.command(command).await
    }

    /// Sets or removes a queue's policy, unless it is another one than the caller has seen (L12).
    ///
    /// # Errors
    /// The queue is not there; [`lockstep_engine::Rejected::PolicyChanged`]: read the policy again, and change that.
    pub async fn replace_policy(&self, command: ReplacePolicy) -> Result<(), Failure> {
        self.command(command).await
    }

    /// Sends messages in order, each judged by itself (S9, P4); one outcome for each.
    ///
    /// # Errors
    /// The queue is not there; [`lockstep_engine::Rejected::DeduplicationIdMissing`]: one message has none, and none
    /// was stored (S1); [`Failure::Draining`].
    pub async fn send_separately(
        &self,
        queue: QueueRef,
        messages: Vec<NewMessage>,
    ) -> Result<Outcomes<Accepted>, Failure> {
        let (send, bodies, bytes) = prepare_send(queue, None, messages);
        self.admitted(SendSeparately(send), bodies, bytes).await
    }
}
