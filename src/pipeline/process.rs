//! The pipeline's children: the broker and the producers as real processes that may be killed at any moment. Each runs
//! until it ends as it should; one that was killed is started again. Workers are the pool's (`launch`).

use std::{
    fs::{File, OpenOptions},
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, bail};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// A process that dies by a signal more often is not started again.
const MOST_DEATHS: u64 = 100;

/// Kills a supervised process; it is started again.
#[derive(Clone)]
pub(crate) struct Killer {
    kills: mpsc::Sender<()>,
    deaths: Arc<AtomicU64>,
}

impl Killer {
    /// Sends SIGKILL, unless a kill is under way already.
    pub(crate) fn kill(&self) {
        let _ = self.kills.try_send(());
    }

    /// How often the process died by a signal.
    pub(crate) fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }
}

/// A process that is kept running.
pub(crate) struct Supervised {
    pub(crate) killer: Killer,
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Supervised {
    /// Starts a process and keeps it running: `start` makes each life of it; it ends for good with success, with an
    /// error of its own, or when it is stopped.
    pub(crate) fn start(
        name: String,
        log: PathBuf,
        mut start: impl FnMut() -> anyhow::Result<Child> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (kills, mut killed) = mpsc::channel(1);
        let (stop, mut stopped) = watch::channel(false);
        let killer = Killer { kills, deaths: Arc::default() };
        let deaths = Arc::clone(&killer.deaths);
        let mut child = start()?;
        let task = tokio::spawn(async move {
            loop {
                let status = live(&mut child, &mut killed, &mut stopped).await?;
                if status.success() {
                    return Ok(());
                }
                if status.code().is_some() {
                    bail!("{name} ended with {status}; its log says:\n{}", tail_of(&log));
                }
                if deaths.fetch_add(1, Ordering::Relaxed) == MOST_DEATHS {
                    bail!("{name} was killed {MOST_DEATHS} times, the last time with {status}");
                }
                if *stopped.borrow() {
                    return Ok(());
                }
                child = start()?;
            }
        });
        Ok(Self { killer, stop, task })
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.task.await?
    }

    /// Waits until the process has ended for good.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.task).await?
    }
}

/// One life of a process.
async fn live(
    child: &mut Child,
    kills: &mut mpsc::Receiver<()>,
    stopped: &mut watch::Receiver<bool>,
) -> anyhow::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            Some(()) = kills.recv() => child.start_kill()?,
            () = told_to_stop(stopped) => {
                terminate(child)?;
                return Ok(child.wait().await?);
            }
        }
    }
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        // Nobody is left to say so.
        std::future::pending::<()>().await;
    }
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("cannot stop a child")?;
    }
    Ok(())
}

/// The command of another life of this same program.
pub(crate) fn ourselves() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    // Settings of the outer command are not meant for its children.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    // Ctrl-C on a terminal is for the command; it ends its children in good order.
    command.kill_on_drop(true).process_group(0);
    Ok(command)
}

/// A log file that lives of one process append to.
pub(crate) fn log_file(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("cannot write {}", path.display()))
}

/// A broker process on a listening socket that outlives it, so that its clients never meet a closed port.
pub(crate) fn broker(listener: &TcpListener, data: &Path, journal: Option<&str>, log: &Path) -> anyhow::Result<Child> {
    let socket: OwnedFd = listener.try_clone().context("cannot hand over the listening socket")?.into();
    let mut command = ourselves()?;
    command.args(["serve", "--listen", "stdin", "--console", "off", "--lock-patience", "5", "--data"]).arg(data);
    command.args(journal.iter().flat_map(|journal| ["--journal", *journal]));
    command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(log_file(log)?);
    command.spawn().context("cannot start the broker process")
}

/// The last lines of a log.
pub(crate) fn tail_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
