//! How a signed request is written down before it is hashed, by AWS's rules: path, query and headers in one form, however
//! they came. Nothing is judged here but what a signature must cover.

use axum::http::{header, request::Parts};
use sha2::{Digest as _, Sha256};

use super::{Fault, incomplete, mismatch};
use crate::identity::hex;

/// A query, decoded.
pub(super) type Query = Vec<(Vec<u8>, Vec<u8>)>;

/// The request as both sides write it down; the names of the signed headers have semicolons between them.
pub(super) fn canonical(head: &Parts, signed: &str, query: &Query, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let names: Vec<&str> = signed.split(';').collect();
    // What these headers say must not be changed by who only carries the request.
    let decides = |name: &str| name == "host" || name.starts_with("x-amz-");
    let present = head.headers.keys().map(header::HeaderName::as_str).chain(["host"]);
    if let Some(name) = present.into_iter().find(|name| decides(name) && !names.contains(name)) {
        return Err(Fault::Mismatch(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")));
    }
    let hash = hex(&Sha256::digest(body));
    if head.headers.get("x-amz-content-sha256").is_some_and(|given| given.as_bytes() != hash.as_bytes()) {
        return Err(mismatch("The X-Amz-Content-SHA256 header is not the SHA-256 of the body, which must be signed."));
    }
    let mut text = format!("{}\n{}\n", head.method, canonical_path(head.uri.path())).into_bytes();
    text.extend(canonical_query(query).bytes());
    text.push(b'\n');
    for name in &names {
        text.extend(name.bytes());
        text.push(b':');
        header_values(head, name, &mut text);
        text.push(b'\n');
    }
    text.extend(format!("\n{signed}\n{hash}").bytes());
    Ok(text)
}

/// The values of a header, with commas between them, and of spaces between words one.
fn header_values(head: &Parts, name: &str, text: &mut Vec<u8>) {
    let mut values: Vec<&[u8]> = head.headers.get_all(name).iter().map(header::HeaderValue::as_bytes).collect();
    if let ("host", true, Some(authority)) = (name, values.is_empty(), head.uri.authority()) {
        values.push(authority.as_str().as_bytes());
    }
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index > 0 {
                text.push(b' ');
            }
            text.extend(word);
        }
    }
}

/// The path without empty and dotted segments; what was percent-encoded once is encoded again.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    let segments: Vec<String> = segments.into_iter().map(|segment| encoded(segment.as_bytes())).collect();
    format!("/{}{end}", segments.join("/"))
}

/// The query in the order of its keys and values, without the signature itself.
fn canonical_query(query: &Query) -> String {
    let signed = query.iter().filter(|(name, _)| name != b"X-Amz-Signature");
    let mut pairs: Vec<(String, String)> = signed.map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// The pairs of a query.
pub(super) fn query(text: &str) -> Query {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// A value of the query that must not be there twice.
pub(super) fn value<'a>(query: &'a Query, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut found = query.iter().filter(|(known, _)| known == name.as_bytes()).map(|(_, value)| value);
    let Some(value) = found.next() else { return Ok(None) };
    match (std::str::from_utf8(value), found.next()) {
        (Ok(value), None) => Ok(Some(value)),
        (..) => Err(incomplete(&format!("the query must have '{name}' once, and as text."))),
    }
}

/// Undoes percent-encoding; a plus is a space.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(&byte) = bytes.get(place) {
        place += 1;
        match (byte, digit(bytes.get(place)), digit(bytes.get(place + 1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                place += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            (byte, ..) => decoded.push(byte),
        }
    }
    decoded
}

/// Percent-encodes all but letters, digits and `-_.~`.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(byte.into());
        } else {
            text.push('%');
            text.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    text
}
