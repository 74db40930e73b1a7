//! Plain HTTP for those who watch a broker: whether it lives. It converts; what is true is the handle's to say.

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::{handle::Handle, limits};

/// The routes of this front.
pub(super) fn routes(handle: Handle) -> Router {
    Router::new().route("/healthz", get(healthz)).with_state(handle)
}

/// Whether the sequencer makes turns and the journal takes what came before: a read waits for both (H4).
async fn healthz(State(handle): State<Handle>) -> (StatusCode, String) {
    match tokio::time::timeout(Duration::from_millis(limits::HEALTH), handle.alive()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(failure)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("no turn ended within {} ms\n", limits::HEALTH)),
    }
}
