//! A claim's options and contents (B6): what is asked for, and how it is read back whole or in pieces.

use std::time::Duration;

use lockstep_proto::v1;
use tonic::Streaming;

use crate::{Client, Error, attributes::seconds};

/// What a claim may take. It is a prefix of free groups: at most 1,000 groups, at least one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimOptions {
    /// 1 to 10,000; 0 means 1,000.
    pub max_messages: u32,
    /// Up to 64 MiB of bodies; 0 means 1 MiB.
    pub max_bytes: u64,
    /// How long to wait for a first message: 0 to 20 s, in whole seconds, parts rounded up.
    pub wait: Duration,
    /// Prefer to answer with at least so many messages; 0 means 1.
    pub min_messages: u32,
    /// How long the first message may wait for `min_messages`, within `wait`; in whole milliseconds.
    pub linger: Duration,
}

impl ClaimOptions {
    pub(crate) fn request(&self) -> v1::ClaimRequest {
        v1::ClaimRequest {
            max_messages: self.max_messages,
            max_bytes: self.max_bytes,
            wait_seconds: seconds(self.wait),
            min_messages: self.min_messages,
            linger_ms: u32::try_from(self.linger.as_millis()).unwrap_or(u32::MAX),
            ..v1::ClaimRequest::default()
        }
    }
}

/// One part of a claim for readers that share it; each group is in exactly one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 0.
    pub index: u32,
    /// How many shards there are, at least 1.
    pub of: u32,
}

impl Shard {
    /// The whole claim as one shard.
    pub const WHOLE: Shard = Shard { index: 0, of: 1 };
}

/// A whole claim in memory: up to its bytes limit, 64 MiB at most, and its groups' values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimContents {
    /// The stored values of the claim's groups, which only this claim can change.
    pub values: Vec<v1::StoredValue>,
    /// In sequence order.
    pub messages: Vec<v1::ClaimedMessage>,
}

/// One piece of a claim as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimItem {
    /// A stored value of one of the claim's groups; all of them come before the first message.
    Value(v1::StoredValue),
    /// A message, in sequence order.
    Message(v1::ClaimedMessage),
}

/// A claim being read (B6). It checks what the API promises: values first, sequence numbers rising.
#[derive(Debug)]
pub struct ClaimStream {
    client: Client,
    stream: Streaming<v1::ReadClaimResponse>,
    values: std::vec::IntoIter<v1::StoredValue>,
    messages: std::vec::IntoIter<v1::ClaimedMessage>,
    last_sequence_number: u64,
}

impl ClaimStream {
    pub(crate) fn new(client: Client, stream: Streaming<v1::ReadClaimResponse>) -> Self {
        let (values, messages) = (Vec::new().into_iter(), Vec::new().into_iter());
        ClaimStream { client, stream, values, messages, last_sequence_number: 0 }
    }

    /// The next piece; `None` at the end, and only a stream that came to its end was read whole.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection breaks: read again from the start. [`Error::Refused`] when the
    /// claim was taken over meanwhile. [`Error::Protocol`] when values or messages come out of order.
    pub async fn next(&mut self) -> Result<Option<ClaimItem>, Error> {
        loop {
            if let Some(value) = self.values.next() {
                return Ok(Some(ClaimItem::Value(value)));
            }
            if let Some(message) = self.messages.next() {
                let (last, this) = (self.last_sequence_number, message.sequence_number);
                if this <= last {
                    return Err(Error::Protocol(format!("message {this} of a claim came after message {last}")));
                }
                self.last_sequence_number = this;
                return Ok(Some(ClaimItem::Message(message)));
            }
            let Some(answer) = self.stream.message().await.map_err(|status| self.client.broken(status))? else {
                return Ok(None);
            };
            if self.last_sequence_number > 0 && !answer.values.is_empty() {
                return Err(Error::protocol("a stored value of a claim came after its first message"));
            }
            self.values = answer.values.into_iter();
            self.messages = answer.messages.into_iter();
        }
    }

    /// Everything that is left.
    ///
    /// # Errors
    /// As [`ClaimStream::next`].
    pub async fn collect(mut self) -> Result<ClaimContents, Error> {
        let mut contents = ClaimContents::default();
        while let Some(item) = self.next().await? {
            match item {
                ClaimItem::Value(value) => contents.values.push(value),
                ClaimItem::Message(message) => contents.messages.push(message),
            }
        }
        Ok(contents)
    }
}
