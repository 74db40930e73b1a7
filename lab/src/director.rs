//! Walks through a scenario: begins a step when it is told to, looks at the stage until the step's condition is true, and
//! judges the end. A terminal and a page tell it the same; neither is known here.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;

use crate::{
    ledger::Proof,
    lesson::{Action, Facts, Scenario, Step},
    stage::{Read, Setup, Stage},
};

/// A step whose condition is not true by then has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a scenario is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The step is not begun; its card, if it has one, is to be answered.
    Waits,
    /// It is begun, and its condition not true yet.
    Runs,
    /// Its condition is true: the next one may begin.
    Met,
    /// The last step is over.
    Over,
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Everything is as it has to be.
    pub ok: bool,
    /// The proof table at the end.
    pub proof: Proof,
    /// What a producer with nothing but deduplication ids came to, where the scenario has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<BesideProof>,
    /// What failed, if something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", if self.ok { "ok" } else { "failed" }, self.proof)?;
        self.why.iter().try_for_each(|why| write!(f, "; {why}"))
    }
}

/// The proof table of the queue beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BesideProof {
    /// Different messages that were answered for.
    pub accepted: u64,
    /// Messages that the consumer read.
    pub read: u64,
    /// Of them, read more than once.
    pub duplicated: u64,
}

impl BesideProof {
    fn of(accepted: u64, read: &[Read]) -> Self {
        let mut turns: Vec<u32> = read.iter().map(|read| read.turn).collect();
        turns.sort_unstable();
        turns.dedup();
        let (all, different) = (read.len() as u64, turns.len() as u64);
        Self { accepted, read: all, duplicated: all - different }
    }
}

/// A scenario under way.
pub struct Director {
    /// The processes.
    pub stage: Stage,
    at: usize,
    phase: Phase,
    /// What was known when something was last done. A step that only watches may begin late: what it waits for may be over by
    /// then, because the processes do not wait for the class.
    base: Facts,
    facts: Facts,
    began: Instant,
    verdict: Option<Verdict>,
}

impl Director {
    /// Sets the stage. No step is begun.
    ///
    /// # Errors
    /// As [`Stage::start`].
    pub async fn start(setup: Setup, scenario: Scenario) -> anyhow::Result<Self> {
        let stage = Stage::start(setup, scenario).await?;
        let (base, facts) = (Facts::default(), Facts::default());
        Ok(Self { stage, at: 0, phase: Phase::Waits, base, facts, began: Instant::now(), verdict: None })
    }

    /// The number of the present step, from 0, and where it is.
    #[must_use]
    pub fn at(&self) -> (usize, Phase) {
        (self.at, self.phase)
    }

    /// The present step.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.stage.scenario().steps[self.at]
    }

    /// What was known at the last look.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// The proof table as it is now.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.verdict.as_ref().map_or_else(|| self.stage.ledger.proof(false), |verdict| verdict.proof.clone())
    }

    /// Begins the next step, or the first one; does nothing while one runs.
    ///
    /// # Errors
    /// As [`Stage::act`].
    pub async fn next(&mut self) -> anyhow::Result<()> {
        match self.phase {
            Phase::Runs | Phase::Over => return Ok(()),
            Phase::Met => {
                self.at += 1;
                self.phase = Phase::Waits;
                if self.step().card.is_some() {
                    // The card first; the step begins with the next word.
                    return Ok(());
                }
            }
            Phase::Waits => {}
        }
        let facts = self.stage.look().await?;
        if !self.step().actions.is_empty() {
            self.base = facts;
        }
        (self.phase, self.began) = (Phase::Runs, Instant::now());
        for action in self.step().actions.clone() {
            self.stage.act(&action).await?;
        }
        Ok(())
    }

    /// Does something that no step asks for.
    ///
    /// # Errors
    /// As [`Stage::act`].
    pub async fn act(&mut self, action: &Action) -> anyhow::Result<()> {
        self.stage.act(action).await
    }

    /// Looks at the stage; a step whose condition has become true is over.
    ///
    /// # Errors
    /// A process that ended and should not have.
    pub async fn look(&mut self) -> anyhow::Result<()> {
        if self.phase == Phase::Over {
            return Ok(());
        }
        self.facts = self.stage.look().await?;
        if self.phase == Phase::Runs && self.step().until.is_met(&self.base, &self.facts) {
            self.phase = Phase::Met;
            if self.at + 1 == self.stage.scenario().steps.len() {
                self.phase = Phase::Over;
                self.verdict = Some(self.judge());
            }
        }
        Ok(())
    }

    /// Waits until the step is over.
    ///
    /// # Errors
    /// As [`Director::look`]; or its condition does not become true.
    pub async fn met(&mut self) -> anyhow::Result<()> {
        while self.phase == Phase::Runs {
            self.look().await?;
            if self.began.elapsed() > PATIENCE {
                bail!("the step `{}` waited in vain for {:?}: {:?}", self.step().title, self.step().until, self.facts);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn judge(&self) -> Verdict {
        let proof = self.stage.ledger.proof(true);
        let all = self.stage.script.len() as u64;
        let beside =
            self.stage.scenario().hole.then(|| BesideProof::of(self.facts.beside.0, &self.stage.read_beside()));
        let why = if let Some(violation) = &proof.violation {
            Some(violation.clone())
        } else if proof.accepted != all {
            Some(format!("{all} messages were written, {} accepted", proof.accepted))
        } else if proof.stored != proof.accepted {
            Some(format!("{} messages were accepted, {} stored", proof.accepted, proof.stored))
        } else if beside.is_some_and(|beside| beside.duplicated != 1) {
            Some("the hole did not show on the queue beside".to_owned())
        } else {
            None
        };
        Verdict { ok: why.is_none() && proof.is_ok(), proof, beside, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_read_twice_is_counted() {
        let read = [1, 2, 3, 3].map(|turn| Read { turn, sequence_number: u64::from(turn) });
        assert_eq!(BesideProof::of(3, &read), BesideProof { accepted: 3, read: 4, duplicated: 1 });
    }
}
