//! One worker: takes the claims its controller names, one at a time, and finishes each with one Commit that carries the
//! file's digest and the job's state together (B9). It never deletes a file and never tells the controller "done" before
//! the broker said so. Which claims there are, and the manifest, are the controller's business.

mod attempt;
mod isolate;
mod task;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use lockstep_client::Client;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::time::MissedTickBehavior;

use crate::crash::{CrashPoints, Killed};
use crate::identity::Identity;
use crate::port::{ClientPort, Patience, Port, PortError, ReaderRef};
use crate::protocol::{Assignment, Report, send};
use crate::step::StepSpec;

/// How often a worker that has a claim says so: well below the patience of any controller.
const BEAT: Duration = Duration::from_secs(1);

/// What a worker must know; it travels as one argument of the worker's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Where the broker listens, such as `http://127.0.0.1:9324`.
    pub endpoint: String,
    /// The queue's name.
    pub queue: String,
    /// The reader's name.
    pub reader: String,
    /// The generation of the reader that the worker's controller opened.
    pub reader_generation: u64,
    /// Whose output it writes.
    pub identity: Identity,
    /// What to compute, and where to write.
    pub step: StepSpec,
    /// So often a message is tried before the policy `dlq` takes it out; the queue's maxReceiveCount.
    #[serde(default)]
    pub max_receives: u32,
    /// Words that stand before a mapper's: a program that ends the mapper when the worker dies. None by default.
    #[serde(default)]
    pub guard: Vec<String>,
    /// The worker's own instance id, 1 to 80 of `[A-Za-z0-9_-]`, fresh for each start of a worker.
    pub worker: String,
    /// For how long to ask a broker that does not answer, in seconds; then the worker ends.
    pub patience_seconds: u64,
}

impl WorkerSettings {
    /// The settings as one command-line argument.
    #[must_use]
    pub fn to_argument(&self) -> String {
        serde_json::to_string(self).expect("settings are always JSON: the output folder was checked to be UTF-8")
    }

    /// Reads [`WorkerSettings::to_argument`].
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_argument(argument: &str) -> Result<Self, String> {
        serde_json::from_str(argument).map_err(|error| format!("these are no worker settings: {error}"))
    }

    fn reader_ref(&self) -> ReaderRef {
        ReaderRef {
            queue: self.queue.clone(),
            queue_generation: self.identity.queue_generation,
            reader: self.reader.clone(),
            reader_generation: self.reader_generation,
        }
    }

    fn patience(&self) -> Patience {
        Patience(Duration::from_secs(self.patience_seconds))
    }
}

/// Why a worker ended other than by its controller's word. Its claim, if it held one, is open or committed; the
/// controller asks the broker which.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The broker did not answer for too long.
    #[error(transparent)]
    Broker(#[from] PortError),
    /// The controller's pipe broke, or carried what is no assignment.
    #[error("the controller's pipe: {0}")]
    Pipe(#[from] io::Error),
    /// A test's doing.
    #[error(transparent)]
    Killed(#[from] Killed),
}

/// Runs one worker, over a connection to its broker, until `stdin` ends; that is when its controller is gone, and it ends at once, in whatever it does.
///
/// `stdin` and `stdout` carry the JSON lines of [`crate::protocol`]. A process that used the real ones must leave by
/// `std::process::exit` afterwards: a read of stdin that is still under way would hold up the runtime's end.
///
/// # Errors
/// [`WorkerError`]; refusals and failures of single claims are reported to the controller and are no errors here.
pub async fn run_worker<R, W>(
    client: &Client,
    settings: WorkerSettings,
    crash: &CrashPoints,
    stdin: R,
    stdout: W,
) -> Result<(), WorkerError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let port = ClientPort::over(client, settings.patience().0);
    run_worker_on(&port, &settings, crash, stdin, stdout).await
}

/// As [`run_worker`], on any broker; for tests.
///
/// # Errors
/// As [`run_worker`].
pub async fn run_worker_on<P, R, W>(
    port: &P,
    settings: &WorkerSettings,
    crash: &CrashPoints,
    stdin: R,
    mut stdout: W,
) -> Result<(), WorkerError>
where
    P: Port,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut lines = BufReader::new(stdin).lines();
    send(&mut stdout, &Report::Ready { ready: settings.worker.clone(), pid: std::process::id() }).await?;
    let mut waiting = VecDeque::new();
    loop {
        let assignment = match waiting.pop_front() {
            Some(assignment) => assignment,
            None => match lines.next_line().await? {
                Some(line) => parse(&line)?,
                None => return Ok(()),
            },
        };
        let claim = assignment.claim;
        let mut attempt = Box::pin(attempt::run(port, settings, crash, assignment));
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let report = loop {
            tokio::select! {
                biased;
                line = lines.next_line() => match line? {
                    Some(line) => waiting.push_back(parse(&line)?),
                    None => return Ok(()),
                },
                report = &mut attempt => break report?,
                _ = beat.tick() => send(&mut stdout, &Report::Alive { alive: claim }).await?,
            }
        };
        send(&mut stdout, &report).await?;
    }
}

fn parse(line: &str) -> io::Result<Assignment> {
    serde_json::from_str(line).map_err(|error| io::Error::other(format!("`{line}` is no assignment: {error}")))
}
