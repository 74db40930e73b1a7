//! A lesson under way: one scenario with its processes, and what a teacher says to it. It is one task, so that nobody
//! strikes in the middle of another one's word; a page sees what `shown` makes of it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lockstep_client::{Client, RetryPolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    answers::{self, Answer, Failures},
    director::{Director, Phase},
    lesson::Action,
    lessons,
    report::Report,
    shown,
    stage::{Setup, Speed},
};

/// How often the stage is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// So long a single step of a paused lab lasts.
const STEP: Duration = Duration::from_secs(1);
/// So long a worker of a lesson needs for a message, for people to see it.
const MESSAGE: Duration = Duration::from_millis(600);
/// So long a broker that was killed stays away, for people to see it.
const AWAY: Duration = Duration::from_secs(3);

/// A word of the teacher's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Word {
    /// Begin the next step; its card first, where it has one.
    Next,
    /// What the class predicts for the card of the present step.
    Predict {
        /// The choice, from 0.
        choice: usize,
    },
    /// Time stands still.
    Pause,
    /// It goes on.
    Run,
    /// It goes on for a second.
    Step,
    /// How fast it goes: 1 to 60 times.
    Speed {
        /// The factor.
        times: u64,
    },
    /// Another scenario, or this one anew.
    Scenario {
        /// Its name.
        name: String,
        /// The seed of its dialogue.
        seed: u64,
    },
    /// More messages may be sent.
    Send {
        /// By each producer.
        count: u64,
    },
    /// SIGKILL for a worker.
    KillWorker {
        /// Its place, from 0.
        place: usize,
    },
    /// SIGSTOP for a worker.
    FreezeWorker {
        /// Its place, from 0.
        place: usize,
    },
    /// SIGCONT for everyone who stands still.
    Thaw,
    /// SIGKILL for the broker.
    KillBroker,
    /// No file of the broker may grow any more.
    FillDisk,
    /// The next answers are lost.
    LoseAnswers {
        /// To this producer, from 0.
        producer: usize,
        /// So many.
        count: u64,
    },
    /// The next message of a producer cannot be processed.
    Poison {
        /// The producer, from 0.
        producer: usize,
    },
    /// Workers take so many times longer.
    Slow {
        /// The factor, 1 to 100.
        times: u64,
    },
    /// Run the other answers.
    Answers,
}

/// What the page is shown of the lesson beside the director's own.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Aside {
    /// What the class predicted, by step.
    pub predicted: Vec<Option<usize>>,
    /// The other answers, when they were run.
    pub answers: Option<Vec<Answer>>,
    /// Time stands still.
    pub paused: bool,
    /// How fast it goes when it goes.
    pub times: u64,
    /// What went wrong with the lab itself.
    pub failed: Option<String>,
}

/// Speaks to a lesson; cheap to clone.
#[derive(Clone, Debug)]
pub struct Class {
    words: mpsc::Sender<(Word, oneshot::Sender<Result<(), String>>)>,
    state: watch::Receiver<Value>,
    endpoint: watch::Receiver<String>,
    report: watch::Receiver<Option<Report>>,
}

impl Class {
    /// Says something; the answer is what is wrong with it.
    ///
    /// # Errors
    /// What is wrong, and the way out.
    pub async fn say(&self, word: Word) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the lab is ending".to_owned();
        self.words.send((word, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// What a page is shown; changes wake the receiver.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Value> {
        self.state.clone()
    }

    /// Where the broker listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.borrow().clone()
    }

    /// How the scenario ended, if it has.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.report.borrow().clone()
    }
}

/// The lesson itself.
struct Lesson {
    program: PathBuf,
    folder: PathBuf,
    lab: Option<Director>,
    aside: Aside,
    seed: u64,
    stages: u64,
    began: Instant,
    pause_at: Option<Instant>,
    state: watch::Sender<Value>,
    endpoint: watch::Sender<String>,
    report: watch::Sender<Option<Report>>,
}

/// Begins a lesson: the way to speak to it, and its course, which ends when it is dropped.
///
/// # Errors
/// As [`Director::start`].
pub async fn begin(
    program: PathBuf,
    folder: PathBuf,
    scenario: &str,
    seed: u64,
) -> anyhow::Result<(Class, impl Future<Output = ()>)> {
    let (words, said) = mpsc::channel(16);
    let (state_in, state) = watch::channel(Value::Null);
    let (endpoint_in, endpoint) = watch::channel(String::new());
    let (report_in, report) = watch::channel(None);
    let mut lesson = Lesson {
        program,
        folder,
        lab: None,
        aside: Aside { times: 1, ..Aside::default() },
        seed,
        stages: 0,
        began: Instant::now(),
        pause_at: None,
        state: state_in,
        endpoint: endpoint_in,
        report: report_in,
    };
    lesson.set_stage(scenario, seed).await?;
    Ok((Class { words, state, endpoint, report }, lesson.course(said)))
}

impl Lesson {
    async fn course(mut self, mut said: mpsc::Receiver<(Word, oneshot::Sender<Result<(), String>>)>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                word = said.recv() => match word {
                    Some((word, answer)) => {
                        let heard = self.hear(word).await.map_err(|error| format!("{error:#}"));
                        // A page that went away needs no answer.
                        let _ = answer.send(heard);
                    }
                    None => break,
                },
                _ = look.tick() => {}
            }
            self.look().await;
        }
        if let Some(lab) = self.lab.take() {
            lab.stage.end().await;
        }
    }

    async fn look(&mut self) {
        if self.pause_at.is_some_and(|at| at <= Instant::now()) {
            self.pause_at = None;
            self.set_speed(true).await;
        }
        let Some(lab) = &mut self.lab else { return };
        if let Err(error) = lab.look().await {
            self.aside.failed = Some(format!("{error:#}"));
        }
        let state = shown::state(lab, &self.aside, self.seed);
        self.state.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
        if self.report.borrow().is_none()
            && let Some(verdict) = lab.verdict().cloned()
        {
            let scenario = lab.stage.scenario().clone();
            let (command, facts) = (Report::command(scenario.name, self.seed), lab.facts().clone());
            let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.report.send_replace(Some(Report { scenario, seed: self.seed, command, verdict, facts, took_ms }));
        }
    }

    /// Sets a new stage, in a folder of its own; the one before goes with its processes and files.
    async fn set_stage(&mut self, name: &str, seed: u64) -> anyhow::Result<()> {
        let scenario = lessons::named(name).map_err(anyhow::Error::msg)?;
        if let Some(lab) = self.lab.take() {
            let folder = lab.stage.setup().folder.clone();
            lab.stage.end().await;
            // It is in the lab's own folder, which goes in the end.
            let _ = std::fs::remove_dir_all(folder);
        }
        self.stages += 1;
        let folder = self.folder.join(format!("stage-{}", self.stages));
        let speed = Speed { times: self.aside.times, message: MESSAGE };
        let setup = Setup { program: self.program.clone(), folder, seed, speed, away: AWAY };
        let lab = Director::start(setup, scenario).await?;
        self.endpoint.send_replace(lab.stage.endpoint.clone());
        self.report.send_replace(None);
        (self.seed, self.began, self.pause_at) = (seed, Instant::now(), None);
        let predicted = vec![None; lab.stage.scenario().steps.len()];
        self.aside = Aside { predicted, times: self.aside.times, ..Aside::default() };
        self.lab = Some(lab);
        Ok(())
    }

    async fn set_speed(&mut self, paused: bool) {
        self.aside.paused = paused;
        let speed = Speed { times: if paused { 0 } else { self.aside.times }, message: MESSAGE };
        if let Some(lab) = &mut self.lab
            && let Err(error) = lab.stage.set_speed(speed).await
        {
            self.aside.failed = Some(format!("{error:#}"));
        }
    }

    async fn hear(&mut self, word: Word) -> anyhow::Result<()> {
        let action = match word {
            Word::Scenario { name, seed } => return self.set_stage(&name, seed).await,
            Word::Pause | Word::Run => {
                self.pause_at = None;
                self.set_speed(word == Word::Pause).await;
                return Ok(());
            }
            Word::Step => {
                self.set_speed(false).await;
                self.pause_at = Some(Instant::now() + STEP);
                return Ok(());
            }
            Word::Speed { times } => {
                anyhow::ensure!((1..=60).contains(&times), "the speed is 1 to 60");
                self.aside.times = times;
                self.set_speed(self.aside.paused).await;
                return Ok(());
            }
            Word::Answers => return self.answers().await,
            Word::Next => return self.lab()?.next().await,
            Word::Predict { choice } => return self.predict(choice),
            Word::Send { count } => Action::Send(count),
            Word::KillWorker { place } => Action::KillWorker(place),
            Word::FreezeWorker { place } => Action::FreezeWorker(place),
            Word::Thaw => Action::Thaw,
            Word::KillBroker => Action::KillBroker,
            Word::FillDisk => Action::FillDisk,
            Word::LoseAnswers { producer, count } => Action::LoseAnswers(producer, count.min(100)),
            Word::Poison { producer } => Action::Poison(producer),
            Word::Slow { times } => Action::Slow(times),
        };
        let lab = self.lab()?;
        anyhow::ensure!(lab.at().1 != Phase::Over, "this scenario is over; begin it anew, or another one");
        lab.act(&action).await
    }

    fn lab(&mut self) -> anyhow::Result<&mut Director> {
        self.lab.as_mut().context("no scenario is set")
    }

    fn predict(&mut self, choice: usize) -> anyhow::Result<()> {
        let lab = self.lab.as_ref().context("no scenario is set")?;
        let (at, phase) = lab.at();
        let card = lab.step().card.as_ref().context("this step has no card")?;
        anyhow::ensure!(phase == Phase::Waits, "it has begun: predictions come before");
        anyhow::ensure!(choice < card.choices.len(), "the card has {} choices", card.choices.len());
        self.aside.predicted[at] = Some(choice);
        Ok(())
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let seed = self.seed;
        let lab = self.lab()?;
        let answers = compared(&mut lab.stage, seed).await?;
        self.aside.answers = Some(answers);
        Ok(())
    }
}

/// Every other answer, under the failures of the seed: the standard queue on the broker of the stage, the rest simulated.
///
/// # Errors
/// The broker's.
pub async fn compared(stage: &mut crate::stage::Stage, seed: u64) -> anyhow::Result<Vec<Answer>> {
    let turns = stage.script.clone();
    let failures = Failures::of(seed, turns.len());
    let retry = RetryPolicy { time_limit: Duration::from_secs(20), ..RetryPolicy::default() };
    let client = Client::builder(stage.endpoint.as_str()).retry(retry).connect_lazy()?;
    let advance = async |by: Duration| stage.act(&Action::Advance(by.as_secs())).await;
    let standard = answers::standard::run(&client, "standard", (&turns, &failures), advance).await?;
    Ok([vec![standard], answers::simulated(&turns, &failures)].concat())
}

/// An error as the page reads it.
pub(crate) fn problem(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "rule": null, "message": message } })
}
