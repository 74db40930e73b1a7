//! The controller of the clusters: one task that owns the machine and its log. It answers nothing before its events are
//! durable, looks at the state and makes it true: starts and ends steps, gives worker places, lets instances go. What may
//! become of a cluster is decided in `cluster`; what a step does is `pool`'s.

mod log;
mod plan;
mod runner;
mod steplog;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

pub use log::{LogError, LogPlace};
pub use plan::{Plan, StepEnds};
pub use steplog::{FILES as LOG_FILES, folder as log_folder};

use log::EventLog;
use runner::{News, Order, StepJob, Whose};

use crate::cluster::{Chance, ClusterId, Command, Fleet, Rejected, Reply, Step, StepId, StepState, apply, share};
use crate::crash::CrashPoints;

/// What the manifest of a step's output says in place of a pipeline's facts.
#[must_use]
pub fn step_facts() -> serde_json::Value {
    serde_json::json!({ "by": "emr" })
}

/// What a controller stands on.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Where the broker listens.
    pub endpoint: String,
    /// The program of a worker process.
    pub program: PathBuf,
    /// Its arguments before the settings.
    pub arguments: Vec<OsString>,
    /// Words that stand before a mapper's command line: a program that ends the mapper when its worker dies.
    pub guard: Vec<String>,
    /// The folder of the steps' logs.
    pub logs: PathBuf,
    /// Where tests make it die.
    pub crash: CrashPoints,
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
    /// The folder of the steps' logs.
    pub logs: &'a std::path::Path,
}

type Question = Box<dyn FnOnce(View<'_>) + Send>;

enum Asked {
    Command(Box<Command>, oneshot::Sender<Result<Reply, Refused>>),
    Question(Question),
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
        let (log, fleet) = EventLog::open(place).await?;
        let (asked, requests) = mpsc::channel(64);
        let (heard, news) = mpsc::unbounded_channel();
        let ground = Arc::new(ground);
        let works = Works { ground, log, fleet, runners: BTreeMap::new(), workers: BTreeMap::new(), heard };
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

    async fn say(&self, asked: Asked) -> Result<(), Refused> {
        self.asked.send(asked).await.map_err(|_| ended())
    }
}

fn ended() -> Refused {
    Refused::Unavailable(
        "the controller of the clusters has ended, its log says why; start the broker again".to_owned(),
    )
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A step that runs here; dropping it ends its pool and its workers.
struct Runner {
    orders: mpsc::UnboundedSender<Order>,
    staffed: BTreeSet<usize>,
    /// The places at which a worker is, or still is.
    places: BTreeMap<usize, Option<u32>>,
    demand: u32,
    /// What it was told about its end: nothing, to end, to end at once.
    told: u8,
    task: AbortHandle,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Works {
    ground: Arc<Ground>,
    log: EventLog,
    fleet: Fleet,
    runners: BTreeMap<Whose, Runner>,
    workers: BTreeMap<(ClusterId, usize), u32>,
    heard: mpsc::UnboundedSender<(Whose, News)>,
}

impl Works {
    /// Until nobody asks any more, or the log fails.
    async fn run(mut self, mut requests: mpsc::Receiver<Asked>, mut news: mpsc::UnboundedReceiver<(Whose, News)>) {
        loop {
            if let Err(error) = self.make_true().await {
                tracing::error!(%error, "the controller of the clusters ends");
                return;
            }
            let deadline = self.next_look();
            let turn = tokio::select! {
                asked = requests.recv() => match asked {
                    Some(Asked::Command(command, answer)) => self.answer(&command, answer).await,
                    Some(Asked::Question(question)) => {
                        question(View { fleet: &self.fleet, workers: &self.workers, logs: &self.ground.logs });
                        Ok(())
                    }
                    None => return,
                },
                Some((whose, news)) = news.recv() => self.hear(whose, news).await,
                () = tokio::time::sleep(deadline) => self.look_around().await,
            };
            if let Err(error) = turn {
                tracing::error!(%error, "the controller of the clusters ends");
                return;
            }
        }
    }

    /// One turn of the machine, durable.
    async fn turn(&mut self, command: &Command) -> Result<Result<Reply, Rejected>, LogError> {
        let (events, reply) = apply(&mut self.fleet, command, now());
        self.log.append(&events, &self.fleet).await?;
        for event in &events {
            tracing::debug!(?event, "a cluster");
        }
        Ok(reply)
    }

    async fn answer(
        &mut self,
        command: &Command,
        answer: oneshot::Sender<Result<Reply, Refused>>,
    ) -> Result<(), LogError> {
        let reply = self.turn(command).await?;
        // A caller that has gone is told nothing; what was done is done.
        let _ = answer.send(reply.map_err(Refused::Rejected));
        Ok(())
    }

    async fn hear(&mut self, whose: Whose, news: News) -> Result<(), LogError> {
        let (cluster, step) = whose.clone();
        match news {
            News::Places(places) => {
                if let Some(runner) = self.runners.get_mut(&whose) {
                    runner.places = places;
                }
                self.show_workers();
                Ok(())
            }
            News::Demand(demand) => {
                if let Some(runner) = self.runners.get_mut(&whose) {
                    runner.demand = demand;
                }
                self.follow_demand(cluster).await
            }
            News::Ended(end) => {
                self.runners.remove(&whose);
                self.show_workers();
                self.turn(&Command::EndStep { cluster, step, end }).await.map(drop)
            }
        }
    }

    /// Managed scaling: says how many workers would find work in a cluster.
    async fn follow_demand(&mut self, cluster: ClusterId) -> Result<(), LogError> {
        if self.fleet.cluster(&cluster).is_none_or(|cluster| cluster.scaling.is_none()) {
            return Ok(());
        }
        let of = self.runners.iter().filter(|((of, _), _)| *of == cluster);
        let workers = of.fold(0_u32, |sum, (_, runner)| sum.saturating_add(runner.demand));
        let chance = Chance(uuid::Uuid::new_v4().as_u128());
        self.turn(&Command::Demand { cluster, workers, chance }).await.map(drop)
    }

    /// Clusters that have more instances than they need at least, and no step to say what they need.
    fn idle_and_large(&self) -> Vec<ClusterId> {
        let clusters = self.fleet.clusters().filter(|cluster| {
            let large = cluster.scaling.is_some_and(|policy| cluster.workers_requested() > policy.minimum);
            large && !cluster.state.is_ending() && !self.runners.keys().any(|(of, _)| *of == cluster.id)
        });
        clusters.map(|cluster| cluster.id.clone()).collect()
    }

    fn next_look(&self) -> Duration {
        let most = if self.idle_and_large().is_empty() { Duration::from_secs(60) } else { Duration::from_secs(1) };
        let due = self.fleet.next_deadline().map(|at| Duration::from_millis(at.saturating_sub(now())));
        due.map_or(most, |due| due.min(most))
    }

    /// Time has passed.
    async fn look_around(&mut self) -> Result<(), LogError> {
        self.turn(&Command::Tick).await?.ok();
        for cluster in self.idle_and_large() {
            self.follow_demand(cluster).await?;
        }
        Ok(())
    }

    fn show_workers(&mut self) {
        let places = self.runners.iter().flat_map(|((cluster, _), runner)| {
            runner.places.iter().filter_map(|(slot, pid)| Some(((cluster.clone(), *slot), (*pid)?)))
        });
        self.workers = places.collect();
    }

    /// Makes the state true: starts what runs, ends what is to end, staffs, and lets go who has nothing to do any more.
    async fn make_true(&mut self) -> Result<(), LogError> {
        self.start_and_end();
        self.staff();
        let leaving: Vec<(ClusterId, Vec<_>)> = self
            .fleet
            .clusters()
            .filter_map(|cluster| {
                let held = |slot: usize| {
                    self.runners.iter().any(|((of, _), runner)| {
                        *of == cluster.id && (runner.places.contains_key(&slot) || runner.staffed.contains(&slot))
                    })
                };
                let free: Vec<_> =
                    cluster.retiring().filter(|(slot, _)| !held(*slot)).map(|(_, id)| id.clone()).collect();
                (!free.is_empty()).then(|| (cluster.id.clone(), free))
            })
            .collect();
        for (cluster, instances) in leaving {
            self.turn(&Command::Release { cluster, instances }).await?.ok();
        }
        Ok(())
    }

    fn start_and_end(&mut self) {
        let mut wanted = Vec::new();
        for cluster in self.fleet.clusters() {
            for step in cluster.steps.iter().filter(|step| step.state.is_started()) {
                let ends = step.state == StepState::CancelPending || cluster.state.is_ending();
                let told = if !ends {
                    0
                } else if step.kill || cluster.state.is_ending() {
                    2
                } else {
                    1
                };
                wanted.push(((cluster.id.clone(), step.id.clone()), step.clone(), told));
            }
        }
        for (whose, step, told) in wanted {
            if !self.runners.contains_key(&whose) {
                let runner = self.start(whose.clone(), &step);
                self.runners.insert(whose.clone(), runner);
            }
            let Some(runner) = self.runners.get_mut(&whose) else { continue };
            if told > runner.told {
                runner.told = told;
                // One that has just ended says so itself.
                let _ = runner.orders.send(if told == 2 { Order::Kill } else { Order::Interrupt });
            }
        }
    }

    fn start(&self, whose: Whose, step: &Step) -> Runner {
        let (orders, given) = mpsc::unbounded_channel();
        let (ground, news) = (Arc::clone(&self.ground), self.heard.clone());
        let job = StepJob { ground, whose, jar: step.jar.clone(), orders: given, news };
        let task = tokio::spawn(runner::run(job)).abort_handle();
        Runner { orders, staffed: BTreeSet::new(), places: BTreeMap::new(), demand: 0, told: 0, task }
    }

    fn staff(&mut self) {
        for cluster in self.fleet.clusters() {
            let steps: Vec<StepId> = cluster
                .steps
                .iter()
                .filter(|step| step.state == StepState::Running)
                .map(|step| step.id.clone())
                .collect();
            let of = |step: &StepId| (cluster.id.clone(), step.clone());
            let now =
                steps.iter().filter_map(|step| Some((step.clone(), self.runners.get(&of(step))?.staffed.clone())));
            for (step, places) in share(&cluster.slots(), &steps, &now.collect()) {
                if let Some(runner) = self.runners.get_mut(&of(&step))
                    && runner.staffed != places
                {
                    runner.staffed = places.clone();
                    let _ = runner.orders.send(Order::Staff(places));
                }
            }
        }
    }
}
