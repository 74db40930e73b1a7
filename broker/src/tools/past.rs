//! What a journal's past comes to, for the tools: the engine, and which bodies it still needs, by whom. Damage may end
//! it early where that is wanted; nothing is changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use lockstep_engine::{
    Engine, Event,
    event::Restored,
    words::{GroupId, Position, QueueGeneration, QueueName, ReaderId, SequenceNumber, ValueKey},
};
use lockstep_journal::{self as journal, BodyReader, Frame, FrameNumber, Journal, JournalId, ReadError};
use sha2::{Digest, Sha256};

use crate::{follower::slices, identity::hex};

/// Who needs a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Message { queue: QueueGeneration, group: GroupId, sequence: SequenceNumber },
    Value { queue: QueueGeneration, reader: ReaderId, group: Option<GroupId>, key: ValueKey },
    Other,
}

/// Every body that an engine needs, by its place; and the queues' names.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) bodies: BTreeMap<Position, Holder>,
    pub(super) queues: BTreeMap<QueueGeneration, QueueName>,
    pub(super) messages: u64,
}

impl Needed {
    pub(super) fn of(engine: &Engine) -> Self {
        let mut needed = Self::default();
        for event in engine.distilled() {
            let Event::Restored(piece) = event else { continue };
            if let Restored::Queue { queue, name, .. } = &*piece {
                needed.queues.insert(*queue, name.clone());
            }
            if let Restored::Message { queue, sequence, group, body, .. } = *piece {
                needed.messages += 1;
                needed.bodies.insert(body.position, Holder::Message { queue, group, sequence });
            } else if let Restored::Value { queue, reader, group, key, body } = *piece {
                needed.bodies.insert(body.position, Holder::Value { queue, reader, group, key });
            }
        }
        // Whoever else names a body: it is kept, by no name.
        for body in engine.bodies() {
            needed.bodies.entry(body.position).or_insert(Holder::Other);
        }
        needed
    }

    /// A holder in words.
    pub(super) fn name(&self, holder: &Holder) -> String {
        let queue_name = |queue: &QueueGeneration| {
            self.queues.get(queue).map_or_else(|| format!("queue {}", queue.0), ToString::to_string)
        };
        match holder {
            Holder::Message { queue, group, sequence } => {
                format!("message #{} of group {group} in {}", sequence.0, queue_name(queue))
            }
            Holder::Value { queue, reader, group, key } => {
                let of = group.as_ref().map_or_else(String::new, |group| format!(" of group {group}"));
                format!("value {key}{of} of reader {} of {}", reader.0, queue_name(queue))
            }
            Holder::Other => "a body of the state".to_owned(),
        }
    }
}

/// Reads one body.
pub(super) fn read(reader: &impl BodyReader, position: Position) -> Result<Bytes, ReadError> {
    reader.read(journal::Position { frame: FrameNumber(position.frame), index: position.index })
}

/// What a journal that is made anew is made of: the state in slices, and the needed bodies in their frames.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) identity: JournalId,
    pub(super) covers: FrameNumber,
    pub(super) slices: Vec<Bytes>,
    pub(super) needed: Needed,
}

impl Contents {
    pub(super) fn of(engine: &Engine, identity: JournalId, covers: FrameNumber) -> Self {
        Self { identity, covers, slices: slices(engine), needed: Needed::of(engine) }
    }

    /// The frames that hold needed bodies, in order; each is read when it is its turn. What is not needed of a frame is
    /// left out: its place is empty.
    pub(super) fn frames<'a>(
        &'a self,
        reader: &'a impl BodyReader,
    ) -> impl Iterator<Item = (FrameNumber, Result<Frame, String>)> + 'a {
        let mut rest = self.needed.bodies.iter().peekable();
        std::iter::from_fn(move || {
            let number = rest.peek()?.0.frame;
            let mut frame = Ok(Frame::default());
            while let Some((position, holder)) = rest.next_if(|(position, _)| position.frame == number) {
                match (&mut frame, read(reader, *position)) {
                    (Ok(Frame { bodies, .. }), Ok(body)) => {
                        bodies.resize(position.index as usize, Bytes::new());
                        bodies.push(body);
                    }
                    (Ok(_), Err(error)) => frame = Err(format!("{}: {error}", self.needed.name(holder))),
                    (Err(_), _) => {}
                }
            }
            Some((FrameNumber(number), frame))
        })
    }
}

/// The state of an engine as a checkpoint holds it.
fn slices(engine: &Engine) -> Vec<Bytes> {
    slices::cut(engine.distilled()).map(|slice| slice.bytes).collect()
}

/// A digest of a state: equal for equal states, whatever journal they came from.
pub(super) fn digest(engine: &Engine) -> String {
    let mut hash = Sha256::new();
    for slice in slices(engine) {
        hash.update(&slice);
    }
    hex(&hash.finalize())
}

/// The digest of the state that a journal replays to: lower-case hexadecimal SHA-256 of its distilled events, as they are
/// encoded. With it a journal of an older release is known to mean the same today.
///
/// # Errors
/// [`super::ToolError`], as a start.
pub fn state_digest(directory: &std::path::Path) -> Result<String, super::ToolError> {
    struct Digest;
    impl crate::start::OnJournal for Digest {
        type Out = Result<String, super::ToolError>;
        fn run<J: Journal>(self, journal: J) -> Self::Out {
            Ok(digest(&crate::recovery::recover(&journal, crate::recovery::Follow::No)?.engine))
        }
    }
    crate::start::open_journal(directory, super::kind_of(directory)?, Digest)?
}
