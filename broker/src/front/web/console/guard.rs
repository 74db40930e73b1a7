//! Who may ask the console. A page of a foreign site must neither read nor write: names that are not ours are refused (a
//! name that is made to lead here is the way around the same-origin rule), so are foreign origins, and writes need a token
//! that no foreign page has. Tokens are kept as SHA-256 and compared in constant time.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use super::{ConsoleMode, ConsoleSettings, errors::Problem};
use crate::front::access::{Right, Tokens};

/// The header of the console's own token.
const TOKEN: &str = "lockstep-console";

/// What is asked for at the door.
pub(super) struct Guard {
    mode: ConsoleMode,
    token: Option<[u8; 32]>,
    hosts: Vec<String>,
    tokens: Option<Tokens>,
}

/// Lets a request through, or says why not.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.judge(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    pub(super) fn new(settings: ConsoleSettings, tokens: Option<Tokens>) -> Self {
        let ConsoleSettings { mode, token, hosts } = settings;
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { mode, token: token.as_deref().map(hash), hosts, tokens }
    }

    /// Whether anybody may write.
    pub(super) fn may_write(&self) -> bool {
        self.mode == ConsoleMode::On && (self.token.is_some() || self.tokens.is_some())
    }

    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let host = self.host(uri, headers)?;
        if let Some(origin) = headers.get(header::ORIGIN)
            && !is_same(origin.to_str().unwrap_or_default(), &host)
        {
            let text = format!("a page of another origin must not ask this broker; open http://{host}/ instead");
            return Err(Problem::forbidden("ORIGIN_FOREIGN", text));
        }
        if !uri.path().starts_with("/console/api/") {
            return Ok(());
        }
        // Browsers say so of what a foreign page asks for, also without an origin: it would occupy the feeds.
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return Err(Problem::forbidden("ORIGIN_FOREIGN", "a page of another site must not ask this broker"));
        }
        let shows_token = self.shows_token(headers);
        if *method == Method::POST {
            self.judge_write(headers, shows_token)
        } else {
            self.judge_read(headers, shows_token)
        }
    }

    /// Who may write may read.
    fn judge_read(&self, headers: &HeaderMap, shows_token: bool) -> Result<(), Problem> {
        match &self.tokens {
            Some(tokens) if !shows_token => bearer(tokens, headers, Right::Read),
            Some(_) | None => Ok(()),
        }
    }

    fn judge_write(&self, headers: &HeaderMap, shows_token: bool) -> Result<(), Problem> {
        if !self.may_write() {
            let text = "this console only looks; serve with --console on, or use the command line";
            return Err(Problem::forbidden("CONSOLE_READ_ONLY", text));
        }
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            let text = "the body must be JSON, and the header content-type must say application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CONTENT_TYPE_INVALID", None, text));
        }
        if shows_token {
            return Ok(());
        }
        match &self.tokens {
            Some(tokens) if headers.contains_key(header::AUTHORIZATION) => bearer(tokens, headers, Right::Admin),
            Some(_) | None => {
                let text = "writing needs the console's token: open the link that `lockstep serve` says on stderr";
                Err(Problem::forbidden("CONSOLE_TOKEN_WRONG", text))
            }
        }
    }

    fn shows_token(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(TOKEN).map(|given| hash_of(given.as_bytes()));
        self.token
            .zip(given)
            .is_some_and(|(token, given)| token.iter().zip(given).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0)
    }

    /// Under which name the broker is asked, if it is one of its own.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
        let given = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        // HTTP/2 says it in the address.
        let host: Option<Authority> = uri.authority().cloned().or(given);
        let host = host.filter(|host| self.is_ours(host.host()));
        host.ok_or_else(|| {
            let text = "the broker is asked under a name that is not its own; use its address or localhost, or name it \
                        with `lockstep serve --console-host NAME`";
            Problem::forbidden("HOST_UNKNOWN", text)
        })
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        host == "localhost" || literal.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }
}

fn bearer(tokens: &Tokens, headers: &HeaderMap, right: Right) -> Result<(), Problem> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    tokens.judge(authorization, right).map_err(|(known, reason, text)| {
        let status = if known { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        Problem::new(status, reason, None, text)
    })
}

fn hash(token: &str) -> [u8; 32] {
    hash_of(token.as_bytes())
}

fn hash_of(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Whether an origin is the one that is asked; a port that the scheme implies may be left out.
fn is_same(origin: &str, host: &Authority) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let implied = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Ok(origin) = rest.parse::<Authority>() else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(implied);
    origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(mode: ConsoleMode, token: Option<&str>) -> Guard {
        let settings = ConsoleSettings { mode, token: token.map(str::to_owned), hosts: vec!["Broker.example".into()] };
        Guard::new(settings, None)
    }

    fn asked(guard: &Guard, method: &Method, path: &str, given: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().expect("a value"));
        }
        guard.judge(method, &path.parse().expect("a path"), &headers).map_err(|problem| problem.code)
    }

    #[test]
    fn only_names_of_its_own_are_answered() {
        let guard = guard(ConsoleMode::On, None);
        for host in ["localhost:9324", "LOCALHOST", "127.0.0.1:9324", "[::1]:9324", "10.1.2.3", "broker.EXAMPLE:1"] {
            assert_eq!(asked(&guard, &Method::GET, "/console/api/queues", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9324", "", "a b"] {
            let answer = asked(&guard, &Method::GET, "/", &[("host", host)]);
            assert_eq!(answer, Err("HOST_UNKNOWN"), "{host}");
        }
        assert_eq!(asked(&guard, &Method::GET, "/", &[]), Err("HOST_UNKNOWN"));
    }

    #[test]
    fn a_foreign_page_gets_nothing() {
        let guard = guard(ConsoleMode::On, None);
        let from = |origin: &str| asked(&guard, &Method::GET, "/", &[("host", "localhost:9324"), ("origin", origin)]);
        assert_eq!(from("http://localhost:9324"), Ok(()));
        assert_eq!(from("http://LocalHost:9324"), Ok(()));
        for origin in ["null", "http://localhost", "http://localhost:9325", "http://evil.example:9324", "file://x", ""]
        {
            assert_eq!(from(origin), Err("ORIGIN_FOREIGN"), "{origin}");
        }
        let plain = [("host", "localhost"), ("origin", "http://localhost:80")];
        assert_eq!(asked(&guard, &Method::GET, "/", &plain), Ok(()));
        for (site, code) in
            [("cross-site", Err("ORIGIN_FOREIGN")), ("same-site", Err("ORIGIN_FOREIGN")), ("none", Ok(()))]
        {
            let headers = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(asked(&guard, &Method::GET, "/console/api/feed", &headers), code, "{site}");
            assert_eq!(asked(&guard, &Method::GET, "/", &headers), Ok(()), "a link may lead to the page");
        }
    }

    #[test]
    fn who_writes_shows_the_token_and_sends_json() {
        let write = |guard: &Guard, token: &str, kind: &str| {
            let headers = [("host", "localhost"), (TOKEN, token), ("content-type", kind)];
            asked(guard, &Method::POST, "/console/api/purge", &headers)
        };
        let open = guard(ConsoleMode::On, Some("secret"));
        assert_eq!(write(&open, "secret", "application/json; charset=utf-8"), Ok(()));
        assert_eq!(write(&open, "secret", "text/plain"), Err("CONTENT_TYPE_INVALID"));
        for wrong in ["", "Secret", "secret ", "secretsecret"] {
            let given = write(&open, wrong, "application/json");
            assert_eq!(given, Err("CONSOLE_TOKEN_WRONG"), "{wrong}");
        }
        let closed = guard(ConsoleMode::ReadOnly, Some("secret"));
        assert_eq!(write(&closed, "secret", "application/json"), Err("CONSOLE_READ_ONLY"));
        assert_eq!(write(&guard(ConsoleMode::On, None), "", "application/json"), Err("CONSOLE_READ_ONLY"));
    }

    #[test]
    fn any_text_as_host_or_origin_is_judged() {
        let guard = guard(ConsoleMode::On, None);
        for mut chance in lockstep_fuzz::tries(20_000) {
            let host = lockstep_fuzz::changed_text(&mut chance, &["localhost:9324", "[::1]:9324", "127.0.0.1"]);
            let origin = lockstep_fuzz::changed_text(&mut chance, &["http://localhost:9324", "null"]);
            let mut headers = HeaderMap::new();
            let values = [(header::HOST, &host), (header::ORIGIN, &origin)];
            for (name, value) in values {
                if let Ok(value) = value.parse() {
                    headers.insert(name, value);
                }
            }
            let allowed = guard.judge(&Method::GET, &Uri::from_static("/"), &headers).is_ok();
            if allowed && headers.contains_key(header::ORIGIN) {
                let (_, authority) = origin.split_once("://").expect("an origin");
                let port = |text: &str| text.parse::<Authority>().expect("an authority").port_u16();
                assert!(port(authority) == port(&host) || port(authority).or(port(&host)).is_some(), "{host} {origin}");
            }
        }
    }
}
