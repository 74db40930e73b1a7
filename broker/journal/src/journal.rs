//! The seam: what any journal must do. Small on purpose, so that a replicated journal can stand behind it one day.
//! No implementation lives here.

use bytes::Bytes;

use crate::error::{AppendError, ReadError};
use crate::frame::{Frame, FrameNumber, JournalId, Position, ReplayedFrame};

/// A sequence of durable frames with one owner, the journal thread.
pub trait Journal: Send + 'static {
    /// What reads the bodies, from any thread.
    type Reader: BodyReader;

    /// The identity of this journal: random at creation, the same at every later opening.
    fn identity(&self) -> JournalId;

    /// The last frame that is durable here; `None` in a fresh journal.
    fn last(&self) -> Option<FrameNumber>;

    /// Appends a frame and removes those named in `release`, both or neither. `Ok` means: survives a power cut.
    ///
    /// `number` must be the one after [`Journal::last`]. A frame is at most [`crate::MAX_FRAME_BYTES`] with its header.
    /// Until checkpoints exist nothing can tell a released frame from a lost one, so every journal answers a `release`
    /// that is not empty with [`AppendError::Failed`].
    ///
    /// # Errors
    /// [`AppendError::Fenced`]: another number is due; nothing was written. [`AppendError::Failed`]: the outcome is
    /// unknown, and every later append fails too: the process must end and start again (H4).
    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError>;

    /// A reader of bodies; it sees every frame whose append returned `Ok`.
    fn reader(&self) -> Self::Reader;

    /// Every frame from the first to the last, in order, each verified: its header, its events, its place in the chain,
    /// and that all of its bodies exist (their bytes are verified on read, H6).
    ///
    /// The first error is the last item: nothing after a doubt is handed out.
    fn replay(&self) -> impl Iterator<Item = Result<ReplayedFrame, ReadError>>;

    /// The bytes that the journal occupies, to be held against the limit of the backlog (H5). For a journal on disk the
    /// length of its files, which is more than what was appended; cheap enough to ask every turn.
    fn stored_bytes(&self) -> u64;

    /// Ends cleanly. Leaves the mark that spares the next start the rewrite of the files (H7). Dropping a journal
    /// instead is safe, only slower at the next start. Readers answer [`ReadError::Closed`] from here on.
    ///
    /// # Errors
    /// [`AppendError::Failed`]: the mark was not left; every acknowledged frame is as durable as before.
    fn close(self) -> Result<(), AppendError>;
}

/// Reads single bodies by their place, from any thread, while frames are appended.
pub trait BodyReader: Clone + Send + Sync + 'static {
    /// The body at `position`, verified against its checksum.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when there is no such frame or no such body in it, [`ReadError::Damaged`] when the bytes
    /// are not those that were appended (the body's group stops, H6), [`ReadError::Closed`] after the journal's end.
    fn read(&self, position: Position) -> Result<Bytes, ReadError>;
}
