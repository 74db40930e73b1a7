//! What a scenario is, as plain data: steps, each with what is done, what to see and what has to become true; before a
//! failure a card with a question. Nothing here does anything.

use serde::Serialize;

use crate::producer::Keys;

/// A scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it shows, in one sentence.
    pub shows: &'static str,
    /// How its producers' repeats are recognised.
    pub keys: Keys,
    /// After so many seconds without a sign of life a worker's lease on its claim has lapsed.
    pub lease: u64,
    /// The first producer waits after an answer that was lost, as one does that was cut off; and a producer with nothing
    /// but deduplication ids does the same on a queue of its own.
    pub hole: bool,
    /// The steps.
    pub steps: Vec<Step>,
    /// What to keep in mind.
    pub learnt: &'static str,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What happens, in a few words.
    pub title: &'static str,
    /// To be predicted before.
    pub card: Option<Card>,
    /// What is done.
    #[serde(skip)]
    pub actions: Vec<Action>,
    /// Where to look.
    pub see: &'static str,
    /// What has to become true.
    #[serde(skip)]
    pub until: Until,
}

/// A question that is answered before the failure.
#[derive(Clone, Debug, Serialize)]
pub struct Card {
    /// The question.
    pub question: &'static str,
    /// The choices.
    pub choices: Vec<&'static str>,
    /// Which of them is right, from 0.
    pub right: usize,
    /// Why.
    pub answer: &'static str,
}

/// A point in a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The claim is processed, no file exists.
    BeforeFile,
    /// The file is synced, nothing is committed.
    AfterFile,
    /// It is committed, nobody knows yet.
    AfterCommit,
}

impl Point {
    /// Its name among the drills.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeFile => "before-file",
            Self::AfterFile => "after-file",
            Self::AfterCommit => "after-commit",
        }
    }
}

/// Something that is done to the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Every producer may send so many more messages.
    Send(u64),
    /// One producer may.
    SendOne(usize, u64),
    /// Every producer sends what is left.
    SendRest,
    /// The next worker that comes there kills itself (SIGKILL).
    KillAt(Point),
    /// The next worker that comes there stands still (SIGSTOP).
    FreezeAt(Point),
    /// SIGKILL for the worker at a place.
    KillWorker(usize),
    /// SIGSTOP for the worker at a place.
    FreezeWorker(usize),
    /// SIGCONT for everyone who stands still.
    Thaw,
    /// SIGKILL for the broker; it is started again.
    KillBroker,
    /// The same, once so many more messages are committed: in the middle of everything.
    KillBrokerAfter(u64),
    /// Not one byte more fits on the broker's disk.
    FillDisk,
    /// The next answers to a producer are lost.
    LoseAnswers(usize, u64),
    /// The next message of a producer is poison.
    Poison(usize),
    /// Workers take so many times longer.
    Slow(u64),
    /// The clock goes on by so many seconds.
    Advance(u64),
    /// Who waits after a loss sends again.
    Again,
    /// The producer with ids alone may send so many.
    SendBeside(u64),
    /// The next answer to it is lost.
    LoseBeside,
    /// It sends again.
    AgainBeside,
    /// No more messages come: the pool ends once everything is published.
    Finish,
}

/// What has to become true; counts are since the step began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// Every message that may be sent is answered for and committed or set aside.
    CaughtUp,
    /// So many more are committed.
    Committed(u64),
    /// Some worker was struck there, and stands still where it was to.
    Struck(Point),
    /// A worker died and everything is caught up all the same.
    WorkerDiedAndCaughtUp,
    /// A worker's lease has lapsed, and everything is caught up all the same.
    TakenOver,
    /// A worker that came back was refused.
    Refused,
    /// The broker has died and serves again, and everything is caught up.
    BrokerBack,
    /// So many more answers said: known already.
    TurnedAway(u64),
    /// So many more tries have no answer.
    Unanswered(u64),
    /// The queue beside has stored so many messages for its sent ones, and all of them were read.
    Beside {
        /// Answered messages.
        accepted: u64,
        /// Messages that a consumer read.
        read: u64,
    },
    /// A try beside has no answer.
    BesideUnanswered,
    /// Everything is published and the pool has ended.
    Drained,
}

/// What is known when a condition is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Messages that may be sent.
    pub allowed: u64,
    /// Different messages that were answered for.
    pub accepted: u64,
    /// Committed lines.
    pub committed: u64,
    /// Set aside.
    pub aside: u64,
    /// Answers that said: known already.
    pub turned_away: u64,
    /// Tries without an answer.
    pub unanswered: u64,
    /// Workers that ended unasked.
    pub worker_deaths: u64,
    /// Leases of workers that lapsed.
    pub given_up: u64,
    /// Commits that came too late.
    pub refused: u64,
    /// How often the broker was started.
    pub broker_lives: u64,
    /// It answers.
    pub broker_serves: bool,
    /// Points at which somebody was struck, and stands still where it was to.
    pub struck: Vec<String>,
    /// The pool has ended.
    pub drained: bool,
    /// On the queue beside: answered, unanswered, read.
    pub beside: (u64, u64, u64),
}

impl Facts {
    fn caught_up(&self) -> bool {
        self.accepted == self.allowed && self.committed + self.aside >= self.accepted
    }
}

impl Until {
    /// Whether it is true `now`, where the step began with `then`.
    #[must_use]
    pub fn is_met(&self, then: &Facts, now: &Facts) -> bool {
        match self {
            Self::CaughtUp => now.caught_up(),
            Self::Committed(more) => now.committed >= then.committed + more,
            Self::Struck(point) => now.struck.iter().any(|name| name == point.name()),
            Self::WorkerDiedAndCaughtUp => now.worker_deaths > then.worker_deaths && now.caught_up(),
            Self::TakenOver => now.given_up > 0 && now.caught_up(),
            Self::Refused => now.refused > 0,
            Self::BrokerBack => now.broker_lives > then.broker_lives && now.broker_serves && now.caught_up(),
            Self::TurnedAway(more) => now.turned_away >= then.turned_away + more && now.caught_up(),
            Self::Unanswered(more) => now.unanswered >= then.unanswered + more,
            Self::Beside { accepted, read } => now.beside.0 == *accepted && now.beside.2 == *read,
            Self::BesideUnanswered => now.beside.1 > 0,
            Self::Drained => now.drained,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_counts_from_the_begin_of_its_step() {
        let then = Facts { allowed: 8, accepted: 8, committed: 8, turned_away: 2, ..Facts::default() };
        assert!(Until::CaughtUp.is_met(&then, &then) && !Until::Committed(1).is_met(&then, &then));
        assert!(!Until::TurnedAway(1).is_met(&then, &then));
        let now = Facts { turned_away: 3, ..then.clone() };
        assert!(Until::TurnedAway(1).is_met(&then, &now));
        let behind = Facts { accepted: 9, allowed: 9, ..now };
        assert!(!Until::TurnedAway(1).is_met(&then, &behind), "not before everything is caught up");
    }
}
