//! How a distilled state is built again, piece by piece, in the order in which it was distilled.

use crate::{
    event::{Restored, RestoredLease, RestoredOutcome},
    state::{
        Due, State,
        attempts::Attempt,
        keys::Key,
        message::{Arrival, Hold, Lease},
        queue::Queue,
        reader::{OpenedClaim, Outcome, PastCommit, Reader},
    },
};

impl State {
    /// Adds one piece; `None`: it names something that was not restored before it.
    pub(super) fn restore(&mut self, piece: &Restored) -> Option<()> {
        match piece {
            Restored::Clock { time, downtime, last_generation } => {
                self.time = *time;
                self.downtime = *downtime;
                self.last_generation = *last_generation;
                Some(())
            }
            Restored::Deletion { name, at } => {
                self.deletions.insert(name, *at);
                Some(())
            }
            Restored::Queue { .. } => self.restore_queue(piece),
            Restored::Message { .. } => self.restore_message(piece),
            Restored::ParkedGroup { queue, group, at } => {
                self.queues.get_mut(queue)?.park(group, *at);
                Some(())
            }
            Restored::Tags { queue, tags } => {
                self.queues.get_mut(queue)?.tags.clone_from(tags);
                Some(())
            }
            Restored::FreeGroup { queue, group, turn } => {
                let queue = self.queues.get_mut(queue)?;
                let place = queue.groups.place(group)?;
                queue.groups.set_turn(place, Some(*turn));
                Some(())
            }
            Restored::Key { queue, key, sequence, expires_at } => {
                let value = Key { sequence: *sequence, expires_at: *expires_at };
                self.queues.get_mut(queue)?.keys.insert(*key, value);
                Some(())
            }
            Restored::Producer { queue, producer, epoch, instance, opened_at, last, uses } => {
                let sessions = &mut self.queues.get_mut(queue)?.producers;
                sessions.open(producer, *epoch, instance, *opened_at);
                let session = sessions.by_epoch_mut(*epoch)?;
                session.last = *last;
                session.uses = uses.iter().copied().collect();
                Some(())
            }
            Restored::Attempt { queue, attempt, expires_at, messages } => {
                let noted = Attempt { expires_at: *expires_at, messages: messages.clone() };
                self.queues.get_mut(queue)?.attempts.insert(*attempt, noted);
                Some(())
            }
            Restored::Reader { .. } | Restored::Claim { .. } | Restored::EndedClaim { .. } | Restored::Value { .. } => {
                self.restore_reader(piece)
            }
            Restored::MoveTask { queue, task } => {
                self.queues.get_mut(queue)?.move_tasks.push(task.clone());
                Some(())
            }
            Restored::PastCommit { queue, id, digest, outputs } => {
                let past = PastCommit { digest: *digest, outputs: outputs.clone() };
                self.queues.get_mut(queue)?.commits.insert(id.clone(), past);
                Some(())
            }
        }
    }

    fn restore_queue(&mut self, piece: &Restored) -> Option<()> {
        let Restored::Queue {
            queue,
            name,
            attributes,
            created_at,
            modified_at,
            last_sequence,
            last_epoch,
            last_reader,
            next_turn,
            purged_at,
        } = piece
        else {
            return None;
        };
        let mut restored = Queue::new(*queue, name.clone(), attributes.clone(), *created_at);
        restored.modified_at = *modified_at;
        restored.last_sequence = *last_sequence;
        restored.last_epoch = *last_epoch;
        restored.last_reader = *last_reader;
        restored.next_turn = *next_turn;
        restored.purged_at = *purged_at;
        self.names.insert(name.clone(), *queue);
        self.queues.insert(*queue, restored);
        Some(())
    }

    fn restore_message(&mut self, piece: &Restored) -> Option<()> {
        #[rustfmt::skip]
        let Restored::Message {
            queue, sequence, group, body, sent_at, first_received_at, receives, lease, origin, delayed_until,
        } = piece
        else {
            return None;
        };
        let hold = match (lease, delayed_until) {
            (Some(RestoredLease { epoch, received_at, visible_at }), _) => {
                self.dues.insert((*visible_at, *queue, Due::Lease(*sequence)));
                Hold::Leased(Lease { epoch: *epoch, received_at: *received_at, visible_at: *visible_at })
            }
            (None, Some(until)) => {
                self.delays.insert((*until, *queue, *sequence));
                Hold::Delayed(*until)
            }
            (None, None) => Hold::Free,
        };
        let message = Arrival {
            body: *body,
            sent_at: *sent_at,
            first_received_at: *first_received_at,
            receives: *receives,
            hold,
            origin: origin.clone().map(Box::new),
        };
        let queue = self.queues.get_mut(queue)?;
        // A turn given out here is provisional: `FreeGroup` sets the real one, and no new number is used up.
        let next_turn = queue.next_turn;
        queue.next_turn = queue.groups.last_turn().map_or(next_turn, |turn| next_turn.max(turn + 1));
        queue.push(*sequence, group, message);
        queue.next_turn = next_turn;
        Some(())
    }

    fn restore_reader(&mut self, piece: &Restored) -> Option<()> {
        match piece {
            Restored::Reader {
                queue,
                reader,
                name,
                generation,
                instance,
                claim_limit,
                last_number,
                last_ended,
                commits,
            } => {
                let mut restored = Reader::new(*reader, *generation, instance.clone(), *claim_limit);
                restored.last_number = *last_number;
                restored.last_ended = *last_ended;
                restored.commits = *commits;
                self.queues.get_mut(queue)?.readers.insert(name.clone(), restored);
            }
            Restored::Claim { queue, reader, number, epoch, worker, opened_at, lapses_at, messages } => {
                let found = self.queues.get_mut(queue)?;
                for sequence in messages {
                    found.hold(*sequence, Hold::Claimed(*reader, *number), None)?;
                }
                let claim = OpenedClaim {
                    epoch: *epoch,
                    worker: worker.clone(),
                    opened_at: *opened_at,
                    lapses_at: *lapses_at,
                    messages: messages.clone(),
                };
                found.reader_by_id_mut(*reader)?.open.insert(*number, claim);
                if let Some(at) = lapses_at {
                    self.dues.insert((*at, *queue, Due::Claim(*reader, *number)));
                }
            }
            Restored::EndedClaim { queue, reader, number, outcome } => {
                let outcome = match outcome {
                    RestoredOutcome::Committed { id, digest, commit, outputs } => Outcome::Committed {
                        id: id.clone(),
                        digest: *digest,
                        commit: *commit,
                        outputs: outputs.clone(),
                    },
                    RestoredOutcome::Burnt => Outcome::Burnt,
                };
                self.queues.get_mut(queue)?.reader_by_id_mut(*reader)?.ended.insert(*number, outcome);
            }
            Restored::Value { queue, reader, group, key, body } => {
                let place = (group.clone(), key.clone());
                self.queues.get_mut(queue)?.reader_by_id_mut(*reader)?.put(place, Some(*body));
            }
            Restored::Clock { .. }
            | Restored::Deletion { .. }
            | Restored::Queue { .. }
            | Restored::Message { .. }
            | Restored::FreeGroup { .. }
            | Restored::ParkedGroup { .. }
            | Restored::Key { .. }
            | Restored::Producer { .. }
            | Restored::Attempt { .. }
            | Restored::Tags { .. }
            | Restored::MoveTask { .. }
            | Restored::PastCommit { .. } => return None,
        }
        Some(())
    }
}
