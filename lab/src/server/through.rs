//! The way through to the broker's console, for reads alone: the broker dies and comes back, the page's own address stays.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{Shared, guarded, said};

/// The longest head of an answer.
const HEAD: usize = 16 * 1024;
/// A broker that says nothing at all for so long is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the broker the same.
pub(super) async fn ask(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    let endpoint = shared.class.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap_or(&endpoint);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok());
    let asked = tokio::time::timeout(PATIENCE, begin(address, path, last)).await;
    match asked {
        Ok(Ok((status, kind, first, stream))) => answer(status, &kind, first, stream),
        Ok(Err(_)) | Err(_) => {
            said(StatusCode::BAD_GATEWAY, "BROKER_AWAY", "the broker does not answer; it is coming back")
        }
    }
}

/// Sends the request; the status, the content type, the first bytes of the body, and the rest of it.
async fn begin(address: &str, path: &str, last: Option<&str>) -> std::io::Result<(u16, String, Vec<u8>, TcpStream)> {
    let mut stream = TcpStream::connect(address).await?;
    // An answer in HTTP/1.0 is a body until the end of the connection.
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{last}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD || stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::Error::other("this is no answer"));
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
    });
    let status = status.ok_or_else(|| std::io::Error::other("this is no answer"))?;
    Ok((status, kind.unwrap_or_default(), bytes[end + 4..].to_vec(), stream))
}

fn answer(status: u16, kind: &str, first: Vec<u8>, mut stream: TcpStream) -> Response {
    let (pieces, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    tokio::spawn(async move {
        if !first.is_empty() && pieces.send(Ok(first.into())).await.is_err() {
            return;
        }
        loop {
            let mut piece = vec![0; 16 * 1024];
            let read = tokio::select! {
                read = stream.read(&mut piece) => read,
                () = pieces.closed() => return,
            };
            match read {
                Ok(0) => return,
                Ok(length) => piece.truncate(length),
                Err(error) => {
                    let _ = pieces.send(Err(error)).await;
                    return;
                }
            }
            if pieces.send(Ok(piece.into())).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    guarded(response.headers_mut());
    if let Ok(kind) = HeaderValue::from_str(kind) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
