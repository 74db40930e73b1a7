//! What the running pool makes of its workers' news: reports, failures, deaths. A report says what to ask the broker, not
//! what is true; only "done" is believed at once, because the records show it anyway.

use super::Run;
use crate::pool::PoolError;
use crate::pool::crew::{News, WorkerEvent};
use crate::pool::publish::Task;
use crate::port::{Port, Reason};
use crate::protocol::{FailureKind, Report};
use crate::step::OnPoison;

/// So many workers in a row may end before they are ready.
const FALSE_STARTS: u32 = 5;

/// Attempts that failed leave files; after so many they are swept.
const SWEEP_AFTER: u32 = 16;

impl<P: Port> Run<P> {
    pub(super) fn heard(&mut self, event: WorkerEvent) -> Result<(), PoolError> {
        if self.crew.is_of_lost(&event) {
            self.heard_of_lost(event.news);
            return Ok(());
        }
        if !self.crew.is_present(&event) {
            return Ok(());
        }
        let place = event.place;
        self.crew.speaks(place);
        match event.news {
            News::Report(Report::Ready { .. }) => {
                self.false_starts = 0;
                self.crew.is_ready(place);
            }
            News::Report(Report::Alive { .. }) => {}
            News::Report(Report::Done { done, messages, .. }) => {
                if self.crew.release(place, done).is_some() {
                    self.committed(done, Some(messages));
                    self.hurry_at_the_end();
                }
            }
            News::Report(Report::Refused { refused, reason, message }) => {
                if self.crew.release(place, refused).is_some() {
                    tracing::info!(claim = refused, ?reason, %message, "a worker was refused");
                    if reason == Reason::Other && self.claims.failed(refused) {
                        return Err(PoolError::Step { claim: refused, why: message, disk: false });
                    }
                    self.attempt_failed();
                    self.ask_what_became(refused, false);
                }
            }
            News::Report(Report::Failed { failed, kind, reason }) => {
                if self.crew.release(place, failed).is_some() {
                    tracing::warn!(claim = failed, ?kind, %reason, "an attempt failed");
                    self.progress.send_modify(|progress| {
                        progress.failures = (progress.failures.0 + 1, format!("claim {failed}: {reason}"));
                    });
                    if !self.may_be_tried_again(failed, kind) {
                        let disk = kind == FailureKind::Disk;
                        return Err(PoolError::Step { claim: failed, why: reason, disk });
                    }
                    self.attempt_failed();
                    // Where poison is taken out, the pool counts the tries: the queue's receives would count against
                    // the messages behind it, which may come again several times (B7).
                    let counts = self.settings.step.on_poison == OnPoison::Fail || kind == FailureKind::Disk;
                    self.ask_what_became(failed, counts);
                }
            }
            News::Ended(how) => self.worker_ended(place, &how)?,
        }
        Ok(())
    }

    fn may_be_tried_again(&mut self, claim: u64, kind: FailureKind) -> bool {
        match (kind, self.settings.step.on_poison) {
            (FailureKind::State, _) | (FailureKind::Job, OnPoison::Fail) => false,
            (FailureKind::Disk, _) | (FailureKind::Mapper, OnPoison::Fail) => !self.claims.failed(claim),
            (FailureKind::Job | FailureKind::Mapper, OnPoison::Dlq | OnPoison::Park) => !self.claims.suspected(claim),
        }
    }

    fn worker_ended(&mut self, place: usize, how: &str) -> Result<(), PoolError> {
        let ended = self.crew.ended(place);
        tracing::info!(place, how, claim = ended.held, "a worker ended");
        if ended.dismissed {
            if let Some(claim) = ended.held {
                self.ask_what_became(claim, true);
            }
            return if ended.left { Ok(()) } else { self.start_worker(place) };
        }
        self.progress.send_modify(|progress| progress.worker_deaths += 1);
        if !ended.was_ready && !ended.left {
            self.false_start(how)?;
        }
        if let Some(claim) = ended.held {
            if self.claims.died(claim) {
                return Err(PoolError::Workers(format!("claim {claim} has ended 20 of them, the last one: {how}")));
            }
            self.attempt_failed();
            self.ask_what_became(claim, true);
        }
        if ended.left { Ok(()) } else { self.start_worker(place) }
    }

    /// A worker that hangs costs time, never a message: its claim is taken by another, which fences it (B6).
    pub(super) fn give_up_the_silent(&mut self) -> Result<(), PoolError> {
        for (place, claim, followed) in self.crew.give_up(self.settings.silence) {
            tracing::warn!(place, claim, "a worker is silent and given up");
            self.progress.send_modify(|progress| progress.given_up += 1);
            if self.claims.died(claim) {
                return Err(PoolError::Workers(format!("claim {claim} has ended 20 of them, the last one hung")));
            }
            self.attempt_failed();
            self.ask_what_became(claim, true);
            if followed {
                self.start_worker(place)?;
            }
        }
        Ok(())
    }

    /// What became of its claim was asked when it was given up; this is only told.
    fn heard_of_lost(&self, news: News) {
        if let News::Report(Report::Refused { refused, reason, message }) = news {
            tracing::warn!(claim = refused, ?reason, %message, "a worker that was given up came back and was refused");
            let words = format!("claim {refused}: {reason:?}, {message}");
            self.progress.send_modify(|progress| progress.refused = (progress.refused.0 + 1, words));
        }
    }

    pub(super) fn start_worker(&mut self, place: usize) -> Result<(), PoolError> {
        while let Err(error) = self.crew.start(place) {
            if self.crew.drop_place(place) {
                tracing::info!(place, %error, "a worker by hand has gone");
                return Ok(());
            }
            self.false_start(&error.to_string())?;
        }
        Ok(())
    }

    fn false_start(&mut self, how: &str) -> Result<(), PoolError> {
        self.false_starts += 1;
        match self.false_starts < FALSE_STARTS {
            true => Ok(()),
            false => {
                Err(PoolError::Workers(format!("{FALSE_STARTS} ended before they were ready, the last one: {how}")))
            }
        }
    }

    fn attempt_failed(&mut self) {
        self.failed_attempts += 1;
        if self.failed_attempts.is_multiple_of(SWEEP_AFTER) {
            self.task(Task::Sweep);
        }
    }
}
