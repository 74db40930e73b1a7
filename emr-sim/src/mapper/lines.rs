//! The line protocol between a worker and a mapper, documented in docs/steps.md. Pure: bytes in, bytes out.
//!
//! In: first the state, `{"state":{"group":…,"key":…,"value":…}}`, then the messages,
//! `{"group":…,"sequence_number":…,"message_id":…,"body":…}`, in sequence order. Out: lines with a `group` of the batch are
//! output, published byte for byte; lines with `state` and without `group` change the state.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{MAX_STATE_CHANGES, MapperError};
use crate::batch::{Batch, Made};
use crate::job::StateChange;

/// A state key has at most so many characters (B1).
const KEY_CHARACTERS: usize = 256;

#[derive(Serialize)]
struct MessageLine<'a> {
    group: &'a str,
    sequence_number: u64,
    message_id: &'a str,
    body: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct StateLine<'a> {
    #[serde(borrow)]
    state: State<'a>,
}

#[derive(Serialize, Deserialize)]
struct State<'a> {
    #[serde(borrow)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// What tells the two kinds of output lines apart.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    group: Option<Cow<'a, str>>,
}

/// What the mapper reads.
pub(super) fn input(batch: &Batch) -> Result<Vec<u8>, MapperError> {
    let mut lines = Vec::new();
    let mut line = |value: &dyn erased::Line| {
        value.write(&mut lines);
        lines.push(b'\n');
    };
    for value in &batch.values {
        let foreign = || MapperError::State { group: value.group.clone(), key: value.key.clone() };
        let (group, key) = (Cow::Borrowed(value.group.as_str()), Cow::Borrowed(value.key.as_str()));
        let value = serde_json::from_slice(&value.value).map_err(|_| foreign())?;
        line(&StateLine { state: State { group, key, value } });
    }
    for message in &batch.messages {
        line(&MessageLine {
            group: &message.group,
            sequence_number: message.sequence_number,
            message_id: &message.message_id,
            // L6: a body is text; the broker takes no other.
            body: String::from_utf8_lossy(&message.body),
        });
    }
    Ok(lines)
}

mod erased {
    /// A value that becomes a JSON line.
    pub(super) trait Line {
        fn write(&self, to: &mut Vec<u8>);
    }

    impl<T: serde::Serialize> Line for T {
        fn write(&self, to: &mut Vec<u8>) {
            serde_json::to_writer(to, self).expect("strings and numbers are always JSON");
        }
    }
}

/// Judges all that a mapper wrote; the first bad line makes all of it worth nothing.
pub(super) fn output(batch: &Batch, stdout: &[u8]) -> Result<Made, String> {
    let groups: BTreeSet<&str> = batch.messages.iter().map(|message| message.group.as_str()).collect();
    let mut made = Made::default();
    let mut changes = BTreeMap::new();
    for (line, number) in stdout.split_inclusive(|byte| *byte == b'\n').zip(1_u64..) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let bad = |what: String| format!("line {number} of its output {what}: {}", shown(line));
        let text = std::str::from_utf8(line).map_err(|error| bad(format!("is not UTF-8 ({error})")))?;
        let text = text.trim_end_matches('\r');
        let head: Head<'_> = serde_json::from_str(text).map_err(|error| bad(format!("is no JSON object ({error})")))?;
        match head.group {
            Some(group) if groups.contains(&*group) => made.rows.push(&group, text.as_bytes()),
            Some(group) => return Err(bad(format!("names group {group:?}, of which the batch has no message"))),
            None => {
                let change = state_change(text, &groups).map_err(bad)?;
                changes.insert((change.group, change.key), change.value);
            }
        }
    }
    let stored = |group: &str, key: &str| {
        batch.values.iter().find(|value| value.group == group && value.key == key).map(|value| &value.value)
    };
    changes.retain(|(group, key), value| stored(group, key) != value.as_ref());
    if changes.len() > MAX_STATE_CHANGES {
        let many = changes.len();
        return Err(format!("it changed {many} state values: a batch may change at most {MAX_STATE_CHANGES}"));
    }
    made.changes = changes.into_iter().map(|((group, key), value)| StateChange { group, key, value }).collect();
    Ok(made)
}

fn state_change(text: &str, groups: &BTreeSet<&str>) -> Result<StateChange, String> {
    let StateLine { state: State { group, key, value } } = serde_json::from_str(text)
        .map_err(|error| format!("has neither a `group` (output) nor a `state` of group, key and value ({error})"))?;
    if !groups.contains(&*group) {
        return Err(format!("changes the state of group {group:?}, of which the batch has no message"));
    }
    if !(1..=KEY_CHARACTERS).contains(&key.chars().count()) {
        return Err(format!("has a state key that is not 1 to {KEY_CHARACTERS} characters long"));
    }
    let value = Some(value.get()).filter(|value| *value != "null").map(|value| value.as_bytes().to_vec());
    Ok(StateChange { group: group.into_owned(), key: key.into_owned(), value })
}

fn shown(line: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(line).chars().take(120).collect();
    if text.is_empty() { "it is empty".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{ClaimedMessage, StoredValue};

    fn batch() -> Batch {
        let message = |sequence_number, group: &str, body: &str| ClaimedMessage {
            message_id: format!("m-{sequence_number}"),
            group: group.into(),
            sequence_number,
            body: body.into(),
        };
        let value = StoredValue { group: "a".into(), key: "k".into(), value: b"{\"n\":1}".to_vec() };
        Batch { values: vec![value], messages: vec![message(1, "a", "x \"y\""), message(2, "b", "{}")] }
    }

    #[test]
    fn state_comes_first_then_the_messages_in_order() {
        let lines = String::from_utf8(input(&batch()).unwrap()).unwrap();
        let expected = [
            r#"{"state":{"group":"a","key":"k","value":{"n":1}}}"#,
            r#"{"group":"a","sequence_number":1,"message_id":"m-1","body":"x \"y\""}"#,
            r#"{"group":"b","sequence_number":2,"message_id":"m-2","body":"{}"}"#,
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn output_is_kept_byte_for_byte_and_only_changed_state_is_kept() {
        let stdout = concat!(
            "{\"group\":\"a\",  \"state\":\"Ohio\", \"n\":1.0}\r\n",
            "{\"state\":{\"group\":\"a\",\"key\":\"k\",\"value\":{\"n\":1}}}\n",
            "{\"state\":{\"group\":\"b\",\"key\":\"new\",\"value\":[1, 2]}}\n",
            "{\"state\":{\"group\":\"b\",\"key\":\"old\",\"value\":null}}\n",
            "{\"group\":\"b\"}",
        );
        let made = output(&batch(), stdout.as_bytes()).unwrap();
        assert_eq!(made.rows.bytes(), b"{\"group\":\"a\",  \"state\":\"Ohio\", \"n\":1.0}\n{\"group\":\"b\"}\n");
        let change = StateChange { group: "b".into(), key: "new".into(), value: Some(b"[1, 2]".to_vec()) };
        assert_eq!(made.changes, [change]);
    }

    #[test]
    fn garbage_is_named_with_its_line() {
        for (line, what) in [
            ("hello", "no JSON object"),
            ("", "no JSON object"),
            ("[1]", "no JSON object"),
            ("{\"group\":\"a\"} x", "no JSON object"),
            ("{\"group\":\"c\"}", "names group \"c\""),
            ("{\"n\":1}", "neither a `group`"),
            ("{\"state\":{\"group\":\"c\",\"key\":\"k\",\"value\":1}}", "state of group \"c\""),
            ("{\"state\":{\"group\":\"a\",\"key\":\"\",\"value\":1}}", "1 to 256"),
        ] {
            let stdout = format!("{{\"group\":\"a\"}}\n{line}\n");
            let error = output(&batch(), stdout.as_bytes()).unwrap_err();
            assert!(error.starts_with("line 2 of its output") && error.contains(what), "{line}: {error}");
        }
        assert!(output(&batch(), b"{\"group\":\"\xff\"}").unwrap_err().contains("not UTF-8"));
    }
}
