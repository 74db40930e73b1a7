//! What a fact concerns, looked up before it is evolved: for those who tell people what happened. Events name messages by
//! numbers and claims by readers' ids; afterwards these may be gone. Pure reads.

use crate::{
    Engine,
    words::{ActiveTime, AttemptKey, ClaimNumber, Label, QueueGeneration, ReaderId, SequenceNumber, Timestamp},
};

impl Engine {
    /// The wall time of an active time, if there is no downtime to come (H2).
    #[must_use]
    pub fn wall(&self, at: ActiveTime) -> Timestamp {
        self.state().wall(at)
    }

    /// The messages of an open claim, or of all open claims of a reader, in order; none when it is not open.
    #[must_use]
    pub fn claimed_messages(
        &self,
        queue: QueueGeneration,
        reader: ReaderId,
        number: Option<ClaimNumber>,
    ) -> Vec<SequenceNumber> {
        let reader = self.state().queues.get(&queue).and_then(|queue| queue.reader_by_id(reader));
        let open = reader.into_iter().flat_map(|(_, reader)| &reader.open);
        let wanted = open.filter(|(open, _)| number.is_none_or(|number| number == **open));
        wanted.flat_map(|(_, claim)| claim.messages.iter().copied()).collect()
    }

    /// The name of a reader.
    #[must_use]
    pub fn reader_name(&self, queue: QueueGeneration, reader: ReaderId) -> Option<Label> {
        let queue = self.state().queues.get(&queue)?;
        queue.reader_by_id(reader).map(|(name, _)| name.clone())
    }

    /// What the receive under an attempt id delivered, while it can be repeated (R7).
    #[must_use]
    pub fn attempted(&self, queue: QueueGeneration, attempt: AttemptKey) -> Vec<SequenceNumber> {
        let noted = self.state().queues.get(&queue).and_then(|queue| queue.attempts.noted(attempt));
        noted.map_or_else(Vec::new, |noted| noted.messages.iter().map(|(sequence, _)| *sequence).collect())
    }
}
