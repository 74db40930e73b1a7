//! The words of the journal: what a frame is, what it is called, and where a body lies.
//! Values only: no encoding (see `encoding`), no input or output.

use std::fmt;

use bytes::Bytes;

/// The number of a frame. Dense: the first frame is 1 and each next one is exactly one more, chosen by the caller,
/// so that the place of a body is known before its frame is on disk (H4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FrameNumber(pub u64);

impl FrameNumber {
    /// The number of the first frame of every journal.
    pub const FIRST: Self = Self(1);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number that must follow `last`; the first frame of all when there is none.
    #[must_use]
    pub const fn after(last: Option<Self>) -> Self {
        match last {
            Some(last) => last.next(),
            None => Self::FIRST,
        }
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The identity of one journal: random at creation, durable, and part of every frame, so that files of two journals
/// cannot be mixed unnoticed. Message ids are derived from it (H9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JournalId(pub [u8; 16]);

impl JournalId {
    /// A fresh random identity, drawn from the operating system.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_bytes(self.0).hyphenated())
    }
}

/// One frame to append: encoded events, and the bodies that these events place at (frame number, index).
///
/// Either part may be empty. All of it together, with its header, is at most [`crate::MAX_FRAME_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// The events, encoded by the caller; opaque here.
    pub events: Bytes,
    /// The bodies, in the order of their index.
    pub bodies: Vec<Bytes>,
}

impl Frame {
    /// How many bytes a journal stores for it, with its header.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        let bodies: usize = self.bodies.iter().map(Bytes::len).sum();
        (crate::encoding::header_bytes(self.bodies.len()) + self.events.len() + bodies) as u64
    }
}

/// A frame as a start reads it again: its events whole and verified, its bodies only counted (H6: bodies are verified
/// when they are read).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayedFrame {
    /// The number of the frame.
    pub number: FrameNumber,
    /// The events as they were appended.
    pub events: Bytes,
    /// How many bodies the frame holds: their indexes are `0..bodies`.
    pub bodies: u32,
    /// How many bytes the frame has, with its header: what its release gives back.
    pub bytes: u64,
}

/// What a start reads, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// The next slice of the checkpoint, as it was given.
    Slice(Bytes),
    /// The next frame after the one that the checkpoint covers; the first of all when there is no checkpoint.
    Frame(ReplayedFrame),
}

/// A frame that a checkpoint covers and that is still held for its bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptFrame {
    /// The number of the frame.
    pub number: FrameNumber,
    /// How many bodies the frame holds: their indexes are `0..bodies`.
    pub bodies: u32,
    /// How many bytes the frame has, with its header and its events: what its release gives back.
    pub bytes: u64,
}

/// The place of one body: the frame that carries it and its index there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The frame that carries the body.
    pub frame: FrameNumber,
    /// The index of the body in [`Frame::bodies`].
    pub index: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {}, body {}", self.frame, self.index)
    }
}
