//! Who may call: bearer tokens and their rights. Tokens are kept as SHA-256 and compared in constant time. Which
//! operation needs which right is said here, once; one that nobody has named needs `admin`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::identity::unhex;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Look, and take nothing.
    Read,
    /// Send messages.
    Send,
    /// Receive, finish and claim messages.
    Receive,
    /// Make, change and remove queues, readers and producers; park groups; drain; move time.
    Admin,
}

impl Right {
    const ALL: [(&str, Self); 4] =
        [("read", Self::Read), ("send", Self::Send), ("receive", Self::Receive), ("admin", Self::Admin)];

    /// Rights by name, with commas between them.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, String> {
        let right = |name: &str| {
            let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, right)| *right);
            found.ok_or_else(|| format!("there is no right {name:?}; known are read, send, receive, admin"))
        };
        text.split(',').map(right).collect()
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, right)| *right == self).map_or("", |(name, _)| name)
    }
}

/// The right that an operation needs, `Service/Method`; none where nobody has said it.
fn needed(operation: &str) -> Option<Right> {
    let right = match operation {
        "Queues/DescribeQueue" | "Queues/ListQueues" | "Queues/ListQueueTags" | "Queues/Explain" | "Messages/Peek" => {
            Right::Read
        }
        "DeadLetters/ListDeadLetterSourceQueues"
        | "DeadLetters/ListMessageMoveTasks"
        | "Groups/ListParkedGroups"
        | "Clock/Now"
        | "Admin/Status" => Right::Read,
        "Producers/ListProducers" | "Readers/ListReaders" | "Readers/DescribeReader" => Right::Read,
        "Messages/Send" | "Messages/SendBatch" | "Messages/Produce" | "Producers/OpenProducer" => Right::Send,
        "Messages/Receive" | "Messages/Consume" | "Messages/Delete" | "Messages/DeleteBatch" => Right::Receive,
        "Messages/ChangeVisibility" | "Messages/ChangeVisibilityBatch" => Right::Receive,
        "Readers/OpenReader" | "Readers/Claim" | "Readers/TakeClaim" | "Readers/ReadClaim" => Right::Receive,
        "Readers/ReadValues" | "Readers/Commit" | "Readers/Abandon" => Right::Receive,
        "Queues/CreateQueue" | "Queues/SetQueueAttributes" | "Queues/PurgeQueue" | "Queues/DeleteQueue" => Right::Admin,
        // To forget a producer or a reader is to forget what has been done: a thing can be done twice then.
        "Queues/TagQueue"
        | "Queues/UntagQueue"
        | "DeadLetters/StartMessageMoveTask"
        | "DeadLetters/CancelMessageMoveTask"
        | "Producers/ForgetProducer"
        | "Readers/DropReader"
        | "Groups/Park"
        | "Groups/Unpark" => Right::Admin,
        "Clock/Freeze" | "Clock/Advance" | "Clock/RunUntilIdle" | "Admin/Drain" => Right::Admin,
        // A worker by hand takes claims and commits them, and what it is told is no more than that needs.
        "Workers/Attach" => Right::Receive,
        // It holds every message, and the key of the receipt handles.
        "Admin/Backup" => Right::Admin,
        _ => return None,
    };
    Some(right)
}

#[derive(Clone, Debug)]
struct Token {
    name: String,
    hash: [u8; 32],
    rights: Vec<Right>,
}

/// The tokens that are let in.
#[derive(Clone)]
pub struct Tokens(Arc<[Token]>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|token| &token.name)).finish()
    }
}

impl Tokens {
    /// Reads a token file: a line a token, `NAME SHA256 [RIGHTS]`, the hash in hexadecimal, rights with commas between
    /// them, all when absent; empty lines and those that begin with `#` count nothing.
    ///
    /// # Errors
    /// Names the line, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let tokens = lines.map(|(number, line)| token(line).map_err(|what| format!("line {number}: {what}")));
        let tokens: Vec<_> = tokens.collect::<Result<_, _>>()?;
        if tokens.is_empty() { Err("it names no token".to_owned()) } else { Ok(Self(tokens.into())) }
    }

    /// Judges a call by its `authorization` header, for a front that says in its own form what is wrong.
    ///
    /// # Errors
    /// Whether the token is known, a name for programs, and a text.
    pub(super) fn judge(&self, authorization: Option<&str>, right: Right) -> Result<(), (bool, &'static str, String)> {
        self.check(authorization, right).map_err(|refused| {
            let (code, reason, text) = refused.told();
            (code == Code::PermissionDenied, reason, text)
        })
    }

    /// Judges a call by its `authorization` header.
    fn check(&self, authorization: Option<&str>, right: Right) -> Result<(), Refused> {
        let given = authorization.ok_or(Refused::Missing)?;
        let (scheme, given) = given.split_once(' ').ok_or(Refused::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refused::Missing);
        }
        let given: [u8; 32] = Sha256::digest(given.trim().as_bytes()).into();
        // Every token is looked at, and every byte of each: time tells nothing about them.
        let mut found = None;
        for token in self.0.iter() {
            let difference = token.hash.iter().zip(given).fold(0, |sum, (one, other)| sum | (one ^ other));
            if difference == 0 {
                found = Some(token);
            }
        }
        let token = found.ok_or(Refused::Unknown)?;
        if token.rights.contains(&right) { Ok(()) } else { Err(Refused::Forbidden(token.name.clone(), right)) }
    }
}

fn token(line: &str) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let (name, hash, rights, rest) = (words.next(), words.next(), words.next(), words.next());
    let (Some(name), Some(hash), None) = (name, hash, rest) else {
        return Err("a token is NAME SHA256 [RIGHTS]".to_owned());
    };
    let hash = unhex(hash).and_then(|hash| hash.try_into().ok());
    let hash = hash.ok_or("the second word must be the token's SHA-256, 64 lower-case hexadecimal digits")?;
    let rights = match rights {
        Some(rights) => Right::list(rights)?,
        None => Right::ALL.map(|(_, right)| right).to_vec(),
    };
    Ok(Token { name: name.to_owned(), hash, rights })
}

#[derive(Debug, PartialEq)]
enum Refused {
    Missing,
    Unknown,
    Forbidden(String, Right),
}

impl Refused {
    /// A code, a name for programs, and what is wrong.
    fn told(&self) -> (Code, &'static str, String) {
        match self {
            Self::Missing => (
                Code::Unauthenticated,
                "TOKEN_MISSING",
                "this broker wants a token: say --token, LOCKSTEP_TOKEN or the header `authorization: Bearer TOKEN`"
                    .to_owned(),
            ),
            Self::Unknown => (Code::Unauthenticated, "TOKEN_UNKNOWN", "this broker does not know the token".to_owned()),
            Self::Forbidden(name, right) => (
                Code::PermissionDenied,
                "RIGHT_MISSING",
                format!("the token {name:?} does not have the right {:?}, which this call needs", right.name()),
            ),
        }
    }

    fn status(&self) -> Status {
        let (code, reason, text) = self.told();
        let details = ErrorDetails::with_error_info(reason, "lockstep", [("rule".to_owned(), String::new())]);
        Status::with_error_details(code, text, details)
    }
}

/// Lets a call through, or refuses it in its own protocol. Health is for everyone: a probe has no token.
pub(super) async fn check(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // The page's own files tell nothing of this broker; what they ask for, under `/console/api/`, the console judges: it
    // knows a token of its own, too.
    let is_console = path == "/" || path.starts_with("/console/");
    if is_console || path == "/healthz" || path.starts_with("/grpc.health.v1.Health/") {
        return next.run(request).await;
    }
    // A page takes nothing. An operation that is new here is for those who may do all.
    let operation = path.strip_prefix("/lockstep.v1.").or_else(|| path.strip_prefix("/lockstep.emr.v1."));
    let right = operation.map_or(Right::Read, |operation| needed(operation).unwrap_or(Right::Admin));
    let Err(refused) = tokens.check(authorization(&request), right) else { return next.run(request).await };
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return refused.status().into_http::<Body>();
    }
    page(&refused)
}

/// The same for what only those with the right `admin` may ask, over plain HTTP.
pub(super) fn check_admin(tokens: &Tokens, request: &Request) -> Result<(), Box<Response>> {
    tokens.check(authorization(request), Right::Admin).map_err(|refused| Box::new(page(&refused)))
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
}

fn page(refused: &Refused) -> Response {
    let code = if matches!(refused, Refused::Forbidden(..)) { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    (code, format!("{}\n", refused.status().message())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::hex;

    fn hash(token: &str) -> String {
        hex(&Sha256::digest(token))
    }

    #[test]
    fn a_token_has_the_rights_of_its_line() {
        let text = format!("# ours\n\nall {}\nsender {} send,read\n", hash("a"), hash("b"));
        let tokens = Tokens::parse(&text).expect("tokens");
        assert_eq!(tokens.check(Some("Bearer a"), Right::Admin), Ok(()));
        assert_eq!(tokens.check(Some("bearer b"), Right::Send), Ok(()));
        let forbidden = Err(Refused::Forbidden("sender".into(), Right::Receive));
        assert_eq!(tokens.check(Some("Bearer b"), Right::Receive), forbidden);
        assert_eq!(tokens.check(Some("Bearer c"), Right::Read), Err(Refused::Unknown));
        for missing in [None, Some("b"), Some("Basic b")] {
            assert_eq!(tokens.check(missing, Right::Read), Err(Refused::Missing));
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, words) in [
            ("", "names no token"),
            ("a\n", "line 1"),
            ("# x\na 00\n", "line 2"),
            (&format!("a {} fly", hash("a")), "known are read"),
            (&format!("a {} read extra", hash("a")), "NAME SHA256"),
        ] {
            let error = Tokens::parse(text).expect_err("bad");
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn any_text_is_no_token_file_or_one_whose_lines_all_count() {
        let valid = [
            format!("# ours\n\nall {}\nsender {} send,read\n", hash("a"), hash("b")),
            format!("looker {} read\r\n  admin\t{} admin,send,receive,read", hash("c"), hash("d")),
        ];
        for mut chance in lockstep_fuzz::tries(10_000) {
            let text = lockstep_fuzz::changed_text(&mut chance, &valid);
            match Tokens::parse(&text) {
                Ok(Tokens(tokens)) => {
                    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                    assert_eq!(tokens.len(), lines.clone().count(), "{text:?}");
                    for (token, line) in tokens.iter().zip(lines) {
                        assert!(line.contains(&hex(&token.hash)) && !token.rights.is_empty(), "{line:?}");
                    }
                }
                Err(told) => assert!(told.starts_with("line ") || told.contains("no token"), "{told}"),
            }
        }
    }

    #[test]
    fn any_text_in_the_header_is_turned_away_unless_it_is_the_token() {
        let tokens =
            Tokens::parse(&format!("all {}\nlooker {} read\n", hash("a-token"), hash("other"))).expect("tokens");
        for mut chance in lockstep_fuzz::tries(20_000) {
            let text = lockstep_fuzz::changed_text(&mut chance, &["Bearer a-token", "bearer other", "Basic YTph"]);
            if tokens.check(Some(&text), Right::Send).is_ok() {
                let (scheme, token) = text.split_once(' ').expect("a scheme and a token");
                assert!(scheme.eq_ignore_ascii_case("bearer") && token.trim() == "a-token", "{text:?}");
            }
        }
    }

    #[test]
    fn every_operation_has_a_right_that_somebody_chose() {
        let operations = crate::operations();
        assert!(!operations.is_empty());
        for operation in operations {
            let path = format!("{}/{}", operation.service, operation.name);
            let right = needed(&path).unwrap_or_else(|| panic!("say in `needed` which right {path} needs"));
            let looks = ["Describe", "List", "Peek", "Explain", "Now", "Status"];
            let looks = looks.iter().any(|word| operation.name.starts_with(word));
            assert_eq!(right == Right::Read, looks, "{path}");
        }
        assert_eq!(needed("Workers/Attach"), Some(Right::Receive));
        assert_eq!(needed("Queues/SomethingNew"), None);
    }
}
