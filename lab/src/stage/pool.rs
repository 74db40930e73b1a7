//! The pool of real worker processes, with the points at which they are struck. Claims, files and the manifest are the
//! pool's own business.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use lockstep_emr_sim::{
    manifest::Output,
    pool::{Pool, PoolError, PoolHandle, PoolSettings, ProcessLauncher, Progress, Source, Summary},
    port::{ClaimLimits, ClientPort},
    step::{Mapper, OnPoison, StepSpec, Task},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;

use super::{PATIENCE, QUEUE, Setup};

/// Worker processes.
const WORKERS: usize = 2;
/// Few messages a claim, so that a class sees many.
const CLAIM: u32 = 3;

pub(super) struct Workers {
    handle: PoolHandle,
    task: Option<JoinHandle<Result<Summary, PoolError>>>,
    drained: bool,
    /// Told to stand still by hand: the system may not show it yet, and the pool may have given them up since.
    told: BTreeSet<u32>,
    out: PathBuf,
    points: PathBuf,
}

impl Workers {
    pub(super) async fn start(setup: &Setup, endpoint: &str, generation: u64, lease: u64) -> anyhow::Result<Self> {
        let (out, points) = (setup.folder.join("out"), setup.folder.join("points"));
        let text =
            |path: &Path| path.to_str().map(str::to_owned).context("the lab's folder has a name that is not UTF-8");
        let program = text(&setup.program)?;
        let mapper = vec![program.clone(), "lab-mapper".to_owned(), text(&setup.folder)?];
        let mut step = StepSpec::new(Task::Mapper(Mapper::new(mapper)?), out.clone());
        step.on_poison = OnPoison::Dlq;
        let source = Source { queue: QUEUE.to_owned(), queue_generation: generation, reader: "lab".to_owned() };
        let run = serde_json::json!({ "lab": true });
        let settings = PoolSettings {
            // A mapper that pauses with the lab must not outlive its worker.
            guard: vec![program, "mapper-guard".to_owned(), "--".to_owned()],
            claims_ahead: 0,
            claim: ClaimLimits {
                max_messages: CLAIM,
                min_messages: 1,
                linger_ms: 0,
                wait_seconds: 2,
                ..ClaimLimits::default()
            },
            patience: PATIENCE,
            silence: Duration::from_secs(lease),
            ..PoolSettings::new(endpoint.to_owned(), source, step, run, WORKERS)
        };
        let arguments: Vec<OsString> = vec!["worker".into(), "--drills".into(), points.clone().into()];
        let launcher =
            ProcessLauncher::new(setup.program.clone(), arguments).with_stderr(setup.folder.join("logs/workers.log"));
        let port = ClientPort::connect(endpoint, PATIENCE)?;
        let (pool, handle) = Pool::open(port, settings, Arc::new(launcher)).await?;
        let task = Some(tokio::spawn(pool.run()));
        Ok(Self { handle, task, drained: false, told: BTreeSet::new(), out, points })
    }

    /// The first worker that comes to the point is struck.
    pub(super) fn arm(&self, point: &str, order: &str) -> anyhow::Result<()> {
        // Whoever looks sees all of it or nothing.
        let (draft, file) = (self.points.join("order.new"), self.points.join(point));
        std::fs::write(&draft, order).and_then(|()| std::fs::rename(draft, file)).context("a drill cannot be armed")
    }

    /// The points at which somebody was struck; where it was to stand still, it does.
    pub(super) fn struck(&self) -> Vec<String> {
        let all = self.all_struck();
        let stands = |(name, pid): &(String, u32)| state(*pid).is_none_or(|state| state == 'T').then(|| name.clone());
        all.iter().filter_map(stands).collect()
    }

    fn all_struck(&self) -> Vec<(String, u32)> {
        let entries = std::fs::read_dir(&self.points).into_iter().flatten().flatten();
        let struck = entries.filter_map(|entry| {
            let name = entry.file_name();
            let (point, pid) = name.to_str()?.rsplit_once('.')?;
            Some((point.to_owned(), pid.parse().ok()?))
        });
        struck.collect()
    }

    /// Process ids of workers that stand still.
    pub(super) fn frozen(&self) -> Vec<u32> {
        let own = self.handle.progress().borrow().worker_pids.values().flatten().copied().collect::<Vec<_>>();
        let mut pids: Vec<u32> = self.all_struck().into_iter().map(|(_, pid)| pid).chain(own).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| state(*pid) == Some('T') && is_worker(*pid));
        pids
    }

    pub(super) fn kill(&self, place: usize) {
        self.handle.kill_worker(place);
    }

    pub(super) fn freeze(&mut self, place: usize) {
        let pid = self.handle.progress().borrow().worker_pids.get(&place).copied().flatten();
        if let Some(pid) = pid {
            signal(pid, Signal::STOP);
            self.told.insert(pid);
        }
    }

    /// Everyone who stands still goes on.
    pub(super) fn thaw(&mut self) {
        let told = std::mem::take(&mut self.told).into_iter().filter(|pid| is_worker(*pid));
        self.frozen().into_iter().chain(told).for_each(|pid| signal(pid, Signal::CONT));
    }

    pub(super) fn finish(&self) {
        self.handle.no_more_messages();
    }

    pub(super) fn progress(&self) -> Progress {
        self.handle.progress().borrow().clone()
    }

    pub(super) fn has_drained(&self) -> bool {
        self.drained
    }

    /// What is published.
    pub(super) fn output(&self) -> Option<Output> {
        Output::open(&self.out).ok()
    }

    /// Tells why the pool ended, if it did by itself.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        if !self.task.as_ref().is_some_and(JoinHandle::is_finished) {
            return Ok(());
        }
        match self.task.take().context("it is there")?.await? {
            Ok(_) => self.drained = true,
            Err(error) => bail!("the pool has ended: {error}"),
        }
        Ok(())
    }

    pub(super) async fn end(mut self) {
        self.thaw();
        self.handle.stop();
        if let Some(task) = self.task.take() {
            // What is committed stays so; nobody waits for the rest.
            let _ = tokio::time::timeout(Duration::from_secs(5), task).await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            // Its workers are killed with it, also those that stand still.
            task.abort();
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that has ended meanwhile needs no telling.
        let _ = kill_process(pid, signal);
    }
}

/// The state of a process as the system has it; none where there is none, or only its remains.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next().filter(|state| *state != 'Z')
}

/// Whether a process is a child of this one: a process id may belong to another process by the time it is used.
fn is_worker(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    parent == Some(std::process::id())
}
