//! One running step: a pool on the step's queue, its places staffed as the controller says, its end reported once. It
//! decides nothing about clusters; whatever happens to it, messages that it held are given back or published.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_client::{Client, Error as ClientError, QueueDescription};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, MissedTickBehavior};

use super::Ground;
use super::attached::{Launcher, Links};
use super::plan::{Plan, StepEnds};
use super::steplog::StepLog;
use crate::cluster::{ClusterId, Failure, Jar, StepEnd, StepId};
use crate::place;
use crate::pool::{Pool, PoolError, PoolHandle, PoolSettings, ProcessLauncher, Progress, Source};
use crate::port::{ClientPort, Port as _, PortError, ReaderRef};

/// For how long a broker that does not answer is asked: it is restarting.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the queue is looked at, for demand and for idleness.
const LOOK: Duration = Duration::from_millis(500);
/// How often the controller's log tells the progress.
const TELL: Duration = Duration::from_secs(10);

/// What the controller says to a running step.
#[derive(Debug)]
pub(super) enum Order {
    /// These places are its own now.
    Staff(BTreeSet<usize>),
    /// End, once the workers have finished what they hold.
    Interrupt,
    /// End at once.
    Kill,
}

/// What a running step says to the controller.
#[derive(Debug)]
pub(super) enum News {
    /// Its workers' process ids by place.
    Places(BTreeMap<usize, Option<u32>>),
    /// Its pool is open.
    Opened(PoolHandle),
    /// So many workers would find work.
    Demand(u32),
    /// It has ended; the last word.
    Ended(StepEnd),
}

/// Whose news.
pub(super) type Whose = (ClusterId, StepId);

/// What a running step must know.
pub(super) struct StepJob {
    pub(super) ground: Arc<Ground>,
    pub(super) whose: Whose,
    pub(super) jar: Jar,
    pub(super) links: Links,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) news: UnboundedSender<(Whose, News)>,
}

/// Why a step did not complete.
enum Stop {
    /// As it was told.
    Told,
    /// It cannot go on: reason and message.
    Failed(&'static str, String),
}

/// Runs a step to its end, and reports it.
pub(super) async fn run(mut job: StepJob) {
    let (cluster, step) = &job.whose;
    let end = match StepLog::open(&job.ground.logs, cluster, step) {
        Ok(log) => {
            let ended = work(&mut job, &log).await;
            end_of(ended, &log)
        }
        Err(error) => {
            let message = format!("the log folder of the step cannot be made: {error}");
            StepEnd::Failed(Failure { reason: "Disk Error.".to_owned(), message, log_file: String::new() })
        }
    };
    // A controller that is gone starts the step again from its log.
    let _ = job.news.send((job.whose, News::Ended(end)));
}

fn end_of(ended: Result<String, Stop>, log: &StepLog) -> StepEnd {
    match ended {
        Ok(result) => {
            log.result(&result);
            log.say("INFO", "the step is completed");
            StepEnd::Completed
        }
        Err(Stop::Told) => {
            log.say("INFO", "the step has ended as it was told; what it held went back in order");
            StepEnd::Stopped
        }
        Err(Stop::Failed(reason, message)) => {
            log.say("ERROR", &format!("{reason} {message}"));
            let log_file = log.stderr().display().to_string();
            StepEnd::Failed(Failure { reason: reason.to_owned(), message, log_file })
        }
    }
}

async fn work(job: &mut StepJob, log: &StepLog) -> Result<String, Stop> {
    let plan = Plan::read(&job.jar).map_err(|why| Stop::Failed("Illegal Argument.", why))?;
    log.say("INFO", &format!("{} from {} to {}", plan.step.task, plan.queue, plan.step.output.display()));
    let mut places = BTreeSet::new();
    let ground = Arc::clone(&job.ground);
    let mut told = false;
    let links = job.links.clone();
    let mut opening = Box::pin(open(&ground, &plan, links, log));
    let opened = loop {
        tokio::select! {
            opened = &mut opening => break opened,
            () = told_to_end(&mut job.orders, &mut places), if !told => told = true,
        }
    };
    let (pool, handle, port, reader) = match opened {
        // It ends, but what an earlier run of it holds must go back.
        Ok((_, _, port, reader)) if told => {
            warn_unless_given_back(&port, &reader, &PoolError::Stopped, log).await;
            return Err(Stop::Told);
        }
        Err(_) if told => return Err(Stop::Told),
        opened => opened?,
    };
    handle.staff(places);
    let _ = job.news.send((job.whose.clone(), News::Opened(handle.clone())));
    if plan.ends == (StepEnds::Drained { idle_seconds: 0 }) {
        handle.no_more_messages();
    }
    let watch = Watch::new(ground.client.clone(), &plan, &handle);
    let ended = course(pool, &handle, job, watch, log).await;
    if let Err(why) = &ended {
        warn_unless_given_back(&port, &reader, why, log).await;
    }
    match ended {
        Ok(result) => Ok(result),
        Err(PoolError::Stopped) => Err(Stop::Told),
        Err(error) => Err(Stop::Failed(reason(&error), with_way_out(&error, &plan.step.output))),
    }
}

/// The error in words, with the way out where it is not said yet.
fn with_way_out(error: &PoolError, output: &Path) -> String {
    match reason(error) {
        DISK if place::is_url(output) => {
            format!(
                "{error}; when the store can be written to, add the same step again: it goes on where this one stopped"
            )
        }
        DISK => format!("{error}; make room there, then add the same step again: it goes on where this one stopped"),
        _ => error.to_string(),
    }
}

async fn warn_unless_given_back(port: &ClientPort, reader: &ReaderRef, why: &PoolError, log: &StepLog) {
    if let Err(error) = give_back(port, reader, why).await {
        let (reader, queue) = (&reader.reader, &reader.queue);
        let way = format!("`lockstep reader abandon {queue} {reader}` does it");
        log.say("WARN", &format!("what reader {reader} holds was not given back: {error}; {way}"));
    }
}

/// Gives back what the pool's reader holds, so that a step that has ended stands in nobody's way.
async fn give_back(port: &ClientPort, reader: &ReaderRef, why: &PoolError) -> Result<(), PortError> {
    if matches!(why, PoolError::QueueGenerationChanged(_) | PoolError::Fenced(_)) {
        // What is held is another's now, or nobody's.
        return Ok(());
    }
    port.abandon(reader).await?;
    // The broker may have answered a last claim that nobody was there for any more.
    tokio::time::sleep(LOOK).await;
    port.abandon(reader).await
}

/// Waits until an order to end comes; notes the places that are given meanwhile.
async fn told_to_end(orders: &mut UnboundedReceiver<Order>, places: &mut BTreeSet<usize>) {
    loop {
        match orders.recv().await {
            Some(Order::Staff(given)) => *places = given,
            Some(Order::Interrupt | Order::Kill) => return,
            // The controller is gone, and this task with it soon.
            None => std::future::pending().await,
        }
    }
}

type Opened = (Pool<ClientPort>, PoolHandle, ClientPort, ReaderRef);

async fn open(ground: &Ground, plan: &Plan, links: Links, log: &StepLog) -> Result<Opened, Stop> {
    let broker = |error: String| Stop::Failed("Broker Error.", error);
    let port = ClientPort::over(&ground.client, PATIENCE);
    let queue = match ground.client.describe_queue(&plan.queue).await {
        Ok(queue) => queue,
        Err(ClientError::Refused { reason, .. }) if reason == "QUEUE_NOT_FOUND" => {
            let queue = &plan.queue;
            let way = format!("make it with `lockstep queue create {queue}`, then add the step again");
            return Err(Stop::Failed("Queue Not Found.", format!("there is no queue {queue}; {way}")));
        }
        Err(error) => return Err(broker(error.to_string())),
    };
    let terms = &ground.terms;
    let queue_generation = terms.queue_generation.unwrap_or(queue.queue_generation);
    let source = Source { queue: plan.queue.clone(), queue_generation, reader: plan.reader.clone() };
    let mut settings = PoolSettings::new(ground.endpoint.clone(), source, plan.step.clone(), terms.facts.clone(), 1);
    settings.guard.clone_from(&ground.guard);
    settings.crash = ground.crash.clone();
    settings.claim = terms.claim.unwrap_or(settings.claim);
    let processes = ProcessLauncher::new(ground.program.clone(), ground.arguments.clone())
        .with_stderr(log.stderr())
        .with_environment(ground.environment.clone());
    let launcher = Launcher { processes, links };
    let opened = Pool::open(port.clone(), settings, Arc::new(launcher)).await;
    let (pool, handle) =
        opened.map_err(|error| Stop::Failed(reason(&error), with_way_out(&error, &plan.step.output)))?;
    log.say("INFO", &format!("reader {} is open: {}", plan.reader, pool.identity()));
    let reader = pool.reader().clone();
    Ok((pool, handle, port, reader))
}

/// What is looked at while a pool runs.
struct Watch {
    client: Client,
    queue: String,
    /// It ends after so long without anything to do.
    idle_limit: Option<Duration>,
    idle_since: Option<Instant>,
    demand: u32,
}

impl Watch {
    fn new(client: Client, plan: &Plan, handle: &PoolHandle) -> Self {
        let idle_limit = match plan.ends {
            StepEnds::Drained { idle_seconds: 0 } | StepEnds::Never => None,
            StepEnds::Drained { idle_seconds } => Some(Duration::from_secs(idle_seconds)),
        };
        let demand = u32::try_from(handle.progress().borrow().claims_open).unwrap_or(u32::MAX);
        Self { client, queue: plan.queue.clone(), idle_limit, idle_since: None, demand }
    }

    /// Looks at the queue. Workers beyond the groups that nothing stands before would find nothing to do.
    async fn look(&mut self, handle: &PoolHandle) -> Option<u32> {
        let queue = self.client.describe_queue(&self.queue).await.ok()?;
        let open = handle.progress().borrow().claims_open as u64;
        // Parked messages come out at somebody's word, not by themselves: they are no work (B7).
        let parked = parked(&self.client, &queue).await?;
        let left =
            queue.messages_available + queue.messages_in_flight + queue.messages_claimed + queue.messages_delayed;
        let left = left.saturating_sub(parked);
        self.idle_since = if left + open == 0 { self.idle_since.or(Some(Instant::now())) } else { None };
        if let (Some(limit), Some(since)) = (self.idle_limit, self.idle_since)
            && since.elapsed() >= limit
        {
            handle.no_more_messages();
        }
        let demand = u32::try_from(queue.groups_available.saturating_add(open)).unwrap_or(u32::MAX);
        (std::mem::replace(&mut self.demand, demand) != demand || demand > 0).then_some(demand)
    }
}

/// How many messages wait in parked groups.
async fn parked(client: &Client, queue: &QueueDescription) -> Option<u64> {
    match queue.groups_parked {
        0 => Some(0),
        _ => Some(client.list_parked_groups(&queue.queue).await.ok()?.iter().map(|group| group.messages).sum()),
    }
}

/// Says how many messages a step that has completed leaves in parked groups; nothing where the broker does not say it.
async fn tell_parked(client: &Client, queue: &str, log: &StepLog) -> Option<u64> {
    let described = client.describe_queue(queue).await.ok()?;
    let parked = parked(client, &described).await?;
    if parked > 0 {
        let groups = described.groups_parked;
        let way = format!("`lockstep unpark {queue}` lets them go, and the same step again takes them");
        log.say("WARN", &format!("{parked} messages of {groups} parked groups were left; {way}"));
    }
    Some(parked)
}

/// Runs the pool, and passes orders in and news out.
async fn course(
    pool: Pool<ClientPort>,
    handle: &PoolHandle,
    job: &mut StepJob,
    mut watch: Watch,
    log: &StepLog,
) -> Result<String, PoolError> {
    let output = pool.output().display().to_string();
    let mut running = Box::pin(pool.run());
    let mut progress = handle.progress();
    let mut shown = Progress::default();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Instant::now();
    let mut orders_come = true;
    loop {
        tokio::select! {
            ended = &mut running => {
                let _ = job.news.send((job.whose.clone(), News::Places(BTreeMap::new())));
                let summary = ended?;
                let parked = tell_parked(&watch.client, &watch.queue, log).await;
                let text = serde_json::json!({
                    "output": output, "messages": summary.messages, "commits": summary.commits, "parked": parked,
                    "worker_deaths": summary.worker_deaths, "identity": summary.identity,
                });
                return Ok(text.to_string());
            }
            order = job.orders.recv(), if orders_come => match order {
                Some(Order::Staff(places)) => handle.staff(places),
                Some(Order::Interrupt) => handle.cancel(false),
                Some(Order::Kill) => handle.cancel(true),
                None => orders_come = false,
            },
            Ok(()) = progress.changed() => {
                let now = progress.borrow_and_update().clone();
                tell_workers(&shown, &now, log);
                if now.worker_pids != shown.worker_pids {
                    let _ = job.news.send((job.whose.clone(), News::Places(now.worker_pids.clone())));
                }
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    log.say("INFO", &format!("{} messages in {} commits", now.messages_committed, now.commits));
                }
                shown = now;
            }
            _ = look.tick() => if let Ok(Some(demand)) = tokio::time::timeout(LOOK * 4, watch.look(handle)).await {
                let _ = job.news.send((job.whose.clone(), News::Demand(demand)));
            },
        }
    }
}

fn tell_workers(was: &Progress, is: &Progress, log: &StepLog) {
    for (place, pid) in is.worker_pids.iter().filter_map(|(place, pid)| Some((place, (*pid)?))) {
        if was.worker_pids.get(place) != Some(&Some(pid)) {
            log.say("INFO", &format!("worker {place} is process {pid}"));
        }
    }
    if is.worker_deaths > was.worker_deaths {
        log.say("WARN", &format!("{} workers ended unasked so far; others take over", is.worker_deaths));
    }
    if is.given_up > was.given_up {
        log.say("WARN", &format!("{} workers said nothing and were given up so far; others take over", is.given_up));
    }
    if is.refused.0 > was.refused.0 {
        log.say("WARN", &format!("a worker that was given up came back and was refused: {}", is.refused.1));
    }
    if is.failures.0 > was.failures.0 {
        log.say("WARN", &format!("{} attempts failed so far, the last one at {}", is.failures.0, is.failures.1));
    }
}

const DISK: &str = "Disk Error.";

/// EMR's FailureDetails.Reason: few words, the same for the same kind.
fn reason(error: &PoolError) -> &'static str {
    match error {
        PoolError::Settings(_) => "Illegal Argument.",
        PoolError::QueueGenerationChanged(_) => "Queue Changed.",
        PoolError::Fenced(_) => "Reader Taken Over.",
        PoolError::Broker(_) => "Broker Error.",
        PoolError::Refused(_) | PoolError::Manifest(_) => "Output Refused.",
        PoolError::Disk(_) | PoolError::Step { disk: true, .. } => DISK,
        PoolError::Value { .. } => "State Unreadable.",
        PoolError::Step { disk: false, .. } => "Application Error.",
        PoolError::Workers(_) => "Workers Failed.",
        PoolError::Stopped | PoolError::Killed(_) => "Stopped.",
    }
}
