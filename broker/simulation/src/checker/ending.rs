//! The end of a run: every message that was acknowledged is accounted for, and every commit was all or nothing.

use std::collections::BTreeSet;

use super::{
    Checker, Judged,
    state::{End, Fate, Message, Sending},
};

impl Checker<'_> {
    /// Every queue was seen empty.
    pub(super) fn drained(&mut self) -> Judged {
        self.all_or_nothing()?;
        for (queue, number) in self.queues.iter().zip(0..) {
            for (sequence, message) in &queue.messages {
                let explained = self.seen_to_end(number, *sequence, message);
                if !explained && !self.ended_elsewhere(number, *sequence, message) {
                    let group = message.group;
                    let what =
                        format!("message {sequence} of queue {number}, group {group:?}, was acknowledged and is lost");
                    return Err(self.violated("guarantee 1", what));
                }
            }
        }
        Ok(())
    }

    /// A message was finished in its queue, or may have been.
    pub(super) fn seen_to_end(&self, queue: usize, sequence: u64, message: &Message) -> bool {
        message.gone.is_some()
            || !message.removers.is_empty()
            || self.committed_in_doubt(queue, sequence)
            || self.queues[queue].may_have_passed(message, self.now)
    }

    fn committed_in_doubt(&self, queue: usize, sequence: u64) -> bool {
        let claims = self.queues[queue].claims.values();
        claims
            .filter(|claim| claim.ended == Some(End::Committed) || !claim.attempts.is_empty())
            .any(|claim| claim.may_finish().any(|other| other == sequence))
    }

    /// The outputs that were seen are those of the commit that won: all of them, and nobody else's (B1).
    fn all_or_nothing(&self) -> Judged {
        let seen = self.seen_bodies();
        for (queue, number) in self.queues.iter().zip(0..) {
            for ((reader, claim_number), claim) in &queue.claims {
                let name = || format!("claim {claim_number} of reader {reader} of queue {number}");
                let mut published: BTreeSet<u64> = BTreeSet::new();
                for (call, id) in &claim.attempts {
                    let outputs = self.outputs_of(*call);
                    let there = outputs.iter().filter(|(body, _)| seen.contains(body)).count();
                    let missing = |(body, passed): &(u64, bool)| !passed && !seen.contains(body);
                    if there != 0 && outputs.iter().any(missing) {
                        let what = format!("{}: {there} of {} outputs are there", name(), outputs.len());
                        return Err(self.violated("B1", what));
                    }
                    let lost = claim.winner.as_ref().is_some_and(|winner| winner.0 != *id);
                    if there != 0 && (lost || claim.ended == Some(End::Burnt)) {
                        return Err(
                            self.violated("B1", format!("{}: commit {id} lost, and its outputs are there", name()))
                        );
                    }
                    if there != 0 {
                        published.insert(*id);
                    }
                }
                if published.len() > 1 {
                    return Err(self.violated("B1", format!("{}: the outputs of {published:?} are there", name())));
                }
                let done = claim.ended == Some(End::Committed) || !published.is_empty();
                self.values_agree(number, *reader, claim, done, &name())?;
            }
        }
        Ok(())
    }

    /// All messages of a claim that was committed are in their groups' values.
    fn values_agree(&self, queue: usize, reader: u64, claim: &super::state::Claim, done: bool, name: &str) -> Judged {
        let state = &self.queues[queue];
        let messages = claim.finished().unwrap_or_default();
        let folded = |sequence: &&u64| {
            let group = state.messages.get(*sequence).and_then(|message| message.group);
            let value = group.and_then(|group| state.values.get(&(reader, group)));
            value.is_some_and(|value| value.contains(*sequence))
        };
        let there = messages.iter().filter(folded).count();
        // Where it is not known to be committed, others may have committed some of them since.
        if done && there != messages.len() {
            let what = format!("{name}: {there} of {} messages are in the values", messages.len());
            return Err(self.violated("B1", what));
        }
        Ok(())
    }

    fn seen_bodies(&self) -> BTreeSet<u64> {
        self.queues.iter().flat_map(|queue| queue.messages.values()).filter_map(|message| message.body).collect()
    }

    /// The bodies that a call was to send, and whether each may have passed before anybody saw it.
    fn outputs_of(&self, call: u32) -> Vec<(u64, bool)> {
        let of_call = |place: &usize| {
            let sending = &self.sendings[*place];
            (sending.call == call && sending.fate != Fate::Refused).then_some(sending)
        };
        let passed = |sending: &Sending| {
            let queue = &self.queues[sending.queue];
            queue.purged_between(sending.asked.event, self.now.event)
                || sending.asked.at.saturating_add(queue.facts.retention) <= self.now.at
        };
        let bodies = self.bodies.iter();
        bodies.filter_map(|(body, sent)| Some((*body, passed(sent.sendings.iter().find_map(of_call)?)))).collect()
    }
}
