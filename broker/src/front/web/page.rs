//! The files of the console's page. They are the same for everyone and tell nothing of this broker: what the page shows it
//! asks for under `/console/api/`.

use axum::{
    Router,
    extract::Path,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

/// The page at `/`, its files beside it.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route("/console/{file}", get(|Path(name): Path<String>| async move { file(&name) }))
}

fn file(name: &str) -> Response {
    let Some(asset) = lockstep_page::asset(name) else {
        return (StatusCode::NOT_FOUND, "the page has no such file\n").into_response();
    };
    let mut response = asset.bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    protect(&mut response);
    response
}

/// The headers that keep what is foreign out of the page.
pub(super) fn protect(response: &mut Response) {
    for (name, value) in lockstep_page::HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
