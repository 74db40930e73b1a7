//! The follower without its thread: whoever owns it says when it goes on, between the slices of a checkpoint too, so that
//! a simulation can crash there. What it does at each step is `follower`'s affair, and the same.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
};

use tokio::sync::mpsc::error::TrySendError;

use super::{
    Follower,
    slices::{self, Slice},
};
use crate::writer::{Job, SliceJob};

/// A follower that does nothing by itself.
pub(crate) struct Stepped {
    follower: Follower,
    writing: Option<Writing>,
    checkpoints: u64,
    moves: u64,
}

/// A checkpoint under way.
struct Writing {
    covers: u64,
    bytes: u64,
    left: VecDeque<Slice>,
    /// Tells that the slice under way is stored.
    stored: Option<Receiver<()>>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepping {
    /// It did something.
    Worked,
    /// There is nothing for it to do now.
    Idle,
    /// The broker ends.
    Ended,
}

impl Stepped {
    /// A follower that waits for its owner.
    pub(crate) const fn new(follower: Follower) -> Self {
        Self { follower, writing: None, checkpoints: 0, moves: 0 }
    }

    /// The same, whose slices have at most so many bytes.
    pub(crate) fn with_slices_of(mut self, bytes: usize) -> Self {
        self.follower.slice_bytes = bytes;
        self
    }

    /// Whether it is in the middle of a checkpoint; how many it wrote, and how often it began to move bodies.
    pub(crate) const fn work(&self) -> (bool, u64, u64) {
        (self.writing.is_some(), self.checkpoints, self.moves)
    }

    /// Goes on a little. `quiet`: its pauses have passed, that for the next frame and that between looks.
    pub(crate) fn step(&mut self, quiet: bool) -> Stepping {
        if self.writing.is_some() {
            return self.write();
        }
        let mut stepping = Stepping::Idle;
        match self.follower.intake.try_take() {
            Ok(fed) => {
                self.follower.follow(fed);
                stepping = Stepping::Worked;
            }
            Err(TryRecvError::Empty) if quiet && self.follower.intake.has_releasable() => self.follower.mover.nudge(),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Stepping::Ended,
        }
        if self.follower.is_checkpoint_due() && self.follower.has_room() {
            self.follower.intake.writing(true);
            let left = slices::cut_at(self.follower.past.engine.distilled(), self.follower.slice_bytes).collect();
            self.writing = Some(Writing { covers: self.follower.past.last, bytes: 0, left, stored: None });
            return Stepping::Worked;
        }
        let was_idle = self.follower.mover.is_idle();
        if !self.follower.tend(quiet) {
            return Stepping::Ended;
        }
        self.moves += u64::from(was_idle && !self.follower.mover.is_idle());
        stepping
    }

    /// Hands over the next slice once the one before is stored.
    fn write(&mut self) -> Stepping {
        let Some(writing) = &mut self.writing else { return Stepping::Idle };
        match writing.stored.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return Stepping::Idle,
            Some(Err(TryRecvError::Disconnected)) => return Stepping::Ended,
            Some(Ok(())) | None => writing.stored = None,
        }
        let Some(slice) = writing.left.pop_front() else {
            self.follower.wrote(writing.covers, writing.bytes);
            self.writing = None;
            self.checkpoints += 1;
            return Stepping::Worked;
        };
        let Some(jobs) = self.follower.jobs.upgrade() else { return Stepping::Ended };
        let (stored_in, stored) = sync_channel(1);
        let size = slice.bytes.len() as u64;
        let job = SliceJob { covers: writing.covers, bytes: slice.bytes, last: slice.last, stored: stored_in };
        match jobs.try_send(Job::Slice(job)) {
            Ok(()) => {
                (writing.stored, writing.bytes) = (Some(stored), writing.bytes + size);
                Stepping::Worked
            }
            // The journal is busy: the same slice is handed over later.
            Err(TrySendError::Full(Job::Slice(SliceJob { bytes, last, .. }))) => {
                writing.left.push_front(Slice { bytes, last });
                Stepping::Idle
            }
            Err(TrySendError::Full(Job::Turn(_)) | TrySendError::Closed(_)) => Stepping::Ended,
        }
    }
}
