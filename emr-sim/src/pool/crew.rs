//! The workers of a pool: their places, their pipes, who is idle. Which claim goes to whom, and what a report means, is
//! decided in `run`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::launch::{Launched, WorkerLauncher};
use crate::protocol::{Assignment, Report, send};
use crate::worker::WorkerSettings;

/// What happened to a worker. `launch` tells a worker from its predecessors at the same place.
pub(super) struct WorkerEvent {
    pub(super) place: usize,
    pub(super) launch: u64,
    pub(super) news: News,
}

pub(super) enum News {
    Report(Report),
    /// It ended, and how.
    Ended(String),
}

/// So long is a worker kept that was given up; then it is killed. Should it come back before, it is heard.
const LOST: Duration = Duration::from_secs(60);

struct Running {
    launch: u64,
    ready: bool,
    /// Its stdin was ended, so that it ends.
    dismissed: bool,
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    kill: Box<dyn Fn() + Send + Sync>,
    pid: Option<u32>,
    /// When it said something the last time, or was told something.
    heard: Instant,
}

#[derive(Default)]
struct Place {
    running: Option<Running>,
    holds: Option<u64>,
    /// It is to be empty once its worker holds nothing.
    leaves: bool,
}

impl Place {
    /// Lets an idle worker go by the end of its stdin.
    fn let_go(&mut self) {
        if self.leaves
            && self.holds.is_none()
            && let Some(running) = &mut self.running
        {
            (running.ready, running.dismissed) = (false, true);
            running.stdin = Box::new(tokio::io::sink());
        }
    }
}

/// A worker that ended.
pub(super) struct Ended {
    /// Whether it had said that it is ready.
    pub(super) was_ready: bool,
    /// The claim it held.
    pub(super) held: Option<u64>,
    /// Whether it was to end.
    pub(super) dismissed: bool,
    /// Whether nobody is to take its place.
    pub(super) left: bool,
}

pub(super) struct Crew {
    launcher: Arc<dyn WorkerLauncher>,
    settings: WorkerSettings,
    places: BTreeMap<usize, Place>,
    /// Workers that were given up and have not ended, by their launch.
    lost: BTreeMap<u64, Running>,
    launches: u64,
    events: mpsc::UnboundedSender<WorkerEvent>,
    listeners: JoinSet<()>,
}

impl Crew {
    /// Places for `workers`, none started; `settings` is what they all have in common.
    pub(super) fn new(
        launcher: Arc<dyn WorkerLauncher>,
        settings: WorkerSettings,
        workers: usize,
        events: mpsc::UnboundedSender<WorkerEvent>,
    ) -> Self {
        let places = (0..workers).map(|place| (place, Place::default())).collect();
        Self { launcher, settings, places, lost: BTreeMap::new(), launches: 0, events, listeners: JoinSet::new() }
    }

    /// How many places are to stay.
    pub(super) fn staffed(&self) -> usize {
        self.places.values().filter(|place| !place.leaves).count()
    }

    /// From now on there are to be these places. Who holds a claim at another one finishes it first.
    pub(super) fn staff(&mut self, wanted: &BTreeSet<usize>) {
        for (number, place) in &mut self.places {
            place.leaves = !wanted.contains(number);
            place.let_go();
        }
        self.places.retain(|_, place| !place.leaves || place.running.is_some());
        for place in wanted {
            self.places.entry(*place).or_default();
        }
    }

    /// Where a worker is to be started.
    pub(super) fn unmanned(&self) -> Vec<usize> {
        let unmanned = |place: &Place| !place.leaves && place.running.is_none();
        self.places.iter().filter(|(_, place)| unmanned(place)).map(|(number, _)| *number).collect()
    }

    /// Whether nobody is there and nobody is to come.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn running(&self, place: usize) -> Option<&Running> {
        self.places.get(&place)?.running.as_ref()
    }

    /// Starts a worker at a place, under an instance id of its own.
    pub(super) fn start(&mut self, place: usize) -> std::io::Result<()> {
        let worker = format!("w{place}-{}", uuid::Uuid::new_v4().simple());
        let launched = self.launcher.launch_at(place, &WorkerSettings { worker, ..self.settings.clone() })?;
        let Launched { pid, stdin, stdout, kill, ended } = launched;
        self.launches += 1;
        let launch = self.launches;
        self.places.entry(place).or_default().running =
            Some(Running { launch, ready: false, dismissed: false, stdin, kill, pid, heard: Instant::now() });
        let events = self.events.clone();
        self.listeners.spawn(async move {
            let tell = |news| drop(events.send(WorkerEvent { place, launch, news }));
            let garbled = listen(stdout, |report| tell(News::Report(report))).await;
            let ended = ended.await;
            tell(News::Ended(garbled.map_or(ended.clone(), |garbled| format!("{garbled}; it ended: {ended}"))));
        });
        Ok(())
    }

    /// Lets a place go whose worker cannot be started and is nobody's to start again. Answers whether it was such a one.
    pub(super) fn drop_place(&mut self, place: usize) -> bool {
        let gone = !self.launcher.comes_again(place);
        if gone {
            self.places.remove(&place);
        }
        gone
    }

    /// Whether news are of the worker that runs at the place now.
    pub(super) fn is_present(&self, event: &WorkerEvent) -> bool {
        self.running(event.place).is_some_and(|running| running.launch == event.launch)
    }

    pub(super) fn is_ready(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(&place) {
            if let Some(running) = &mut place.running {
                running.ready = true;
            }
            place.let_go();
        }
    }

    /// Notes the end of a worker.
    pub(super) fn ended(&mut self, place: usize) -> Ended {
        let Some(found) = self.places.get_mut(&place) else {
            return Ended { was_ready: false, held: None, dismissed: true, left: true };
        };
        let running = found.running.take();
        let was_ready = running.as_ref().is_some_and(|running| running.ready);
        let dismissed = found.leaves || running.is_some_and(|running| running.dismissed);
        let (held, left) = (found.holds.take(), found.leaves || !self.launcher.comes_again(place));
        if left {
            self.places.remove(&place);
        }
        Ended { was_ready, held, dismissed, left }
    }

    /// Takes the claim off a worker; `None` when it held another one, or none.
    pub(super) fn release(&mut self, place: usize, claim: u64) -> Option<u64> {
        let place = self.places.get_mut(&place)?;
        let released = place.holds.take_if(|held| *held == claim);
        place.let_go();
        released
    }

    /// A worker that is ready and holds nothing.
    pub(super) fn idle(&self) -> Option<usize> {
        let idle = |place: &Place| {
            !place.leaves && place.holds.is_none() && place.running.as_ref().is_some_and(|running| running.ready)
        };
        self.places.iter().find(|(_, place)| idle(place)).map(|(number, _)| *number)
    }

    /// Hands a claim to a worker. When the pipe is broken its end will be told soon, and the claim with it.
    pub(super) async fn assign(&mut self, place: usize, assignment: Assignment) {
        let Some(place) = self.places.get_mut(&place) else { return };
        place.holds = Some(assignment.claim);
        let Some(running) = &mut place.running else { return };
        running.heard = Instant::now();
        if let Err(error) = send(&mut running.stdin, &assignment).await {
            tracing::debug!(%error, "a worker's pipe is broken");
            (running.kill)();
        }
    }

    /// It has said something.
    pub(super) fn speaks(&mut self, place: usize) {
        if let Some(running) = self.places.get_mut(&place).and_then(|place| place.running.as_mut()) {
            running.heard = Instant::now();
        }
    }

    /// Gives up the workers that hold a claim and have said nothing for so long: place, claim, and whether somebody is to
    /// follow. Nobody can say whether such a worker is dead, so it is only replaced; it is killed much later.
    pub(super) fn give_up(&mut self, silence: Duration) -> Vec<(usize, u64, bool)> {
        let mut given_up = Vec::new();
        for (number, place) in &mut self.places {
            let silent = |running: &mut Running| running.heard.elapsed() > silence;
            let Some(claim) = place.holds else { continue };
            let Some(running) = place.running.take_if(silent) else { continue };
            self.lost.insert(running.launch, running);
            place.holds = None;
            // Who comes by himself, goes by himself.
            place.leaves |= !self.launcher.comes_again(*number);
            given_up.push((*number, claim, !place.leaves));
        }
        self.places.retain(|_, place| !place.leaves || place.running.is_some());
        self.lost.values().filter(|lost| lost.heard.elapsed() > silence + LOST).for_each(|lost| (lost.kill)());
        given_up
    }

    /// Whether news are of a worker that was given up. One that has come to an end of its attempt is let go.
    pub(super) fn is_of_lost(&mut self, event: &WorkerEvent) -> bool {
        let Some(lost) = self.lost.get_mut(&event.launch) else { return false };
        match event.news {
            News::Report(Report::Alive { .. } | Report::Ready { .. }) => {}
            News::Report(Report::Done { .. } | Report::Refused { .. } | Report::Failed { .. }) => {
                lost.stdin = Box::new(tokio::io::sink());
            }
            News::Ended(_) => drop(self.lost.remove(&event.launch)),
        }
        true
    }

    pub(super) fn kill(&self, place: usize) {
        if let Some(running) = self.running(place) {
            (running.kill)();
        }
    }

    pub(super) fn kill_all(&self) {
        let running = self.places.values().filter_map(|place| place.running.as_ref());
        running.chain(self.lost.values()).for_each(|running| (running.kill)());
    }

    pub(super) fn pids(&self) -> BTreeMap<usize, Option<u32>> {
        let pid = |place: &Place| place.running.as_ref().and_then(|running| running.pid);
        self.places.iter().map(|(number, place)| (*number, pid(place))).collect()
    }

    /// Ends all workers by the end of their stdin, and waits until they are gone; kills those that take longer than
    /// `limit`.
    pub(super) async fn dismiss(mut self, limit: Duration) {
        for running in self.places.values_mut().filter_map(|place| place.running.as_mut()) {
            running.stdin = Box::new(tokio::io::sink());
        }
        // One that was silent until now is not waited for.
        self.lost.values().for_each(|lost| (lost.kill)());
        if tokio::time::timeout(limit, gone(&mut self.listeners)).await.is_err() {
            self.kill_all();
            gone(&mut self.listeners).await;
        }
    }
}

impl Drop for Crew {
    /// Workers end by the end of their stdin; one that was given up may never look at it.
    fn drop(&mut self) {
        self.lost.values().for_each(|lost| (lost.kill)());
    }
}

async fn gone(listeners: &mut JoinSet<()>) {
    while listeners.join_next().await.is_some() {}
}

/// Passes reports on until the worker's stdout ends. Answers what was no report, if that is why it stopped listening.
async fn listen(stdout: impl AsyncRead + Unpin, tell: impl Fn(Report)) -> Option<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(report) => tell(report),
            Err(_) => return Some(format!("it said `{line}`, which is no report")),
        }
    }
    None
}
