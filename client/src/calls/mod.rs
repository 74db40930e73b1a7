//! The low-level calls, one method for each RPC, one file for each service. They map requests and answers and say
//! what makes a repetition harmless; everything with a memory (order, keys, leases) is in the types built on them.

mod admin;
mod backup;
mod clock;
mod dead_letters;
mod groups;
mod guest;
mod messages;
mod producers;
mod queues;
mod readers;
mod tags;
mod workers;

pub use backup::Backup;
pub use queues::{CreatedQueue, QueuePage};
pub use readers::{ClaimAnswer, Committed, OpenedReader, ReaderPage};
pub use workers::Attached;

use crate::error::Error;

/// A part of an answer that the API promises.
pub(crate) fn part<T>(part: Option<T>, what: &str) -> Result<T, Error> {
    part.ok_or_else(|| Error::Protocol(format!("an answer without its {what}")))
}

/// The API promises one result for each entry, in their order.
pub(crate) fn same_length(results: usize, entries: usize) -> Result<(), Error> {
    if results == entries {
        return Ok(());
    }
    Err(Error::Protocol(format!("{results} results for {entries} entries")))
}
