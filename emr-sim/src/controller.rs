//! The controller of the clusters: one task that owns the machine and its log. It answers nothing before its events are
//! durable, looks at the state and makes it true: starts and ends steps, gives worker places, lets instances go. What may
//! become of a cluster is decided in `cluster`; what a step does is `pool`'s.

mod attached;
mod log;
mod plan;
mod runner;
mod steplog;
mod works;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use lockstep_client::Client;
use tokio::sync::{mpsc, oneshot};

pub use attached::{ByHand, MAX_BY_HAND, Newcomer};
pub(crate) use attached::{Place, Start, ToWorker};
pub use log::{LogError, LogPlace};
pub use plan::{Plan, StepEnds};
pub use steplog::{FILES as LOG_FILES, folder as log_folder};

use log::EventLog;
use runner::Whose;
use works::Works;

use crate::cluster::{Chance, ClusterId, Command, Fleet, Rejected, Reply, Step, StepId};
use crate::crash::CrashPoints;
use crate::pool::PoolHandle;
use crate::port::ClaimLimits;

/// What the manifest of a step's output says in place of a pipeline's facts.
#[must_use]
pub fn step_facts() -> serde_json::Value {
    serde_json::json!({ "by": "emr" })
}

/// What all steps of a controller have in common beyond their own words.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Facts that must not change between runs on one output folder; the manifest keeps them.
    pub facts: serde_json::Value,
    /// The generation that their queue must have; any when absent.
    pub queue_generation: Option<u64>,
    /// How large claims are; the pool's usual size when absent.
    pub claim: Option<ClaimLimits>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { facts: step_facts(), queue_generation: None, claim: None }
    }
}

/// What a controller stands on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Where the broker listens; handed to the worker processes.
    pub endpoint: String,
    /// The connection of the steps to it, with whatever it wants to see.
    pub client: Client,
    /// The program of a worker process.
    pub program: PathBuf,
    /// Its arguments before the settings.
    pub arguments: Vec<OsString>,
    /// What is added to its environment, such as the token that its own connection shows.
    pub environment: Vec<(String, OsString)>,
    /// Words that stand before a mapper's command line: a program that ends the mapper when its worker dies.
    pub guard: Vec<String>,
    /// The folder of the steps' logs.
    pub logs: PathBuf,
    /// Where tests make it die.
    pub crash: CrashPoints,
    /// What its steps have in common.
    pub terms: Terms,
}

/// Why a command or a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The machine decided against it; final.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The outcome is unknown: the controller has ended, a restart recovers.
    #[error("{0}")]
    Unavailable(String),
}

/// What a question sees.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The clusters, as they are durable.
    pub fleet: &'a Fleet,
    /// The process ids of workers, by cluster and slot.
    pub workers: &'a BTreeMap<(ClusterId, usize), u32>,
    /// The workers by hand, by their places.
    pub by_hand: &'a BTreeMap<usize, ByHand>,
    /// The folder of the steps' logs.
    pub logs: &'a std::path::Path,
}

type Question = Box<dyn FnOnce(View<'_>) + Send>;

enum Asked {
    Command(Box<Command>, oneshot::Sender<Result<Reply, Refused>>),
    Question(Question),
    Attach(ClusterId, Newcomer, oneshot::Sender<Result<Place, Refused>>),
    Leave(usize),
    Detach(usize),
    LetAllGo,
    Follow(Whose, oneshot::Sender<PoolHandle>),
    AwaitEnd(Whose, oneshot::Sender<Step>),
}

/// Speaks to the controller. Cheap to clone; the controller ends when every clone is gone.
#[derive(Clone)]
pub struct Controller {
    asked: mpsc::Sender<Asked>,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Controller")
    }
}

impl Controller {
    /// Opens the log, replays it and goes on where it stopped: steps that ran run again, from what they had committed.
    ///
    /// # Errors
    /// [`LogError`] when the log is in doubt; nothing is started then.
    pub async fn start(ground: Ground, place: LogPlace) -> Result<Self, LogError> {
        Self::start_after(ground, place, |_| Vec::new()).await
    }

    /// The same, but has commands decided before anything is started again. One that is rejected changes nothing.
    ///
    /// # Errors
    /// As [`Controller::start`].
    pub async fn start_after(
        ground: Ground,
        place: LogPlace,
        first: impl FnOnce(&Fleet) -> Vec<Command>,
    ) -> Result<Self, LogError> {
        let (log, fleet) = EventLog::open(place).await?;
        let (asked, requests) = mpsc::channel(64);
        let (heard, news) = mpsc::unbounded_channel();
        let first = first(&fleet);
        let mut works = Works::new(ground, log, fleet, heard);
        for command in &first {
            if let Err(rejected) = works.turn(command).await? {
                tracing::warn!(%rejected, "a first command");
            }
        }
        tokio::spawn(works.run(requests, news));
        Ok(Self { asked })
    }

    /// Has a command decided; the answer comes when its events are durable.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn command(&self, command: impl FnOnce(Chance) -> Command) -> Result<Reply, Refused> {
        let (answer, answered) = oneshot::channel();
        let command = Box::new(command(Chance(uuid::Uuid::new_v4().as_u128())));
        self.say(Asked::Command(command, answer)).await?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Looks at the clusters.
    ///
    /// # Errors
    /// [`Refused::Unavailable`].
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        let question = move |view: View<'_>| drop(answer.send(look(view)));
        self.say(Asked::Question(Box::new(question))).await?;
        answered.await.map_err(|_| ended())
    }

    /// The pool of a step, once it is open: its folder is in order and the reader is its own.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when the step has ended before.
    pub async fn pool(&self, cluster: &ClusterId, step: &StepId) -> Result<PoolHandle, Refused> {
        let (answer, answered) = oneshot::channel();
        self.say(Asked::Follow((cluster.clone(), step.clone()), answer)).await?;
        answered.await.map_err(|_| Refused::Unavailable(format!("step {step} has ended before it began to work")))
    }

    /// A step, when it has ended.
    ///
    /// # Errors
    /// [`Refused::Unavailable`] when there is no such step, or the controller has ended.
    pub async fn ended(&self, cluster: &ClusterId, step: &StepId) -> Result<Step, Refused> {
        let (answer, answered) = oneshot::channel();
        self.say(Asked::AwaitEnd((cluster.clone(), step.clone()), answer)).await?;
        answered.await.map_err(|_| ended())
    }

    /// Ends the calls of all workers by hand; they come again when the controller does.
    pub async fn let_all_go(&self) {
        // One that has ended has let them go.
        let _ = self.say(Asked::LetAllGo).await;
    }

    pub(crate) async fn attach(&self, cluster: ClusterId, newcomer: Newcomer) -> Result<Place, Refused> {
        let (answer, answered) = oneshot::channel();
        self.say(Asked::Attach(cluster, newcomer, answer)).await?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// A worker by hand takes no more claims.
    pub(crate) async fn leave(&self, place: usize) {
        let _ = self.say(Asked::Leave(place)).await;
    }

    /// The call of a worker by hand has ended.
    pub(crate) async fn detach(&self, place: usize) {
        let _ = self.say(Asked::Detach(place)).await;
    }

    async fn say(&self, asked: Asked) -> Result<(), Refused> {
        self.asked.send(asked).await.map_err(|_| ended())
    }
}

fn ended() -> Refused {
    Refused::Unavailable(
        "the controller of the clusters has ended, its log says why; start the broker again".to_owned(),
    )
}
