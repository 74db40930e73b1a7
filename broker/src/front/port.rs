//! The one listening socket: gRPC, and plain HTTP beside it, over HTTP/2 and HTTP/1.1. Each front gives its routes; what
//! is asked of none of them is answered here. No front's conversions are here.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{Request, Response, StatusCode, header},
    middleware::Next,
    response::IntoResponse,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Status, codegen::Service as _, service::Routes, transport::Server};

pub(crate) use super::door::Door;
use super::{access, access::Tokens, door, grpc, sqs, sqs::Credentials, tls::Tls, web};
use crate::{faults::Faults, handle::Handle, limits};

/// Who may come in, and how.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// TLS on the port; plain text when absent.
    pub tls: Option<Tls>,
    /// The tokens that calls need; none when absent.
    pub tokens: Option<Tokens>,
    /// Whose signatures SQS calls need. Absent: any signature counts, or where there are tokens none.
    pub credentials: Option<Credentials>,
}

/// How the doors of the port are set.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    /// See [`Security`].
    pub(crate) security: Security,
    /// See [`SqsSettings`](sqs::SqsSettings).
    pub(crate) sqs: sqs::SqsSettings,
    /// See [`ConsoleSettings`](web::ConsoleSettings).
    pub(crate) console: web::ConsoleSettings,
    /// What the journal is called.
    pub(crate) journal: &'static str,
    /// Who else answers on the port.
    pub(crate) guest: Option<Guest>,
}

/// A service beside the broker's own: calls whose `X-Amz-Target` begins with its name go there, past every front, and so do
/// those of its gRPC services, which pass the tokens first as the broker's own do.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What the target of its calls begins with, such as `ElasticMapReduce.`.
    pub service: &'static str,
    /// What answers them.
    pub routes: axum::Router,
    /// Its `routes` are for those alone whose token has the right `admin`, where there are tokens.
    pub admin: bool,
    /// Its gRPC services, by paths that no front has.
    pub calls: axum::Router,
}

impl Guest {
    async fn aside(
        State((mut guest, tokens)): State<(Self, Option<Tokens>)>,
        request: Request<Body>,
        next: Next,
    ) -> Response<Body> {
        let target = request.headers().get("x-amz-target");
        if !target.is_some_and(|target| target.as_bytes().starts_with(guest.service.as_bytes())) {
            return next.run(request).await;
        }
        if let Some(tokens) = tokens.filter(|_| guest.admin)
            && let Err(refused) = access::check_admin(&tokens, &request)
        {
            return *refused;
        }
        guest.routes.call(request).await.unwrap_or_else(|never| match never {})
    }
}

/// Serves until the door closes and the open calls have ended.
pub(crate) async fn serve(
    handle: Handle,
    faults: Option<Faults>,
    Doors { security, sqs: settings, console, journal, guest }: Doors,
    listener: TcpListener,
    door: watch::Receiver<Door>,
) -> Result<(), tonic::transport::Error> {
    let mut closing = door.clone();
    let closing = async move {
        // An owner that is gone wants the door closed too.
        let _ = closing.wait_for(|door| *door >= Door::Closing).await;
    };
    let sqs = sqs::Services {
        handle: handle.clone(),
        gate: sqs::Gate {
            tls: security.tls.is_some(),
            closed: security.tokens.is_some(),
            credentials: security.credentials,
            account: settings.account,
        },
        settings,
        budget: sqs::Budget::default(),
    };
    let routes = grpc::routes(handle.clone(), faults, door.clone()).await.into_axum_router();
    let routes = routes.merge(web::routes(handle, console, security.tokens.clone(), journal, door.clone()));
    let routes = match &guest {
        Some(guest) => routes.merge(guest.calls.clone()),
        None => routes,
    };
    let routes = routes.fallback(unknown);
    let routes = match security.tokens.clone() {
        Some(tokens) => routes.layer(axum::middleware::from_fn_with_state(tokens, access::check)),
        None => routes,
    };
    // Before the tokens: an SDK signs its calls and has none.
    let routes = routes.layer(axum::middleware::from_fn_with_state(Arc::new(sqs), sqs::aside));
    // Outermost: `POST /` is the SQS door's otherwise.
    let routes = match guest {
        Some(guest) => routes.layer(axum::middleware::from_fn_with_state((guest, security.tokens), Guest::aside)),
        None => routes,
    };
    Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(limits::GRPC_STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_frame_size(limits::HTTP2_FRAME)
        .http2_keepalive_interval(Some(Duration::from_millis(limits::GRPC_KEEPALIVE)))
        .http2_keepalive_timeout(Some(Duration::from_millis(limits::GRPC_KEEPALIVE_TIMEOUT)))
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(door::connections(listener, door, security.tls), closing)
        .await
}

/// What no front has a route for. A gRPC caller gets a gRPC status, which it can read; any other a page.
async fn unknown(request: Request<Body>) -> Response<Body> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        let path = request.uri().path();
        return Status::unimplemented(format!("this broker has no method {path}")).into_http();
    }
    (StatusCode::NOT_FOUND, "nothing is here; there are the console at /, /metrics, /healthz and gRPC\n")
        .into_response()
}
