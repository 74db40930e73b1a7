//! Receives under an attempt id: for five minutes a repeat brings the same messages under the same receipts, hidden anew,
//! and is refused only when one of them is not what it was (R7).

use super::{Checker, Judged, Question, state::Attempt};
use crate::history::{Delivered, Receipt};

/// How long a receive can be repeated.
const WINDOW: u64 = 300_000;

impl Checker<'_> {
    /// A receive under an attempt id reached the broker. A repeat may hide anew what the first one delivered.
    pub(super) fn attempted(&mut self, queue: usize, attempt: Option<u64>) {
        let Some(attempt) = attempt else { return };
        let (now, state) = (self.now, &mut self.queues[queue]);
        let floor = state.highest_epoch;
        let attempt = state.attempts.entry(attempt).or_insert(Attempt { first: now, floor, asks: 0, answer: None });
        attempt.asks += 1;
        for receipt in attempt.answer.clone().into_iter().flat_map(|(_, receipts)| receipts) {
            if let Some(lease) = state.lease_mut(receipt) {
                lease.upper = u64::MAX;
            }
        }
    }

    /// The highest epoch that the receive cannot have given.
    pub(super) fn epoch_floor(&self, question: &Question<'_>, queue: usize, attempt: Option<u64>) -> u64 {
        let attempt = attempt.and_then(|attempt| self.queues[queue].attempts.get(&attempt));
        attempt.map_or(question.epoch_floor, |attempt| attempt.floor)
    }

    /// Whether an answer repeats one; a different one is allowed only when the five minutes may have ended.
    pub(super) fn repeats(
        &mut self,
        queue: usize,
        attempt: Option<u64>,
        delivered: &[Delivered],
    ) -> Result<bool, super::Violation> {
        let Some(number) = attempt.filter(|_| !delivered.is_empty()) else { return Ok(false) };
        let receipts: Vec<Receipt> = delivered.iter().map(|each| (each.seen.sequence, each.epoch)).collect();
        let now = self.now;
        let Some(attempt) = self.queues[queue].attempts.get_mut(&number) else { return Ok(false) };
        let ended = attempt.first.active + WINDOW <= now.active;
        match &attempt.answer {
            Some((_, before)) if *before == receipts => {
                self.summary.repeats += 1;
                Ok(true)
            }
            Some((_, before)) if !ended => {
                let what = format!("attempt {number} brought {before:?}, and now brings {receipts:?}");
                Err(self.violated("R7", what))
            }
            Some(_) | None => {
                attempt.answer = Some((now.event, receipts));
                Ok(false)
            }
        }
    }

    /// A receive was refused: as a repeat only when one of its messages may be finished, changed or lapsed.
    pub(super) fn not_repeated(
        &self,
        question: &Question<'_>,
        queue: usize,
        attempt: Option<u64>,
        refusal: &str,
    ) -> Judged {
        let state = &self.queues[queue];
        let attempt = attempt.and_then(|attempt| state.attempts.get(&attempt));
        let Some((known, receipts)) = attempt.and_then(|attempt| attempt.answer.as_ref()) else { return Ok(()) };
        let whole = |receipt: &Receipt| {
            let message = &state.messages[&receipt.0];
            let untouched =
                |lease: &super::state::Lease| !lease.touched && state.lives(receipt.0, lease, self.now.active);
            let there = message.gone.is_none() && message.removers.is_empty();
            there && state.lease(*receipt).is_some_and(untouched) && !state.may_have_passed(message, self.now)
        };
        if refusal == "ReceiveAttemptInvalid" && *known < question.asked.event && receipts.iter().all(whole) {
            let what = format!("a receive cannot be repeated, and every message of it is held: {receipts:?}");
            return Err(self.violated("R7", what));
        }
        Ok(())
    }
}
