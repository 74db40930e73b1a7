//! Producer sessions: a number is one message for ever, numbers leave no gap and keep their order, and an epoch that is over
//! sends nothing (B3). And parked groups, which deliver nothing (B7).

use super::{Checker, Judged, Question, state::Key};
use crate::history::{Ask, Call, Entry, Refusal};

impl Checker<'_> {
    /// A send under numbers reached the broker.
    pub(super) fn numbered_sends(&mut self, call: Call, queue: usize, producer: u64, first: u64, entries: &[Entry]) {
        for (entry, number) in entries.iter().zip(first..) {
            self.keyed(call, queue, entry, Key::Number(producer, number));
        }
        let known = self.queues[queue].producers.entry(producer).or_default();
        known.asked = known.asked.max(first + entries.len() as u64 - 1);
    }

    pub(super) fn sent_numbered(
        &mut self,
        call: Call,
        question: &Question<'_>,
        outcomes: &[Result<crate::history::Accepted, Refusal>],
    ) -> Judged {
        let Ask::Numbered { queue, producer, epoch, first, entries } = question.ask else { return Ok(()) };
        if *epoch < question.producer.epoch {
            let what = format!("epoch {epoch} of producer {producer} sends, and {} was open", question.producer.epoch);
            return Err(self.violated("B3", what));
        }
        let before = Key::Number(*producer, first - 1);
        let used = |place: &usize| self.sendings[*place].fate != super::state::Fate::Refused;
        let gap = *first > 1 && !self.queues[*queue].sendings_of.get(&before).is_some_and(|of| of.iter().any(used));
        if gap && outcomes.iter().any(Result::is_ok) {
            return Err(self.violated("B3", format!("number {first} of producer {producer} leaves a gap")));
        }
        self.sent(call, question, *queue, entries, outcomes)?;
        for ((entry, outcome), number) in entries.iter().zip(outcomes).zip(*first..) {
            let Ok(accepted) = outcome else { continue };
            let message = self.message(*queue, accepted.sequence)?;
            if message.body.is_some_and(|body| body != entry.body) {
                let what = format!("number {number} of producer {producer} is accepted for another content");
                return Err(self.violated("B3", what));
            }
            self.in_line(*queue, *producer, number, accepted.sequence)?;
        }
        Ok(())
    }

    /// Messages of a session lie in the order of their numbers.
    fn in_line(&mut self, queue: usize, producer: u64, number: u64, sequence: u64) -> Judged {
        let state = &mut self.queues[queue];
        let known = state.producers.entry(producer).or_default();
        known.used = known.used.max(number);
        let of_producer = |((of, _), _): &(&(u64, u64), &u64)| *of == producer;
        let before = state.numbers.range(..(producer, number)).next_back().filter(of_producer).map(|(_, place)| *place);
        let after = state.numbers.range((producer, number + 1)..).next().filter(of_producer).map(|(_, place)| *place);
        let same = *state.numbers.entry((producer, number)).or_insert(sequence);
        if same != sequence || before.is_some_and(|it| it >= sequence) || after.is_some_and(|it| it <= sequence) {
            let what = format!(
                "number {number} of producer {producer} is message {sequence}, and was {same}; {before:?}, {after:?}"
            );
            return Err(self.violated("B3", what));
        }
        Ok(())
    }

    /// A send under numbers was refused: not for a gap where there is none.
    pub(super) fn not_numbered(&self, question: &Question<'_>, first: u64, refusal: &str) -> Judged {
        if refusal == "SendNumberInvalid" && first <= question.producer.used + 1 {
            return Err(self.violated("B3", format!("number {first} is refused as a gap, and the one before was used")));
        }
        Ok(())
    }

    pub(super) fn producer_opened(&mut self, question: &Question<'_>, epoch: u64, last: u64) -> Judged {
        let Ask::OpenProducer { queue, producer, .. } = question.ask else { return Ok(()) };
        let state = &mut self.queues[*queue];
        state.highest_epoch = state.highest_epoch.max(epoch);
        let known = state.producers.entry(*producer).or_default();
        known.epoch = known.epoch.max(epoch);
        let asked = known.asked;
        if epoch < question.producer.epoch || last < question.producer.used || last > asked {
            let what = format!(
                "producer {producer} is open under epoch {epoch} at number {last}; before: {:?}, asked for: {asked}",
                question.producer
            );
            return Err(self.violated("B3", what));
        }
        Ok(())
    }

    /// A group that certainly is parked delivers nothing (B7).
    pub(super) fn is_not_parked(&self, queue: usize, group: u64, since: usize) -> Judged {
        let state = &self.queues[queue];
        let of_group = |it: &&super::state::Parking| it.group.is_none_or(|of| of == group);
        let stays = |park: &&super::state::Parking| {
            let over = |it: &super::state::Parking| it.answered.is_none_or(|answered| answered > park.asked);
            park.answered.is_some_and(|answered| answered < since)
                && !state.unparks.values().filter(of_group).any(over)
                && !state.purged_between(park.asked, self.now.event)
        };
        match state.parks.values().filter(of_group).find(stays) {
            Some(park) => {
                let what = format!("group {group} delivers, and is parked since event {}", park.asked);
                Err(self.violated("B7", what))
            }
            None => Ok(()),
        }
    }
}
