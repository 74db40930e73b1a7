//! The broker as a child that is killed and comes back. The lab keeps its listening socket, so that clients never meet a
//! closed port. What a broker is told on its command line stands here.

use std::{net::TcpListener, os::fd::OwnedFd, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{Setup, append_to, child, last_lines};

/// So long it may take to answer what it accepted when it is asked to end.
const ENDING: Duration = Duration::from_secs(5);

/// Where the broker is in its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Life {
    /// How often it was started.
    pub number: u64,
    /// It has replayed its journal and listens.
    pub serves: bool,
    /// Its process id, while it has one.
    pub pid: Option<u32>,
}

pub(super) struct Broker {
    kills: mpsc::UnboundedSender<Blow>,
    life: watch::Receiver<Life>,
    task: Option<JoinHandle<anyhow::Result<()>>>,
}

enum Blow {
    Kill,
    Fill,
    End,
}

struct Start {
    program: PathBuf,
    folder: PathBuf,
    listener: TcpListener,
    away: Duration,
}

impl Broker {
    pub(super) fn start(setup: &Setup, listener: TcpListener) -> anyhow::Result<Self> {
        let start = Start { program: setup.program.clone(), folder: setup.folder.clone(), listener, away: setup.away };
        let (kills, blows) = mpsc::unbounded_channel();
        let (lives, life) = watch::channel(Life::default());
        let first = start.spawn()?;
        let task = Some(tokio::spawn(start.live(first, blows, lives)));
        Ok(Self { kills, life, task })
    }

    pub(super) fn kill(&self) {
        let _ = self.kills.send(Blow::Kill);
    }

    pub(super) fn fill_disk(&self) {
        let _ = self.kills.send(Blow::Fill);
    }

    pub(super) fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Tells why it ended, if it did by itself.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        match &mut self.task {
            Some(task) if task.is_finished() => {
                let task = self.task.take().context("it is there")?;
                task.await??;
                bail!("the broker has ended")
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn end(mut self) {
        let _ = self.kills.send(Blow::End);
        if let Some(task) = self.task.take() {
            // One that does not end in time is killed with the task.
            let _ = tokio::time::timeout(ENDING, task).await;
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Start {
    fn command(&self) -> anyhow::Result<Command> {
        let socket: OwnedFd = self.listener.try_clone().context("cannot hand over the listening socket")?.into();
        let mut command = child(&self.program);
        command.args([
            "serve",
            "--listen",
            "stdin",
            "--journal",
            "segments",
            "--clock",
            "manual",
            "--lock-patience",
            "5",
        ]);
        command.args(["--scrub-every", "0", "--data"]).arg(self.folder.join("data"));
        let log = append_to(&self.log())?;
        command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(log);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("logs/broker.log")
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        self.command()?.spawn().context("cannot start the broker process")
    }

    /// One life after the other.
    async fn live(
        self,
        first: Child,
        mut blows: mpsc::UnboundedReceiver<Blow>,
        lives: watch::Sender<Life>,
    ) -> anyhow::Result<()> {
        let mut child = first;
        loop {
            lives.send_modify(|life| *life = Life { number: life.number + 1, serves: false, pid: child.id() });
            let stdout = child.stdout.take().context("stdout was asked to be a pipe")?;
            let mut lines = BufReader::new(stdout).lines();
            let (mut ending, mut served) = (false, false);
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status?,
                    // Its first line says that it listens; the pipe is kept, for its end would be the broker's.
                    Ok(Some(_)) = lines.next_line() => {
                        served = true;
                        lives.send_modify(|life| life.serves = true);
                    }
                    Some(blow) = blows.recv() => match blow {
                        Blow::Kill => child.start_kill()?,
                        Blow::Fill => fill(&child),
                        Blow::End => {
                            ending = true;
                            signal(&child, Signal::TERM);
                        }
                    },
                }
            };
            lives.send_modify(|life| (life.serves, life.pid) = (false, None));
            if ending {
                return Ok(());
            }
            if status.code().is_some() && !served {
                bail!("the broker cannot be started, {status}: {}", last_lines(&self.log()));
            }
            tokio::time::sleep(self.away).await;
            child = self.spawn()?;
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        // One that has just ended needs no telling.
        let _ = kill_process(pid, signal);
    }
}

/// No file of it may grow any more: the system refuses the next write as it would on a full disk.
fn fill(child: &Child) {
    if let Some(pid) = pid(child) {
        let _ = prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(1), maximum: None });
    }
}
