//! The pool while it runs: one loop that hears the broker's answers (`asks`), the workers' news (`news`), the publisher
//! and the caller. It waits for no single call: those run beside it. The disk and the manifest are `publish`'s.

mod asks;
mod news;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::crew::{Crew, WorkerEvent};
use super::publish::{Publisher, Task};
use super::work::OpenClaims;
use super::{PoolError, PoolSettings, Progress, Request, Summary, WorkerLauncher};
use crate::identity::Identity;
use crate::port::{Claimed, OpenedReader, Port, PortError, QueueState, ReaderRef, ReaderState};
use crate::worker::WorkerSettings;

/// So long may idle workers take to end after their stdin did.
const DISMISSAL: Duration = Duration::from_secs(5);

/// How often silent workers are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// What the broker answered to a call that ran beside the loop.
enum Answer {
    /// To the `turn`-th claim of new messages.
    Claimed { turn: u64, claimed: Result<Claimed, PortError> },
    /// To what became of a claim.
    Became { number: u64, claimed: Result<Claimed, PortError> },
    /// To what is left.
    Left(Result<(QueueState, ReaderState), PortError>),
}

/// What a run begins with.
pub(super) struct Start<P> {
    pub(super) port: P,
    pub(super) settings: PoolSettings,
    pub(super) launcher: Arc<dyn WorkerLauncher>,
    pub(super) reader: ReaderRef,
    pub(super) opened: OpenedReader,
    pub(super) max_receives: u32,
    pub(super) publisher: Publisher<P>,
    pub(super) said: mpsc::UnboundedReceiver<Request>,
    pub(super) progress: watch::Sender<Progress>,
}

pub(super) struct Run<P> {
    port: P,
    settings: PoolSettings,
    reader: ReaderRef,
    identity: Identity,
    claims: OpenClaims,
    /// The number of the next claim.
    next: u64,
    claiming: Option<AbortHandle>,
    /// Tells the answer to the present claim from one that was given up.
    turn: u64,
    checking: bool,
    /// The queue was looked at and holds messages that cannot be claimed now.
    leftovers: bool,
    no_more: bool,
    /// It ends once no worker is left.
    cancelled: bool,
    answers: JoinSet<Answer>,
    crew: Crew,
    news: mpsc::UnboundedReceiver<WorkerEvent>,
    false_starts: u32,
    failed_attempts: u32,
    waiting_publisher: Option<(Publisher<P>, mpsc::UnboundedReceiver<Task>)>,
    publishing: JoinSet<Result<Publisher<P>, PoolError>>,
    tasks: mpsc::UnboundedSender<Task>,
    said: mpsc::UnboundedReceiver<Request>,
    progress: watch::Sender<Progress>,
}

impl<P: Port> Run<P> {
    pub(super) fn new(start: Start<P>) -> Self {
        let Start { port, settings, launcher, reader, opened, max_receives, publisher, said, progress } = start;
        let common = WorkerSettings {
            endpoint: settings.endpoint.clone(),
            queue: reader.queue.clone(),
            reader: reader.reader.clone(),
            reader_generation: reader.reader_generation,
            identity: opened.identity,
            step: settings.step.clone(),
            max_receives,
            guard: settings.guard.clone(),
            worker: String::new(),
            patience_seconds: settings.patience.as_secs(),
        };
        let (events, news) = mpsc::unbounded_channel();
        let (tasks, asked) = mpsc::unbounded_channel();
        let mut claims = OpenClaims::default();
        for claim in &opened.open_claims {
            claims.add(claim.number, claim.messages);
        }
        Self {
            identity: publisher.identity().clone(),
            crew: Crew::new(launcher, common, settings.workers, events),
            claims,
            next: opened.last_number + 1,
            claiming: None,
            turn: 0,
            checking: false,
            leftovers: false,
            no_more: false,
            cancelled: false,
            answers: JoinSet::new(),
            news,
            false_starts: 0,
            failed_attempts: 0,
            waiting_publisher: Some((publisher, asked)),
            publishing: JoinSet::new(),
            tasks,
            said,
            progress,
            port,
            settings,
            reader,
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn reader(&self) -> &ReaderRef {
        &self.reader
    }

    pub(super) fn output(&self) -> &std::path::Path {
        &self.settings.step.output
    }

    pub(super) async fn until_the_end(mut self) -> Result<Summary, PoolError> {
        if let Some((publisher, asked)) = self.waiting_publisher.take() {
            self.publishing.spawn(publisher.serve(asked, self.progress.clone()));
        }
        while let Ok(request) = self.said.try_recv() {
            self.told(request)?;
        }
        for place in self.crew.unmanned() {
            self.start_worker(place)?;
        }
        let mut callers = true;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.hand_out().await;
            self.claim_more();
            self.show();
            if self.cancelled && self.crew.is_empty() && self.claiming.is_none() {
                self.publish_all().await?;
                return Err(PoolError::Stopped);
            }
            tokio::select! {
                Some(answer) = self.answers.join_next() => match answer {
                    Ok(answer) => if let Some(left) = self.answered(answer)? { return self.finish(left).await },
                    // A call that was given up.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                Some(event) = self.news.recv() => self.heard(event)?,
                Some(ended) = self.publishing.join_next() => return Err(publisher_failed(ended)),
                _ = look.tick() => self.give_up_the_silent()?,
                request = self.said.recv(), if callers => match request {
                    Some(request) => {
                        self.told(request)?;
                        for place in self.crew.unmanned() {
                            self.start_worker(place)?;
                        }
                    }
                    None => callers = false,
                },
            }
        }
    }

    /// Does what the caller says; who is missing is started by the loop.
    fn told(&mut self, request: Request) -> Result<(), PoolError> {
        match request {
            Request::NoMoreMessages => {
                self.no_more = true;
                self.hurry();
            }
            Request::KillWorker(place) => self.crew.kill(place),
            Request::Staff(places) if !self.cancelled => self.crew.staff(&places),
            Request::Staff(_) => {}
            Request::Cancel { kill } => {
                // A claim under way is waited for: given up, it could still open, and nobody would hold it.
                self.cancelled = true;
                self.crew.staff(&BTreeSet::new());
                if kill {
                    self.crew.kill_all();
                }
            }
            Request::Stop => return Err(PoolError::Stopped),
        }
        Ok(())
    }

    /// Gives waiting claims to idle workers.
    async fn hand_out(&mut self) {
        while self.claims.has_waiting() {
            let Some(place) = self.crew.idle() else { return };
            let Some(assignment) = self.claims.give() else { return };
            self.crew.assign(place, assignment).await;
        }
    }

    fn task(&self, task: Task) {
        // A publisher that is gone is noticed by the loop, with its reason.
        let _ = self.tasks.send(task);
    }

    fn show(&self) {
        let (claims_open, worker_pids) = (self.claims.len(), self.crew.pids());
        self.progress.send_if_modified(|progress| {
            let changed = progress.claims_open != claims_open || progress.worker_pids != worker_pids;
            (progress.claims_open, progress.worker_pids) = (claims_open, worker_pids);
            changed
        });
    }

    /// Waits until every commit is published.
    async fn publish_all(&mut self) -> Result<Publisher<P>, PoolError> {
        self.task(Task::Finish);
        match self.publishing.join_next().await {
            Some(Ok(Ok(publisher))) => Ok(publisher),
            Some(ended) => Err(publisher_failed(ended)),
            None => Err(PoolError::Stopped),
        }
    }

    /// Nothing is left in the queue and no claim is open: publishes the rest and lets the workers go.
    async fn finish(mut self, left: ReaderState) -> Result<Summary, PoolError> {
        let publisher = self.publish_all().await?;
        if publisher.last() != left.commits {
            let (lines, commits) = (publisher.last(), left.commits);
            let why = format!("the manifest has {lines} commits at the end, the broker {commits}");
            return Err(PoolError::Value { key: "published/".to_owned(), why });
        }
        let (commits, messages) = (publisher.last(), publisher.messages());
        self.progress.send_modify(|progress| {
            *progress = Progress {
                claims_open: 0,
                messages_committed: messages,
                commits,
                manifest_lines: commits,
                ..progress.clone()
            };
        });
        self.crew.dismiss(DISMISSAL).await;
        let worker_deaths = self.progress.borrow().worker_deaths;
        Ok(Summary { identity: self.identity, commits, messages, worker_deaths })
    }
}

/// The publisher ends by itself only when it failed.
fn publisher_failed<P>(ended: Result<Result<Publisher<P>, PoolError>, tokio::task::JoinError>) -> PoolError {
    match ended {
        Ok(Err(error)) => error,
        Ok(Ok(_)) => PoolError::Stopped,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => PoolError::Stopped,
    }
}
