//! `--chaos`: SIGKILL for broker, producers and workers at seeded moments of the run's progress. What happens at a
//! moment is the seed's choice; which instruction it meets is the machine's.

use lockstep_emr_sim::pool::PoolHandle;
use tokio::task::JoinHandle;

use crate::pipeline::{process::Killer, producers::Producers, setup::Run};

/// Kills of the broker, of producers and of workers in a run.
const BROKER_KILLS: u64 = 4;
const PRODUCER_KILLS: u64 = 3;
const WORKER_KILLS: u64 = 4;

/// Whom to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Broker,
    Producer(usize),
    Worker(usize),
}

/// A run's chaos.
pub(super) struct Chaos {
    task: JoinHandle<()>,
    broker: Killer,
}

impl Chaos {
    /// Starts it, if the run asks for it.
    pub(super) fn start(run: &Run, broker: Killer, producers: &Producers, pool: &PoolHandle) -> Option<Self> {
        if !run.args.chaos {
            return None;
        }
        let (sending, processing) = plans(run);
        let killers = producers.killers().to_vec();
        let (mut reports, mut progress) = (producers.reports(), pool.progress());
        let (pool, victim) = (pool.clone(), broker.clone());
        let task = tokio::spawn(async move {
            let mut sending = sending.into_iter().peekable();
            let mut processing = processing.into_iter().peekable();
            let kill = |victim_is| match victim_is {
                Victim::Broker => victim.kill(),
                Victim::Producer(share) => killers[share].kill(),
                // Place 0 is the master's, who has no worker.
                Victim::Worker(place) => pool.kill_worker(place + 1),
            };
            loop {
                let sent: u64 = reports.borrow_and_update().iter().map(|report| report.accepted).sum();
                let processed = progress.borrow_and_update().messages_committed;
                // One at a time: the next one's moment is judged again when this one was felt.
                if let Some((_, victim)) = sending.next_if(|(at, _)| *at <= sent) {
                    kill(victim);
                }
                if let Some((_, victim)) = processing.next_if(|(at, _)| *at <= processed) {
                    kill(victim);
                }
                tokio::select! {
                    Ok(()) = reports.changed() => {}
                    Ok(()) = progress.changed() => {}
                    else => return,
                }
            }
        });
        Some(Self { task, broker })
    }

    /// Says what was done, when it is over.
    pub(super) fn told(self, producers: &Producers, worker_deaths: u64) -> String {
        self.task.abort();
        let producer_deaths: u64 = producers.killers().iter().map(Killer::deaths).sum();
        let resent: u64 = producers.reports().borrow().iter().map(|report| report.resent).sum();
        format!(
            "chaos: killed the broker {} times, producers {producer_deaths}, workers {worker_deaths}; {resent} answers lost",
            self.broker.deaths()
        )
    }
}

type Plan = Vec<(u64, Victim)>;

/// The moments, by messages accepted and by messages processed.
fn plans(run: &Run) -> (Plan, Plan) {
    let mut rng = fastrand::Rng::with_seed(run.args.seed);
    let total = run.input.distinct;
    let mut moment = |from: u64, to: u64| total * rng.u64(from..to) / 100;
    let mut sending: Plan = (0..BROKER_KILLS / 2).map(|_| (moment(5, 90), Victim::Broker)).collect();
    let mut processing: Plan = (0..BROKER_KILLS - BROKER_KILLS / 2).map(|_| (moment(5, 90), Victim::Broker)).collect();
    let producers = 0..PRODUCER_KILLS;
    sending.extend(producers.map(|share| (moment(5, 80), Victim::Producer(index(share % run.producers)))));
    let workers = 0..WORKER_KILLS;
    processing.extend(workers.map(|place| (moment(0, 95), Victim::Worker(index(place % run.args.workers)))));
    sending.sort_unstable();
    processing.sort_unstable();
    (sending, processing)
}

fn index(place: u64) -> usize {
    usize::try_from(place).expect("at most 32")
}
