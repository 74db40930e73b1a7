//! The console's API (docs/console.md): what the page at `/` shows, asks and does. It calls the handle and watches the feed of
//! durable frames, nothing else; what it shows is on disk. Who may call is `guard`'s affair, how things look as JSON that
//! of `shown` and `life`.

mod errors;
mod feed;
mod guard;
mod life;
mod query;
mod shown;
mod writes;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use self::{errors::Problem, guard::Guard, query::Query};
use super::page;
use crate::{
    front::{access::Tokens, door::Door},
    handle::{Handle, Wanted, explained},
    limits,
};

/// Whether the console is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleMode {
    /// It looks, and writes for those who show the token.
    #[default]
    On,
    /// It looks.
    ReadOnly,
    /// There is none.
    Off,
}

/// How the console is served.
#[derive(Clone, Default)]
pub struct ConsoleSettings {
    /// Whether, and whether it may write.
    pub mode: ConsoleMode,
    /// What writes must show; without one only a bearer token with the right `admin` lets write.
    pub token: Option<String>,
    /// Names under which the broker is asked, beside `localhost` and addresses.
    pub hosts: Vec<String>,
}

impl std::fmt::Debug for ConsoleSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleSettings").field("mode", &self.mode).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl ConsoleSettings {
    /// A token that nobody guesses: 244 random bits.
    #[must_use]
    pub fn random_token() -> String {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        half() + &half()
    }
}

/// What the routes share.
#[derive(Clone)]
struct Console {
    handle: Handle,
    guard: Arc<Guard>,
    /// What the journal is called.
    journal: &'static str,
    door: watch::Receiver<Door>,
    feeds: Arc<Semaphore>,
    /// Bodies of writes that are read at once.
    writes: Arc<Semaphore>,
}

/// The routes of the console, and those of its page; none where it is off.
pub(super) fn routes(
    handle: Handle,
    settings: ConsoleSettings,
    tokens: Option<Tokens>,
    journal: &'static str,
    door: watch::Receiver<Door>,
) -> Router {
    if settings.mode == ConsoleMode::Off {
        return Router::new();
    }
    let guard = Arc::new(Guard::new(settings, tokens));
    let feeds = Arc::new(Semaphore::new(limits::FEEDS));
    let writes = Arc::new(Semaphore::new(limits::CONSOLE_WRITES));
    let console = Console { handle, guard: Arc::clone(&guard), journal, door, feeds, writes };
    let api = Router::new()
        .route("/broker", get(broker))
        .route("/queues", get(queues))
        .route("/lanes", get(lanes))
        .route("/group", get(group))
        .route("/message", get(life::message))
        .route("/peek", get(life::peek))
        .route("/feed", get(feed::feed))
        .route("/send", post(writes::send))
        .route("/redrive", post(writes::redrive))
        .route("/purge", post(writes::purge))
        .fallback(|uri: Uri| async move {
            let text = format!("the console has nothing at {}; docs/console.md names what it has", uri.path());
            Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_ROUTE", None, text)
        });
    Router::new()
        .nest("/console/api", api)
        .merge(page::routes())
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
        .with_state(console)
}

/// An answer, or why there is none.
type Answered = Result<Response, Problem>;

/// A value as JSON, with the headers of everything that the console answers.
fn json(value: &impl Serialize) -> Answered {
    let text = serde_json::to_vec(value).map_err(|error| Problem::broken(&error))?;
    let mut response = ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    page::protect(&mut response);
    Ok(response)
}

#[derive(Serialize)]
struct Broker {
    broker: String,
    started: u64,
    journal: &'static str,
    version: &'static str,
    frame: String,
    now: u64,
    /// `token`: with the console's token, or a bearer token that may.
    writes: &'static str,
    /// Stored bodies that could not be read when they were last tried (H6).
    damaged_bodies: u64,
}

async fn broker(State(console): State<Console>) -> Answered {
    let (status, reading) = (console.handle.status().await?, console.handle.reading());
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    json(&Broker {
        broker: console.handle.identity().journal_id().to_string(),
        started: u64::try_from(since(reading.started)).unwrap_or(u64::MAX),
        journal: console.journal,
        version: env!("CARGO_PKG_VERSION"),
        frame: console.handle.newest_frame().to_string(),
        now: status.now.0,
        writes: if console.guard.may_write() { "token" } else { "off" },
        damaged_bodies: reading.damaged,
    })
}

#[derive(Serialize)]
struct Queues {
    frame: String,
    now: u64,
    queues: Vec<shown::Queue>,
    next: Option<String>,
}

async fn queues(State(console): State<Console>, request: Request) -> Answered {
    let query = Query::of(request.uri())?;
    let max = query.number("max", 100, limits::PAGE as usize)?;
    let (prefix, after) = (query.text("prefix"), query.text("after"));
    let look = console.handle.counted_queues(prefix.to_owned(), after.to_owned(), max).await?;
    let next = look.seen.last().filter(|_| look.seen.len() == max).map(|(view, _)| view.name.to_string());
    let queues = look.seen.iter().map(shown::queue).collect();
    json(&Queues { frame: look.frame.to_string(), now: look.now.0, queues, next })
}

async fn lanes(State(console): State<Console>, request: Request) -> Answered {
    let query = Query::of(request.uri())?;
    let look = console.handle.window(query.queue()?, query.pane()?).await?;
    let snapshot = shown::Snapshot::new(&console.handle, &look, false);
    json(&snapshot)
}

#[derive(Serialize)]
struct Group {
    group: String,
    depth: u64,
    state: &'static str,
    sentence: String,
    rule: &'static str,
    /// Until when its first message, or what is before it, is held.
    until: Option<u64>,
    holder: Option<String>,
    /// Its first message.
    head: Option<String>,
    now: u64,
}

async fn group(State(console): State<Console>, request: Request) -> Answered {
    let query = Query::of(request.uri())?;
    let (queue, group) = (query.queue()?, query.group("group")?);
    let name = queue.name.to_string();
    let found = console.handle.explain(queue, Wanted::Group(group)).await?;
    let holder = found.blocking.as_ref().map(|blocking| &blocking.holder);
    json(&Group {
        group: found.group.as_ref().map(ToString::to_string).unwrap_or_default(),
        depth: found.count,
        state: shown::state(found.reason),
        sentence: explained(&name, &found, true),
        rule: found.reason.rule(),
        until: holder.and_then(|holder| holder.until()).map(|until| until.0),
        holder: holder.and_then(shown::holder),
        head: found.message.map(|message| message.to_string()),
        now: found.at.0,
    })
}
