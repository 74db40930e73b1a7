//! Plain HTTP for those who watch a broker: whether it lives, and its figures. It converts; what is true is the
//! handle's to say.

mod console;
mod metrics;
mod page;

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

pub use self::console::{ConsoleMode, ConsoleSettings};
use super::{access::Tokens, door::Door};
use crate::{handle::Handle, limits};

/// The routes of this front.
pub(super) fn routes(
    handle: Handle,
    console: ConsoleSettings,
    tokens: Option<Tokens>,
    journal: &'static str,
    door: watch::Receiver<Door>,
) -> Router {
    let console = console::routes(handle.clone(), console, tokens, journal, door);
    let figures = Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics)).with_state(handle);
    figures.merge(console)
}

/// Whether the sequencer makes turns and the journal takes what came before: a read waits for both (H4).
async fn healthz(State(handle): State<Handle>) -> (StatusCode, String) {
    match tokio::time::timeout(Duration::from_millis(limits::HEALTH), handle.status()).await {
        Ok(Ok(status)) if status.draining => (StatusCode::OK, "draining\n".to_owned()),
        Ok(Ok(_)) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(failure)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("no turn ended within {} ms\n", limits::HEALTH)),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures; those that need no turn alone, when none ends in time.
async fn metrics(State(handle): State<Handle>) -> axum::response::Response {
    let figures = tokio::time::timeout(Duration::from_millis(limits::HEALTH), handle.figures()).await;
    let scrape = metrics::Scrape { broker: handle.reading(), all: figures.ok().and_then(Result::ok) };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
