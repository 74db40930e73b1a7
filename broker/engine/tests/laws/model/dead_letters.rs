//! The model of dead letters. Which messages moved is the engine's choice, and judged: each was a leading visible message
//! of its group, received as often as the policy says, and the queue it went to had a place (Q1, Q2, H10).

use lockstep_engine::{
    AttributeChanges, Event, RedriveAllow, RedriveChange, Rejected,
    command::QueueRef,
    limits,
    reply::Origin,
    words::{GroupId, QueueGeneration, QueueName, SequenceNumber},
};

use super::{Hold, Message, Model, Turn, ensure};

impl Model {
    /// Q1, Q5: the queue that is named is another one, is there, and lets itself be named.
    pub(super) fn judge_policy(&self, changes: &AttributeChanges, source: &QueueName) -> Result<(), Rejected> {
        let Some(RedriveChange::Set(policy)) = &changes.redrive else { return Ok(()) };
        let name = policy.dead_letter_queue.clone();
        if name == *source {
            return Err(Rejected::DeadLetterQueueIsSelf);
        }
        if name.as_str().ends_with(".fifo") != source.as_str().ends_with(".fifo") {
            return Err(Rejected::DeadLetterQueueKind { name });
        }
        let Some(target) = self.queues.iter().find(|queue| queue.name == name) else {
            return Err(Rejected::DeadLetterQueueNotFound { name });
        };
        let allowed = match &target.attributes.redrive_allow {
            RedriveAllow::AllowAll => true,
            RedriveAllow::DenyAll => false,
            RedriveAllow::ByQueue(sources) => sources.iter().any(|known| known == source),
        };
        if allowed { Ok(()) } else { Err(Rejected::RedriveNotAllowed { name }) }
    }

    pub(super) fn sources_of(&self, target: &QueueName) -> Vec<QueueName> {
        let names = |queue: &&super::Queue| {
            queue.attributes.redrive.as_ref().is_some_and(|policy| policy.dead_letter_queue == *target)
        };
        let mut sources: Vec<_> = self.queues.iter().filter(names).map(|queue| queue.name.clone()).collect();
        sources.sort();
        sources
    }

    /// Judges what the engine moved before it chose, and moves it here too. What is due and was not moved must not be
    /// delivered: see [`Model::is_letter`].
    pub(crate) fn dead_letter(&mut self, events: &[Event], turn: &Turn, queue: &QueueRef) -> Result<(), String> {
        for event in events {
            let Event::MessagesDeadLettered { queue: from, to, at, messages } = event else { continue };
            let place = self.find(queue).map_err(|rejected| format!("dead letters although {rejected}"))?;
            ensure!(
                self.queues[place].generation == from.0 && at.0 == turn.now,
                "dead letters of another queue or time"
            );
            for (sequence, placed) in messages {
                self.move_letter(place, *sequence, (*to, *placed), turn)?;
            }
        }
        Ok(())
    }

    fn move_letter(
        &mut self,
        place: usize,
        sequence: SequenceNumber,
        (to, placed): (QueueGeneration, SequenceNumber),
        turn: &Turn,
    ) -> Result<(), String> {
        let stamp = self.stamp(turn.now);
        let (name, generation) = (self.queues[place].name.clone(), QueueGeneration(self.queues[place].generation));
        let message = self.queues[place].message(sequence.0).ok_or("a dead letter that is not there")?.clone();
        let leading = self.queues[place].leading_run(&message.group);
        ensure!(leading.iter().any(|(free, _)| *free == sequence.0), "dead letter {sequence} could not be delivered");
        let target = self.letter_target(place, &message, turn).ok_or("a dead letter without a reason")?;
        ensure!(self.queues[target].generation == to.0, "the dead letter went to generation {to}");
        self.queues[place].messages.retain(|other| other.sequence != sequence.0);
        self.queues[place].refresh(stamp);
        let sent_at = message.sent_at;
        let identity = message.origin.map_or((generation, sequence), |origin| (origin.generation, origin.sequence));
        let origin = Origin { generation: identity.0, sequence: identity.1, source: name };
        let target = &mut self.queues[target];
        target.last_sequence += 1;
        ensure!(target.last_sequence == placed.0, "the dead letter got number {placed}");
        let mut letter =
            Message { sequence: placed.0, sent_at: turn.now, hold: Hold::Free, origin: Some(origin), ..message };
        if !target.is_fifo() {
            letter.group = GroupId::alone(placed);
            letter.sent_at = sent_at;
        }
        target.messages.push(letter);
        target.refresh(stamp);
        Ok(())
    }

    /// Where a message goes that was received as often as its queue's policy allows (Q2, H10).
    pub(super) fn letter_target(&self, place: usize, message: &Message, turn: &Turn) -> Option<usize> {
        let policy = self.queues[place].attributes.redrive.as_ref()?;
        let due = message.receives >= policy.max_receives && turn.for_sends >= limits::MESSAGE_OVERHEAD;
        self.queues.iter().position(|queue| queue.name == policy.dead_letter_queue).filter(|_| due)
    }

    /// Whether a message should have moved instead of being delivered.
    pub(super) fn is_letter(&self, place: usize, sequence: u64, turn: &Turn) -> bool {
        self.queues[place].message(sequence).is_some_and(|message| self.letter_target(place, message, turn).is_some())
    }
}
