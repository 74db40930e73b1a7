//! Who calls, and whether they may. `Gate::judge` is the one place where a request's head and the bytes of its body are
//! looked at before anything is dispatched, and where signatures are checked. Without credentials to check against, any
//! signature is accepted, and says the account and the region that the caller means (P7).

use std::sync::Arc;

use axum::http::{HeaderValue, Method, header, request::Parts};
use bytes::Bytes;
use uuid::Uuid;

use super::{
    addresses::queue_of_path,
    credentials::{Account, Credentials},
    errors::{Code, SqsError},
    operations::Operation,
    signature::{self, Fault, Signer},
};
use crate::{clock::wall_clock, front::access::Right};

/// The region of a caller who names none.
const NO_REGION: &str = "us-east-1";

/// What names a request in answers and logs.
#[derive(Clone, Debug)]
pub(super) struct RequestId(String);

impl RequestId {
    pub(super) fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a UUID is a header value")
    }
}

/// Who calls, as far as the request says.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// 12 digits.
    pub(super) account: String,
    pub(super) region: String,
    /// The host that the caller reached us by, as they wrote it.
    pub(super) host: String,
    pub(super) scheme: &'static str,
    /// The queue in the path of the request.
    pub(super) path_queue: Option<String>,
    /// What the caller may do; all, where nobody was asked who they are.
    pub(super) rights: Option<Arc<[Right]>>,
}

impl Caller {
    /// Judges whether the caller may do what an operation does.
    pub(super) fn may(&self, operation: Operation) -> Result<(), SqsError> {
        if self.rights.as_ref().is_none_or(|rights| rights.contains(&operation.right())) {
            return Ok(());
        }
        let text = format!("The access key is not allowed to perform: sqs:{}", operation.name());
        Err(SqsError::new(Code::AccessDenied, text))
    }
}

/// Who may come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    /// The port speaks TLS.
    pub(crate) tls: bool,
    /// The broker asks for tokens, and knows no credentials that a signature could be checked against.
    pub(crate) closed: bool,
    /// Whose signatures are accepted; absent: any, and none at all.
    pub(crate) credentials: Option<Credentials>,
    /// The account of a caller whose access key names none.
    pub(crate) account: Account,
}

impl Gate {
    /// Judges a request by its head and its body.
    pub(super) fn judge(&self, head: &Parts, body: &Bytes, id: &RequestId) -> Result<Caller, SqsError> {
        let host = host(head);
        let signer = match &self.credentials {
            Some(credentials) => {
                let signer = signature::check(credentials, head, body, wall_clock());
                Some(signer.map_err(|fault| refused(fault, id))?)
            }
            None if self.closed => return Err(SqsError::unknown_caller()),
            None => None,
        };
        // A page that has a secret was given it.
        if signer.is_none() && is_browser(head) && !is_at_home(head, &host) {
            let text = "A page of another site may not call this broker: no call of a browser is taken whose Origin or \
                        Host is a name other than localhost.";
            return Err(SqsError::new(Code::AccessDenied, text));
        }
        let Signer { key, region, account, rights } = signer.unwrap_or_else(|| unproved(head));
        let of_key = || Account::parse(&key).ok();
        Ok(Caller {
            account: account.or_else(of_key).unwrap_or(self.account).to_string(),
            region: if is_region(&region) { region } else { NO_REGION.to_owned() },
            host,
            scheme: if self.tls { "https" } else { "http" },
            path_queue: queue_of_path(head.uri.path()).map(str::to_owned),
            rights,
        })
    }
}

/// What a signature that nobody checks says: nothing, where there is none.
fn unproved(head: &Parts) -> Signer {
    let scope = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(scope);
    let (key, region) = scope.unwrap_or_default();
    Signer { key: key.to_owned(), region: region.to_owned(), account: None, rights: None }
}

/// The access key and the region of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/sqs/aws4_request, …`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut parts = credential.split(',').next()?.trim().split('/');
    let (key, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
    Some((key, region))
}

fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What a caller hears whose signature does not count; who reads the log hears it too.
fn refused(fault: Fault, RequestId(id): &RequestId) -> SqsError {
    tracing::debug!(id, ?fault, "a call is not signed by anybody who may call");
    match fault {
        Fault::Missing => SqsError::new(
            Code::MissingAuthenticationToken,
            "Missing Authentication Token: this broker answers calls that are signed with one of its credentials.",
        ),
        Fault::Incomplete(text) => SqsError::new(Code::IncompleteSignature, text),
        Fault::UnknownKey => SqsError::unknown_caller(),
        Fault::SessionToken => SqsError::new(
            Code::ExpiredToken,
            "The security token included in the request is expired: this broker knows no temporary credentials.",
        ),
        Fault::Expired => SqsError::new(Code::RequestExpired, "Request has expired."),
        Fault::Mismatch(text) => SqsError::new(Code::SignatureDoesNotMatch, text),
    }
}

/// The host by which the caller reached us: HTTP/2 has it in the URI, HTTP/1.1 in a header.
fn host(head: &Parts) -> String {
    let named = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| head.uri.authority().map(axum::http::uri::Authority::as_str)).unwrap_or("localhost").to_owned()
}

/// Whether a browser calls. No SDK sends an `Origin` or calls itself Mozilla; no page can leave out both.
fn is_browser(head: &Parts) -> bool {
    let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    head.headers.contains_key(header::ORIGIN)
        || head.headers.contains_key("sec-fetch-site")
        || agent.is_some_and(|agent| agent.contains("Mozilla/"))
}

/// Whether a browser's page and the host that it called are on this machine, or called by address: a name of somebody's
/// could have been made to lead here (DNS rebinding), and a signature that nobody checks proves nothing. An address that
/// is merely looked at has no `Origin`, whatever page had it looked at, as a picture or a link; it has to be the user.
fn is_at_home(head: &Parts, host: &str) -> bool {
    let origin = head.headers.get(header::ORIGIN);
    let origin = origin.map(|origin| origin.to_str().ok().and_then(|origin| origin.split_once("://")));
    is_local(host)
        && match origin {
            None => head.method != Method::GET || is_of_user(head),
            Some(Some((_, host))) => is_local(host),
            Some(None) => false,
        }
}

/// Whether a browser says that its user asks, or a page of this broker.
fn is_of_user(head: &Parts) -> bool {
    head.headers.get("sec-fetch-site").is_some_and(|site| site == "none" || site == "same-origin")
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
impl Caller {
    pub(super) fn of(account: &str, region: &str, host: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            host: host.to_owned(),
            scheme: "http",
            path_queue: None,
            rights: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &str)]) -> Parts {
        let request = axum::http::Request::post("/123456789012/q");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn judged(headers: &[(&str, &str)]) -> Result<Caller, SqsError> {
        Gate::default().judge(&head(headers), &Bytes::new(), &RequestId::new())
    }

    const NO_ACCOUNT: &str = "000000000000";

    #[test]
    fn p7_account_and_region_are_those_of_the_credential() {
        let signed =
            |credential: &str| format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=a, Signature=b");
        for (credential, account, region) in [
            ("123456789012/20260101/eu-central-1/sqs/aws4_request", "123456789012", "eu-central-1"),
            ("AKIDEXAMPLE/20260101/ap-south-1/sqs/aws4_request", NO_ACCOUNT, "ap-south-1"),
            ("x/20260101/\u{7e}/sqs/aws4_request", NO_ACCOUNT, NO_REGION),
            ("nothing", NO_ACCOUNT, NO_REGION),
        ] {
            let caller = judged(&[("authorization", &signed(credential)), ("host", "h:1")]).expect("let in");
            assert_eq!((caller.account.as_str(), caller.region.as_str()), (account, region), "{credential}");
            assert_eq!((caller.host.as_str(), caller.path_queue.as_deref()), ("h:1", Some("q")));
        }
        assert_eq!(judged(&[]).expect("unsigned").account, NO_ACCOUNT);
        let gate = Gate { account: Account::parse("210987654321").expect("12 digits"), ..Gate::default() };
        let caller = gate.judge(&head(&[]), &Bytes::new(), &RequestId::new()).expect("let in");
        assert_eq!(caller.account, "210987654321");
    }

    #[test]
    fn with_credentials_a_call_is_signed_with_one_of_them_wherever_it_comes_from() {
        let text = "[a]\naws_access_key_id = A\naws_secret_access_key = s\n";
        let credentials = Some(Credentials::parse(text).expect("credentials"));
        let gate = Gate { closed: true, credentials, ..Gate::default() };
        let signed = |key: &str| {
            format!("AWS4-HMAC-SHA256 Credential={key}/20260101/r/sqs/aws4_request, SignedHeaders=host, Signature=00")
        };
        let date = ("x-amz-date", "20260101T000000Z");
        for (headers, code, status) in [
            (&[("origin", "http://evil.example")][..], Code::MissingAuthenticationToken, 403),
            (&[("authorization", "Bearer t")], Code::IncompleteSignature, 400),
            (&[("authorization", &signed("B")), date], Code::InvalidClientTokenId, 403),
            (&[("authorization", &signed("A")), date], Code::SignatureDoesNotMatch, 403),
            (&[("authorization", &signed("A")), date, ("x-amz-security-token", "t")], Code::ExpiredToken, 403),
        ] {
            let refused = gate.judge(&head(headers), &Bytes::new(), &RequestId::new()).expect_err("refused");
            assert_eq!((refused.code, refused.code.status()), (code, status), "{headers:?}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_turned_away_whatever_it_signs() {
        let agent = ("user-agent", "Mozilla/5.0");
        for (headers, is_in) in [
            (&[("host", "broker.internal:9324"), ("user-agent", "Boto3/1.44")][..], true),
            (&[("host", "127.0.0.1:9324"), ("origin", "http://localhost:3000")], true),
            (&[("host", "[::1]:9324"), agent], true),
            (&[("host", "localhost:9324"), ("origin", "https://evil.example")], false),
            (&[("host", "localhost:9324"), ("origin", "null")], false),
            (&[("host", "evil.example:9324"), ("origin", "http://evil.example:9324")], false),
            (&[("host", "evil.example:9324"), agent], false),
            (&[("host", "evil.example"), ("sec-fetch-site", "same-origin"), ("authorization", "AWS4-x")], false),
        ] {
            let judged = judged(headers);
            assert_eq!(judged.is_ok(), is_in, "{headers:?}");
        }
    }

    #[test]
    fn p2_a_link_on_a_page_of_another_site_calls_nothing() {
        for (site, is_in) in [
            (Some("none"), true),
            (Some("same-origin"), true),
            (Some("same-site"), false),
            (Some("cross-site"), false),
            (None, false),
        ] {
            let mut headers = vec![("host", "localhost:9324"), ("user-agent", "Mozilla/5.0")];
            headers.extend(site.map(|site| ("sec-fetch-site", site)));
            let mut head = head(&headers);
            head.method = Method::GET;
            let judged = Gate::default().judge(&head, &Bytes::new(), &RequestId::new());
            assert_eq!(judged.is_ok(), is_in, "{site:?}");
        }
    }

    #[test]
    fn a_broker_that_asks_for_tokens_and_knows_no_credentials_is_closed() {
        let gate = Gate { closed: true, ..Gate::default() };
        let refused = gate.judge(&head(&[]), &Bytes::new(), &RequestId::new()).expect_err("closed");
        assert_eq!(refused.code, Code::InvalidClientTokenId);
    }
}
