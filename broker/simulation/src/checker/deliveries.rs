//! Deliveries: order within a group (O3, O5), one holder at a time, epochs that rise (B2), deletes that stick.

use std::collections::BTreeMap;

use super::{
    Checker, Judged, Question,
    state::{Came, Lease},
};
use crate::history::{Ask, Delivered, Seen};

impl Checker<'_> {
    pub(super) fn received(&mut self, question: &Question<'_>, delivered: &[Delivered]) -> Judged {
        let Ask::Receive { queue, visibility, attempt, .. } = question.ask else { return Ok(()) };
        let queue = *queue;
        let timeout = visibility.unwrap_or(self.queues[queue].facts.visibility);
        let floor = self.epoch_floor(question, queue, *attempt);
        let repeats = self.repeats(queue, *attempt, delivered)?;
        let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for delivery in delivered {
            self.summary.deliveries += 1;
            let Delivered { seen, epoch, visible_at, receives } = delivery;
            self.seen(question.asked, queue, seen)?;
            let sequence = seen.sequence;
            if *epoch <= floor {
                return Err(
                    self.violated("B2", format!("epoch {epoch} of message {sequence} does not rise over {floor}"))
                );
            }
            let received_at = visible_at.wrapping_sub(timeout);
            if received_at < question.asked.at || received_at > self.now.at {
                return Err(self.violated("R6", format!("message {sequence} is hidden until {visible_at}")));
            }
            self.is_not_gone(question, queue, sequence, *epoch)?;
            self.is_ripe(queue, seen, received_at)?;
            self.is_not_too_often(queue, seen, *receives)?;
            let until = visible_at - question.downtime;
            if repeats {
                self.again(queue, sequence, *epoch, until);
                continue;
            }
            self.is_not_held(question, queue, sequence, *epoch, until)?;
            self.is_not_elsewhere(question, queue, sequence)?;
            // What may be a repeat was delivered before.
            if !attempt.is_some_and(|attempt| self.queues[queue].attempts[&attempt].asks > 1) {
                self.is_not_parked(queue, seen.group, question.asked.event)?;
            }
            groups.entry(seen.group).or_default().push(sequence);
            self.lease(queue, sequence, *epoch, until, *attempt);
        }
        for (group, messages) in groups {
            self.in_order(question.asked.event, queue, group, &messages)?;
        }
        Ok(())
    }

    fn lease(&mut self, queue: usize, sequence: u64, epoch: u64, until: u64, attempt: Option<u64>) {
        let state = &mut self.queues[queue];
        // A repeat that is under way, or was not answered, may have hidden it for longer.
        let again = attempt.and_then(|attempt| state.attempts.get(&attempt)).is_some_and(|attempt| attempt.asks > 1);
        let upper = if again { u64::MAX } else { until };
        let (answered, changing, blurred, touched) = (self.now, 0, false, false);
        let lease = Lease { epoch, answered, lower: until, upper, changing, blurred, touched };
        state.highest_epoch = state.highest_epoch.max(epoch);
        state.grants.entry(epoch).or_default().insert(sequence);
        let message = state.messages.get_mut(&sequence).expect("it was just seen");
        message.leases.push(lease);
        // Under an older epoch nothing can remove it any more (B2).
        message.removers.retain(|_, theirs| *theirs >= epoch);
        message.claim = None;
    }

    /// A repeat hides it anew (R7).
    fn again(&mut self, queue: usize, sequence: u64, epoch: u64, until: u64) {
        if let Some(lease) = self.queues[queue].lease_mut((sequence, epoch)) {
            lease.upper = u64::MAX;
            if !lease.touched {
                lease.lower = lease.lower.max(until);
            }
        }
    }

    /// The queue's delay has passed since a message was sent (S11). What came from another queue has none.
    pub(super) fn is_ripe(&self, queue: usize, seen: &Seen, at: u64) -> Judged {
        let state = &self.queues[queue];
        let message = self.message(queue, seen.sequence)?;
        let ripe_at = seen.sent_at + state.shortest_delay(message.earliest.event);
        if message.came == Came::Sent && at < ripe_at {
            let what = format!("message {} is delivered at {at}, and is delayed until {ripe_at}", seen.sequence);
            return Err(self.violated("S11", what));
        }
        Ok(())
    }

    fn is_not_gone(&self, question: &Question<'_>, queue: usize, sequence: u64, epoch: u64) -> Judged {
        let message = self.message(queue, sequence)?;
        if let Some((event, under)) = message.gone
            && (event < question.asked.event || epoch > under)
        {
            let what = format!("message {sequence} is delivered after it was finished at event {event}");
            return Err(self.violated("guarantee 4", what));
        }
        if let Some(event) = message.left.filter(|event| *event < question.asked.event) {
            let what = format!("message {sequence} is delivered, and was a dead letter at event {event}");
            return Err(self.violated("Q2", what));
        }
        if message.known.at.saturating_add(self.queues[queue].facts.retention) <= question.asked.at {
            return Err(self.violated("R9", format!("message {sequence} is delivered after its retention")));
        }
        Ok(())
    }

    /// Nobody else holds the message, by a lease or a claim that certainly lives.
    fn is_not_held(&self, question: &Question<'_>, queue: usize, sequence: u64, epoch: u64, until: u64) -> Judged {
        let state = &self.queues[queue];
        let message = self.message(queue, sequence)?;
        for lease in &message.leases {
            let double = if lease.epoch < epoch {
                state.lives(sequence, lease, self.now.active)
            } else {
                // That one was decided later, and answered earlier: this lease lived then.
                lease.epoch == epoch || lease.answered.active < until
            };
            if double {
                let what = format!("message {sequence} has two holders: epochs {} and {epoch}", lease.epoch);
                return Err(self.violated("O4", what));
            }
        }
        if let Some(claim) = message.claim
            && self.claim_lives(queue, claim, question.asked.event)
        {
            return Err(self.violated("B6", format!("message {sequence} is delivered, and claim {claim:?} holds it")));
        }
        Ok(())
    }

    /// Messages of a group come in order, and none is left out before them that was certainly there.
    pub(super) fn in_order(&self, asked: usize, queue: usize, group: u64, messages: &[u64]) -> Judged {
        if !messages.is_sorted_by(|one, other| one < other) {
            return Err(self.violated("O5", format!("group {group} comes out of order: {messages:?}")));
        }
        let state = &self.queues[queue];
        let (Some(last), Some(living)) = (messages.last(), state.living.get(&group)) else { return Ok(()) };
        for earlier in living.range(..last).filter(|earlier| !messages.contains(earlier)) {
            let message = self.message(queue, *earlier)?;
            if state.certainly_there(*earlier, message, asked, self.now) {
                let what = format!("group {group}: {messages:?} is handed out, and {earlier} comes first");
                return Err(self.violated("O3", what));
            }
        }
        Ok(())
    }

    /// A look sees only what is there to stay (H4).
    pub(super) fn peeked(&mut self, question: &Question<'_>, queue: usize, seen: &[Seen]) -> Judged {
        let mut before = 0;
        for seen in seen {
            self.seen(question.asked, queue, seen)?;
            if seen.sequence <= before {
                return Err(self.violated("S12", format!("message {} is shown after {before}", seen.sequence)));
            }
            before = seen.sequence;
            self.is_here(question, queue, seen.sequence)?;
            if let Some((event, _)) = self.message(queue, seen.sequence)?.gone
                && event < question.asked.event
            {
                let what = format!("message {} is shown after it was finished at event {event}", seen.sequence);
                return Err(self.violated("guarantee 4", what));
            }
        }
        Ok(())
    }
}
