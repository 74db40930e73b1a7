//! The job `transcript`: every message body becomes one output line, exactly as it is. It keeps no state; nothing that
//! changes a byte of a body may live here.

use serde::de::IgnoredAny;

use super::{Job, JobError, JobMessage, StateChange};
use crate::rows::Rows;

/// A run of the job; it has nothing to remember.
pub(super) struct Transcript;

/// A body is usable when it is one JSON object on one line: the output is JSON Lines.
pub(super) fn check(body: &[u8]) -> Result<(), String> {
    if body.contains(&b'\n') {
        return Err("its body holds a line break, so it cannot be one line of the output".to_owned());
    }
    serde_json::from_slice::<std::collections::BTreeMap<String, IgnoredAny>>(body)
        .map(drop)
        .map_err(|error| format!("its body is not a JSON object: {error}"))
}

impl Job for Transcript {
    fn state(&mut self, group: &str, key: &str, _value: &[u8]) -> Result<(), JobError> {
        Err(JobError::State {
            group: group.to_owned(),
            key: key.to_owned(),
            why: "the job transcript keeps no state".to_owned(),
        })
    }

    fn message(&mut self, message: &JobMessage<'_>, rows: &mut Rows) -> Result<(), JobError> {
        check(message.body).map_err(|why| JobError::message(message, why))?;
        rows.push(message.group, message.body);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Rows) -> Vec<StateChange> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8]) -> JobMessage<'_> {
        JobMessage { message_id: "m-7", sequence_number: 7, group: "g", body }
    }

    #[test]
    fn a_body_comes_out_byte_for_byte() {
        let mut rows = Rows::default();
        let body = br#"{"b": 1.0,  "a":"\u00e4","b":2}"#;
        assert_eq!(Transcript.message(&message(body), &mut rows), Ok(()));
        assert_eq!(rows.bytes(), [&body[..], b"\n"].concat());
    }

    #[test]
    fn a_body_that_is_no_line_of_json_is_an_error_that_names_the_message() {
        for body in [&b"{\"a\":\n1}"[..], b"[1]", b"hello", b"{\"a\":1} {}", b"\xff"] {
            let error = Transcript.message(&message(body), &mut Rows::default()).unwrap_err().to_string();
            assert!(error.contains("m-7") && error.contains("sequence number 7"), "{error}");
        }
    }
}
