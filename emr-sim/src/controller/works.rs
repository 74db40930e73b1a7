//! What the controller does: one task that owns the machine and its log, and makes the state true. Who asks and what may
//! be asked is in `controller`; who works by hand, in `attached`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::attached::{ByHand, Links};
use super::log::{EventLog, LogError};
use super::runner::{self, News, Order, StepJob, Whose};
use super::{Asked, Ground, Refused, View};
use crate::cluster::{Chance, ClusterId, Command, Fleet, Rejected, Reply, Step, StepId, StepState, apply, share};
use crate::pool::PoolHandle;

pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A step that runs here; dropping it ends its pool and its workers.
pub(super) struct Runner {
    orders: mpsc::UnboundedSender<Order>,
    pub(super) staffed: BTreeSet<usize>,
    /// The places at which a worker is, or still is.
    pub(super) places: BTreeMap<usize, Option<u32>>,
    demand: u32,
    /// What it was told about its end: nothing, to end, to end at once.
    told: u8,
    /// Its pool, once that is open.
    pool: Option<PoolHandle>,
    task: AbortHandle,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) struct Works {
    pub(super) ground: Arc<Ground>,
    pub(super) log: EventLog,
    pub(super) fleet: Fleet,
    pub(super) runners: BTreeMap<Whose, Runner>,
    pub(super) workers: BTreeMap<(ClusterId, usize), u32>,
    /// The workers by hand, by their places.
    pub(super) by_hand: BTreeMap<usize, ByHand>,
    /// The place of the next one.
    pub(super) next_place: usize,
    /// The ways to them.
    pub(super) links: Links,
    /// Who waits for the pool of a step to be open.
    pub(super) followers: Vec<(Whose, oneshot::Sender<PoolHandle>)>,
    /// Who waits for the end of a step.
    pub(super) waiting: Vec<(Whose, oneshot::Sender<Step>)>,
    pub(super) heard: mpsc::UnboundedSender<(Whose, News)>,
}

impl Works {
    pub(super) fn new(
        ground: Ground,
        log: EventLog,
        fleet: Fleet,
        heard: mpsc::UnboundedSender<(Whose, News)>,
    ) -> Self {
        Self {
            ground: Arc::new(ground),
            log,
            fleet,
            runners: BTreeMap::new(),
            workers: BTreeMap::new(),
            by_hand: BTreeMap::new(),
            next_place: Self::first_place(),
            links: Links::default(),
            followers: Vec::new(),
            waiting: Vec::new(),
            heard,
        }
    }

    /// Until nobody asks any more, or the log fails.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Asked>,
        mut news: mpsc::UnboundedReceiver<(Whose, News)>,
    ) {
        loop {
            if let Err(error) = self.make_true().await {
                tracing::error!(%error, "the controller of the clusters ends");
                return;
            }
            let deadline = self.next_look();
            let turn = tokio::select! {
                asked = requests.recv() => match asked {
                    Some(Asked::Command(command, answer)) => self.answer(&command, answer).await,
                    Some(asked) => {
                        self.asked(asked);
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

    /// What changes nothing of the machine.
    fn asked(&mut self, asked: Asked) {
        match asked {
            // Taken by the loop, which waits for its end.
            Asked::Command(..) => {}
            Asked::Question(question) => question(View {
                fleet: &self.fleet,
                workers: &self.workers,
                by_hand: &self.by_hand,
                logs: &self.ground.logs,
            }),
            // A caller that has gone is told nothing.
            Asked::Attach(cluster, newcomer, answer) => drop(answer.send(self.attach(cluster, newcomer))),
            Asked::Leave(place) => self.leave(place),
            Asked::Detach(place) => self.detach(place),
            Asked::LetAllGo => self.let_all_go(),
            Asked::Follow(whose, answer) => match self.runners.get(&whose).and_then(|runner| runner.pool.clone()) {
                Some(pool) => drop(answer.send(pool)),
                None => self.followers.push((whose, answer)),
            },
            Asked::AwaitEnd(whose, answer) => self.waiting.push((whose, answer)),
        }
    }

    /// One turn of the machine, durable.
    pub(super) async fn turn(&mut self, command: &Command) -> Result<Result<Reply, Rejected>, LogError> {
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
            News::Opened(pool) => {
                let followers = std::mem::take(&mut self.followers);
                for (of, answer) in followers {
                    if of == whose {
                        // One that has gone follows nothing.
                        let _ = answer.send(pool.clone());
                    } else {
                        self.followers.push((of, answer));
                    }
                }
                if let Some(runner) = self.runners.get_mut(&whose) {
                    runner.pool = Some(pool);
                }
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
        // Those by hand are there anyway.
        let by_hand = u32::try_from(self.by_hand_of(&cluster).count()).unwrap_or(u32::MAX);
        let workers = workers.saturating_sub(by_hand);
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
                let retiring = cluster.retiring().filter(|(slot, _)| !self.is_held(&cluster.id, *slot));
                let free: Vec<_> = retiring.map(|(_, id)| id.clone()).collect();
                (!free.is_empty()).then(|| (cluster.id.clone(), free))
            })
            .collect();
        for (cluster, instances) in leaving {
            self.turn(&Command::Release { cluster, instances }).await?.ok();
        }
        self.say_goodbye();
        self.tell_ends();
        Ok(())
    }

    /// Whether a step has, or is to have, a worker at a place.
    pub(super) fn is_held(&self, cluster: &ClusterId, place: usize) -> bool {
        self.runners.iter().any(|((of, _), runner)| {
            of == cluster && (runner.places.contains_key(&place) || runner.staffed.contains(&place))
        })
    }

    /// Tells those who wait that a step has ended. Whoever waits for what is not there is told by silence.
    fn tell_ends(&mut self) {
        let step_of = |(cluster, step): &Whose| self.fleet.cluster(cluster)?.step(step);
        let (ended, going): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(whose, _)| step_of(whose).is_none_or(|step| !step.state.is_active()));
        for (whose, answer) in ended {
            if let Some(step) = step_of(&whose) {
                // One that has gone does not wait.
                let _ = answer.send(step.clone());
            }
        }
        let active = |whose: &Whose| step_of(whose).is_some_and(|step| step.state.is_active());
        let followers = std::mem::take(&mut self.followers);
        self.followers = followers.into_iter().filter(|(whose, _)| active(whose)).collect();
        self.waiting = going;
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
        let job = StepJob { ground, whose, jar: step.jar.clone(), links: self.links.clone(), orders: given, news };
        let task = tokio::spawn(runner::run(job)).abort_handle();
        Runner { orders, staffed: BTreeSet::new(), places: BTreeMap::new(), demand: 0, told: 0, pool: None, task }
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
            let mut slots = cluster.slots();
            slots.extend(self.by_hand_of(&cluster.id).filter(|one| !one.leaving).map(|one| one.place));
            for (step, places) in share(&slots, &steps, &now.collect()) {
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
