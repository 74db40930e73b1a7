//! A worker by hand: attaches to a cluster, works for its steps one claim at a time each, and attaches again when the
//! connection breaks. A run of it is a [`crate::worker`] whose controller speaks over the call instead of over pipes; when
//! the call ends, its runs end at once, and the cluster hands on what they held.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_client::emr::{
    AttachRequest, AttachResponse, Beat, Begin, Goodbye, Hello, Leave, Line, Reached, RunEnded, attach_request::Said,
    attach_response::Said as Answer,
};
use lockstep_client::{Attached, Client, Error};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::reach;
use super::{BEAT, SILENCE};
use crate::blocking::blocking;
use crate::crash::CrashPoints;
use crate::port::ClientPort;
use crate::protocol::{FailureKind, Report};
use crate::worker::{WorkerSettings, run_worker_on};

/// How long it is tried to attach again after the connection broke.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries, at least and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the pipes of a run hold.
const PIPE: usize = 64 << 10;

/// Who attaches, and with what.
#[derive(Debug, Clone)]
pub struct Hand {
    /// The cluster's id.
    pub cluster: String,
    /// What people call the worker.
    pub name: String,
    /// Its machine, as people call it.
    pub host: String,
    /// Words that stand before a mapper's on this machine.
    pub guard: Vec<String>,
    /// How long the first attachment is tried.
    pub patience: Duration,
}

/// What happens to a worker, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is an instance of the cluster, under this id.
    Attached(String),
    /// It works for a step: queue and output folder.
    Began(String, std::path::PathBuf),
    /// A claim of it is committed: its number, messages.
    Done(u64, u64),
    /// An attempt at a claim came to nothing: its number, why.
    Failed(u64, String),
    /// The connection broke: why. It is tried again.
    Broken(String),
}

/// Why a worker ended other than by its cluster's or its operator's word.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// The broker decided against it.
    #[error(transparent)]
    Refused(Error),
    /// It cannot work here; what it held went back.
    #[error("{0}")]
    Unfit(String),
    /// The broker did not answer for too long.
    #[error("{0}")]
    Unreachable(String),
}

/// How a call ended.
enum Ended {
    Goodbye(String),
    Broken(String),
}

/// Works until the cluster says goodbye or `stop` turns true: then it takes nothing more, finishes what it holds, and ends.
/// Answers the last word.
///
/// # Errors
/// [`HandError`]; what it held is handed on to others.
pub async fn work(
    client: &Client,
    hand: &Hand,
    mut stop: watch::Receiver<bool>,
    tell: impl Fn(Told),
) -> Result<String, HandError> {
    let (mut since, mut patience, mut pause) = (Instant::now(), hand.patience, FIRST_PAUSE);
    loop {
        let mut welcomed = false;
        let tell_of = |told: Told| {
            welcomed |= matches!(told, Told::Attached(_));
            tell(told);
        };
        let why = match call(client, hand, &mut stop, tell_of).await? {
            Ended::Goodbye(reason) => return Ok(reason),
            Ended::Broken(why) => why,
        };
        if welcomed {
            (since, patience, pause) = (Instant::now(), PATIENCE, FIRST_PAUSE);
            tell(Told::Broken(why.clone()));
        }
        if since.elapsed() >= patience {
            let endpoint = client.endpoint();
            return Err(HandError::Unreachable(format!("cannot attach at {endpoint}: {why}")));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = told_to_stop(&mut stop) => return Ok("stopped; nothing is held".to_owned()),
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left to say so.
        std::future::pending::<()>().await;
    }
}

/// What the runs say to the call.
enum FromRun {
    Said(Said),
    Told(Told),
    Unfit(String),
}

/// One attachment, from Hello to its end. Dropping it ends its runs.
async fn call(
    client: &Client,
    hand: &Hand,
    stop: &mut watch::Receiver<bool>,
    mut tell: impl FnMut(Told),
) -> Result<Ended, HandError> {
    let (say, said) = mpsc::unbounded_channel();
    let say = |one: Said| drop(say.send(AttachRequest { said: Some(one) }));
    let Hand { cluster, name, host, .. } = hand.clone();
    say(Said::Hello(Hello { cluster, name, host, process_id: std::process::id() }));
    let attaching = tokio::time::timeout(SILENCE, client.attach(UnboundedReceiverStream::new(said)));
    let mut attached = match attaching.await {
        Ok(Ok(attached)) => attached,
        Ok(Err(error)) => return broken(error),
        Err(_) => return Ok(Ended::Broken(format!("no answer in {} s", SILENCE.as_secs()))),
    };
    let (from_runs, mut heard_of_runs) = mpsc::unbounded_channel();
    let mut runs = Runs { hand, client, tell: from_runs, to: BTreeMap::new(), tasks: JoinSet::new() };
    let mut beat = tokio::time::interval(BEAT);
    let (mut heard, mut leaving) = (Instant::now(), false);
    loop {
        tokio::select! {
            answer = next(&mut attached) => {
                heard = Instant::now();
                match answer {
                    Ok(Answer::Welcome(welcome)) => tell(Told::Attached(welcome.instance)),
                    Ok(Answer::Goodbye(Goodbye { reason, unfit: false })) => return Ok(Ended::Goodbye(reason)),
                    Ok(Answer::Goodbye(Goodbye { reason, unfit: true })) => return Err(HandError::Unfit(reason)),
                    Ok(answer) => runs.take(answer),
                    Err(error) => return broken(error),
                }
            }
            Some(from) = heard_of_runs.recv() => match from {
                FromRun::Said(one) => say(one),
                FromRun::Told(told) => tell(told),
                FromRun::Unfit(why) => return Err(HandError::Unfit(why)),
            },
            _ = beat.tick() => say(Said::Beat(Beat {})),
            () = told_to_stop(stop), if !leaving => {
                leaving = true;
                say(Said::Leave(Leave {}));
            }
            () = tokio::time::sleep_until(heard + SILENCE) => {
                return Ok(Ended::Broken(format!("nothing was heard for {} s", SILENCE.as_secs())));
            }
        }
    }
}

async fn next(attached: &mut Attached) -> Result<Answer, Error> {
    loop {
        match attached.next().await? {
            Some(AttachResponse { said: Some(answer) }) => return Ok(answer),
            // Said by a newer broker.
            Some(AttachResponse { said: None }) => {}
            None => return Err(Error::Unavailable { message: "the broker ended the call".to_owned() }),
        }
    }
}

/// What an error of the call means: a refusal is final, everything else is tried again.
fn broken(error: Error) -> Result<Ended, HandError> {
    match error {
        Error::Refused { .. } | Error::Protocol(_) => Err(HandError::Refused(error)),
        Error::Unavailable { .. } | Error::Unreachable { .. } | Error::OutcomeUnknown { .. } => {
            Ok(Ended::Broken(error.to_string()))
        }
    }
}

/// The runs of a call.
struct Runs<'a> {
    hand: &'a Hand,
    client: &'a Client,
    tell: mpsc::UnboundedSender<FromRun>,
    /// Where their assignments go; one that is gone from here has ended, or is to.
    to: BTreeMap<u64, mpsc::UnboundedSender<String>>,
    tasks: JoinSet<()>,
}

impl Runs<'_> {
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Begin(Begin { run, settings }) => {
                let (to, assignments) = mpsc::unbounded_channel();
                self.to.insert(run, to);
                let guard = self.hand.guard.clone();
                let run = Run { number: run, client: self.client.clone(), guard, tell: self.tell.clone() };
                self.tasks.spawn(run.carry(settings, assignments));
            }
            Answer::Assignment(Line { run, text }) => {
                // A run that has ended has said so.
                let _ = self.to.get(&run).map(|to| to.send(text));
            }
            Answer::End(end) => drop(self.to.remove(&end.run)),
            Answer::Welcome(_) | Answer::Goodbye(_) | Answer::Beat(_) => {}
        }
        // Those that have ended are let go.
        while self.tasks.try_join_next().is_some() {}
    }
}

/// One run.
struct Run {
    number: u64,
    client: Client,
    guard: Vec<String>,
    tell: mpsc::UnboundedSender<FromRun>,
}

impl Run {
    fn say(&self, what: FromRun) {
        // A call that has ended takes its runs with it.
        let _ = self.tell.send(what);
    }

    async fn carry(self, settings: String, assignments: mpsc::UnboundedReceiver<String>) {
        let settings = match WorkerSettings::from_argument(&settings) {
            Ok(settings) => {
                WorkerSettings { endpoint: self.client.endpoint().to_owned(), guard: self.guard.clone(), ..settings }
            }
            Err(why) => {
                let why =
                    format!("the cluster speaks of what this program does not know: {why}; use that of the broker");
                return self.say(FromRun::Unfit(why));
            }
        };
        match self.prove(&settings).await {
            Ok(file) => self.say(FromRun::Said(Said::Reached(Reached { run: self.number, file }))),
            Err(why) => return self.say(FromRun::Unfit(why)),
        }
        self.say(FromRun::Told(Told::Began(settings.queue.clone(), settings.step.output.clone())));
        let how = self.work(&settings, assignments).await;
        self.say(FromRun::Said(Said::Ended(RunEnded { run: self.number, how })));
    }

    async fn prove(&self, settings: &WorkerSettings) -> Result<String, String> {
        let settings = settings.clone();
        blocking(move || reach::prove(&settings)).await
    }

    /// Runs the worker; how it ended.
    async fn work(&self, settings: &WorkerSettings, mut assignments: mpsc::UnboundedReceiver<String>) -> String {
        let port = ClientPort::over(&self.client, Duration::from_secs(settings.patience_seconds));
        let (mut to_worker, stdin) = tokio::io::duplex(PIPE);
        let (stdout, from_worker) = tokio::io::duplex(PIPE);
        let crash = CrashPoints::default();
        let working = Box::pin(run_worker_on(&port, settings, &crash, stdin, stdout));
        let feeding = async move {
            while let Some(line) = assignments.recv().await {
                if to_worker.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
            // Its stdin ends with this, and so does it.
            drop(to_worker);
        };
        let listening = async {
            let mut lines = BufReader::new(from_worker).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                self.report(settings, line).await;
            }
        };
        // What feeds a worker that has ended by itself waits for what nobody needs: the worker's end is the end.
        let fed = async {
            feeding.await;
            std::future::pending::<()>().await;
        };
        let working = async {
            tokio::select! {
                ended = working => ended,
                () = fed => Ok(()),
            }
        };
        let (ended, ()) = tokio::join!(working, listening);
        ended.map_or_else(|error| error.to_string(), |()| "it was told to end".to_owned())
    }

    /// Passes a report on. A disk that failed may be a folder that has gone: then the claim is better off elsewhere.
    async fn report(&self, settings: &WorkerSettings, line: String) {
        match serde_json::from_str(&line) {
            Ok(Report::Done { done, messages, .. }) => self.say(FromRun::Told(Told::Done(done, messages))),
            Ok(Report::Refused { refused, message, .. }) => self.say(FromRun::Told(Told::Failed(refused, message))),
            Ok(Report::Failed { failed, kind, reason }) => {
                self.say(FromRun::Told(Told::Failed(failed, reason.clone())));
                if kind == FailureKind::Disk {
                    match self.prove(settings).await {
                        // Nobody asked for this proof.
                        Ok(file) => {
                            let out = settings.step.output.clone();
                            drop(blocking(move || reach::take_back(&out, &file)).await);
                        }
                        Err(why) => return self.say(FromRun::Unfit(format!("{reason}; {why}"))),
                    }
                }
            }
            Ok(Report::Ready { .. } | Report::Alive { .. }) | Err(_) => {}
        }
        self.say(FromRun::Said(Said::Report(Line { run: self.number, text: line })));
    }
}
