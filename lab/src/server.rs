//! The page of the lab: its files, what it is shown, what it says, and a way through to the broker's console, which dies
//! and comes back behind it. Loopback only; whoever writes shows the token of this run.

mod guard;
mod through;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{service::Routes, transport::Server};

use crate::class::{Class, Word, problem};
use guard::Guard;

/// The largest word of a page, in bytes.
const LARGEST: usize = 4_096;
/// A page hears of at most so many states a second.
const APART: Duration = Duration::from_millis(100);
/// Something is said at least so often.
const SILENCE: Duration = Duration::from_secs(5);
/// So many pages may look at a time.
const PAGES: usize = 32;

#[derive(Clone)]
struct Shared {
    class: Class,
    guard: Arc<Guard>,
    room: Arc<tokio::sync::Semaphore>,
}

/// A server that listens, and is not served yet.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    token: String,
}

impl Door {
    /// Listens on a port of loopback; 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn open(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.with_context(|| format!("cannot listen on 127.0.0.1:{port}; choose another --port"))?;
        let address = listener.local_addr()?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { listener, address, token })
    }

    /// The link that opens the page with the right to strike.
    #[must_use]
    pub fn link(&self) -> String {
        format!("http://{}/#token={}", self.address, self.token)
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// The socket's.
    pub async fn serve(self, class: Class) -> anyhow::Result<()> {
        let guard = Arc::new(Guard::new(&self.token));
        let room = Arc::new(tokio::sync::Semaphore::new(PAGES));
        let shared = Shared { class, guard: Arc::clone(&guard), room };
        let routes = Router::new()
            .route("/", get(|| async { file("lab.html") }))
            .route("/console/{file}", get(|Path(name): Path<String>| async move { file(&name) }))
            .route("/console/api/{*path}", get(through::ask))
            .route("/lab/api/state", get(states))
            .route("/lab/api/do", post(hear))
            .route("/lab/api/report.html", get(report_page))
            .route("/lab/api/report.json", get(report_json))
            .fallback(|| async { said(StatusCode::NOT_FOUND, "NOT_FOUND", "nothing is here; the page is at /") })
            .layer(DefaultBodyLimit::max(LARGEST))
            .layer(axum::middleware::from_fn_with_state(guard, guard::check))
            .with_state(shared);
        let incoming = TcpListenerStream::new(self.listener);
        let server = Server::builder().accept_http1(true).add_routes(Routes::from(routes));
        server.serve_with_incoming(incoming).await.context("the page cannot be served")
    }
}

fn file(name: &str) -> Response {
    let Some(asset) = lockstep_page::asset(name) else {
        return said(StatusCode::NOT_FOUND, "NOT_FOUND", "the page has no such file");
    };
    let mut response = asset.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    guarded(headers);
    response
}

/// What every answer is sent with.
fn guarded(headers: &mut HeaderMap) {
    for (name, value) in lockstep_page::HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// An error as a page reads it.
fn said(status: StatusCode, code: &str, message: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], problem(code, message).to_string()).into_response()
}

/// The state of the lab, again and again.
async fn states(State(shared): State<Shared>) -> Response {
    let Ok(place) = Arc::clone(&shared.room).try_acquire_owned() else {
        return said(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_PAGES", "too many pages look at this lab; close one");
    };
    let mut state = shared.class.state();
    state.mark_changed();
    let (pieces, body) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(2);
    tokio::spawn(async move {
        let _place = place;
        loop {
            let piece = tokio::select! {
                changed = state.changed() => match changed {
                    Ok(()) => format!("event: state\ndata: {}\n\n", *state.borrow_and_update()),
                    Err(_) => return,
                },
                () = tokio::time::sleep(SILENCE) => ":\n\n".to_owned(),
                () = pieces.closed() => return,
            };
            if pieces.send(Ok(piece.into())).await.is_err() {
                return;
            }
            tokio::time::sleep(APART).await;
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(body)));
    let headers = response.headers_mut();
    guarded(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A word of the teacher's.
async fn hear(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err((status, code, why)) = shared.guard.judge_write(&headers) {
        return said(status, code, why);
    }
    let word: Word = match serde_json::from_slice(&body) {
        Ok(word) => word,
        Err(error) => {
            let why = format!("this is no action of the lab: {error}");
            return said(StatusCode::BAD_REQUEST, "ACTION_INVALID", &why);
        }
    };
    match shared.class.say(word).await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], "{}").into_response(),
        Err(why) => said(StatusCode::CONFLICT, "ACTION_REFUSED", &why),
    }
}

const NO_REPORT: &str = "the scenario is not over; its report comes with its verdict";

async fn report_page(State(shared): State<Shared>) -> Response {
    let Some(report) = shared.class.report() else { return said(StatusCode::NOT_FOUND, "NO_REPORT", NO_REPORT) };
    let name = format!("attachment; filename=\"lockstep-lab-{}.html\"", report.scenario.name);
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    (headers, report.html()).into_response()
}

async fn report_json(State(shared): State<Shared>) -> Response {
    let Some(report) = shared.class.report() else { return said(StatusCode::NOT_FOUND, "NO_REPORT", NO_REPORT) };
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
