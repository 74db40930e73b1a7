//! Reading stored bodies for no other reason than to know that they can be read (H6).

use lockstep_engine::{command::QueueRef, words::SequenceNumber};

use super::{
    Handle,
    messages::{damaged, wanted},
    places::stored_message,
};
use crate::{failure::Failure, limits, poll::Peek};

/// A page of bodies that were read.
pub(crate) struct Checked {
    /// The number of the page's last message.
    pub(crate) last: SequenceNumber,
    /// Bytes of the bodies that could be read.
    pub(crate) bytes: u64,
    /// Bodies that could not; each is in the log.
    pub(crate) damaged: u64,
}

impl Handle {
    /// Reads the bodies of a page of messages after a number; `None` behind the last one. What the cache holds is not read
    /// from the disk.
    ///
    /// # Errors
    /// The queue is not there.
    pub(crate) async fn check_bodies(
        &self,
        queue: QueueRef,
        after: SequenceNumber,
    ) -> Result<Option<Checked>, Failure> {
        let (max, max_bytes) = (limits::SCRUB_MESSAGES, limits::ANSWER_BYTES);
        let peeked = self.poll(Peek { queue, group: None, after, max, max_bytes }, Some(0)).await?;
        let Some(last) = peeked.last().map(|it| it.sequence) else { return Ok(None) };
        let places = peeked.iter().map(|it| wanted(it.generation, it.sequence, it.body)).collect();
        let mut checked = Checked { last, bytes: 0, damaged: 0 };
        for (peeked, found) in peeked.iter().zip(self.fetch(places).await?) {
            match found.map(stored_message) {
                Some(Ok(message)) => checked.bytes += message.body.len() as u64,
                Some(Err(fault)) => {
                    damaged(peeked.sequence, fault);
                    checked.damaged += 1;
                }
                // It was finished meanwhile.
                None => {}
            }
        }
        Ok(Some(checked))
    }

    /// A pass over all bodies found so many damaged.
    pub(crate) fn scrubbed(&self, damaged: u64) {
        self.metrics.scrubbed(damaged);
    }
}
