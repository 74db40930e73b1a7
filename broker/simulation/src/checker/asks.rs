//! What a question is about: queue, reader, claim. No rule is judged here.

use crate::history::{Ask, ReaderAt};

impl Ask {
    /// The queue that is asked.
    pub(super) fn queue(&self) -> usize {
        match self {
            Self::Send { queue, .. }
            | Self::Receive { queue, .. }
            | Self::Delete { queue, .. }
            | Self::Change { queue, .. }
            | Self::OpenProducer { queue, .. }
            | Self::Numbered { queue, .. }
            | Self::Park { queue, .. }
            | Self::Unpark { queue, .. }
            | Self::Purge { queue }
            | Self::Delay { queue, .. }
            | Self::Move { queue, .. }
            | Self::Peek { queue }
            | Self::Count { queue }
            | Self::Open { queue, .. }
            | Self::Finish { queue, .. } => *queue,
            Self::Claim { reader, .. }
            | Self::Take { reader, .. }
            | Self::Read { reader, .. }
            | Self::Commit { reader, .. }
            | Self::Abandon { reader, .. }
            | Self::Values { reader, .. } => reader.queue,
        }
    }

    /// The producer that is asked, or sends.
    pub(super) fn producer(&self) -> Option<u64> {
        if let Self::OpenProducer { producer, .. } | Self::Numbered { producer, .. } = self {
            Some(*producer)
        } else {
            None
        }
    }

    /// The reader that is asked.
    pub(super) fn reader(&self) -> Option<u64> {
        if let Self::Open { reader, .. } = self { Some(*reader) } else { self.reader_at().map(|at| at.reader) }
    }

    pub(super) fn reader_at(&self) -> Option<ReaderAt> {
        match self {
            Self::Claim { reader, .. }
            | Self::Take { reader, .. }
            | Self::Read { reader, .. }
            | Self::Commit { reader, .. }
            | Self::Abandon { reader, .. }
            | Self::Values { reader, .. } => Some(*reader),
            Self::Send { .. }
            | Self::Receive { .. }
            | Self::Delete { .. }
            | Self::Change { .. }
            | Self::OpenProducer { .. }
            | Self::Numbered { .. }
            | Self::Park { .. }
            | Self::Unpark { .. }
            | Self::Purge { .. }
            | Self::Delay { .. }
            | Self::Move { .. }
            | Self::Peek { .. }
            | Self::Count { .. }
            | Self::Open { .. }
            | Self::Finish { .. } => None,
        }
    }

    /// The claim that is asked: reader and number.
    pub(super) fn claim(&self) -> Option<(u64, u64)> {
        let number = match self {
            Self::Claim { number, .. }
            | Self::Take { number, .. }
            | Self::Read { number, .. }
            | Self::Commit { number, .. }
            | Self::Abandon { number, .. } => *number,
            Self::Send { .. }
            | Self::Receive { .. }
            | Self::Delete { .. }
            | Self::Change { .. }
            | Self::OpenProducer { .. }
            | Self::Numbered { .. }
            | Self::Park { .. }
            | Self::Unpark { .. }
            | Self::Purge { .. }
            | Self::Delay { .. }
            | Self::Move { .. }
            | Self::Peek { .. }
            | Self::Count { .. }
            | Self::Open { .. }
            | Self::Values { .. }
            | Self::Finish { .. } => return None,
        };
        Some((self.reader()?, number))
    }
}
