//! Shows what a journal holds, in order: the pieces of its checkpoint, then frame by frame the events, in words that a
//! person can read. Bodies only when they are asked for.

use std::path::Path;

use lockstep_journal::{BodyReader, FrameNumber, Journal, Position, Replayed};

use super::{ToolError, kind_of};
use crate::{
    codec::{decode_frame, decode_message},
    recovery::RecoveryError,
    start::{OnJournal, open_journal},
};

/// One thing that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A slice of the checkpoint.
    Slice {
        /// The frame that the checkpoint covers.
        covers: u64,
        /// Which slice, from 0.
        slice: u64,
        /// The pieces of the state.
        events: Vec<String>,
    },
    /// A frame.
    Frame {
        /// Its number.
        frame: u64,
        /// Its events.
        events: Vec<String>,
        /// How many bodies it has.
        bodies: u32,
        /// Them, as far as they are text, where they were asked for.
        texts: Vec<String>,
    },
}

/// What is to be shown, and to whom.
pub struct Dumped<F> {
    /// The first frame to be shown; the checkpoint is shown only when it is absent or 0.
    pub from: u64,
    /// Whether bodies are shown.
    pub bodies: bool,
    /// Takes one thing after the other; `false` ends it.
    pub each: F,
}

/// Shows the journal in a directory.
///
/// # Errors
/// [`ToolError`]: the first doubt of a start, by its place; what came before was shown.
pub fn dump<F: FnMut(Shown) -> bool>(directory: &Path, dumped: Dumped<F>) -> Result<(), ToolError> {
    let kind = kind_of(directory)?;
    open_journal(directory, kind, dumped)?
}

impl<F: FnMut(Shown) -> bool> OnJournal for Dumped<F> {
    type Out = Result<(), ToolError>;

    fn run<J: Journal>(mut self, journal: J) -> Self::Out {
        let covers = journal.checkpointed().map_or(0, |frame| frame.0);
        let (mut after, mut slice) = (covers, 0);
        let reader = journal.reader();
        let words = |frame, events| -> Result<Vec<String>, ToolError> {
            let events = decode_frame(frame, events).map_err(RecoveryError::Undecodable)?;
            Ok(events.iter().map(|event| format!("{event:?}")).collect())
        };
        for replayed in journal.replay() {
            let shown = match replayed.map_err(|source| RecoveryError::Unreadable { after, source })? {
                Replayed::Slice(_) if self.from > 0 => continue,
                Replayed::Slice(events) => {
                    slice += 1;
                    Shown::Slice { covers, slice: slice - 1, events: words(covers, events)? }
                }
                Replayed::Frame(frame) => {
                    after = frame.number.0;
                    if after < self.from {
                        continue;
                    }
                    let shown = if self.bodies { frame.bodies } else { 0 };
                    let texts = (0..shown).map(|index| text(&reader, frame.number, index)).collect();
                    Shown::Frame { frame: after, events: words(after, frame.events)?, bodies: frame.bodies, texts }
                }
            };
            if !(self.each)(shown) {
                break;
            }
        }
        journal.close().map_err(|error| ToolError::Lost(error.to_string()))
    }
}

/// A body as text; a stored value is no message and is shown as it is.
fn text(reader: &impl BodyReader, frame: FrameNumber, index: u32) -> String {
    match reader.read(Position { frame, index }) {
        Ok(body) => {
            let body = decode_message(body.clone()).map_or(body, |message| message.body);
            String::from_utf8_lossy(&body).into_owned()
        }
        Err(error) => format!("<{error}>"),
    }
}
