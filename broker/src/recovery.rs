//! From the frames of a journal to an engine. There is no special path: every frame is decoded and evolved, the
//! invariants are checked, and any doubt is refused with its place named; nothing is dropped or repaired here.

use lockstep_engine::Engine;
use lockstep_journal::{Journal, ReadError, ReplayedFrame};

use crate::codec::{CodecError, decode_frame};

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
    let mut last_frame = None;
    for frame in journal.replay() {
        let after = last_frame.unwrap_or(0);
        let ReplayedFrame { number, events, .. } =
            frame.map_err(|source| RecoveryError::Unreadable { after, source })?;
        if last_frame.is_some() && number.0 != after + 1 {
            return Err(RecoveryError::Gap { after, found: number.0 });
        }
        decode_frame(number.0, events)?.iter().for_each(|event| engine.evolve(event));
        last_frame = Some(number.0);
    }
    let last = last_frame.unwrap_or(0);
    engine.check().map_err(|violation| RecoveryError::Inconsistent { last, violation })?;
    Ok(Recovered { engine, last_frame })
}
