//! What is asked of a stream's driver, and the requests that it makes of it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use lockstep_proto::v1;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    delivery::instant,
    outcomes::{self, Outcomes},
    retry::Start,
    wire,
};

/// The most entries of a request (H1).
const MAX_ENTRIES: usize = 1_000;

/// The way to a driver.
pub(crate) type Asks = mpsc::UnboundedSender<Ask>;

/// What a driver is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// So many messages were taken: as many more may come.
    Taken(u32),
    /// Somebody still wants messages, after an error.
    GoOn,
    /// Something is to be done with a delivery.
    Finish(Finish),
    /// The same with many, in this order.
    FinishAll(Vec<Finish>),
    /// Deliver no more, answer what was asked, and say so.
    Close(oneshot::Sender<()>),
}

/// Something to be done with a delivery, and who waits for it.
#[derive(Debug)]
pub(crate) struct Finish {
    receipt_handle: String,
    /// Seconds; unset: it is deleted.
    timeout: Option<u32>,
    asked: Start,
    promise: Promise,
}

/// What was done with a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    Deleted { already_gone: bool },
    Changed { visible_until: SystemTime },
}

impl Done {
    pub(crate) fn already_gone(self) -> bool {
        matches!(self, Done::Deleted { already_gone: true })
    }

    pub(crate) fn visible_until(self) -> SystemTime {
        match self {
            Done::Changed { visible_until } => visible_until,
            Done::Deleted { .. } => SystemTime::UNIX_EPOCH,
        }
    }
}

/// What is told of it.
type Promise = outcomes::Promise<Result<Done, Error>>;
/// What was asked, and where its answers come.
type Asked = (Ask, Arc<Outcomes<Result<Done, Error>>>);

impl Ask {
    pub(crate) fn to_delete(receipt_handle: String) -> Asked {
        Ask::to_finish(receipt_handle, None)
    }

    pub(crate) fn to_delete_all(receipt_handles: impl ExactSizeIterator<Item = String>) -> Asked {
        let (outcomes, asked) = (Outcomes::of(receipt_handles.len()), Start::now());
        let delete = |(receipt_handle, index)| {
            let promise = Promise::new(&outcomes, index);
            Finish { receipt_handle, timeout: None, asked, promise }
        };
        (Ask::FinishAll(receipt_handles.zip(0..).map(delete).collect()), outcomes)
    }

    pub(crate) fn to_change(receipt_handle: String, timeout: u32) -> Asked {
        Ask::to_finish(receipt_handle, Some(timeout))
    }

    fn to_finish(receipt_handle: String, timeout: Option<u32>) -> Asked {
        let outcome = Outcomes::of(1);
        let promise = Promise::new(&outcome, 0);
        (Ask::Finish(Finish { receipt_handle, timeout, asked: Start::now(), promise }), outcome)
    }
}

/// Deletes and changes that go out as one request: the broker judges its deletes first.
#[derive(Debug, Default)]
pub(crate) struct Request {
    tag: u64,
    deletes: Vec<Finish>,
    changes: Vec<Finish>,
    /// What the last try met, when one was sent.
    unknown: Option<String>,
}

impl Request {
    fn takes(&self, finish: &Finish) -> bool {
        self.deletes.len() + self.changes.len() < MAX_ENTRIES && (finish.timeout.is_some() || self.changes.is_empty())
    }

    fn wire(&self) -> Bytes {
        let change = |finish: &Finish| v1::VisibilityEntry {
            receipt_handle: finish.receipt_handle.clone(),
            visibility_timeout_seconds: finish.timeout.unwrap_or_default(),
        };
        let changes = self.changes.iter().map(change).collect();
        let request = v1::ConsumeRequest { tag: self.tag, changes, ..v1::ConsumeRequest::default() };
        wire::consume_request(&request, self.deletes.iter().map(|finish| &finish.receipt_handle))
    }

    fn asked(&self) -> Option<Start> {
        self.deletes.first().or(self.changes.first()).map(|finish| finish.asked)
    }

    fn fail(self, error: &Error) {
        let finishes = self.deletes.into_iter().chain(self.changes);
        Promise::tell_all(finishes.map(|finish| (finish.promise, Err(error.clone()))));
    }

    fn answer(self, answer: v1::ConsumeAnswer) {
        let Request { deletes, changes, .. } = self;
        let deleted = answer.deleted.into_iter().map(|result| match result.outcome {
            Some(v1::delete_result::Outcome::Deleted(v1::DeleteResponse { already_gone })) => {
                Ok(Done::Deleted { already_gone })
            }
            Some(v1::delete_result::Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
            None => Err(Error::protocol("a DeleteResult without an outcome")),
        });
        let changed = answer.changed.into_iter().map(|result| match result.outcome {
            Some(v1::visibility_result::Outcome::Changed(v1::ChangeVisibilityResponse { visible_unix_ms })) => {
                Ok(Done::Changed { visible_until: instant(visible_unix_ms) })
            }
            Some(v1::visibility_result::Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
            None => Err(Error::protocol("a VisibilityResult without an outcome")),
        });
        Promise::tell_all(deletes.into_iter().map(|finish| finish.promise).zip(deleted));
        Promise::tell_all(changes.into_iter().map(|finish| finish.promise).zip(changed));
    }
}

/// Requests without an answer, in the order in which they were asked. The first so many are under way.
#[derive(Debug, Default)]
pub(crate) struct Line {
    requests: VecDeque<Request>,
    under_way: usize,
    last_tag: u64,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Puts something at the end, into the last request if that is not under way and takes it.
    pub(crate) fn push(&mut self, finish: Finish) {
        let waits = self.requests.len() > self.under_way;
        if self.requests.back().is_none_or(|last| !waits || !last.takes(&finish)) {
            self.last_tag += 1;
            self.requests.push_back(Request { tag: self.last_tag, ..Request::default() });
        }
        let last = self.requests.back_mut().expect("it was just put there");
        if finish.timeout.is_some() { last.changes.push(finish) } else { last.deletes.push(finish) }
    }

    /// What is to be sent now; it is under way then.
    pub(crate) fn send(&mut self) -> Vec<Bytes> {
        let requests = self.requests.range(self.under_way..).map(Request::wire).collect();
        self.under_way = self.requests.len();
        requests
    }

    /// Takes the answer to the first request; false when it is not that.
    pub(crate) fn answer(&mut self, answer: v1::ConsumeAnswer) -> bool {
        let fits = |request: &Request| {
            (request.tag, request.deletes.len(), request.changes.len())
                == (answer.tag, answer.deleted.len(), answer.changed.len())
        };
        if self.under_way == 0 || !self.requests.front().is_some_and(fits) {
            return false;
        }
        self.under_way -= 1;
        self.requests.pop_front().expect("it was just looked at").answer(answer);
        true
    }

    /// How long ago the oldest was asked for; unset when there is none.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.requests.iter().filter_map(Request::asked).map(|asked| asked.elapsed()).max()
    }

    /// The stream is lost: all goes out again. `unknown`: what was under way may have had its effect.
    pub(crate) fn lost(&mut self, unknown: Option<&str>) {
        for request in self.requests.iter_mut().take(self.under_way) {
            if let Some(text) = unknown {
                request.unknown = Some(text.to_owned());
            }
        }
        self.under_way = 0;
    }

    /// Answers what is older than `limit`: unknown when it was sent, else what `unsent` says.
    pub(crate) fn give_up(&mut self, limit: Duration, unsent: &Error) {
        for request in std::mem::take(&mut self.requests) {
            match request.asked() {
                Some(asked) if asked.elapsed() >= limit => {
                    let error =
                        request.unknown.clone().map_or(unsent.clone(), |message| Error::Unavailable { message });
                    request.fail(&error);
                }
                Some(_) | None => self.requests.push_back(request),
            }
        }
    }

    /// Answers all so.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.under_way = 0;
        self.requests.drain(..).for_each(|request| request.fail(error));
    }
}
