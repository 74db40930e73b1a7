//! How readers and their claims change (B1, B6).

use std::collections::BTreeSet;

use crate::{
    event::{Event, Outcomes, ValueChanged},
    state::{
        Due, State,
        message::Hold,
        reader::{OpenedClaim, Outcome, PastCommit, Reader},
    },
    words::{ClaimNumber, QueueGeneration, ReaderId, SequenceNumber},
};

impl State {
    /// Applies an event of a reader; `None`: it names something that does not exist.
    pub(super) fn apply_to_reader(&mut self, event: &Event) -> Option<()> {
        match event {
            Event::ReaderOpened { .. } => self.open_reader(event),
            Event::ReaderDropped { queue, reader } => self.drop_reader(*queue, *reader),
            Event::ClaimOpened { queue, reader, number, epoch, at, lapses_at, messages } => {
                let found = self.queues.get_mut(queue)?;
                found.last_epoch = found.last_epoch.max(*epoch);
                for &(sequence, receives) in messages {
                    found.hold(sequence, Hold::Claimed(*reader, *number), Some(receives))?;
                    found.note_first_receive(sequence, *at);
                }
                let claim = OpenedClaim {
                    epoch: *epoch,
                    worker: None,
                    opened_at: *at,
                    lapses_at: *lapses_at,
                    messages: messages.iter().map(|(sequence, _)| *sequence).collect(),
                };
                let reader_state = found.reader_by_id_mut(*reader)?;
                reader_state.last_number = *number;
                reader_state.open.insert(*number, claim);
                if let Some(at) = lapses_at {
                    self.dues.insert((*at, *queue, Due::Claim(*reader, *number)));
                }
                Some(())
            }
            Event::ClaimTaken { queue, reader, number, epoch, worker, messages } => {
                let found = self.queues.get_mut(queue)?;
                found.last_epoch = found.last_epoch.max(*epoch);
                for (sequence, receives) in messages {
                    found.messages.get_mut(*sequence)?.receives = *receives;
                }
                let claim = found.reader_by_id_mut(*reader)?.open.get_mut(number)?;
                claim.epoch = *epoch;
                claim.worker = Some(worker.clone());
                Some(())
            }
            Event::ClaimBurnt { queue, reader, number, .. } => {
                let messages = self.end_claim(*queue, *reader, *number, Outcome::Burnt)?;
                self.give_back(*queue, &messages)
            }
            Event::ClaimCommitted { .. } => self.commit_claim(event),
            Event::ValuesCommitted { queue, reader, id, digest, outputs, values } => {
                let found = self.queues.get_mut(queue)?;
                let reader = found.reader_by_id_mut(*reader)?;
                put_all(reader, values);
                found.commits.insert(id.clone(), PastCommit { digest: *digest, outputs: outputs.clone() });
                Some(())
            }
            Event::Ticked { .. }
            | Event::Resumed { .. }
            | Event::QueueCreated { .. }
            | Event::QueueChanged { .. }
            | Event::QueueTagged { .. }
            | Event::QueuePurged { .. }
            | Event::QueueDeleted { .. }
            | Event::MessageSent { .. }
            | Event::BodiesMoved { .. }
            | Event::DelaysElapsed { .. }
            | Event::MessagesReceived { .. }
            | Event::AttemptNoted { .. }
            | Event::AttemptRepeated { .. }
            | Event::MessagesReturned { .. }
            | Event::MessagesDeleted { .. }
            | Event::VisibilityChanged { .. }
            | Event::MessagesExpired { .. }
            | Event::MessagesDeadLettered { .. }
            | Event::GroupParked { .. }
            | Event::GroupsUnparked { .. }
            | Event::KeysForgotten { .. }
            | Event::ProducerOpened { .. }
            | Event::NumbersUsed { .. }
            | Event::ProducerForgotten { .. }
            | Event::DeliveriesCommitted { .. }
            | Event::MoveTask { .. }
            | Event::Restored(_) => None,
        }
    }

    fn open_reader(&mut self, event: &Event) -> Option<()> {
        let Event::ReaderOpened { queue, reader, name, generation, instance, claim_limit, epochs } = event else {
            return None;
        };
        let found = self.queues.get_mut(queue)?;
        let newest = epochs.iter().map(|(_, epoch)| *epoch).chain([*generation]).max()?;
        found.last_epoch = found.last_epoch.max(newest);
        found.last_reader = found.last_reader.max(*reader);
        let state = found
            .readers
            .entry(name.clone())
            .or_insert_with(|| Reader::new(*reader, *generation, instance.clone(), *claim_limit));
        state.generation = *generation;
        state.instance = instance.clone();
        state.claim_limit = *claim_limit;
        for (number, epoch) in epochs {
            let claim = state.open.get_mut(number)?;
            claim.epoch = *epoch;
            claim.worker = None;
        }
        Some(())
    }

    /// What goes back and what is a dead letter leaves the claim; the rest of it is done (B1, B7).
    fn commit_claim(&mut self, event: &Event) -> Option<()> {
        let Event::ClaimCommitted { queue, reader, number, id, digest, commit, outputs, values, outcomes } = event
        else {
            return None;
        };
        let Outcomes { returned, parked, at, letters } = &**outcomes;
        let outcome = Outcome::Committed { id: id.clone(), digest: *digest, commit: *commit, outputs: outputs.clone() };
        let messages = self.end_claim(*queue, *reader, *number, outcome)?;
        let found = self.queues.get_mut(queue)?;
        for group in parked {
            found.park(group, *at);
        }
        let leaving = letters.iter().flat_map(|letters| letters.messages.iter().map(|(from, _)| *from));
        let kept: BTreeSet<SequenceNumber> = returned.iter().map(|(sequence, _)| *sequence).chain(leaving).collect();
        for sequence in messages.into_iter().filter(|sequence| !kept.contains(sequence)) {
            found.remove(sequence)?;
        }
        for &(sequence, receives) in returned {
            found.hold(sequence, Hold::Free, Some(receives))?;
        }
        let reader = found.reader_by_id_mut(*reader)?;
        reader.commits = *commit;
        put_all(reader, values);
        match letters {
            Some(letters) => self.dead_letter(*queue, letters.to, *at, &letters.messages),
            None => Some(()),
        }
    }

    fn drop_reader(&mut self, queue: QueueGeneration, reader: ReaderId) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        let name = found.reader_by_id(reader)?.0.clone();
        let gone = found.readers.remove(&name)?;
        for (number, claim) in gone.open {
            if let Some(at) = claim.lapses_at {
                self.dues.remove(&(at, queue, Due::Claim(reader, number)));
            }
            self.give_back(queue, &claim.messages)?;
        }
        Some(())
    }

    /// Ends a claim's number; the messages it held.
    fn end_claim(
        &mut self,
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        outcome: Outcome,
    ) -> Option<Vec<SequenceNumber>> {
        let state = self.queues.get_mut(&queue)?.reader_by_id_mut(reader)?;
        let claim = state.open.remove(&number)?;
        state.end(number, outcome);
        if let Some(at) = claim.lapses_at {
            self.dues.remove(&(at, queue, Due::Claim(reader, number)));
        }
        Some(claim.messages)
    }

    /// Makes claimed messages free again, their receives counted.
    fn give_back(&mut self, queue: QueueGeneration, messages: &[SequenceNumber]) -> Option<()> {
        let found = self.queues.get_mut(&queue)?;
        for sequence in messages {
            found.hold(*sequence, Hold::Free, None)?;
        }
        Some(())
    }
}

/// Stores and removes values (B1).
fn put_all(reader: &mut Reader, values: &[ValueChanged]) {
    for change in values {
        reader.put((change.group.clone(), change.key.clone()), change.body);
    }
}
