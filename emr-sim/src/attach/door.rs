//! The cluster's side of a worker's call: takes it in, carries its runs, and notices when it hangs or is gone. A run's pipes
//! are the pool's, so that the pool knows no difference between this worker and a process of its own.

use std::collections::BTreeMap;

use axum::Router;
use lockstep_client::emr::workers_server::{Workers, WorkersServer};
use lockstep_client::emr::{
    AttachRequest, AttachResponse, Beat, Begin, End, Goodbye, Hello, Line, Reached, RunEnded, Welcome,
    attach_request::Said, attach_response::Said as Answer,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::SILENCE;
use super::reach;
use crate::blocking::blocking;
use crate::cluster::{ClusterId, Rejected};
use crate::controller::{Controller, Newcomer, Place, Refused, Start, ToWorker};
use crate::wire::Door;

/// So many answers may wait for the wire.
const WAITING: usize = 64;

/// The largest thing a worker says: a report with the reason of a failure.
const MAX_REQUEST: usize = 256 << 10;

/// The route of this door: the gRPC service `lockstep.emr.v1.Workers`.
pub fn router(door: Door) -> Router {
    let service = WorkersServer::new(Desk(door)).max_decoding_message_size(MAX_REQUEST);
    Router::new().route_service("/lockstep.emr.v1.Workers/{*method}", service)
}

#[derive(Debug)]
struct Desk(Door);

type Answers = mpsc::Sender<Result<AttachResponse, Status>>;

fn answer(said: Answer) -> Result<AttachResponse, Status> {
    Ok(AttachResponse { said: Some(said) })
}

fn refusal(code: Code, reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, "lockstep", [("rule".to_owned(), String::new())]);
    Status::with_error_details(code, text, details)
}

fn status(refused: &Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::Unavailable(_) => Status::unavailable(text),
        Refused::Rejected(Rejected::NoSuchCluster(_)) => refusal(Code::NotFound, "CLUSTER_NOT_FOUND", text),
        Refused::Rejected(Rejected::ClusterEnded(_)) => refusal(Code::FailedPrecondition, "CLUSTER_ENDED", text),
        Refused::Rejected(_) => refusal(Code::ResourceExhausted, "TOO_MANY_WORKERS", text),
    }
}

#[tonic::async_trait]
impl Workers for Desk {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;

    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        let controller = match &self.0 {
            Door::Open(controller) => controller.clone(),
            Door::Closed(why) => return Err(refusal(Code::FailedPrecondition, "CLUSTERS_CLOSED", why)),
        };
        let mut said = request.into_inner();
        let hello = tokio::time::timeout(SILENCE, said.message()).await;
        let hello = hello.map_err(|_| Status::deadline_exceeded("nothing was said"))??;
        let (cluster, who) = newcomer(hello)?;
        let name = who.name.clone();
        let Place { place, instance, told } =
            controller.attach(cluster, who).await.map_err(|refused| status(&refused))?;
        let (answers, answered) = mpsc::channel(WAITING);
        let welcome = Answer::Welcome(Welcome { instance: instance.to_string() });
        // Nobody is gone before the first answer.
        let _ = answers.send(answer(welcome)).await;
        let call = Call { answers, runs: BTreeMap::new(), last: 0, name };
        tokio::spawn(async move {
            call.carry(&controller, place, said, told).await;
            controller.detach(place).await;
        });
        Ok(Response::new(ReceiverStream::new(answered)))
    }
}

fn newcomer(hello: Option<AttachRequest>) -> Result<(ClusterId, Newcomer), Status> {
    let bad = |what: &str| refusal(Code::InvalidArgument, "BAD_HELLO", what);
    let Some(Said::Hello(hello)) = hello.and_then(|hello| hello.said) else {
        return Err(bad("a worker says Hello first"));
    };
    let Hello { cluster, name, host, process_id } = hello;
    let readable = |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
    if name.is_empty() || !readable(&name, 80) {
        return Err(bad("the name of a worker has 1 to 80 characters, none of them a control character"));
    }
    if !readable(&host, 255) {
        return Err(bad("the host of a worker has at most 255 characters, none of them a control character"));
    }
    Ok((ClusterId::named(&cluster), Newcomer { name, host, process: process_id }))
}

/// What a run hears of its worker.
enum FromWorker {
    Report(String),
    Ended(String),
}

struct Run {
    heard: mpsc::UnboundedSender<FromWorker>,
    out: std::path::PathBuf,
    reached: bool,
}

/// One call.
struct Call {
    answers: Answers,
    runs: BTreeMap<u64, Run>,
    last: u64,
    name: String,
}

impl Call {
    /// Until one of the two has no more to say. The runs that are left learn that their worker is gone.
    async fn carry(
        mut self,
        controller: &Controller,
        place: usize,
        mut said: Streaming<AttachRequest>,
        mut told: mpsc::UnboundedReceiver<ToWorker>,
    ) {
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                request = said.message() => {
                    heard = Instant::now();
                    match request {
                        Ok(Some(AttachRequest { said: Some(Said::Leave(_)) })) => controller.leave(place).await,
                        Ok(Some(AttachRequest { said: Some(said) })) => if let Err(unfit) = self.hear(said).await {
                            tracing::warn!(name = self.name, %unfit, "a worker by hand cannot work here");
                            let _ = self.answers.send(answer(Answer::Goodbye(Goodbye { reason: unfit, unfit: true }))).await;
                            return;
                        },
                        // Said by a newer program; or the end.
                        Ok(Some(AttachRequest { said: None })) => {}
                        Ok(None) | Err(_) => return,
                    }
                }
                order = told.recv() => match order {
                    Some(ToWorker::Begin(start)) => self.begin(*start).await,
                    Some(ToWorker::Goodbye(reason)) => {
                        let _ = self.answers.send(answer(Answer::Goodbye(Goodbye { reason, unfit: false }))).await;
                        return;
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(heard + SILENCE) => {
                    tracing::warn!(name = self.name, "a worker by hand is silent, its claims are handed on");
                    return;
                }
            }
        }
    }

    /// Takes what the worker said.
    ///
    /// # Errors
    /// Why it cannot work here.
    async fn hear(&mut self, said: Said) -> Result<(), String> {
        match said {
            Said::Hello(_) | Said::Leave(_) => {}
            Said::Beat(_) => {
                // One that reads nothing will say nothing for long.
                let _ = self.answers.try_send(answer(Answer::Beat(Beat {})));
            }
            Said::Reached(Reached { run, file }) => {
                let Some(run) = self.runs.get_mut(&run) else { return Ok(()) };
                let out = run.out.clone();
                run.reached = blocking(move || reach::seen(&out, &file)).await;
                if !run.reached {
                    return Err(format!(
                        "the output folder {} is another one where the worker is: what it makes there is not seen by \
                         the cluster; mount the same folder at the same path",
                        run.out.display()
                    ));
                }
            }
            Said::Report(Line { run, text }) => {
                // Before the proof nobody is ready; after a run's end nobody listens.
                if let Some(run) = self.runs.get(&run).filter(|run| run.reached) {
                    let _ = run.heard.send(FromWorker::Report(text));
                }
            }
            Said::Ended(RunEnded { run, how }) => {
                if let Some(run) = self.runs.remove(&run) {
                    let _ = run.heard.send(FromWorker::Ended(how));
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self, start: Start) {
        self.last += 1;
        let (number, settings) = (self.last, start.settings.to_argument());
        let (heard, hears) = mpsc::unbounded_channel();
        self.runs.retain(|_, run| !run.heard.is_closed());
        self.runs.insert(number, Run { heard, out: start.settings.step.output.clone(), reached: false });
        let _ = self.answers.send(answer(Answer::Begin(Begin { run: number, settings }))).await;
        tokio::spawn(pipe(number, start, hears, self.answers.clone()));
    }
}

/// Carries one run: assignments out, reports in.
async fn pipe(run: u64, start: Start, mut heard: mpsc::UnboundedReceiver<FromWorker>, answers: Answers) {
    let Start { settings: _, stdin, mut stdout, killed, ended } = start;
    let mut assignments = BufReader::new(stdin).lines();
    let mut open = true;
    // A call that has ended takes no answers; its end is heard below.
    let how = loop {
        tokio::select! {
            line = assignments.next_line(), if open => match line {
                Ok(Some(text)) => drop(answers.send(answer(Answer::Assignment(Line { run, text }))).await),
                Ok(None) | Err(_) => {
                    open = false;
                    let _ = answers.send(answer(Answer::End(End { run }))).await;
                }
            },
            from = heard.recv() => match from {
                Some(FromWorker::Report(line)) => {
                    // A pool that is gone reads no reports.
                    let _ = stdout.write_all(format!("{line}\n").as_bytes()).await;
                }
                Some(FromWorker::Ended(how)) => break how,
                None => break "its connection broke".to_owned(),
            },
            () = killed.notified() => {
                let _ = answers.send(answer(Answer::End(End { run }))).await;
                break "killed".to_owned();
            }
        }
    };
    drop(stdout);
    // A pool that is gone needs no telling.
    let _ = ended.send(how);
}
