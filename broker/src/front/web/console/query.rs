//! What stands behind the question mark of a request to the console, judged. Names that the console does not know are not
//! looked at.

use std::collections::BTreeMap;

use axum::http::{StatusCode, Uri};
use lockstep_engine::{
    command::QueueRef,
    window::Pane,
    words::{GroupId, QueueName},
};

use super::errors::Problem;
use crate::limits;

/// The parameters of a request; of one that is there twice the last.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let text = uri.query().unwrap_or_default();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescaped(name)?, unescaped(value)?))
        });
        pairs.collect::<Option<_>>().map(Self).ok_or_else(|| {
            let text = "a parameter is not UTF-8, each other byte as % and two hexadecimal digits";
            Problem::new(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", None, text)
        })
    }

    /// A parameter; empty where it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// A parameter that is there and not empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A count from 1 to `most`.
    pub(super) fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.given(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| Problem::parameter(name, &format!("it must be a number from 1 to {most}")))
    }

    /// A sequence number or a frame's; absent where it is not given.
    pub(super) fn place(&self, name: &str) -> Result<Option<u64>, Problem> {
        let number = |text: &str| text.parse().map_err(|_| Problem::parameter(name, "it must be a number"));
        self.given(name).map(number).transpose()
    }

    /// The queue that is asked about.
    pub(super) fn queue(&self) -> Result<QueueRef, Problem> {
        let name = self.given("queue").ok_or_else(|| Problem::parameter("queue", "name a queue"))?;
        queue(name)
    }

    /// A group that must be there.
    pub(super) fn group(&self, name: &str) -> Result<GroupId, Problem> {
        self.optional_group(name)?.ok_or_else(|| Problem::parameter(name, "name a message group"))
    }

    /// A group; absent where it is not given.
    pub(super) fn optional_group(&self, name: &str) -> Result<Option<GroupId>, Problem> {
        Ok(self.given(name).map(GroupId::parse).transpose()?)
    }

    /// The part of a queue that is asked for; its size is bounded in all.
    pub(super) fn pane(&self) -> Result<Pane, Problem> {
        let lanes = self.number("lanes", 40, limits::LANES)?;
        let dots = self.number("dots", 60, limits::DOTS)?;
        Ok(Pane {
            after: self.optional_group("after")?,
            find: self.given("find").map(str::to_owned),
            lanes,
            messages: dots.min(limits::WINDOW_MESSAGES / lanes),
            scan: lanes,
        })
    }
}

/// A queue by name.
pub(super) fn queue(name: &str) -> Result<QueueRef, Problem> {
    Ok(QueueRef { name: QueueName::parse(name)?, generation: None })
}

/// Undoes the escapes of a query.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high * 16 + low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Query, Problem> {
        Query::of(&format!("/x?{text}").parse().expect("a URI"))
    }

    #[test]
    fn a_query_is_read_as_browsers_write_it() {
        let query = of("queue=a.fifo&after=%C3%A4+b%2B&x&lanes=200&dots=200&lanes=100").expect("a query");
        assert_eq!((query.text("after"), query.text("x"), query.given("x")), ("ä b+", "", None));
        assert_eq!(query.queue().expect("a queue").name.as_str(), "a.fifo");
        assert!(query.pane().is_err(), "no group id has a space (L5)");
        let pane = of("lanes=200&dots=200").and_then(|query| query.pane()).expect("a pane");
        assert_eq!((pane.lanes, pane.messages), (200, limits::WINDOW_MESSAGES / 200));
    }

    #[test]
    fn bad_parameters_are_named() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(of(bad).expect_err(bad).code, "PARAMETER_INVALID", "{bad}");
        }
        for bad in ["lanes=0", "lanes=201", "dots=-1", "lanes=x", "dots=99999999999999999999999"] {
            let problem = of(bad).and_then(|query| query.pane()).expect_err(bad);
            assert_eq!(problem.code, "PARAMETER_INVALID", "{bad}");
        }
        assert_eq!(of("").and_then(|query| query.queue()).expect_err("none").code, "PARAMETER_INVALID");
        assert_eq!(of("queue=a+b").and_then(|query| query.queue()).expect_err("a space").code, "QUEUE_NAME_INVALID");
    }

    #[test]
    fn any_query_is_read_or_refused() {
        for mut chance in lockstep_fuzz::tries(10_000) {
            let text = lockstep_fuzz::changed_text(&mut chance, &["queue=a.fifo&after=g%20h&lanes=3", "find=%C3%A4"]);
            if let Ok(uri) = format!("/x?{text}").parse::<Uri>()
                && let Ok(query) = Query::of(&uri)
            {
                let _ = (query.pane(), query.queue());
            }
        }
    }
}
