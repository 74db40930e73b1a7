//! From a journal to an engine. There is no special path: checkpoint and frames are decoded and evolved alike, the
//! invariants are checked, and any doubt is refused with its place named; nothing is dropped or repaired here.

use lockstep_engine::Engine;
use lockstep_journal::{Journal, ReadError, Replayed, ReplayedFrame};

use crate::{
    codec::{CodecError, decode_frame},
    facts::fresh_bodies,
};

/// Why a journal does not give an engine.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A frame could not be read.
    #[error("the journal cannot be read after frame {after}: {source}")]
    Unreadable {
        /// The last good frame; 0 before the first.
        after: u64,
        /// What the journal says.
        source: ReadError,
    },
    /// A frame is missing.
    #[error("the journal goes from frame {after} to frame {found}: what lay between is lost")]
    Gap {
        /// The last good frame.
        after: u64,
        /// The frame that followed.
        found: u64,
    },
    /// A frame's events are not of this version.
    #[error(transparent)]
    Undecodable(#[from] CodecError),
    /// A slice of the checkpoint is not of this version.
    #[error("slice {slice} of the checkpoint of frame {covers}: {source}")]
    Checkpoint {
        /// The frame that the checkpoint covers.
        covers: u64,
        /// The slice, from 0.
        slice: usize,
        /// What is wrong.
        source: CodecError,
    },
    /// An event names a body that its frame does not hold.
    #[error("frame {frame} holds {bodies} bodies, and its events name body {index}")]
    BodyMissing {
        /// The frame.
        frame: u64,
        /// The index that is named.
        index: u32,
        /// How many there are.
        bodies: u32,
    },
    /// The replayed state contradicts itself.
    #[error("the state after frame {last} violates an invariant: {violation}")]
    Inconsistent {
        /// The last frame.
        last: u64,
        /// Which one.
        violation: String,
    },
}

/// What a journal's past comes to.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The engine after every frame.
    pub(crate) engine: Engine,
    /// The newest frame; absent in a new journal.
    pub(crate) last_frame: Option<u64>,
}

/// Replays a journal.
///
/// # Errors
/// [`RecoveryError`] names the place of the first doubt.
pub(crate) fn recover<J: Journal>(journal: &J) -> Result<Recovered, RecoveryError> {
    let mut engine = Engine::new();
    let covers = journal.checkpointed().map(|covers| covers.0);
    let mut last_frame = covers;
    let mut slices = 0;
    for replayed in journal.replay() {
        let after = last_frame.unwrap_or(0);
        let replayed = replayed.map_err(|source| RecoveryError::Unreadable { after, source })?;
        let ReplayedFrame { number, events, bodies } = match replayed {
            Replayed::Frame(frame) => frame,
            Replayed::Slice(slice) => {
                let failed = |source| RecoveryError::Checkpoint { covers: after, slice: slices, source };
                decode_frame(after, slice).map_err(failed)?.iter().for_each(|event| engine.evolve(event));
                slices += 1;
                continue;
            }
        };
        if last_frame.is_some() && number.0 != after + 1 {
            return Err(RecoveryError::Gap { after, found: number.0 });
        }
        for event in decode_frame(number.0, events)? {
            if let Some(index) = fresh_bodies(&event, number.0).find(|index| *index >= bodies) {
                return Err(RecoveryError::BodyMissing { frame: number.0, index, bodies });
            }
            engine.evolve(&event);
        }
        last_frame = Some(number.0);
    }
    let last = last_frame.unwrap_or(0);
    engine.check().map_err(|violation| RecoveryError::Inconsistent { last, violation })?;
    Ok(Recovered { engine, last_frame })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lockstep_engine::{
        Attributes, Event,
        words::{
            ActiveTime, BodyRef, DeduplicationKey, GroupId, Position, QueueGeneration, QueueName, SequenceNumber,
            Timestamp,
        },
    };
    use lockstep_journal::{Frame, FrameNumber, MemoryJournal};

    use super::*;
    use crate::codec::EventBuffer;

    fn journal(events: &[Event], bodies: Vec<Bytes>) -> MemoryJournal {
        let mut buffer = EventBuffer::default();
        events.iter().for_each(|event| buffer.push(event));
        let mut journal = MemoryJournal::new();
        journal.append(FrameNumber::FIRST, &Frame { events: buffer.finish(), bodies }, &[]).expect("appended");
        journal
    }

    fn sent() -> [Event; 2] {
        let (queue, at) = (QueueGeneration(1), Timestamp(5));
        let name = QueueName::parse("q.fifo").expect("a name");
        let body = BodyRef { position: Position { frame: 1, index: 0 }, size: 1 };
        let (sequence, group) = (SequenceNumber(1), GroupId::parse("g").expect("a group"));
        let delayed_until = None;
        let (key, key_expires_at) = (DeduplicationKey([0; 16]), ActiveTime(300_005));
        [
            Event::QueueCreated { queue, name, attributes: Attributes::default(), at },
            Event::MessageSent { queue, sequence, group, key, key_expires_at, body, at, delayed_until },
        ]
    }

    #[test]
    fn a_body_that_its_frame_does_not_hold_is_refused() {
        let error = recover(&journal(&sent(), Vec::new())).expect_err("no body");
        assert!(matches!(error, RecoveryError::BodyMissing { frame: 1, index: 0, bodies: 0 }), "{error}");
        recover(&journal(&sent(), vec![Bytes::from_static(b"x")])).expect("whole");
    }

    #[test]
    fn bytes_that_are_no_events_are_refused_with_their_frame() {
        let mut journal = MemoryJournal::new();
        let frame = Frame { events: Bytes::from_static(b"\xff"), bodies: Vec::new() };
        journal.append(FrameNumber::FIRST, &frame, &[]).expect("opaque to the journal");
        let error = recover(&journal).expect_err("garbage").to_string();
        assert!(error.contains("frame 1"), "{error}");
    }
}
