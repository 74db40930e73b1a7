//! The figures of the whole broker, as fronts see them (A4): what it counted, and what lies in the queues now, looked at
//! in several short turns. How they are written down is a front's affair.

use lockstep_engine::{
    figures::QueueFigures,
    words::{QueueGeneration, Timestamp},
};

use super::Handle;
use crate::{
    failure::Failure,
    limits,
    metrics::{Counts, Reading},
};

/// What lies in the queues, and what was counted of each: at one moment, many queues at moments close by.
pub(crate) struct Figures {
    /// How many queues there are.
    pub(crate) queues: u64,
    /// Queues with figures of their own, by age; the last one is the rest together.
    pub(crate) rows: Vec<QueueRow>,
    /// Readers with the oldest open claims.
    pub(crate) readers: Vec<ReaderRow>,
}

/// A queue in numbers, or many together.
#[derive(Default)]
pub(crate) struct QueueRow {
    /// Empty: many together.
    pub(crate) name: String,
    pub(crate) counts: Counts,
    pub(crate) available: u64,
    pub(crate) delayed: u64,
    pub(crate) in_flight: u64,
    pub(crate) claimed: u64,
    pub(crate) groups: u64,
    pub(crate) free_groups: u64,
    pub(crate) in_flight_groups: u64,
    pub(crate) bytes: u64,
    pub(crate) deduplication_keys: u64,
    pub(crate) open_claims: u64,
    /// Milliseconds since its oldest message was sent; 0 without one.
    pub(crate) oldest_age: u64,
}

/// A reader's open claims.
pub(crate) struct ReaderRow {
    pub(crate) queue: String,
    pub(crate) reader: String,
    pub(crate) open_claims: u64,
    /// Milliseconds since the oldest of them was opened.
    pub(crate) oldest_age: u64,
}

impl QueueRow {
    fn add(&mut self, queue: &QueueFigures, now: Timestamp) {
        self.available += queue.available;
        self.delayed += queue.delayed;
        self.in_flight += queue.in_flight;
        self.claimed += queue.claimed;
        self.groups += queue.groups;
        self.free_groups += queue.free_groups;
        self.in_flight_groups += queue.in_flight_groups;
        self.bytes += queue.bytes;
        self.deduplication_keys += queue.deduplication_keys;
        self.open_claims += queue.readers.iter().map(|reader| reader.open_claims).sum::<u64>();
        let age = queue.oldest_sent_at.map_or(0, |at| now.0.saturating_sub(at.0));
        self.oldest_age = self.oldest_age.max(age);
    }
}

impl Handle {
    /// The figures that need no turn.
    pub(crate) fn reading(&self) -> Reading {
        self.metrics.read()
    }

    /// All figures.
    ///
    /// # Errors
    /// Only those of every method.
    pub(crate) async fn figures(&self) -> Result<Figures, Failure> {
        let (mut seen, mut at) = (Vec::new(), Timestamp(0));
        loop {
            let after = seen.last().map_or(QueueGeneration(0), |queue: &QueueFigures| queue.generation);
            let look =
                move |engine: &lockstep_engine::Engine, now| Ok((engine.figures(after, limits::FIGURES_SCAN), now));
            let (page, now) = self.read(look).await?;
            at = now.max(at);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        let living: Vec<_> = seen.iter().map(|queue| queue.generation).collect();
        let (own, others) = self.metrics.by_queue(&living);
        let mut rest = QueueRow { counts: others, ..QueueRow::default() };
        let mut rows = Vec::with_capacity(own.len() + 1);
        for queue in &seen {
            match own.get(&queue.generation) {
                Some(counts) => {
                    let mut row = QueueRow { name: queue.name.to_string(), counts: *counts, ..QueueRow::default() };
                    row.add(queue, at);
                    rows.push(row);
                }
                None => rest.add(queue, at),
            }
        }
        rows.push(rest);
        Ok(Figures { queues: seen.len() as u64, rows, readers: readers(&seen, at) })
    }
}

fn readers(queues: &[QueueFigures], now: Timestamp) -> Vec<ReaderRow> {
    let of_queue = |queue: &QueueFigures| {
        let name = queue.name.to_string();
        let row = |reader: &lockstep_engine::figures::ReaderFigures| ReaderRow {
            queue: name.clone(),
            reader: reader.name.to_string(),
            open_claims: reader.open_claims,
            oldest_age: now.0.saturating_sub(reader.oldest_opened_at.0),
        };
        queue.readers.iter().map(row).collect::<Vec<_>>()
    };
    let mut rows: Vec<_> = queues.iter().flat_map(of_queue).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.oldest_age));
    rows.truncate(limits::SHOWN_READERS);
    rows
}
