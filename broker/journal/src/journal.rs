//! The seam: what any journal must do. Small on purpose, so that a replicated journal can stand behind it one day.
//! No implementation lives here.

use bytes::Bytes;

use crate::error::{AppendError, ReadError};
use crate::frame::{Frame, FrameNumber, JournalId, KeptFrame, Position, Replayed};

/// A sequence of durable frames with one owner, the journal thread, and at most one whole checkpoint: a state in slices
/// that stands for all events up to the frame it covers. Frames that it covers may be released; until then they are kept
/// for their bodies (H6).
pub trait Journal: Send + 'static {
    /// What reads the bodies, from any thread.
    type Reader: BodyReader;

    /// The identity of this journal: random at creation, the same at every later opening.
    fn identity(&self) -> JournalId;

    /// The last frame that is durable here; `None` in a fresh journal.
    fn last(&self) -> Option<FrameNumber>;

    /// The frame that the newest whole, durable checkpoint covers; `None` while there is none.
    fn checkpointed(&self) -> Option<FrameNumber>;

    /// Appends a frame and removes those named in `release`. `Ok` means: the frame survives a power cut. Released frames
    /// may be gone from then on, and may be there again after a restart; their bodies are read as
    /// [`ReadError::Missing`]. One that is not there any more may be named again.
    ///
    /// `number` must be the one after [`Journal::last`]. A frame is at most [`crate::MAX_FRAME_BYTES`] with its header.
    /// Only frames up to [`Journal::checkpointed`] may be released: any other name fails the append for good.
    ///
    /// # Errors
    /// [`AppendError::Fenced`]: another number is due; nothing was written. [`AppendError::Failed`]: the outcome is
    /// unknown, and every later append fails too: the process must end and start again (H4).
    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError>;

    /// Stores the next slice of a checkpoint that covers every frame up to `covers`: at most
    /// [`crate::MAX_SLICE_BYTES`], in order, between appends. With `last` the checkpoint is whole: once that returned
    /// `Ok` it is durable, [`Journal::checkpointed`] says so, and the one before is dropped. Until then the one before
    /// counts; an unfinished one is discarded when the journal is opened.
    ///
    /// `covers` is at most [`Journal::last`], above [`Journal::checkpointed`], and the same for all slices.
    ///
    /// # Errors
    /// [`AppendError::Failed`]: the slice breaks a rule above, or the outcome is unknown; as after a failed append,
    /// nothing more is taken.
    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError>;

    /// A reader of bodies; it sees every frame whose append returned `Ok`.
    fn reader(&self) -> Self::Reader;

    /// What a start needs, in order: the slices of the newest whole checkpoint, if there is one, then every frame after
    /// the one it covers, to the last, without a gap. Each is verified: a slice whole, a frame by its header, its events,
    /// its place in the chain, and that all of its bodies exist (their bytes are verified on read, H6).
    ///
    /// The first error is the last item: nothing after a doubt is handed out.
    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>>;

    /// The frames up to [`Journal::checkpointed`] that are still held for their bodies, in order. No body is read.
    ///
    /// An error names a frame whose bodies cannot be found, because its header is damaged; the others follow it.
    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>>;

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
