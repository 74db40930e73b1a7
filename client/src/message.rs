//! A message to be sent, the key it is sent under, and what the broker says of it. How it is sent is `producer`'s.

use std::time::Duration;

use bytes::Bytes;
use lockstep_proto::v1;
use sha2::{Digest as _, Sha256};

use crate::{attributes::seconds, error::Error};

/// A message to be sent: its group, its body, and optionally the deduplication id it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    group: String,
    deduplication_id: Option<String>,
    body: Bytes,
    delay: Option<Duration>,
    attributes: Vec<v1::MessageAttribute>,
    trace_header: String,
}

impl Message {
    /// A message of a group; a standard queue keeps and delivers the group, and takes an empty one too. The group is 1 to 128 alphanumeric or punctuation characters (L5), the body UTF-8 text of
    /// 1 character to 1 MiB (L2, L6); the broker judges both.
    pub fn new(group: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Message {
            group: group.into(),
            deduplication_id: None,
            body: body.into(),
            delay: None,
            attributes: Vec::new(),
            trace_header: String::new(),
        }
    }

    /// Names its deduplication id (as the group: 1 to 128 characters, L5). A caller that may have to send the same
    /// message again after its own restart must name one: an id made up by the producer ends with the process.
    #[must_use]
    pub fn deduplication_id(mut self, id: impl Into<String>) -> Self {
        self.deduplication_id = Some(id.into());
        self
    }

    /// Hides it for so long, 0 to 900 s, in whole seconds, parts rounded up. Only a standard queue takes it: on a
    /// FIFO queue the delay is the queue's (S10).
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Adds an attribute (L7): at most 10, of different names; name, type and value count in the message's size, and
    /// enter no deduplication. The broker judges them.
    #[must_use]
    pub fn attribute(mut self, attribute: v1::MessageAttribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// Adds an attribute of type `String`.
    #[must_use]
    pub fn string_attribute(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = Some(v1::message_attribute::Value::StringValue(value.into()));
        self.attribute(v1::MessageAttribute { name: name.into(), data_type: "String".to_owned(), value })
    }

    /// Sets the system attribute `AWSTraceHeader`, which does not count in the size.
    #[must_use]
    pub fn trace_header(mut self, header: impl Into<String>) -> Self {
        self.trace_header = header.into();
        self
    }

    /// The message's group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The deduplication id, when one was named.
    #[must_use]
    pub fn given_deduplication_id(&self) -> Option<&str> {
        self.deduplication_id.as_deref()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The wire form, with the given id or else what `key` makes of the body.
    pub(crate) fn into_entry(self, key: impl FnOnce(&[u8]) -> String) -> v1::SendEntry {
        let id = self.deduplication_id.unwrap_or_else(|| key(&self.body));
        v1::SendEntry {
            message_group_id: self.group,
            message_deduplication_id: id,
            body: self.body,
            delay_seconds: self.delay.map(seconds),
            attributes: self.attributes,
            aws_trace_header: self.trace_header,
        }
    }
}

/// The deduplication id that a queue with content-based deduplication gives to a body: the SHA-256 of the body alone,
/// in lower-case hexadecimal (S3). A message sent with it is a duplicate of one sent without any, and the other way
/// round.
#[must_use]
pub fn content_id(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let mut text = String::with_capacity(64);
    for byte in digest {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// An accepted message. A duplicate is accepted too and has the first one's identity (S6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// A UUID of version 8 (H9).
    pub message_id: String,
    /// Strictly rising in a FIFO queue, never used again; 0 from a standard queue (S12).
    pub sequence_number: u64,
    /// An equal key was accepted within the window: nothing new was stored (S4, S6). It may have been an earlier try
    /// of this very send.
    pub duplicate: bool,
}

impl From<v1::Accepted> for Sent {
    fn from(accepted: v1::Accepted) -> Self {
        let v1::Accepted { message_id, sequence_number, duplicate } = accepted;
        Sent { message_id, sequence_number, duplicate }
    }
}

/// What an entry counts in a request: body, attributes and ids (H1).
pub(crate) fn entry_size(entry: &v1::SendEntry) -> usize {
    let value = |it: &v1::MessageAttribute| match &it.value {
        Some(v1::message_attribute::Value::StringValue(text)) => text.len(),
        Some(v1::message_attribute::Value::BinaryValue(bytes)) => bytes.len(),
        None => 0,
    };
    let attribute = |it: &v1::MessageAttribute| it.name.len() + it.data_type.len() + value(it);
    let beside = entry.attributes.iter().map(attribute).sum::<usize>() + entry.aws_trace_header.len();
    entry.body.len() + entry.message_group_id.len() + entry.message_deduplication_id.len() + beside
}

/// One result of a batch.
pub(crate) fn send_result(result: v1::SendResult) -> Result<Sent, Error> {
    match result.outcome {
        Some(v1::send_result::Outcome::Accepted(accepted)) => Ok(accepted.into()),
        Some(v1::send_result::Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
        None => Err(Error::protocol("a SendResult without an outcome")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_id_is_the_hexadecimal_sha_256_of_the_body() {
        assert_eq!(content_id(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_named_id_overrides_the_computed_one() {
        let entry = Message::new("g", "body").deduplication_id("mine").into_entry(content_id);
        assert_eq!(entry.message_deduplication_id, "mine");
        let entry = Message::new("g", "body").into_entry(content_id);
        assert_eq!(entry.message_deduplication_id, content_id(b"body"));
    }
}
