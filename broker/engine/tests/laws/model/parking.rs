//! The model of parked groups, and of what a commit says of the groups of its claim (B7).

use lockstep_engine::{
    Engine, Rejected,
    command::{GroupOutcome, Park, QueueRef, Rest, Unpark},
    limits,
    reply::{Origin, Unparked},
    words::{GroupId, QueueGeneration, SequenceNumber},
};

use super::{Hold, Message, Model, Queue, Turn, ensure};

impl Queue {
    pub(crate) fn is_parked(&self, group: &GroupId) -> bool {
        self.parked.iter().any(|(parked, _)| parked == group)
    }
}

impl Model {
    pub(crate) fn park(&mut self, command: &Park, turn: &Turn) -> Result<bool, Rejected> {
        let place = self.find(&command.queue)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        if !queue.is_fifo() {
            return Err(Rejected::NotFifo);
        }
        if queue.is_parked(&command.group) {
            return Ok(false);
        }
        queue.parked.push((command.group.clone(), turn.now));
        queue.refresh(stamp);
        Ok(true)
    }

    pub(crate) fn unpark(&mut self, command: &Unpark, turn: &Turn) -> Result<Unparked, Rejected> {
        let place = self.find(&command.queue)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        let before = queue.parked.len();
        queue.parked.retain(|(group, _)| command.group.as_ref().is_some_and(|wanted| wanted != group));
        queue.refresh(stamp);
        Ok(Unparked { groups: (before - queue.parked.len()) as u64, more: false })
    }

    pub(super) fn compare_parked(&self, engine: &Engine, queue: &Queue, name: &QueueRef) -> Result<(), String> {
        let seen = engine.parked_groups(name, None, usize::MAX).map_err(|rejected| rejected.to_string())?;
        let seen: Vec<_> = seen.into_iter().map(|it| (it.group, it.since.0, it.messages, it.first)).collect();
        let of_model = |(group, since): &(GroupId, u64)| {
            let messages: Vec<_> = queue.messages.iter().filter(|message| message.group == *group).collect();
            let first = messages.first().map(|message| SequenceNumber(message.sequence));
            (group.clone(), *since, messages.len() as u64, first)
        };
        let mut parked: Vec<_> = queue.parked.iter().map(of_model).collect();
        parked.sort();
        ensure!(seen == parked, "parked are {seen:?}, the model has {parked:?}");
        let counted = engine.describe(name).map_err(|rejected| rejected.to_string())?.parked_groups;
        ensure!(counted == parked.len() as u64, "{counted} counted as parked");
        Ok(())
    }

    /// Ends the messages of a claim: what its outcomes do not mention is done. Called on a copy, so it may fail midway.
    pub(super) fn finish(
        &mut self,
        place: usize,
        claimed: &[u64],
        outcomes: &[GroupOutcome],
        (turn, for_sends): (&Turn, u64),
    ) -> Result<(), Rejected> {
        let (mut done, mut letters) = (claimed.to_vec(), Vec::new());
        let mut named: Vec<&GroupId> = Vec::new();
        for GroupOutcome { group, done_through, rest } in outcomes {
            let queue = &mut self.queues[place];
            let of_group = |sequence: &u64| queue.message(*sequence).is_some_and(|message| message.group == *group);
            let messages: Vec<u64> = claimed.iter().copied().filter(of_group).collect();
            let invalid = |fault| Err(Rejected::OutcomeInvalid { group: group.clone(), fault });
            if messages.is_empty() || named.contains(&group) {
                return invalid("it is not one of the claim, or named twice");
            }
            named.push(group);
            if done_through.is_some_and(|last| !messages.contains(&last.0)) {
                return invalid("it is done through a message that is not of the group and the claim");
            }
            let behind = |sequence: &u64| done_through.is_none_or(|last| *sequence > last.0);
            let mut left: Vec<u64> = messages.into_iter().filter(behind).collect();
            done.retain(|sequence| !left.contains(sequence));
            let mut tried = 1;
            if *rest == Rest::HeadDeadLettered {
                if left.is_empty() {
                    return invalid("all of it is done, so that no head is left to dead-letter");
                }
                letters.push(left.remove(0));
                tried = 0;
            }
            for (index, sequence) in left.into_iter().enumerate() {
                let message = queue.messages.iter_mut().find(|message| message.sequence == sequence).expect("claimed");
                message.hold = Hold::Free;
                message.receives -= u32::from(index >= tried);
                message.first_received_at = message.first_received_at.filter(|_| message.receives > 0);
            }
            if *rest == Rest::Parked && !queue.is_parked(group) {
                queue.parked.push((group.clone(), turn.now));
            }
        }
        letters.sort_unstable();
        // What the commit itself stores does not count: a move takes no body along.
        self.bury(place, &letters, turn, for_sends)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        queue.messages.retain(|message| !done.contains(&message.sequence));
        queue.refresh(stamp);
        Ok(())
    }

    /// Moves the heads that a commit names (B7).
    fn bury(&mut self, place: usize, letters: &[u64], turn: &Turn, for_sends: u64) -> Result<(), Rejected> {
        if letters.is_empty() {
            return Ok(());
        }
        let name = self.queues[place].attributes.redrive.as_ref().map(|policy| policy.dead_letter_queue.clone());
        let target = self.queues.iter().position(|queue| Some(&queue.name) == name.as_ref());
        let target = target.ok_or(Rejected::NoDeadLetterQueue)?;
        if for_sends < limits::MESSAGE_OVERHEAD {
            return Err(Rejected::StorageFull);
        }
        let stamp = self.stamp(turn.now);
        for sequence in letters {
            let source = &mut self.queues[place];
            let index = source.messages.iter().position(|message| message.sequence == *sequence).expect("claimed");
            let message = source.messages.remove(index);
            let here = (QueueGeneration(source.generation), SequenceNumber(*sequence));
            let sent = message.origin.map_or(here, |origin| (origin.generation, origin.sequence));
            let origin = Some(Origin { generation: sent.0, sequence: sent.1, source: source.name.clone() });
            let target = &mut self.queues[target];
            target.last_sequence += 1;
            let sequence = target.last_sequence;
            target.messages.push(Message { sequence, sent_at: turn.now, hold: Hold::Free, origin, ..message });
            target.refresh(stamp);
        }
        Ok(())
    }
}
