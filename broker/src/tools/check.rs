//! Verifies a journal whole: it opens, every frame after the checkpoint is decoded, the state replays and holds its
//! invariants, and every body that is there is read. It does to the directory what a start does, and no more.

use std::path::Path;

use lockstep_journal::{BodyReader, FrameNumber, Journal, Position};

use super::{ToolError, kind_of, past::Needed, past::digest};
use crate::{
    recovery::{Follow, recover},
    start::{OnJournal, open_journal},
};

/// So many damaged places are named.
const NAMED: usize = 20;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// `sled` or `segments`.
    pub kind: String,
    /// The journal's identity.
    pub journal: String,
    /// The frame that the checkpoint covers.
    pub checkpoint: Option<u64>,
    /// The last frame.
    pub last: Option<u64>,
    /// Frames after the checkpoint.
    pub frames: u64,
    /// Covered frames that are kept for their bodies.
    pub kept: u64,
    /// Bodies that were read and are whole.
    pub bodies: u64,
    /// Queues of the state.
    pub queues: u64,
    /// Messages of the state.
    pub messages: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The digest of the state (see [`super::state_digest`]).
    pub digest: String,
    /// Damaged or missing bodies, 20 at most; each with who needs it, if anyone does.
    pub damage: Vec<String>,
    /// How many there are.
    pub damaged: u64,
}

impl Checked {
    /// Whether everything is whole.
    #[must_use]
    pub const fn ok(&self) -> bool {
        self.damaged == 0
    }
}

/// Verifies the journal in a directory.
///
/// # Errors
/// [`ToolError`]: the first doubt of a start, by its place. Damaged bodies are no error of a start; they are listed.
pub fn check(directory: &Path) -> Result<Checked, ToolError> {
    let kind = kind_of(directory)?;
    let mut checked = open_journal(directory, kind, Check)??;
    checked.kind = kind.to_string();
    Ok(checked)
}

struct Check;

impl OnJournal for Check {
    type Out = Result<Checked, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        let recovered = recover(&journal, Follow::No)?;
        let needed = Needed::of(&recovered.engine);
        let checkpoint = journal.checkpointed();
        let mut checked = Checked {
            kind: String::new(),
            journal: journal.identity().to_string(),
            checkpoint: checkpoint.map(|frame| frame.0),
            last: recovered.last_frame,
            frames: 0,
            kept: 0,
            bodies: 0,
            queues: needed.queues.len() as u64,
            messages: needed.messages,
            bytes: journal.stored_bytes(),
            digest: digest(&recovered.engine),
            damage: Vec::new(),
            damaged: 0,
        };
        let mut kept = std::collections::BTreeMap::new();
        for frame in journal.kept() {
            match frame {
                Ok(frame) => drop(kept.insert(frame.number, frame.bodies)),
                Err(error) => checked.note(error.to_string()),
            }
        }
        checked.kept = kept.len() as u64;
        for replayed in journal.replay() {
            if let Ok(lockstep_journal::Replayed::Frame(frame)) = replayed {
                checked.frames += 1;
                kept.insert(frame.number, frame.bodies);
            }
        }
        let reader = journal.reader();
        for (frame, bodies) in &kept {
            for index in 0..*bodies {
                checked.body(&reader, &needed, *frame, index);
            }
        }
        for position in needed
            .bodies
            .keys()
            .filter(|position| kept.get(&FrameNumber(position.frame)).is_none_or(|bodies| position.index >= *bodies))
        {
            checked.body(&reader, &needed, FrameNumber(position.frame), position.index);
        }
        match journal.close() {
            Ok(()) => Ok(checked),
            Err(error) => Err(ToolError::Lost(error.to_string())),
        }
    }
}

impl Checked {
    fn body(&mut self, reader: &impl BodyReader, needed: &Needed, frame: FrameNumber, index: u32) {
        let Err(error) = reader.read(Position { frame, index }) else {
            self.bodies += 1;
            return;
        };
        let place = lockstep_engine::words::Position { frame: frame.0, index };
        let of = needed.bodies.get(&place).map_or_else(
            || "nobody needs it".to_owned(),
            |holder| format!("it is the body of {}", needed.name(holder)),
        );
        self.note(format!("{error}; {of}"));
    }

    fn note(&mut self, damage: String) {
        self.damaged += 1;
        if self.damage.len() < NAMED {
            self.damage.push(damage);
        }
    }
}
