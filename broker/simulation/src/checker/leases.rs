//! Deleting, extending and giving back: only the living lease may (R3, B2), once (R4), and it certainly may.

use super::{Checker, Judged, Question};
use crate::history::{Accepted, Ask, Call, Receipt, Refusal};

impl Checker<'_> {
    /// A call that may delete messages reached the broker.
    pub(super) fn may_remove(&mut self, call: Call, queue: usize, receipts: &[Receipt]) {
        for (sequence, epoch) in receipts {
            if let Some(message) = self.queues[queue].messages.get_mut(sequence) {
                message.removers.insert(call, *epoch);
            }
        }
    }

    pub(super) fn deleted(
        &mut self,
        call: Call,
        question: &Question<'_>,
        queue: usize,
        receipts: &[Receipt],
        outcomes: &[Result<bool, Refusal>],
    ) -> Judged {
        if receipts.len() != outcomes.len() {
            return Err(self.violated("R4", format!("{} outcomes for {} receipts", outcomes.len(), receipts.len())));
        }
        // One call may name a message twice: both are answered as one.
        let mut done: Vec<u64> = Vec::new();
        for (receipt, outcome) in receipts.iter().zip(outcomes) {
            match outcome {
                Ok(false) if done.contains(&receipt.0) => {}
                Ok(false) => {
                    done.push(receipt.0);
                    self.finishes(question, queue, *receipt)?;
                }
                Ok(true) => self.was_gone(call, queue, *receipt)?,
                Err(refusal) => {
                    self.queues[queue].did_not_remove(call, receipt.0);
                    self.honoured(queue, *receipt, refusal)?;
                }
            }
        }
        Ok(())
    }

    /// A receipt finished its message: it was its holder's, and nobody had finished it before.
    pub(super) fn finishes(&mut self, question: &Question<'_>, queue: usize, (sequence, epoch): Receipt) -> Judged {
        let message = self.message(queue, sequence)?;
        // That it is gone may have been said before the answer of the call that did it.
        if let Some((event, under)) = message.gone
            && (under != u64::MAX || event < question.asked.event)
        {
            return Err(self.violated("R4", format!("message {sequence} is finished twice, first at event {event}")));
        }
        let newer = |lease: &&super::state::Lease| lease.epoch > epoch && lease.answered.event < question.asked.event;
        if let Some(lease) = message.leases.iter().find(newer) {
            let what = format!("message {sequence} is finished under epoch {epoch}; epoch {} holds it", lease.epoch);
            return Err(self.violated("B2", what));
        }
        if let Some(lease) = message.leases.iter().find(|lease| lease.epoch == epoch)
            && lease.changing == 0
            && lease.upper <= question.asked.active
        {
            return Err(self.violated("R3", format!("message {sequence} is finished after its lease ended")));
        }
        self.done_with(queue, sequence);
        self.queues[queue].gone(sequence, self.now.event, epoch);
        Ok(())
    }

    /// "It was gone" is true: somebody may have finished it, or it passed, or it went to another queue.
    fn was_gone(&mut self, call: Call, queue: usize, (sequence, _): Receipt) -> Judged {
        let state = &self.queues[queue];
        let message = self.message(queue, sequence)?;
        let others = message.removers.keys().any(|remover| *remover != call);
        let may_have_ended = message.gone.is_some() || others || state.may_have_passed(message, self.now);
        if !may_have_ended && (message.left.is_some() || state.may_have_left(sequence, message)) {
            // Then another queue must show it.
            return Ok(());
        }
        if !may_have_ended {
            let what = format!("message {sequence} is said to be gone, and nobody finished it");
            return Err(self.violated("guarantee 1", what));
        }
        self.queues[queue].gone(sequence, self.now.event, u64::MAX);
        Ok(())
    }

    /// "Expired" is true: the lease does not certainly live.
    fn honoured(&self, queue: usize, receipt: Receipt, refusal: &str) -> Judged {
        let state = &self.queues[queue];
        if refusal == "ReceiptExpired"
            && let Some(lease) = state.lease(receipt)
            && state.lives(receipt.0, lease, self.now.active)
        {
            let what = format!("the receipt of message {} is refused as expired, and its lease lives", receipt.0);
            return Err(self.violated("R3", what));
        }
        Ok(())
    }

    /// A call that changes deadlines reached the broker: until it is answered, only the worse of both is certain.
    pub(super) fn changing(&mut self, queue: usize, entries: &[(Receipt, u64)]) {
        let now = self.now.active;
        for (receipt, timeout) in entries {
            if let Some(lease) = self.queues[queue].lease_mut(*receipt) {
                lease.touched = true;
                lease.blurred |= lease.changing > 0;
                lease.changing += 1;
                lease.lower = lease.lower.min(now.saturating_add(*timeout));
            }
        }
    }

    pub(super) fn did_not_change(&mut self, queue: usize, receipt: Receipt) {
        if let Some(lease) = self.queues[queue].lease_mut(receipt) {
            lease.changing = lease.changing.saturating_sub(1);
        }
    }

    pub(super) fn changed(
        &mut self,
        question: &Question<'_>,
        queue: usize,
        entries: &[(Receipt, u64)],
        outcomes: &[Result<u64, Refusal>],
    ) -> Judged {
        if entries.len() != outcomes.len() {
            return Err(self.violated("R5", format!("{} outcomes for {} entries", outcomes.len(), entries.len())));
        }
        for ((receipt, _), outcome) in entries.iter().zip(outcomes) {
            match outcome {
                Ok(visible_at) => {
                    let until = visible_at - question.downtime;
                    self.did_not_change(queue, *receipt);
                    let state = &mut self.queues[queue];
                    let later = if state.facts.strict { state.grants.get(&receipt.1).cloned() } else { None };
                    for sequence in later.into_iter().flatten().filter(|sequence| *sequence > receipt.0) {
                        if let Some(lease) = state.lease_mut((sequence, receipt.1)) {
                            lease.upper = lease.upper.max(until);
                        }
                    }
                    if let Some(lease) = state.lease_mut(*receipt) {
                        lease.upper = lease.upper.max(until);
                        let alone = lease.changing == 0 && !lease.blurred;
                        lease.lower = if alone { until } else { lease.lower.min(until) };
                    }
                }
                Err(refusal) => {
                    self.did_not_change(queue, *receipt);
                    self.honoured(queue, *receipt, refusal)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn purged(&mut self, call: Call, question: &Question<'_>, queue: usize) {
        let now = self.now;
        let state = &mut self.queues[queue];
        if let Some(purge) = state.purges.get_mut(&call) {
            purge.answered = Some(now.event);
        }
        // Claims keep what they hold (B8): where there are any, nothing is certain.
        if !state.claims.is_empty() {
            return;
        }
        let before = |message: &super::state::Message| message.known.event < question.asked.event;
        let known: Vec<_> =
            state.messages.iter().filter(|(_, message)| before(message)).map(|(sequence, _)| *sequence).collect();
        for sequence in known {
            state.gone(sequence, now.event, u64::MAX);
        }
    }

    /// A commit of deliveries is done, all or nothing (B1).
    pub(super) fn finished(&mut self, question: &Question<'_>, outputs: &[Accepted], repeated: bool) -> Judged {
        let Ask::Finish { queue, id, receipts, outputs: wanted } = question.ask else { return Ok(()) };
        if !repeated && self.queues[*queue].finished.insert(*id, true) == Some(true) {
            return Err(self.violated("B1", format!("commit {id} was done twice")));
        }
        for receipt in receipts {
            if repeated {
                // The answer of the call that did it may still be under way.
                self.queues[*queue].gone(receipt.0, self.now.event, u64::MAX);
            } else {
                self.finishes(question, *queue, *receipt)?;
            }
        }
        self.outputs(question, wanted, outputs, repeated)
    }

    /// What a commit sent is stored.
    pub(super) fn outputs(
        &mut self,
        question: &Question<'_>,
        wanted: &[(usize, crate::history::Entry)],
        outputs: &[Accepted],
        repeated: bool,
    ) -> Judged {
        if wanted.len() != outputs.len() {
            return Err(self.violated("B1", format!("{} outputs, and {} are answered", wanted.len(), outputs.len())));
        }
        for (((queue, entry), accepted), place) in wanted.iter().zip(outputs).zip(question.first_sending..) {
            if repeated {
                // A repeat answers what the first one did.
                self.repeated_output(*queue, entry, accepted.sequence, place)?;
            } else {
                self.accepted(question, *queue, entry, *accepted, place)?;
            }
        }
        Ok(())
    }
}
