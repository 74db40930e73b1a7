//! From a journal to an engine. There is no special path: checkpoint and frames are decoded and evolved alike, the
//! invariants are checked, and any doubt is refused with its place named; nothing is dropped or repaired here.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use lockstep_engine::{Engine, Event};
use lockstep_journal::{Journal, KeptFrame, ReadError, Replayed, ReplayedFrame};

use crate::{
    codec::{CodecError, decode_frame},
    facts::fresh_bodies,
    follower::{
        Followed,
        held::{Held, Missing},
    },
    recent::{self, Ring},
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
    /// What the follower begins with, if there is to be one.
    pub(crate) followed: Option<Followed>,
    /// What happened in the frames behind the checkpoint.
    pub(crate) recent: Ring,
}

/// Whether a second engine is made for the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// None.
    No,
    /// On a thread of its own at the same time.
    Beside,
    /// In the same thread, for a simulation.
    InLine,
}

/// Replays a journal, with a second engine or without.
///
/// # Errors
/// [`RecoveryError`] names the place of the first doubt.
pub(crate) fn recover<J: Journal>(journal: &J, follow: Follow) -> Result<Recovered, RecoveryError> {
    let began = Instant::now();
    thread::scope(|scope| {
        let mut copy = match follow {
            Follow::No => None,
            Follow::Beside => Some(Copy::start(scope)),
            Follow::InLine => Some(Copy::InLine(Box::default())),
        };
        let mut replay = Replay::new(journal.checkpointed().map(|covers| covers.0));
        let mut recent = Ring::after(replay.covered);
        let mut told = Vec::new();
        for replayed in journal.replay() {
            let events = replay.take(replayed)?;
            let frame = replay.last_frame.unwrap_or(0);
            for event in &events {
                if copy.is_some() {
                    recent::tell(event, &replay.engine, frame, &mut told);
                }
                replay.engine.evolve(event);
            }
            recent.note(frame, &mut told);
            if let Some(copy) = &mut copy {
                copy.evolve(events);
            }
        }
        let held = replay.held(journal);
        let Replay { engine, last_frame, covered, checkpoint_bytes, tail_bytes, frames, .. } = replay;
        let last = last_frame.unwrap_or(0);
        engine.check().map_err(|violation| RecoveryError::Inconsistent { last, violation })?;
        let milliseconds = began.elapsed().as_millis();
        tracing::info!(last, covered, checkpoint_bytes, frames, tail_bytes, milliseconds, "the journal was replayed");
        let followed = copy.map(|copy| {
            let engine = copy.finish();
            Followed { engine, held, last, covered, checkpoint_bytes, tail_bytes }
        });
        Ok(Recovered { engine, last_frame, followed, recent })
    })
}

/// The replay, as far as it has come.
struct Replay {
    engine: Engine,
    last_frame: Option<u64>,
    covered: u64,
    slices: usize,
    checkpoint_bytes: u64,
    frames: u64,
    tail_bytes: u64,
    tail: Held,
}

impl Replay {
    fn new(covers: Option<u64>) -> Self {
        Self {
            engine: Engine::new(),
            last_frame: covers,
            covered: covers.unwrap_or(0),
            slices: 0,
            checkpoint_bytes: 0,
            frames: 0,
            tail_bytes: 0,
            tail: Held::default(),
        }
    }

    /// The events of what comes next, if nothing speaks against them.
    fn take(&mut self, replayed: Result<Replayed, ReadError>) -> Result<Vec<Event>, RecoveryError> {
        let after = self.last_frame.unwrap_or(0);
        match replayed.map_err(|source| RecoveryError::Unreadable { after, source })? {
            Replayed::Frame(frame) => self.take_frame(after, frame),
            Replayed::Slice(slice) => {
                let failed = |source| RecoveryError::Checkpoint { covers: after, slice: self.slices, source };
                self.checkpoint_bytes += slice.len() as u64;
                let events = decode_frame(after, slice).map_err(failed)?;
                self.slices += 1;
                Ok(events)
            }
        }
    }

    fn take_frame(&mut self, after: u64, frame: ReplayedFrame) -> Result<Vec<Event>, RecoveryError> {
        let ReplayedFrame { number, events, bodies, bytes } = frame;
        if self.last_frame.is_some() && number.0 != after + 1 {
            return Err(RecoveryError::Gap { after, found: number.0 });
        }
        self.tail_bytes += events.len() as u64;
        let events = decode_frame(number.0, events)?;
        for event in &events {
            if let Some(index) = fresh_bodies(event, number.0).find(|index| *index >= bodies) {
                return Err(RecoveryError::BodyMissing { frame: number.0, index, bodies });
            }
        }
        self.last_frame = Some(number.0);
        self.frames += 1;
        self.tail.add(number.0, bodies, bytes);
        Ok(events)
    }

    /// Everything that the journal holds. A body that is named and not held stops its group when it is read, nothing
    /// else; here it is only said (H6).
    fn held<J: Journal>(&mut self, journal: &J) -> Held {
        let mut held = std::mem::take(&mut self.tail);
        for kept in journal.kept() {
            match kept {
                Ok(KeptFrame { number, bodies, bytes }) => held.add(number.0, bodies, bytes),
                Err(error) => tracing::error!(%error, "a frame is damaged: the groups of its messages will stop"),
            }
        }
        if let Some(Missing { first, count }) = held.missing(self.engine.bodies()) {
            tracing::error!(
                frame = first.frame,
                body = first.index,
                count,
                "messages or values name bodies that the journal does not hold: their groups will stop"
            );
        }
        held
    }
}

/// A second engine that evolves as the first one does.
enum Copy<'scope> {
    /// On a thread; a few frames at most lie between them.
    Beside {
        events: SyncSender<Vec<Event>>,
        thread: ScopedJoinHandle<'scope, Engine>,
    },
    InLine(Box<Engine>),
}

impl<'scope> Copy<'scope> {
    fn start(scope: &'scope thread::Scope<'scope, '_>) -> Self {
        let (events_in, events) = sync_channel::<Vec<Event>>(4);
        let thread = scope.spawn(move || {
            let mut engine = Engine::new();
            events.iter().flatten().for_each(|event| engine.evolve(&event));
            engine
        });
        Self::Beside { events: events_in, thread }
    }

    fn evolve(&mut self, new: Vec<Event>) {
        match self {
            Self::Beside { events, .. } => {
                events.send(new).expect("it evolves what the first engine did without a panic");
            }
            Self::InLine(engine) => new.iter().for_each(|event| engine.evolve(event)),
        }
    }

    fn finish(self) -> Engine {
        match self {
            Self::Beside { events, thread } => {
                drop(events);
                thread.join().expect("it evolves what the first engine did without a panic")
            }
            Self::InLine(engine) => *engine,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lockstep_engine::{
        Event,
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
            Event::QueueCreated { queue, name, attributes: Box::default(), at },
            Event::MessageSent { queue, sequence, group, key, key_expires_at, body, at, delayed_until },
        ]
    }

    #[test]
    fn a_body_that_its_frame_does_not_hold_is_refused() {
        let error = recover(&journal(&sent(), Vec::new()), Follow::Beside).expect_err("no body");
        assert!(matches!(error, RecoveryError::BodyMissing { frame: 1, index: 0, bodies: 0 }), "{error}");
        recover(&journal(&sent(), vec![Bytes::from_static(b"x")]), Follow::InLine).expect("whole");
    }

    #[test]
    fn bytes_that_are_no_events_are_refused_with_their_frame() {
        let mut journal = MemoryJournal::new();
        let frame = Frame { events: Bytes::from_static(b"\xff"), bodies: Vec::new() };
        journal.append(FrameNumber::FIRST, &frame, &[]).expect("opaque to the journal");
        let error = recover(&journal, Follow::Beside).expect_err("garbage").to_string();
        assert!(error.contains("frame 1"), "{error}");
    }
}
