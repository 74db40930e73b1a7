//! Workers by hand, as the controller knows them: started by somebody on any machine, instances of a cluster for as long as
//! their call lasts. They are no part of the durable machine: a controller that starts again finds none, and they come
//! again. What is said to them on the wire is `attach`'s.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::DuplexStream;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Refused;
use super::works::{Works, now};
use crate::cluster::{Chance, ClusterId, InstanceId, Rejected};
use crate::pool::{Launched, ProcessLauncher, WorkerLauncher};
use crate::worker::WorkerSettings;

/// As many workers by hand as a cluster may have: with its own instances no more than a reader has open claims (B6).
pub const MAX_BY_HAND: usize = 32;

/// Their places begin here; a cluster's own instances never get so far.
const PLACES: usize = 1 << 20;

/// What the pipes to a worker hold.
const PIPE: usize = 64 << 10;

/// What a worker by hand says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// What people call it.
    pub name: String,
    /// Its machine, as people call it.
    pub host: String,
    /// Its process there.
    pub process: u32,
}

/// A worker by hand.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its id among the cluster's instances.
    pub instance: InstanceId,
    /// Who it is.
    pub who: Newcomer,
    /// Since when, in milliseconds of Unix time.
    pub since: u64,
    /// It takes no more claims.
    pub leaving: bool,
    pub(super) place: usize,
    link: Link,
}

type Link = mpsc::UnboundedSender<ToWorker>;

/// What the controller says to the call of a worker.
pub(crate) enum ToWorker {
    /// Work for a step.
    Begin(Box<Start>),
    /// It is done.
    Goodbye(String),
}

/// One run of a worker: the other ends of what the pool holds.
pub(crate) struct Start {
    pub(crate) settings: WorkerSettings,
    pub(crate) stdin: DuplexStream,
    pub(crate) stdout: DuplexStream,
    pub(crate) killed: Arc<Notify>,
    pub(crate) ended: oneshot::Sender<String>,
}

/// What a worker gets that attaches.
pub(crate) struct Place {
    pub(crate) place: usize,
    pub(crate) instance: InstanceId,
    pub(crate) told: mpsc::UnboundedReceiver<ToWorker>,
}

/// The ways to the workers by hand, by their places.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<BTreeMap<usize, Link>>>);

impl Links {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<usize, Link>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, place: usize, settings: &WorkerSettings) -> io::Result<Launched> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "it has gone");
        let link = self.change(|links| links.get(&place).cloned()).ok_or_else(gone)?;
        let (stdin, its_stdin) = tokio::io::duplex(PIPE);
        let (stdout, its_stdout) = tokio::io::duplex(PIPE);
        let killed = Arc::new(Notify::new());
        let (ended, how) = oneshot::channel();
        let (settings, kill) = (settings.clone(), Arc::clone(&killed));
        let start = Start { settings, stdin: its_stdin, stdout: its_stdout, killed, ended };
        link.send(ToWorker::Begin(Box::new(start))).map_err(|_| gone())?;
        Ok(Launched {
            // It is no process of this machine.
            pid: None,
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            kill: Box::new(move || kill.notify_one()),
            ended: Box::pin(async move { how.await.unwrap_or_else(|_| "its connection broke".to_owned()) }),
        })
    }
}

/// Starts the processes of a cluster's instances, and gives work to those by hand.
pub(super) struct Launcher {
    pub(super) processes: ProcessLauncher,
    pub(super) links: Links,
}

impl WorkerLauncher for Launcher {
    fn launch(&self, settings: &WorkerSettings) -> io::Result<Launched> {
        self.processes.launch(settings)
    }

    fn launch_at(&self, place: usize, settings: &WorkerSettings) -> io::Result<Launched> {
        if place < PLACES { self.launch(settings) } else { self.links.begin(place, settings) }
    }

    fn comes_again(&self, place: usize) -> bool {
        // Who comes again has another place.
        place < PLACES
    }
}

impl Works {
    pub(super) fn by_hand_of<'a>(&'a self, cluster: &'a ClusterId) -> impl Iterator<Item = &'a ByHand> {
        self.by_hand.values().filter(move |one| one.cluster == *cluster)
    }

    pub(super) fn attach(&mut self, cluster: ClusterId, who: Newcomer) -> Result<Place, Refused> {
        match self.fleet.cluster(&cluster) {
            None => return Err(Rejected::NoSuchCluster(cluster).into()),
            Some(found) if found.state.is_ending() => return Err(Rejected::ClusterEnded(cluster).into()),
            Some(_) => {}
        }
        if self.by_hand_of(&cluster).count() >= MAX_BY_HAND {
            let text = format!("{MAX_BY_HAND} workers by hand work for cluster {cluster}, more there may not be.");
            return Err(Rejected::Invalid(text).into());
        }
        let place = self.next_place;
        self.next_place += 1;
        let instance = InstanceId::fresh(Chance(uuid::Uuid::new_v4().as_u128()), 0);
        let (link, told) = mpsc::unbounded_channel();
        self.links.change(|links| links.insert(place, link.clone()));
        tracing::info!(%cluster, %instance, name = who.name, host = who.host, "a worker by hand is here");
        let one = ByHand { cluster, instance: instance.clone(), who, since: now(), leaving: false, place, link };
        self.by_hand.insert(place, one);
        Ok(Place { place, instance, told })
    }

    pub(super) fn leave(&mut self, place: usize) {
        if let Some(one) = self.by_hand.get_mut(&place) {
            one.leaving = true;
        }
    }

    pub(super) fn detach(&mut self, place: usize) {
        self.links.change(|links| links.remove(&place));
        if let Some(ByHand { cluster, instance, who, .. }) = self.by_hand.remove(&place) {
            tracing::info!(%cluster, %instance, name = who.name, host = who.host, "a worker by hand has gone");
        }
    }

    /// Their calls end without a last word, so that they come again.
    pub(super) fn let_all_go(&mut self) {
        self.links.change(BTreeMap::clear);
        self.by_hand.clear();
    }

    /// Those who have nothing to do any more may go.
    pub(super) fn say_goodbye(&self) {
        for one in self.by_hand.values().filter(|one| !self.is_held(&one.cluster, one.place)) {
            let cluster = self.fleet.cluster(&one.cluster);
            let reason = if cluster.is_none_or(|cluster| cluster.state.has_ended()) {
                format!("cluster {} has ended", one.cluster)
            } else if one.leaving {
                "nothing is held any more".to_owned()
            } else {
                continue;
            };
            // A call that has ended says so itself.
            let _ = one.link.send(ToWorker::Goodbye(reason));
        }
    }

    /// The first place of a worker by hand.
    pub(super) const fn first_place() -> usize {
        PLACES
    }
}
