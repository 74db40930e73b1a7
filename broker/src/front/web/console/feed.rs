//! The feed: what changes on the screen, as it becomes durable. A task of its own for each page: it wakes when a frame is on
//! disk, waits so that it says little enough, looks at its window again and sends what is different. A page that is slow gets
//! fewer and newer looks, never a backlog; one that nobody changes anything for costs a heartbeat.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::Write as _,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use lockstep_engine::{
    Rejected,
    command::QueueRef,
    window::{Pane, Window},
    words::QueueGeneration,
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{Console, Problem, Query, page, shown};
use crate::{
    failure::Failure,
    front::door::Door,
    handle::{Fact, Handle, Look},
    limits,
};

/// One page's feed.
struct Feed {
    handle: Handle,
    queue: Option<QueueRef>,
    pane: Pane,
    /// The frame that an earlier feed of this page ended with.
    resume: Option<u64>,
    /// Where its facts go on; none before the first look.
    place: Option<u64>,
    /// The frame up to which it told all facts.
    told: u64,
    window: Option<Look<Window>>,
    shown: Option<shown::Queue>,
    queues: BTreeMap<String, shown::Queue>,
    /// When the queues, and a window that is searched for, may be looked at again.
    next_slow: Instant,
    /// Something was not looked at because it was too early.
    is_owing: bool,
    pulse: watch::Receiver<()>,
    door: watch::Receiver<Door>,
    all: std::sync::Arc<Semaphore>,
    _one_of: OwnedSemaphorePermit,
}

/// Why a feed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The page hears it.
    Said(&'static str),
    /// Nobody listens.
    Gone,
}

pub(super) async fn feed(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::of(request.uri())?;
    let queue = query.given("queue").map(|_| query.queue()).transpose()?;
    let pane = query.pane()?;
    let last = request.headers().get("last-event-id").and_then(|last| last.to_str().ok());
    let resume = last.filter(|last| !last.is_empty()).map(|last| {
        last.parse().map_err(|_| Problem::parameter("Last-Event-ID", "it must be the id of a message of a feed"))
    });
    let resume = resume.transpose()?;
    let permit = std::sync::Arc::clone(&console.feeds).try_acquire_owned().map_err(|_| {
        let text = format!("{} feeds are open, and no more may be; close a page", limits::FEEDS);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_FEEDS", None, text)
    })?;
    let Console { handle, door, feeds, .. } = console;
    let pulse = handle.watch_frames();
    let mut feed = Feed {
        handle,
        queue,
        pane,
        resume,
        place: None,
        told: 0,
        window: None,
        shown: None,
        queues: BTreeMap::new(),
        next_slow: Instant::now(),
        is_owing: false,
        pulse,
        door,
        all: feeds,
        _one_of: permit,
    };
    // What is wrong with the question is an answer, not a feed.
    let first = feed.round().await?;
    let (out, messages) = mpsc::channel(1);
    tokio::spawn(feed.run(first, out));
    let mut response = Body::from_stream(ReceiverStream::new(messages).map(Ok::<_, Infallible>)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    page::protect(&mut response);
    Ok(response)
}

#[derive(Serialize)]
struct Queues<'a> {
    frame: String,
    now: u64,
    queues: Vec<&'a shown::Queue>,
    gone: Vec<&'a str>,
}

#[derive(Serialize)]
struct Diff<'a> {
    frame: String,
    now: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a shown::Queue>,
    lanes: Vec<shown::Lane<'a>>,
    gone: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
}

#[derive(Serialize)]
struct Facts<'a> {
    facts: Vec<shown::ShownFact<'a>>,
    more: u64,
}

#[derive(Serialize)]
struct Gap {
    from: String,
    to: String,
}

#[derive(Serialize)]
struct Ended {
    why: &'static str,
}

impl Feed {
    /// Sends what is new until there is a reason to end.
    async fn run(mut self, first: String, out: mpsc::Sender<Bytes>) {
        let mut text = first;
        let why = loop {
            let bytes = text.len() as u64;
            if let Err(end) = send(&out, text).await {
                break end;
            }
            if let Err(end) = self.pause(&out, bytes).await {
                break end;
            }
            text = match self.next(&out).await {
                Ok(text) => text,
                Err(end) => break end,
            };
        };
        if let End::Said(why) = why {
            let mut text = String::new();
            event(&mut text, self.told, "end", &Ended { why });
            // The page may be gone.
            let _ = send(&out, text).await;
        }
    }

    /// Rests after a message: the longer the more pages look, and the more this one was told.
    async fn pause(&mut self, out: &mpsc::Sender<Bytes>, bytes: u64) -> Result<(), End> {
        let open = (limits::FEEDS - self.all.available_permits()) as u64;
        let pause = limits::FEED_PAUSE.max(open * limits::FEED_SHARE).max(bytes * 1_000 / limits::FEED_BYTES_A_SECOND);
        tokio::select! {
            () = sleep(Duration::from_millis(pause)) => Ok(()),
            () = out.closed() => Err(End::Gone),
            // An owner that is gone wants the door closed too.
            _ = self.door.wait_for(|door| *door >= Door::Closing) => Err(End::Said("draining")),
        }
    }

    /// Waits until there is something to say; a heartbeat is something.
    async fn next(&mut self, out: &mpsc::Sender<Bytes>) -> Result<String, End> {
        let heartbeat = Instant::now() + Duration::from_millis(limits::FEED_HEARTBEAT);
        loop {
            let (owing, due) = (self.is_owing, self.next_slow);
            tokio::select! {
                _ = self.door.wait_for(|door| *door >= Door::Closing) => return Err(End::Said("draining")),
                () = out.closed() => return Err(End::Gone),
                changed = self.pulse.changed() => changed.map_err(|_| End::Said("draining"))?,
                () = sleep_until(due), if owing => {}
                () = sleep_until(heartbeat) => return Ok(":\n\n".to_owned()),
            }
            match self.round().await {
                Ok(text) if text.is_empty() => self.pause(out, 0).await?,
                Ok(text) => return Ok(text),
                // Nothing was decided: the next look tells.
                Err(Failure::Overloaded) => self.pause(out, 0).await?,
                Err(Failure::Rejected(Rejected::QueueNotFound | Rejected::QueueGenerationChanged { .. })) => {
                    return Err(End::Said("queue deleted"));
                }
                Err(_) => return Err(End::Said("draining")),
            }
        }
    }

    /// Looks at everything, and says what is different.
    async fn round(&mut self) -> Result<String, Failure> {
        let is_slow_due = Instant::now() >= self.next_slow;
        let (mut windows, mut lists) = (String::new(), String::new());
        // The place before the look: what happens between the two is told, and may be seen already.
        let begin = match (&self.queue, self.place) {
            (Some(_), None) => Some(self.handle.begin_facts(self.resume)),
            (Some(_), Some(_)) | (None, _) => None,
        };
        if self.queue.is_some() && (is_slow_due || self.pane.find.is_none()) {
            self.look(&mut windows).await?;
        }
        if is_slow_due {
            self.next_slow = Instant::now() + Duration::from_millis(limits::FEED_QUEUES_PAUSE);
            self.list(&mut lists).await?;
        }
        self.is_owing = !is_slow_due;
        let mut text = String::new();
        if let Some(begin) = begin {
            self.place = Some(begin.place);
            if let Some((from, to)) = begin.gap {
                event(&mut text, to, "gap", &Gap { from: from.to_string(), to: to.to_string() });
            }
        }
        self.facts(&mut text);
        for (name, data) in windows.lines().chain(lists.lines()).filter_map(|line| line.split_once(' ')) {
            let told = self.told;
            write!(text, "id: {told}\nevent: {name}\ndata: {data}\n\n").expect("a text takes all");
        }
        Ok(text)
    }

    /// The window: whole, or what is different. Lines of a name and JSON, which has no line breaks.
    async fn look(&mut self, lines: &mut String) -> Result<(), Failure> {
        let Some(queue) = self.queue.clone() else { return Ok(()) };
        let look = self.handle.window(queue, self.pane.clone()).await?;
        // Another life of the name is another queue.
        if let Some(queue) = &mut self.queue {
            queue.generation = Some(look.seen.view.generation);
        }
        let queue = shown::queue(&self.handle.with_counts(look.seen.view.clone()));
        let before = self.window.take().filter(|before| before.seen.next.is_some() == look.seen.next.is_some());
        match before.as_ref().map(|before| self.diff(&before.seen, &look, &queue)) {
            None => line(lines, "snapshot", &shown::Snapshot::new(&self.handle, &look, self.resume.is_some())),
            Some(diff) if diff.lanes.len() > 1 && diff.lanes.len() == look.seen.lanes.len() => {
                line(lines, "snapshot", &shown::Snapshot::new(&self.handle, &look, self.resume.is_some()));
            }
            Some(Diff { queue: None, order: None, lanes, gone, .. }) if lanes.is_empty() && gone.is_empty() => {}
            Some(diff) => line(lines, "diff", &diff),
        }
        self.shown = Some(queue);
        self.window = Some(look);
        Ok(())
    }

    fn diff<'a>(&self, before: &'a Window, after: &'a Look<Window>, queue: &'a shown::Queue) -> Diff<'a> {
        let old: BTreeMap<_, _> = before.lanes.iter().map(|lane| (&lane.group, lane)).collect();
        let lanes = after.seen.lanes.iter();
        let there: BTreeSet<_> = lanes.clone().map(|lane| &lane.group).collect();
        let names = |window: &'a Window| window.lanes.iter().map(|lane| lane.group.as_str());
        let changed = lanes.filter(|lane| old.get(&lane.group) != Some(lane));
        Diff {
            frame: after.frame.to_string(),
            now: after.now.0,
            queue: Some(queue).filter(|queue| self.shown.as_ref() != Some(queue)),
            lanes: changed.map(|lane| shown::lane(&self.handle, lane)).collect(),
            gone: before
                .lanes
                .iter()
                .map(|lane| &lane.group)
                .filter(|it| !there.contains(it))
                .map(|it| it.as_str())
                .collect(),
            order: (!names(before).eq(names(&after.seen))).then(|| names(&after.seen).collect()),
        }
    }

    /// All queues at first, then those that changed.
    async fn list(&mut self, lines: &mut String) -> Result<(), Failure> {
        let look = self.handle.counted_queues(String::new(), String::new(), limits::FEED_QUEUES).await?;
        let queues: BTreeMap<String, shown::Queue> =
            look.seen.iter().map(shown::queue).map(|queue| (queue.name.clone(), queue)).collect();
        let told = Queues {
            frame: look.frame.to_string(),
            now: look.now.0,
            queues: queues.values().filter(|queue| self.queues.get(&queue.name) != Some(queue)).collect(),
            gone: self.queues.keys().filter(|name| !queues.contains_key(*name)).map(String::as_str).collect(),
        };
        let is_first = self.queues.is_empty();
        if is_first || !told.queues.is_empty() || !told.gone.is_empty() {
            line(lines, "queues", &told);
        }
        if self.queue.is_none() {
            self.told = look.frame;
        }
        self.queues = queues;
        Ok(())
    }

    /// What happened since, to the groups of the window.
    fn facts(&mut self, text: &mut String) {
        let (Some(place), Some(window), Some(queue)) = (self.place, &self.window, &self.queue) else { return };
        let generation = window.seen.view.generation;
        let read =
            self.handle.read_facts(place, limits::FEED_FACTS, |fact| is_in(fact, generation, &self.pane, &window.seen));
        if let Some(lost) = read.lost {
            event(text, lost, "gap", &Gap { from: self.told.to_string(), to: lost.to_string() });
        }
        (self.place, self.told) = (Some(read.place), read.through);
        if !read.facts.is_empty() {
            let facts = read.facts.iter().map(|fact| shown::fact(queue.name.as_str(), fact)).collect();
            event(text, self.told, "facts", &Facts { facts, more: read.more });
        }
    }
}

/// Whether a fact is of the part of the queue that a window shows, also where its group came and went between two looks.
fn is_in(fact: &Fact, queue: QueueGeneration, pane: &Pane, window: &Window) -> bool {
    if fact.queue != queue {
        return false;
    }
    let Some(group) = &fact.group else { return true };
    if !window.view.name.is_fifo() {
        return true;
    }
    let is_behind = pane.after.as_ref().is_none_or(|after| group > after);
    let last = window.lanes.last().map(|lane| &lane.group).filter(|_| window.next.is_some());
    let is_before = last.is_none_or(|last| group <= last);
    is_behind && is_before && pane.find.as_ref().is_none_or(|text| group.as_str().contains(text))
}

fn line(lines: &mut String, name: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).expect("what is shown is JSON");
    writeln!(lines, "{name} {data}").expect("a text takes all");
}

fn event(text: &mut String, id: u64, name: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).expect("what is shown is JSON");
    write!(text, "id: {id}\nevent: {name}\ndata: {data}\n\n").expect("a text takes all");
}

/// Hands a message over; a page that takes nothing for long is gone.
async fn send(out: &mpsc::Sender<Bytes>, text: String) -> Result<(), End> {
    let patience = Duration::from_millis(limits::FEED_PATIENCE);
    match tokio::time::timeout(patience, out.send(Bytes::from(text))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
