//! A frame's events as bytes and back, in the format of `lockstep.storage.v1`. Encoding is total; decoding refuses
//! whatever this version does not know, and names the place. No event is judged or changed here.

mod aws;
mod decode;
mod encode;
mod producers;
mod redrive;
mod restored;
mod sent;
mod words;

use bytes::Bytes;
use lockstep_engine::Event;
use lockstep_proto::storage as wire;
use prost::Message;

/// The field `events` of `FrameEvents` with wire type 2, as one tag byte.
const EVENTS_TAG: u8 = (1 << 3) | 2;

/// Why the bytes of a frame cannot be its events. The journal's checksums were right, so another version wrote them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame as a whole is not of this format.
    #[error("frame {frame} does not hold events of this version: {fault}")]
    Frame {
        /// The frame's number.
        frame: u64,
        /// What is wrong.
        fault: String,
    },
    /// One event is unknown or malformed.
    #[error("event {index} of frame {frame} is unknown to this version or malformed: {fault}")]
    Event {
        /// The frame's number.
        frame: u64,
        /// The event's index in it, from 0.
        index: usize,
        /// What is wrong.
        fault: String,
    },
}

/// The events of a frame, encoded one by one as they happen, so that a turn knows its size at any time.
#[derive(Debug, Default)]
pub struct EventBuffer {
    bytes: Vec<u8>,
}

/// Gives back the room of a list that expected far more than came.
pub(crate) fn give_back<T>(list: &mut Vec<T>) {
    if list.len() < list.capacity() / 4 {
        list.shrink_to_fit();
    }
}

impl EventBuffer {
    /// An empty one that holds so many bytes before it grows.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Appends one event.
    pub fn push(&mut self, event: &Event) {
        self.bytes.push(EVENTS_TAG);
        // By far the most frequent event, and the one that each message has of its own.
        if !sent::push(&mut self.bytes, event) {
            encode::event(event).encode_length_delimited(&mut self.bytes).expect("a Vec grows as needed");
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Everything from this length on, which was one between two events.
    pub(crate) fn split_off(&mut self, length: usize) -> Self {
        Self { bytes: self.bytes.split_off(length) }
    }

    /// Whether no event was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The encoded `FrameEvents`.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        give_back(&mut self.bytes);
        self.bytes.into()
    }
}

/// The events of frame `frame`.
///
/// # Errors
/// [`CodecError`] names frame, index and fault; nothing is skipped (design §4: doubt is refused).
pub fn decode_frame(frame: u64, bytes: Bytes) -> Result<Vec<Event>, CodecError> {
    let decoded =
        wire::FrameEvents::decode(bytes).map_err(|error| CodecError::Frame { frame, fault: error.to_string() })?;
    let decode = |(index, event)| decode::event(event).map_err(|fault| CodecError::Event { frame, index, fault });
    decoded.events.into_iter().enumerate().map(decode).collect()
}

/// A message's body, and what else the engine does not know of it, as the journal stores it.
#[must_use]
pub fn encode_message(stored: &wire::StoredMessage) -> Bytes {
    stored.encode_to_vec().into()
}

/// A stored message: its body and its deduplication id.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_message(bytes: Bytes) -> Result<wire::StoredMessage, prost::DecodeError> {
    wire::StoredMessage::decode(bytes)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
