//! The model of sending, receiving, deleting and changing visibility.

use lockstep_engine::{
    DeduplicationScope, Rejected,
    command::{ChangeVisibility, Delete, Receive, Send, SendEntry},
    limits,
    reply::{Accepted, Deleted, Delivered},
    words::{BodyRef, Epoch, GroupId, Position, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};

use super::{Attempt, Hold, Message, Model, Queue, Turn, ensure};

/// What a receipt is worth.
pub(crate) enum Worth {
    Held,
    Gone,
}

impl Turn {
    /// Stores a body of the command at the next place of the frame.
    pub(crate) fn store(&mut self, body: usize, size: u32) -> BodyRef {
        let index = u32::try_from(self.bodies.len()).expect("few bodies");
        self.bodies.push(u32::try_from(body).expect("few bodies"));
        BodyRef { position: Position { frame: self.frame, index }, size }
    }
}

impl Model {
    pub(crate) fn send(
        &mut self,
        command: &Send,
        turn: &mut Turn,
    ) -> Result<Vec<Result<Accepted, Rejected>>, Rejected> {
        let place = self.find(&command.queue)?;
        if let Some(session) = &command.session {
            return self.send_numbered(place, command, session, turn);
        }
        let mut stopped: Vec<GroupId> = Vec::new();
        let mut outcomes = Vec::new();
        for (index, entry) in command.entries.iter().enumerate() {
            let outcome = if stopped.contains(&entry.group) {
                Err(Rejected::EarlierRejected)
            } else {
                self.send_one(place, entry, index, turn)
            };
            if outcome.is_err() && self.queues[place].is_fifo() {
                stopped.push(entry.group.clone());
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// S2, S4, S6, S7, S10, L2, H5.
    pub(crate) fn send_one(
        &mut self,
        place: usize,
        entry: &SendEntry,
        body: usize,
        turn: &mut Turn,
    ) -> Result<Accepted, Rejected> {
        let (active, stamp) = (self.active(turn.now), self.stamp(turn.now));
        let queue = &mut self.queues[place];
        let generation = QueueGeneration(queue.generation);
        if !queue.is_fifo() {
            return self.send_standard(place, entry, body, turn);
        }
        if !entry.explicit_id && !queue.attributes.content_based {
            return Err(Rejected::DeduplicationIdMissing);
        }
        if entry.delay.unwrap_or(0) > 0 {
            return Err(Rejected::DelayNotAllowed);
        }
        let key = match queue.attributes.scope {
            DeduplicationScope::Queue => entry.queue_key,
            DeduplicationScope::MessageGroup => entry.group_key,
        };
        let known = queue.keys.iter().find(|(known, _, expires_at)| *known == key && active < *expires_at);
        if let Some((_, sequence, _)) = known {
            return Ok(Accepted { generation, sequence: SequenceNumber(*sequence), duplicate: true });
        }
        if entry.size > queue.attributes.max_message_size {
            return Err(Rejected::MessageTooLong { limit: queue.attributes.max_message_size });
        }
        let cost = u64::from(entry.size) + limits::MESSAGE_OVERHEAD;
        turn.for_sends = turn.for_sends.checked_sub(cost).ok_or(Rejected::StorageFull)?;
        queue.last_sequence += 1;
        let sequence = queue.last_sequence;
        queue.keys.retain(|(known, _, _)| *known != key);
        queue.keys.push((key, sequence, active + queue.attributes.window));
        queue.messages.push(Message {
            sequence,
            group: entry.group.clone(),
            body: turn.store(body, entry.size),
            sent_at: turn.now,
            first_received_at: None,
            receives: 0,
            origin: None,
            hold: match queue.attributes.delay {
                0 => Hold::Free,
                delay => Hold::Delayed { until: turn.now + delay },
            },
        });
        queue.refresh(stamp);
        Ok(Accepted { generation, sequence: SequenceNumber(sequence), duplicate: false })
    }

    /// B5: nothing is a duplicate, and a message may have a delay of its own.
    fn send_standard(
        &mut self,
        place: usize,
        entry: &SendEntry,
        body: usize,
        turn: &mut Turn,
    ) -> Result<Accepted, Rejected> {
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        if entry.explicit_id {
            return Err(Rejected::DeduplicationIdNotAllowed);
        }
        if entry.size > queue.attributes.max_message_size {
            return Err(Rejected::MessageTooLong { limit: queue.attributes.max_message_size });
        }
        let cost = u64::from(entry.size) + limits::MESSAGE_OVERHEAD;
        turn.for_sends = turn.for_sends.checked_sub(cost).ok_or(Rejected::StorageFull)?;
        queue.last_sequence += 1;
        let sequence = SequenceNumber(queue.last_sequence);
        queue.messages.push(Message {
            sequence: sequence.0,
            group: GroupId::alone(sequence),
            body: turn.store(body, entry.size),
            sent_at: turn.now,
            first_received_at: None,
            receives: 0,
            origin: None,
            hold: match entry.delay.unwrap_or(queue.attributes.delay) {
                0 => Hold::Free,
                delay => Hold::Delayed { until: turn.now + delay },
            },
        });
        queue.refresh(stamp);
        Ok(Accepted { generation: QueueGeneration(queue.generation), sequence, duplicate: false })
    }

    /// Judges the engine's choice, and predicts everything else of the answer.
    pub(crate) fn receive(
        &mut self,
        command: &Receive,
        turn: &Turn,
        given: &Result<Vec<Delivered>, Rejected>,
    ) -> Result<(), String> {
        let place = match (self.find(&command.queue), given) {
            (Ok(place), _) => place,
            (Err(expected), Err(rejected)) if expected == *rejected => return Ok(()),
            (expected @ Err(_), given) => return Err(format!("{given:?}, the model answers {expected:?}")),
        };
        let active = self.active(turn.now);
        if let Some(expected) = self.repeat(place, command, active) {
            ensure!(*given == expected, "{given:?}, the model answers {expected:?}");
            return Ok(());
        }
        let given = given.as_ref().map_err(|rejected| format!("{rejected:?} to a receive"))?;
        let (active, stamp, downtime) = (self.active(turn.now), self.stamp(turn.now), self.downtime);
        let letter = given.iter().find(|delivered| self.is_letter(place, delivered.sequence.0, turn));
        ensure!(letter.is_none(), "delivered instead of dead-lettered: {letter:?}");
        let queue = &mut self.queues[place];
        let mut chosen: Vec<(GroupId, Vec<u64>)> = Vec::new();
        for delivered in given {
            match chosen.last_mut() {
                Some((group, sequences)) if *group == delivered.group => sequences.push(delivered.sequence.0),
                Some(_) | None => chosen.push((delivered.group.clone(), vec![delivered.sequence.0])),
            }
        }
        queue.judge_choice(&chosen, command.max_messages.into(), limits::RECEIVE_BYTES)?;
        let chosen_none = chosen.is_empty();
        let visible_at = active + command.visibility.unwrap_or(queue.attributes.visibility);
        let noted = given.iter().map(|message| (message.sequence.0, message.epoch.0)).collect();
        let mut given = given.iter();
        for (_, sequences) in chosen {
            queue.last_epoch += 1;
            let (epoch, generation) = (queue.last_epoch, QueueGeneration(queue.generation));
            for sequence in sequences {
                let message = queue.messages.iter_mut().find(|m| m.sequence == sequence).expect("judged above");
                message.receives += 1;
                message.hold = Hold::Leased { epoch, received_at: active, visible_at };
                let first = *message.first_received_at.get_or_insert(turn.now);
                let expected = Delivered {
                    generation,
                    sequence: SequenceNumber(sequence),
                    group: message.group.clone(),
                    body: message.body,
                    epoch: Epoch(epoch),
                    receives: message.receives,
                    sent_at: Timestamp(message.sent_at),
                    first_received_at: Timestamp(first),
                    visible_at: Timestamp(visible_at + downtime),
                    origin: message.origin.clone(),
                };
                let given = given.next().expect("as many as were given");
                ensure!(*given == expected, "{given:?}, the model expects {expected:?}");
            }
        }
        if let Some(key) = command.attempt.filter(|_| !chosen_none) {
            let expires_at = active + limits::ATTEMPT_WINDOW;
            queue.attempts.retain(|attempt| attempt.key != key);
            queue.attempts.push(Attempt { key, expires_at, messages: noted, whole: true });
        }
        queue.refresh(stamp);
        Ok(())
    }

    /// R7: what a receive under a live attempt id answers.
    fn repeat(&mut self, place: usize, command: &Receive, active: u64) -> Option<Result<Vec<Delivered>, Rejected>> {
        let (key, downtime, queue) = (command.attempt?, self.downtime, &mut self.queues[place]);
        let known = queue.attempts.iter().find(|attempt| attempt.key == key && active < attempt.expires_at)?.clone();
        if !known.whole {
            return Some(Err(Rejected::ReceiveAttemptInvalid));
        }
        let timeout = command.visibility.unwrap_or(queue.attributes.visibility);
        let again = |(sequence, epoch): (u64, u64)| {
            let message = queue.messages.iter_mut().find(|m| m.sequence == sequence).expect("whole");
            let Hold::Leased { received_at, visible_at, .. } = &mut message.hold else { panic!("{sequence} is whole") };
            *visible_at = (active + timeout).min(*received_at + limits::VISIBILITY);
            Delivered {
                generation: QueueGeneration(queue.generation),
                sequence: SequenceNumber(sequence),
                group: message.group.clone(),
                body: message.body,
                epoch: Epoch(epoch),
                receives: message.receives,
                sent_at: Timestamp(message.sent_at),
                first_received_at: Timestamp(message.first_received_at.expect("it was received")),
                visible_at: Timestamp(*visible_at + downtime),
                origin: message.origin.clone(),
            }
        };
        Some(Ok(known.messages.into_iter().map(again).collect()))
    }

    pub(crate) fn delete(&mut self, command: &Delete, turn: &Turn) -> Result<Vec<Result<Deleted, Rejected>>, Rejected> {
        let place = self.find(&command.queue)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        let worth: Vec<_> = command.receipts.iter().map(|receipt| queue.worth(receipt)).collect();
        let held = command.receipts.iter().zip(&worth).filter(|(_, worth)| matches!(worth, Ok(Worth::Held)));
        let wanted: Vec<u64> = held.map(|(receipt, _)| receipt.sequence.0).collect();
        let outcomes = command.receipts.iter().zip(worth).map(|(receipt, worth)| match worth? {
            Worth::Gone => Ok(Deleted { already_gone: true }),
            Worth::Held => match queue.hole(receipt.sequence.0, &wanted) {
                Some(blocking) => Err(Rejected::EarlierInFlight { blocking: SequenceNumber(blocking) }),
                None => Ok(Deleted { already_gone: false }),
            },
        });
        let outcomes: Vec<_> = outcomes.collect();
        let gone: Vec<u64> =
            wanted.iter().copied().filter(|sequence| queue.hole(*sequence, &wanted).is_none()).collect();
        queue.messages.retain(|message| !gone.contains(&message.sequence));
        queue.refresh(stamp);
        Ok(outcomes)
    }

    /// One entry after the other: what an earlier one took back, a later one does not hold any more.
    pub(crate) fn change_visibility(
        &mut self,
        command: &ChangeVisibility,
        turn: &Turn,
    ) -> Result<Vec<Result<Timestamp, Rejected>>, Rejected> {
        let place = self.find(&command.queue)?;
        let (active, stamp, downtime) = (self.active(turn.now), self.stamp(turn.now), self.downtime);
        let queue = &mut self.queues[place];
        let before = queue.clone();
        let mut outcomes = Vec::new();
        for (receipt, timeout) in &command.entries {
            let went_back = queue.message(receipt.sequence.0).is_some_and(|message| message.hold == Hold::Free);
            let changed = if went_back && !queue.is_fifo() && before.is_leased(receipt.sequence.0) {
                queue.worth(receipt).map(|_| active)
            } else if *timeout == 0 && went_back && matches!(before.worth(receipt), Ok(Worth::Held)) {
                Ok(active)
            } else {
                queue.change_one(receipt, *timeout, active)
            };
            outcomes.push(changed.map(|visible_at| Timestamp(visible_at + downtime)));
        }
        queue.refresh(stamp);
        Ok(outcomes)
    }
}

impl Queue {
    fn is_leased(&self, sequence: u64) -> bool {
        self.message(sequence).is_some_and(|message| matches!(message.hold, Hold::Leased { .. }))
    }

    /// R3, R4: a lease that lives, a message that is gone, or neither; of a standard queue only that it is there.
    pub(crate) fn worth(&self, receipt: &Receipt) -> Result<Worth, Rejected> {
        if receipt.generation.0 != self.generation || receipt.sequence.0 > self.last_sequence {
            return Err(Rejected::ReceiptForeign);
        }
        match self.message(receipt.sequence.0).map(|message| message.hold) {
            None => Ok(Worth::Gone),
            Some(Hold::Leased { epoch, .. }) if epoch == receipt.epoch.0 => Ok(Worth::Held),
            Some(_) if !self.is_fifo() => Ok(Worth::Held),
            Some(Hold::Leased { .. } | Hold::Free | Hold::Delayed { .. } | Hold::Claimed { .. }) => {
                Err(Rejected::ReceiptExpired)
            }
        }
    }

    /// On a strict queue: the first earlier message of the group that would stay behind.
    pub(crate) fn hole(&self, sequence: u64, wanted: &[u64]) -> Option<u64> {
        let group = &self.message(sequence)?.group;
        let earlier = self.messages.iter().filter(|other| other.group == *group && other.sequence < sequence);
        let mut kept = earlier.map(|other| other.sequence).filter(|other| !wanted.contains(other));
        kept.next().filter(|_| self.is_strict())
    }

    fn change_one(&mut self, receipt: &Receipt, timeout: u64, active: u64) -> Result<u64, Rejected> {
        match self.worth(receipt)? {
            Worth::Held => {}
            Worth::Gone => return Err(Rejected::MessageNotInFlight),
        }
        let strict = self.is_strict();
        let held = self.message(receipt.sequence.0).expect("held").clone();
        if !self.is_fifo() && !matches!(held.hold, Hold::Leased { epoch, .. } if epoch == receipt.epoch.0) {
            // R5: accepted, and nothing changes.
            return match held.hold {
                _ if timeout > limits::VISIBILITY => Err(Rejected::VisibilityTooLong),
                Hold::Leased { visible_at, .. } => Ok(visible_at),
                Hold::Free | Hold::Delayed { .. } | Hold::Claimed { .. } => Ok(active),
            };
        }
        let Hold::Leased { received_at, .. } = held.hold else { return Err(Rejected::ReceiptExpired) };
        if active.saturating_add(timeout) > received_at + limits::VISIBILITY {
            return Err(Rejected::VisibilityTooLong);
        }
        let wanted = active + timeout;
        if timeout == 0 {
            self.take_back(held.sequence);
            return Ok(wanted);
        }
        let touched = |attempt: &&mut Attempt| attempt.messages.iter().any(|(_, epoch)| *epoch == receipt.epoch.0);
        self.attempts.iter_mut().filter(touched).for_each(|attempt| attempt.whole = false);
        for message in &mut self.messages {
            let later = strict && message.group == held.group && message.sequence > held.sequence;
            let Hold::Leased { epoch, visible_at, .. } = &mut message.hold else { continue };
            if message.sequence == held.sequence {
                *visible_at = wanted;
            } else if later && *epoch == receipt.epoch.0 {
                *visible_at = wanted.max(*visible_at);
            }
        }
        Ok(wanted)
    }

    /// A message goes back, and on a strict queue every later in-flight one of its group, uncounted.
    pub(crate) fn take_back(&mut self, sequence: u64) {
        let strict = self.is_strict();
        let group = self.message(sequence).expect("a message that goes back").group.clone();
        for message in self.messages.iter_mut().filter(|message| message.group == group) {
            let Hold::Leased { .. } = message.hold else { continue };
            if message.sequence == sequence {
                message.hold = Hold::Free;
            } else if strict && message.sequence > sequence {
                message.hold = Hold::Free;
                message.receives -= 1;
                message.first_received_at = message.first_received_at.filter(|_| message.receives > 0);
            }
        }
    }

    /// O1, O2, O3: each group free, a leading run of it, as many as possible, the one that is free for longest first.
    pub(crate) fn judge_choice(&self, chosen: &[(GroupId, Vec<u64>)], most: u64, max_bytes: u64) -> Result<(), String> {
        let mut left: Vec<_> =
            self.free_since.iter().map(|(group, since)| (*since, group, self.leading_run(group))).collect();
        let (mut count, mut bytes) = (0_u64, 0_u64);
        for (position, (group, sequences)) in chosen.iter().enumerate() {
            let place = left.iter().position(|(_, free, _)| *free == group);
            let place = place.ok_or_else(|| format!("group {group} is not free, or was chosen twice"))?;
            let oldest = left.iter().map(|(since, ..)| *since).min().expect("one is left");
            let (since, _, run) = left.remove(place);
            ensure!(since == oldest, "group {group} is free since {since:?}, another since {oldest:?} (O2)");
            let leading = run.iter().map(|(sequence, _)| sequence).zip(sequences).all(|(run, given)| run == given);
            ensure!(leading && sequences.len() <= run.len(), "{sequences:?} of {group} is no part of {run:?} (O3)");
            count += sequences.len() as u64;
            bytes += run[..sequences.len()].iter().map(|(_, size)| size).sum::<u64>();
            if let Some((next, size)) = run.get(sequences.len()) {
                let full = count >= most || bytes + size > max_bytes;
                ensure!(full, "{next} of {group} could have been delivered too (O1)");
                ensure!(position + 1 == chosen.len(), "another group after {group} was cut (O1)");
                left.clear();
            }
        }
        ensure!(count <= most && (count <= 1 || bytes <= max_bytes), "{count} messages, {bytes} bytes: too many");
        let Some(oldest) = left.iter().map(|(since, ..)| *since).min() else { return Ok(()) };
        let mut next = left.iter().filter(|(since, ..)| *since == oldest);
        let full = count >= most || count > 0 && next.any(|(.., run)| bytes + run[0].1 > max_bytes);
        ensure!(full, "another group is free and was left (O1)");
        Ok(())
    }
}
