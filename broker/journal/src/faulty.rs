//! A journal that fails on purpose, around any other: what the broker does at a failed append is tested with it.
//! It invents no error that the real journals cannot give.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::error::{AppendError, Place, ReadError, unless_failed};
use crate::frame::{Frame, FrameNumber, JournalId, KeptFrame, Position, Replayed};
use crate::journal::{BodyReader, Journal};

/// How the chosen append, or slice of a checkpoint, fails. Each returns [`AppendError::Failed`]; what the next start finds differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The unsynced frame or slice is lost: the next start does not find it.
    Lost,
    /// It was stored, only the answer is an error: the next start finds it.
    Stored,
    /// The frame is torn: the next start finds a part of it, and cuts it (H7). Of a slice a part is left in a checkpoint
    /// that never becomes whole, and the next start discards it.
    Torn,
}

/// A journal that can leave a torn last frame behind, as a power cut does in the middle of a write. For tests.
pub trait TornAppend: Journal {
    /// Stores a part of the frame and fails, as an append does that a power cut interrupts.
    ///
    /// # Errors
    /// Always: [`AppendError::Fenced`] when another number is due, else [`AppendError::Failed`].
    fn append_torn(&mut self, number: FrameNumber, frame: &Frame) -> Result<(), AppendError>;
}

type Tear<J> = fn(&mut J, FrameNumber, &Frame) -> Result<(), AppendError>;

/// Wraps a journal and fails one call of it, append or slice of a checkpoint; after that every one fails (a process never goes on in doubt, H4).
pub struct FaultyJournal<J> {
    inner: J,
    /// Calls until the fault, the failing one included; 0: never.
    left: u64,
    fault: Fault,
    tear: Option<Tear<J>>,
    failed: Option<String>,
    bad_bodies: Arc<Mutex<BTreeSet<Position>>>,
}

impl<J: Journal> FaultyJournal<J> {
    /// Fails the `nth` append or slice (from 1; 0 for never) as `fault` says. A [`Fault::Torn`] append is [`Fault::Lost`]
    /// here, since the wrapped journal is not asked to tear: see [`FaultyJournal::torn`].
    #[must_use]
    pub fn new(inner: J, nth: u64, fault: Fault) -> Self {
        Self { inner, left: nth, fault, tear: None, failed: None, bad_bodies: Arc::default() }
    }

    /// Fails the `nth` append or slice (from 1; 0 for never); an append leaves a torn frame behind,
    /// a slice a part of itself.
    #[must_use]
    pub fn torn(inner: J, nth: u64) -> Self
    where
        J: TornAppend,
    {
        Self { tear: Some(J::append_torn), ..Self::new(inner, nth, Fault::Torn) }
    }

    /// From now on the body at `position` is damaged for every reader of this journal.
    pub fn damage_body(&self, position: Position) {
        self.bad_bodies.lock().unwrap_or_else(PoisonError::into_inner).insert(position);
    }

    /// The journal inside, as it is now.
    #[must_use]
    pub fn into_inner(self) -> J {
        self.inner
    }
}

impl<J: Journal> FaultyJournal<J> {
    fn refuse_after_failure(&self) -> Result<(), AppendError> {
        unless_failed(self.failed.as_deref()).map_err(AppendError::Failed)
    }

    /// Counts a call that the wrapped journal answered.
    fn passed(&mut self, answer: Result<(), AppendError>) -> Result<(), AppendError> {
        match &answer {
            Ok(()) => self.left = self.left.saturating_sub(1),
            Err(AppendError::Failed(reason)) => self.failed = Some(reason.clone()),
            Err(AppendError::Fenced { .. }) => {}
        }
        answer
    }

    fn inject(&mut self) -> AppendError {
        let reason = format!("injected: {:?}", self.fault);
        self.failed = Some(reason.clone());
        AppendError::Failed(reason)
    }
}

impl<J: Journal> Journal for FaultyJournal<J> {
    type Reader = FaultyReader<J::Reader>;

    fn identity(&self) -> JournalId {
        self.inner.identity()
    }

    fn last(&self) -> Option<FrameNumber> {
        self.inner.last()
    }

    fn checkpointed(&self) -> Option<FrameNumber> {
        self.inner.checkpointed()
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        self.refuse_after_failure()?;
        if self.left != 1 {
            let appended = self.inner.append(number, frame, release);
            return self.passed(appended);
        }
        let expected = FrameNumber::after(self.inner.last());
        if number != expected {
            return Err(AppendError::Fenced { expected, given: number });
        }
        match (self.fault, self.tear) {
            (Fault::Stored, _) => self.inner.append(number, frame, release)?,
            (Fault::Torn, Some(tear)) => drop(tear(&mut self.inner, number, frame)),
            (Fault::Torn, None) | (Fault::Lost, _) => {}
        }
        Err(self.inject())
    }

    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError> {
        self.refuse_after_failure()?;
        if self.left != 1 {
            let stored = self.inner.checkpoint(covers, slice, last);
            return self.passed(stored);
        }
        match self.fault {
            Fault::Stored => self.inner.checkpoint(covers, slice, last)?,
            Fault::Torn => self.inner.checkpoint(covers, &slice[..slice.len() / 2], false)?,
            Fault::Lost => {}
        }
        Err(self.inject())
    }

    fn reader(&self) -> Self::Reader {
        FaultyReader { inner: self.inner.reader(), bad_bodies: Arc::clone(&self.bad_bodies) }
    }

    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>> {
        self.inner.replay()
    }

    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>> {
        self.inner.kept()
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes()
    }

    fn close(self) -> Result<(), AppendError> {
        match self.failed {
            Some(reason) => Err(AppendError::Failed(reason)),
            None => self.inner.close(),
        }
    }
}

/// Reads what the wrapped journal's reader reads, except bodies that were declared damaged.
#[derive(Clone)]
pub struct FaultyReader<R> {
    inner: R,
    bad_bodies: Arc<Mutex<BTreeSet<Position>>>,
}

impl<R: BodyReader> BodyReader for FaultyReader<R> {
    fn read(&self, position: Position) -> Result<Bytes, ReadError> {
        if self.bad_bodies.lock().unwrap_or_else(PoisonError::into_inner).contains(&position) {
            let problem = "injected: the checksum of the body is wrong".to_owned();
            return Err(ReadError::Damaged { place: Place::Body(position), problem });
        }
        self.inner.read(position)
    }
}
