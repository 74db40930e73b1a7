//! AWS's signature version 4, checked: in the `Authorization` header, and in the query of a presigned URL. It covers the
//! method, the path, the query, the host, the headers that say what is asked, and always the body: a caller who leaves
//! the body unsigned (`UNSIGNED-PAYLOAD`) is refused. Who may do what is not decided here.

mod canonical;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::http::{HeaderMap, header, request::Parts};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lockstep_engine::words::Timestamp;
use sha2::{Digest as _, Sha256};

use self::canonical::{Query, canonical, query, value};
use super::credentials::{Account, Credentials};
use crate::{
    front::access::Right,
    identity::{hex, unhex},
    limits,
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The parts of a scope after the region.
const SERVICE: &str = "sqs";
const END: &str = "aws4_request";

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is not signed.
    Missing,
    /// It is signed, but not so that it could be checked.
    Incomplete(String),
    /// Nobody here has this access key.
    UnknownKey,
    /// It comes with a session token, and no access key here has one.
    SessionToken,
    /// The time of a presigned URL is over.
    Expired,
    /// It is the signature of another request, or of another time.
    Mismatch(String),
}

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signer {
    /// The access key.
    pub(super) key: String,
    pub(super) region: String,
    /// The account that belongs to the key, where the credentials name one.
    pub(super) account: Option<Account>,
    /// What may be done with the key; all, when absent.
    pub(super) rights: Option<Arc<[Right]>>,
}

/// What a request says about its signature.
struct Claim {
    /// `KEY/DAY/REGION/sqs/aws4_request`.
    credential: String,
    /// With semicolons between them.
    signed_headers: String,
    signature: String,
    /// Such as `20260102T030405Z`.
    at: String,
    /// How long a presigned URL counts, in seconds; absent: signed in a header.
    expires: Option<u64>,
}

/// Who signed a request, if the signature is theirs and of this request.
pub(super) fn check(credentials: &Credentials, head: &Parts, body: &[u8], now: Timestamp) -> Result<Signer, Fault> {
    let query = query(head.uri.query().unwrap_or_default());
    let claim = claim(&head.headers, &query)?;
    let parts: Vec<&str> = claim.credential.split('/').collect();
    let &[key, day, region, service, end] = parts.as_slice() else {
        return Err(incomplete("the Credential must be KEY/DAY/REGION/sqs/aws4_request."));
    };
    if (service, end) != (SERVICE, END) {
        return Err(mismatch("Credential should be scoped to correct service: 'sqs'."));
    }
    if claim.at.get(..8) != Some(day) {
        return Err(mismatch("The day in the Credential is not that of X-Amz-Date."));
    }
    let credential = credentials.of(key).ok_or(Fault::UnknownKey)?;
    if head.headers.contains_key("x-amz-security-token") || value(&query, "X-Amz-Security-Token")?.is_some() {
        return Err(Fault::SessionToken);
    }
    check_time(&claim, now)?;
    let request = hex(&Sha256::digest(canonical(head, &claim.signed_headers, &query, body)?));
    let signed = format!("{ALGORITHM}\n{}\n{day}/{region}/{SERVICE}/{END}\n{request}", claim.at);
    let given = unhex(&claim.signature).ok_or_else(|| incomplete("the Signature must be lower-case hexadecimal."))?;
    // The comparison takes the same time wherever the two differ.
    let mac = mac(&signing_key(credential.secret(), day, region), signed.as_bytes());
    mac.verify_slice(&given).map_err(|_| {
        mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.",
        )
    })?;
    let (account, rights) = (credential.account, credential.rights.clone());
    Ok(Signer { key: key.to_owned(), region: region.to_owned(), account, rights })
}

fn incomplete(text: &str) -> Fault {
    Fault::Incomplete(format!("The request is not signed as AWS signs it: {text}"))
}

fn mismatch(text: &str) -> Fault {
    Fault::Mismatch(text.to_owned())
}

/// Reads where the signature is: in the header, or in the query of a presigned URL, and not in both.
fn claim(headers: &HeaderMap, query: &Query) -> Result<Claim, Fault> {
    let mut in_header = headers.get_all(header::AUTHORIZATION).iter();
    let presigned = value(query, "X-Amz-Algorithm")?;
    match (in_header.next(), in_header.next(), presigned) {
        (None, _, None) => Err(Fault::Missing),
        (Some(authorization), None, None) => {
            let text = authorization.to_str().map_err(|_| incomplete("the Authorization header is no text."))?;
            claim_of_header(text, headers)
        }
        (None, _, Some(algorithm)) if algorithm == ALGORITHM => claim_of_query(query),
        (None, _, Some(_)) => Err(incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256.")),
        (Some(_), ..) => Err(incomplete("it has more than one signature.")),
    }
}

fn claim_of_header(authorization: &str, headers: &HeaderMap) -> Result<Claim, Fault> {
    let fields = authorization.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
    let fields = fields.ok_or_else(|| incomplete("the Authorization header must begin with AWS4-HMAC-SHA256."))?;
    let field = |name: &str| {
        let mut found = fields.split(',').filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        let one = found.next().filter(|_| found.next().is_none()).map(str::to_owned);
        one.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter, once.")))
    };
    let at = headers.get("x-amz-date").and_then(|at| at.to_str().ok());
    Ok(Claim {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        at: at.ok_or_else(|| incomplete("it needs the header X-Amz-Date."))?.to_owned(),
        expires: None,
    })
}

fn claim_of_query(query: &Query) -> Result<Claim, Fault> {
    let field = |name: &str| {
        let missing = || incomplete(&format!("the query requires '{name}'."));
        value(query, name)?.map(str::to_owned).ok_or_else(missing)
    };
    let expires = field("X-Amz-Expires")?.parse().ok().filter(|expires| (1..=limits::PRESIGNED).contains(expires));
    Ok(Claim {
        credential: field("X-Amz-Credential")?,
        signed_headers: field("X-Amz-SignedHeaders")?,
        signature: field("X-Amz-Signature")?,
        at: field("X-Amz-Date")?,
        expires: Some(expires.ok_or_else(|| incomplete("X-Amz-Expires must be 1 to 604800 seconds."))?),
    })
}

/// A signature counts for 15 minutes before and after its time, a presigned URL for as long as it says.
fn check_time(claim: &Claim, now: Timestamp) -> Result<(), Fault> {
    let at = instant(&claim.at).ok_or_else(|| incomplete("X-Amz-Date must be such as 20260102T030405Z."))?;
    let (now, skew) = (now.0 / 1_000, limits::SIGNATURE_SKEW);
    let ends = at + claim.expires.unwrap_or(skew);
    if at > now + skew {
        return Err(Fault::Mismatch(format!(
            "Signature not yet current: {} is more than 15 min. later than the broker's time.",
            claim.at
        )));
    }
    match claim.expires {
        _ if now <= ends => Ok(()),
        Some(_) => Err(Fault::Expired),
        None => Err(Fault::Mismatch(format!(
            "Signature expired: {} is more than 15 min. earlier than the broker's time.",
            claim.at
        ))),
    }
}

/// Seconds of Unix time of such as `20260102T030405Z`.
fn instant(text: &str) -> Option<u64> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        let value = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, value))
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let fits = bytes[8] == b'T' && bytes[15] == b'Z' && year >= 1970 && (1..=12).contains(&month) && day >= 1;
    if !fits || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years are counted from March, so that the day of a leap year comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(text)
}

/// The key of one day, region and service.
fn signing_key(secret: &[u8], day: &str, region: &str) -> Vec<u8> {
    let first = [b"AWS4", secret].concat();
    let parts = [day, region, SERVICE, END];
    parts.iter().fold(first, |key, part| mac(&key, part.as_bytes()).finalize().into_bytes().to_vec())
}
