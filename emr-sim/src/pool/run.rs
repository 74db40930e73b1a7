//! The pool while it runs: one loop that hears the broker's answers, the workers' news, the publisher and the caller, and
//! decides what comes next. It waits for no single call: those run beside it. The disk and the manifest are `publish`'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::crew::{Crew, News, WorkerEvent};
use super::publish::{Publisher, Task};
use super::work::OpenClaims;
use super::{PoolError, PoolSettings, Progress, Request, Summary, WorkerLauncher};
use crate::identity::Identity;
use crate::port::{
    ClaimLimits, Claimed, OpenedReader, Patience, Port, PortError, QueueState, ReaderRef, ReaderState, Reason,
};
use crate::protocol::{Assignment, FailureKind, Report};
use crate::worker::WorkerSettings;

/// At most so many claims of a reader are open (B6).
const OPEN_CLAIMS: usize = 64;

/// So many workers in a row may end before they are ready.
const FALSE_STARTS: u32 = 5;

/// Attempts that failed leave files; after so many they are swept.
const SWEEP_AFTER: u32 = 16;

/// So long may idle workers take to end after their stdin did.
const DISMISSAL: Duration = Duration::from_secs(5);

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
        let Start { port, settings, launcher, reader, opened, publisher, said, progress } = start;
        let common = WorkerSettings {
            endpoint: settings.endpoint.clone(),
            queue: reader.queue.clone(),
            reader: reader.reader.clone(),
            reader_generation: reader.reader_generation,
            identity: opened.identity,
            out: settings.out.clone(),
            job: settings.facts.job,
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

    pub(super) async fn to_the_end(mut self) -> Result<Summary, PoolError> {
        if let Some((publisher, asked)) = self.waiting_publisher.take() {
            self.publishing.spawn(publisher.serve(asked, self.progress.clone()));
        }
        for place in self.crew.places() {
            self.start_worker(place)?;
        }
        let mut callers = true;
        loop {
            self.hand_out().await;
            self.claim_more();
            self.show();
            tokio::select! {
                Some(answer) = self.answers.join_next() => match answer {
                    Ok(answer) => if let Some(left) = self.answered(answer)? { return self.finish(left).await },
                    // A call that was given up.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                Some(event) = self.news.recv() => self.heard(event)?,
                Some(ended) = self.publishing.join_next() => return Err(publisher_failed(ended)),
                request = self.said.recv(), if callers => match request {
                    Some(Request::NoMoreMessages) => { self.no_more = true; self.hurry(); }
                    Some(Request::KillWorker(place)) => self.crew.kill(place),
                    Some(Request::Stop) => return Err(PoolError::Stopped),
                    None => callers = false,
                },
            }
        }
    }

    /// Gives waiting claims to idle workers.
    async fn hand_out(&mut self) {
        while self.claims.has_waiting() {
            let Some(place) = self.crew.idle() else { return };
            let Some((claim, previous_failed)) = self.claims.give() else { return };
            self.crew.assign(place, Assignment { claim, previous_failed }).await;
        }
    }

    /// Asks for the next claim when there is room for it and nobody asks already.
    fn claim_more(&mut self) {
        let room = (self.settings.workers + self.settings.claims_ahead).min(OPEN_CLAIMS);
        if self.claiming.is_some() || self.checking || self.claims.len() >= room {
            return;
        }
        let mut limits = self.settings.claim;
        if self.no_more {
            // Nothing is to be gathered any more; but where something stands in the way, wait for its end.
            let wait_seconds = u32::from(self.leftovers || !self.claims.is_empty());
            limits = ClaimLimits { wait_seconds, min_messages: 1, linger_ms: 0, ..limits };
        }
        self.turn += 1;
        let (turn, number) = (self.turn, self.next);
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        let asking = async move {
            Answer::Claimed { turn, claimed: patience.ask(|| port.claim(&reader, number, limits)).await }
        };
        self.claiming = Some(self.answers.spawn(asking));
    }

    /// Gives up a claim that waits for messages; the same number is asked for again, so nothing is lost by it (B6).
    fn hurry(&mut self) {
        if let Some(claiming) = self.claiming.take() {
            claiming.abort();
        }
    }

    /// Takes an answer of the broker; `Some` when nothing is left to do.
    fn answered(&mut self, answer: Answer) -> Result<Option<ReaderState>, PoolError> {
        match answer {
            Answer::Claimed { turn, .. } if turn != self.turn => {}
            Answer::Claimed { claimed, .. } => {
                self.claiming = None;
                match claimed? {
                    Claimed::Open(claim) => {
                        self.leftovers = false;
                        self.claims.add(claim.number, claim.messages);
                        self.next += 1;
                    }
                    Claimed::Empty => {
                        if self.no_more && self.claims.is_empty() {
                            self.check_what_is_left();
                        }
                    }
                    // Ended between two tries of the call, by the operator's word.
                    Claimed::Committed | Claimed::Burnt => self.next += 1,
                }
            }
            Answer::Became { number, claimed } => self.became(number, claimed)?,
            Answer::Left(left) => {
                self.checking = false;
                let (queue, reader) = left?;
                if queue.queue_generation != self.reader.queue_generation {
                    let (now, own) = (queue.queue_generation, self.reader.queue_generation);
                    return Err(PoolError::QueueGenerationChanged(format!("it is generation {now} now, not {own}")));
                }
                if queue.messages == 0 && reader.open_claims.is_empty() {
                    return Ok(Some(reader));
                }
                self.leftovers = true;
                for claim in reader.open_claims.iter().filter(|claim| claim.number < self.next) {
                    self.claims.add(claim.number, claim.messages);
                }
            }
        }
        Ok(None)
    }

    fn check_what_is_left(&mut self) {
        self.checking = true;
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        self.answers.spawn(async move {
            let queue = match patience.ask(|| port.describe_queue(&reader)).await {
                Ok(queue) => queue,
                Err(error) => return Answer::Left(Err(error)),
            };
            Answer::Left(patience.ask(|| port.describe_reader(&reader)).await.map(|reader| (queue, reader)))
        });
    }

    /// A worker has let go of a claim: only the broker knows what became of it. `Claim` of a number that was given out
    /// takes nothing, it answers (B6).
    fn ask_what_became(&mut self, number: u64, previous_failed: bool) {
        if !self.claims.ask(number, previous_failed) {
            return;
        }
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        let limits = self.settings.claim;
        self.answers.spawn(async move {
            Answer::Became { number, claimed: patience.ask(|| port.claim(&reader, number, limits)).await }
        });
    }

    fn became(&mut self, number: u64, claimed: Result<Claimed, PortError>) -> Result<(), PoolError> {
        match claimed {
            Ok(Claimed::Open(_)) => self.claims.still_open(number),
            Ok(Claimed::Committed) => self.committed(number),
            // Burnt by the operator's word: its messages went back and come again under another number.
            Ok(Claimed::Burnt | Claimed::Empty) => drop(self.claims.ended(number)),
            // It ended so long ago that only the records know how; the publisher reads those anyway.
            Err(PortError::Refused { reason: Reason::OutcomeForgotten, .. }) => self.committed(number),
            Err(error) => return Err(error.into()),
        }
        self.hurry_at_the_end();
        Ok(())
    }

    fn committed(&mut self, number: u64) {
        if let Some(messages) = self.claims.ended(number) {
            self.progress.send_modify(|progress| {
                progress.commits += 1;
                progress.messages_committed += messages;
            });
        }
        self.task(Task::Publish);
    }

    /// The last claim has ended: do not sit out a wait for messages that are not coming.
    fn hurry_at_the_end(&mut self) {
        if self.no_more && self.claims.is_empty() && !self.leftovers {
            self.hurry();
        }
    }

    fn heard(&mut self, event: WorkerEvent) -> Result<(), PoolError> {
        if !self.crew.is_present(&event) {
            return Ok(());
        }
        let place = event.place;
        match event.news {
            News::Report(Report::Ready { .. }) => {
                self.false_starts = 0;
                self.crew.is_ready(place);
            }
            News::Report(Report::Done { done, .. }) => {
                if self.crew.release(place, done).is_some() {
                    self.committed(done);
                    self.hurry_at_the_end();
                }
            }
            News::Report(Report::Refused { refused, reason, message }) => {
                if self.crew.release(place, refused).is_some() {
                    tracing::info!(claim = refused, ?reason, %message, "a worker was refused");
                    if reason == Reason::Other && self.claims.failed(refused) {
                        return Err(PoolError::Step { claim: refused, why: message });
                    }
                    self.attempt_failed();
                    self.ask_what_became(refused, false);
                }
            }
            News::Report(Report::Failed { failed, kind, reason }) => {
                if self.crew.release(place, failed).is_some() {
                    tracing::warn!(claim = failed, ?kind, %reason, "an attempt failed");
                    if kind != FailureKind::Disk || self.claims.failed(failed) {
                        return Err(PoolError::Step { claim: failed, why: reason });
                    }
                    self.attempt_failed();
                    self.ask_what_became(failed, true);
                }
            }
            News::Ended(how) => self.worker_ended(place, &how)?,
        }
        Ok(())
    }

    fn worker_ended(&mut self, place: usize, how: &str) -> Result<(), PoolError> {
        let ended = self.crew.ended(place);
        tracing::info!(place, how, claim = ended.held, "a worker ended");
        self.progress.send_modify(|progress| progress.worker_deaths += 1);
        if !ended.was_ready {
            self.false_start(how)?;
        }
        if let Some(claim) = ended.held {
            if self.claims.died(claim) {
                return Err(PoolError::Workers(format!("claim {claim} has ended 20 of them, the last one: {how}")));
            }
            self.attempt_failed();
            self.ask_what_became(claim, true);
        }
        self.start_worker(place)
    }

    fn start_worker(&mut self, place: usize) -> Result<(), PoolError> {
        while let Err(error) = self.crew.start(place) {
            self.false_start(&error.to_string())?;
        }
        Ok(())
    }

    fn false_start(&mut self, how: &str) -> Result<(), PoolError> {
        self.false_starts += 1;
        match self.false_starts < FALSE_STARTS {
            true => Ok(()),
            false => Err(PoolError::Workers(format!("{FALSE_STARTS} ended before they were ready, the last one: {how}"))),
        }
    }

    fn attempt_failed(&mut self) {
        self.failed_attempts += 1;
        if self.failed_attempts.is_multiple_of(SWEEP_AFTER) {
            self.task(Task::Sweep);
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

    /// Nothing is left in the queue and no claim is open: publishes the rest and lets the workers go.
    async fn finish(mut self, left: ReaderState) -> Result<Summary, PoolError> {
        self.task(Task::Finish);
        let publisher = match self.publishing.join_next().await {
            Some(Ok(Ok(publisher))) => publisher,
            Some(ended) => return Err(publisher_failed(ended)),
            None => return Err(PoolError::Stopped),
        };
        if publisher.last() != left.commits {
            let (lines, commits) = (publisher.last(), left.commits);
            let why = format!("the manifest has {lines} commits at the end, the broker {commits}");
            return Err(PoolError::Value { key: "published/".to_owned(), why });
        }
        let (commits, messages) = (publisher.last(), publisher.messages());
        self.progress.send_modify(|progress| {
            *progress = Progress { claims_open: 0, messages_committed: messages, commits, manifest_lines: commits, ..progress.clone() };
        });
        // Past the limit the pool's drop kills what is left.
        let _ = tokio::time::timeout(DISMISSAL, self.crew.dismiss()).await;
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
