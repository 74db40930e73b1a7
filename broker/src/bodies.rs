//! Where bodies come from: a cache of the fresh ones, bounded in bytes, else the journal. They are fetched after an
//! answer was released, never in a turn. Which body is wanted is the engine's word.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lockstep_engine::words::Position;
use lockstep_journal::{self as journal, BodyReader, FrameNumber, ReadError};

/// A body, or why it was not read.
pub(crate) type Fetched = Result<Bytes, Unread>;

/// Why a body was not read; each says it in words.
#[derive(Clone, Debug)]
pub(crate) enum Unread {
    /// Nothing is at the place: its frame was released, or is lost.
    Gone(String),
    /// Something is there, but it cannot be read.
    Damaged(String),
    /// The journal is closed, or the process ends: nothing is wrong with the body.
    Closed(String),
}

impl Unread {
    /// What is wrong, in words.
    pub(crate) fn into_fault(self) -> String {
        match self {
            Self::Gone(fault) | Self::Damaged(fault) | Self::Closed(fault) => fault,
        }
    }
}

type Read = dyn Fn(Position) -> Fetched + Send + Sync;

/// The newest frames with bodies, in order.
#[derive(Default)]
struct Cache {
    frames: VecDeque<(u64, Vec<Bytes>)>,
    bytes: u64,
}

impl Cache {
    fn get(&self, place: Position) -> Option<&Bytes> {
        let index = self.frames.binary_search_by_key(&place.frame, |(frame, _)| *frame).ok()?;
        self.frames[index].1.get(place.index as usize)
    }
}

/// Serves bodies by their place. Clones share the cache.
#[derive(Clone)]
pub(crate) struct Bodies {
    cache: Arc<Mutex<Cache>>,
    most_bytes: u64,
    read: Arc<Read>,
    /// Reads in the caller's own step: for a journal in memory without a runtime around it.
    inline: bool,
}

impl Bodies {
    /// Bodies from this reader, with a cache of at most so many bytes.
    pub(crate) fn new(reader: impl BodyReader, most_bytes: u64) -> Self {
        let read = move |place: Position| {
            let place = journal::Position { frame: FrameNumber(place.frame), index: place.index };
            reader.read(place).map_err(|error| match error {
                ReadError::Missing { .. } => Unread::Gone(error.to_string()),
                ReadError::Damaged { .. } | ReadError::Io { .. } => Unread::Damaged(error.to_string()),
                ReadError::Closed { .. } => Unread::Closed(error.to_string()),
            })
        };
        Self { cache: Arc::default(), most_bytes, read: Arc::new(read), inline: false }
    }

    /// The same, but what is not in the cache is read by whoever asks.
    pub(crate) fn inline(self) -> Self {
        Self { inline: true, ..self }
    }

    /// Keeps the bodies of a new frame; the oldest make room.
    pub(crate) fn keep(&self, frame: u64, bodies: &[Bytes]) {
        if bodies.is_empty() {
            return;
        }
        let mut cache = self.lock();
        cache.bytes += cost(bodies);
        cache.frames.push_back((frame, bodies.to_vec()));
        let mut forgotten = Vec::new();
        while cache.bytes > self.most_bytes
            && let Some((_, oldest)) = cache.frames.pop_front()
        {
            cache.bytes -= cost(&oldest);
            forgotten.push(oldest);
        }
        // Freed without the lock: a reader may wait for it.
        drop(cache);
        drop(forgotten);
    }

    /// The bodies at these places, in their order.
    pub(crate) async fn fetch(&self, places: Vec<Position>) -> Vec<Fetched> {
        let count = places.len();
        let mut found: Vec<Option<Fetched>> = {
            let cache = self.lock();
            places.iter().map(|place| cache.get(*place).cloned().map(Ok)).collect()
        };
        if found.iter().any(Option::is_none) {
            let read = Arc::clone(&self.read);
            let task = move || {
                for (found, place) in found.iter_mut().zip(places) {
                    found.get_or_insert_with(|| read(place));
                }
                found
            };
            found = if self.inline {
                task()
            } else {
                match tokio::task::spawn_blocking(task).await {
                    Ok(found) => found,
                    Err(error) => return vec![Err(Unread::Closed(format!("reading was given up: {error}"))); count],
                }
            };
        }
        found.into_iter().map(|body| body.expect("each was found or read")).collect()
    }

    /// One body, read by whoever asks, who may wait for the disk.
    pub(crate) fn read(&self, place: Position) -> Fetched {
        let cached = self.lock().get(place).cloned();
        cached.map_or_else(|| (self.read)(place), Ok)
    }

    /// The cache is only ever whole: nothing between its statements can panic but an allocation.
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the bodies of a frame cost in memory, the counters around each included.
fn cost(bodies: &[Bytes]) -> u64 {
    bodies.iter().map(|body| body.len() as u64 + 96).sum()
}
