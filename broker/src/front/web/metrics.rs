//! `/metrics` in the OpenMetrics text format: one table of names, kinds and figures. `docs/metrics.md` says what each
//! means. Nothing is counted here.

use std::{fmt, time::UNIX_EPOCH};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::handle::{Figures, Kind, QueueRow, ReaderRow, Reading, limited};

/// The label of all queues together that have no figures of their own; no queue can have this name (L1).
const OTHERS: &str = "_other";

/// One scrape; without `all` when no turn answered in time.
pub(super) struct Scrape {
    pub(super) broker: Reading,
    pub(super) all: Option<Figures>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("broker", &self.broker).finish_non_exhaustive()
    }
}

type OfQueue = (&'static str, &'static str, fn(&QueueRow) -> u64);

const QUEUE_COUNTERS: [OfQueue; 9] = [
    ("lockstep_messages_sent", "Messages stored", |row| row.counts.of(Kind::Sent)),
    ("lockstep_messages_deduplicated", "Messages sent that were there already (S6)", |row| {
        row.counts.of(Kind::Deduplicated)
    }),
    ("lockstep_messages_received", "Messages delivered by receives", |row| row.counts.of(Kind::Received)),
    ("lockstep_empty_receives", "Receives answered without a message", |row| row.counts.of(Kind::EmptyReceives)),
    ("lockstep_messages_claimed", "Messages taken by claims (B6)", |row| row.counts.of(Kind::Claimed)),
    ("lockstep_messages_deleted", "Messages deleted or committed", |row| row.counts.of(Kind::Deleted)),
    ("lockstep_messages_returned", "Messages that came back: lapsed, given back, claims burnt", |row| {
        row.counts.of(Kind::Returned)
    }),
    ("lockstep_messages_expired", "Messages that retention ended (R9)", |row| row.counts.of(Kind::Expired)),
    ("lockstep_messages_dead_lettered", "Messages that went to the dead-letter queue, where they were (Q2)", |row| {
        row.counts.of(Kind::DeadLettered)
    }),
];

const QUEUE_GAUGES: [OfQueue; 10] = [
    ("lockstep_messages_visible", "Messages neither in flight nor claimed nor delayed (O8)", |row| row.available),
    ("lockstep_messages_delayed", "Messages whose delay has not elapsed (O7)", |row| row.delayed),
    ("lockstep_messages_in_flight", "Messages in flight", |row| row.in_flight),
    ("lockstep_messages_held_by_claims", "Messages that open claims hold (B6)", |row| row.claimed),
    ("lockstep_groups", "Message groups with messages", |row| row.groups),
    ("lockstep_groups_available", "Message groups whose first message could be delivered now", |row| row.free_groups),
    ("lockstep_groups_in_flight", "Message groups with messages in flight", |row| row.in_flight_groups),
    ("lockstep_waiting_bytes", "Bytes of the bodies of all messages there", |row| row.bytes),
    ("lockstep_deduplication_keys", "Deduplication keys remembered", |row| row.deduplication_keys),
    ("lockstep_open_claims", "Open claims (B6)", |row| row.open_claims),
];

type OfBroker = (&'static str, &'static str, fn(&Reading) -> Option<u64>);

const BROKER_COUNTERS: [OfBroker; 2] = [
    ("lockstep_frames_appended", "Frames made durable", |broker| Some(broker.frames)),
    ("lockstep_frame_bytes", "Bytes of events and bodies in them", |broker| Some(broker.frame_bytes)),
];

const BROKER_GAUGES: [OfBroker; 6] = [
    ("lockstep_damaged_bodies", "Stored bodies that the last pass over them could not read (H6)", |broker| {
        Some(broker.damaged)
    }),
    ("lockstep_held_answers", "Answers that wait for a frame to be durable (H4)", |broker| Some(broker.held)),
    ("lockstep_waiting_polls", "Receives, claims and peeks that wait for a message", |broker| Some(broker.waiting)),
    ("lockstep_journal_bytes", "Bytes that the journal occupies", |broker| Some(broker.journal_bytes)),
    ("lockstep_space_for_sends_bytes", "Bytes that may be stored before sends are refused (H5)", |broker| {
        limited(broker.space.for_sends)
    }),
    ("lockstep_space_for_finishes_bytes", "Bytes before deletes and commits are refused too (H5)", |broker| {
        limited(broker.space.for_finishes)
    }),
];

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "an age is far below 2^52 ms")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.broker(&mut encoder)?;
        let Some(all) = &self.all else { return Ok(()) };
        for (name, help, read) in QUEUE_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for row in &all.rows {
                let labels = [("queue", label(row))];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&read(row), None)?;
            }
        }
        for (name, help, read) in QUEUE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for row in &all.rows {
                family.encode_family(&[("queue", label(row))])?.encode_gauge(&read(row))?;
            }
        }
        let (name, help) = ("lockstep_oldest_message_age_seconds", "Age of the oldest message there");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for row in &all.rows {
            family.encode_family(&[("queue", label(row))])?.encode_gauge(&seconds(row.oldest_age))?;
        }
        readers(&mut encoder, &all.readers)?;
        let mut queues = encoder.encode_descriptor("lockstep_queues", "Queues", None, MetricType::Gauge)?;
        queues.encode_gauge(&all.queues)
    }
}

impl Scrape {
    fn broker(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        encoder.encode_descriptor("lockstep_build", "This build", None, MetricType::Info)?.encode_info(&version)?;
        let started = self.broker.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (name, help) = ("process_start_time_seconds", "When the broker started, in Unix time");
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&started)?;
        let answering = u64::from(self.all.is_some());
        let (name, help) = ("lockstep_answering", "1 while turns are made; 0: the figures of queues are missing");
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&answering)?;
        for (name, help, read) in BROKER_COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&read(&self.broker).unwrap_or_default(), None)?;
        }
        for (name, help, read) in BROKER_GAUGES {
            let Some(value) = read(&self.broker) else { continue };
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let appends = &self.broker.appends;
        let count = appends.buckets.iter().map(|(_, count)| count).sum();
        let (name, help) = ("lockstep_append_seconds", "How long it took to make a frame durable, sync included");
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(appends.sum, count, &appends.buckets, None)
    }
}

fn readers(encoder: &mut DescriptorEncoder<'_>, rows: &[ReaderRow]) -> fmt::Result {
    let (name, help) = ("lockstep_oldest_claim_age_seconds", "Age of a reader's oldest open claim (B6)");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for row in rows {
        let labels = [("queue", row.queue.as_str()), ("reader", row.reader.as_str())];
        family.encode_family(&labels)?.encode_gauge(&seconds(row.oldest_age))?;
    }
    let (name, help) = ("lockstep_reader_open_claims", "A reader's open claims (B6)");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for row in rows {
        let labels = [("queue", row.queue.as_str()), ("reader", row.reader.as_str())];
        family.encode_family(&labels)?.encode_gauge(&row.open_claims)?;
    }
    Ok(())
}

fn label(row: &QueueRow) -> &str {
    if row.name.is_empty() { OTHERS } else { &row.name }
}
