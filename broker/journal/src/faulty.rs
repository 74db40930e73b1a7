//! A journal that fails on purpose, around any other: what the broker does at a failed append is tested with it.
//! It invents no error that the real journals cannot give.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::error::{AppendError, Place, ReadError};
use crate::frame::{Frame, FrameNumber, JournalId, Position, ReplayedFrame};
use crate::journal::{BodyReader, Journal};

/// How the chosen append fails. Each returns [`AppendError::Failed`]; what the next start finds differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The unsynced frame is lost: the next start does not find it.
    Lost,
    /// The frame was stored, only the answer is an error: the next start finds it.
    Stored,
    /// The frame is torn: the next start finds a part of it, and cuts it (H7).
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

/// Wraps a journal and fails one append of it; after that every append fails (a process never goes on in doubt, H4).
pub struct FaultyJournal<J> {
    inner: J,
    /// Appends until the fault, the failing one included; 0: never.
    left: u64,
    fault: Fault,
    tear: Option<Tear<J>>,
    failed: Option<String>,
    bad_bodies: Arc<Mutex<BTreeSet<Position>>>,
}

impl<J: Journal> FaultyJournal<J> {
    /// Fails the `nth` append (from 1; 0 for never) as `fault` says. [`Fault::Torn`] is [`Fault::Lost`] here, since the
    /// wrapped journal is not asked to tear: see [`FaultyJournal::torn`].
    #[must_use]
    pub fn new(inner: J, nth: u64, fault: Fault) -> Self {
        Self { inner, left: nth, fault, tear: None, failed: None, bad_bodies: Arc::default() }
    }

    /// Fails the `nth` append (from 1; 0 for never) and leaves a torn frame behind.
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

impl<J: Journal> Journal for FaultyJournal<J> {
    type Reader = FaultyReader<J::Reader>;

    fn identity(&self) -> JournalId {
        self.inner.identity()
    }

    fn last(&self) -> Option<FrameNumber> {
        self.inner.last()
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        if let Some(reason) = &self.failed {
            return Err(AppendError::Failed(format!("an earlier append failed: {reason}")));
        }
        if self.left != 1 {
            let appended = self.inner.append(number, frame, release);
            match &appended {
                Ok(()) => self.left = self.left.saturating_sub(1),
                Err(AppendError::Failed(reason)) => self.failed = Some(reason.clone()),
                Err(AppendError::Fenced { .. }) => {}
            }
            return appended;
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
        let reason = format!("injected: {:?}", self.fault);
        self.failed = Some(reason.clone());
        Err(AppendError::Failed(reason))
    }

    fn reader(&self) -> Self::Reader {
        FaultyReader { inner: self.inner.reader(), bad_bodies: Arc::clone(&self.bad_bodies) }
    }

    fn replay(&self) -> impl Iterator<Item = Result<ReplayedFrame, ReadError>> {
        self.inner.replay()
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
