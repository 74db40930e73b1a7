//! Who may ask the lab: only names of this machine are answered, no page of another origin is, and words need the token
//! of this run.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use sha2::{Digest as _, Sha256};

use super::said;

/// The header of the token, as at the console.
const TOKEN: &str = "lockstep-console";

type Refused = (StatusCode, &'static str, &'static str);

pub(super) struct Guard {
    token: [u8; 32],
}

/// Lets a request through, or says why not.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.judge(request.uri().authority(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, code, why)) => said(status, code, why),
    }
}

impl Guard {
    pub(super) fn new(token: &str) -> Self {
        Self { token: Sha256::digest(token).into() }
    }

    fn judge(&self, named: Option<&Authority>, headers: &HeaderMap) -> Result<(), Refused> {
        let forbidden = |code, why| Err((StatusCode::FORBIDDEN, code, why));
        let given = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let host = named.cloned().or(given).filter(|host| is_ours(host.host()));
        let Some(host) = host else {
            return forbidden(
                "HOST_UNKNOWN",
                "the lab is asked under a name that is not its own; open the link that it printed",
            );
        };
        if let Some(origin) = headers.get(header::ORIGIN)
            && origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) != Some(host.as_str())
        {
            return forbidden("ORIGIN_FOREIGN", "a page of another origin must not ask this lab");
        }
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        let navigates = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if !navigates && site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return forbidden("ORIGIN_FOREIGN", "a page of another site must not ask this lab");
        }
        Ok(())
    }

    pub(super) fn judge_write(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let why = "the body must be JSON, and the header content-type must say application/json";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "CONTENT_TYPE_INVALID", why));
        }
        let given: [u8; 32] =
            Sha256::digest(headers.get(TOKEN).map(HeaderValueBytes::bytes).unwrap_or_default()).into();
        // Digests are compared, and whole: how long it takes tells nothing.
        match self.token.iter().zip(given).fold(0, |sum, (one, other)| sum | (one ^ other)) {
            0 => Ok(()),
            _ => {
                Err((StatusCode::FORBIDDEN, "TOKEN_WRONG", "this needs the lab's token: open the link that it printed"))
            }
        }
    }
}

trait HeaderValueBytes {
    fn bytes(&self) -> &[u8];
}

impl HeaderValueBytes for axum::http::HeaderValue {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

fn is_ours(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host == "localhost" || literal.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(given: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().expect("a value"));
        }
        Guard::new("secret").judge(None, &headers).map_err(|refused| refused.1)
    }

    #[test]
    fn only_this_machine_and_its_own_page_are_answered() {
        for host in ["localhost:1234", "127.0.0.1:1", "[::1]:1"] {
            assert_eq!(asked(&[("host", host)]), Ok(()), "{host}");
            assert_eq!(asked(&[("host", host), ("origin", &format!("http://{host}"))]), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", ""] {
            assert_eq!(asked(&[("host", host)]), Err("HOST_UNKNOWN"), "{host}");
        }
        for origin in ["null", "http://evil.example", "http://localhost:2", "https://localhost:1", "file://x"] {
            assert_eq!(asked(&[("host", "localhost:1"), ("origin", origin)]), Err("ORIGIN_FOREIGN"), "{origin}");
        }
        assert_eq!(asked(&[("host", "localhost:1"), ("sec-fetch-site", "cross-site")]), Err("ORIGIN_FOREIGN"));
    }

    #[test]
    fn who_writes_shows_the_token_and_sends_json() {
        let write = |token: &str, kind: &str| {
            let mut headers = HeaderMap::new();
            headers.append(TOKEN, token.parse().expect("a value"));
            headers.append("content-type", kind.parse().expect("a value"));
            Guard::new("secret").judge_write(&headers).map_err(|refused| refused.1)
        };
        assert_eq!(write("secret", "application/json"), Ok(()));
        assert_eq!(write("secret", "text/plain"), Err("CONTENT_TYPE_INVALID"));
        assert_eq!(write("", "application/json"), Err("TOKEN_WRONG"));
        assert_eq!(write("Secret", "application/json"), Err("TOKEN_WRONG"));
    }
}
