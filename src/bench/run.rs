//! What all tasks of a run share: the plan, the clock, the queue, and when there is nothing left to do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use lockstep_client::{Client, Error};
use tokio::sync::watch;

use super::{deck::Drawn, plan::Plan, record::Window, verify::Ledger};
use crate::{cli::Global, connect::connect};

/// How long a delivery is held: longer than any run, so that none comes twice for that.
pub(super) const HELD_SECONDS: u32 = 43_200;

/// One phase of a run: a filling, what is measured, an emptying.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) global: Global,
    pub(super) began: Instant,
    pub(super) window: Window,
    pub(super) queue: String,
    /// The names of the groups, by number.
    pub(super) names: Arc<[String]>,
    pub(super) ledger: Arc<Ledger>,
    /// Sends that were called duplicates.
    pub(super) called_duplicate: AtomicU64,
    /// Messages that were deleted in this phase, and how many there are to delete.
    deleted: AtomicU64,
    target: AtomicU64,
    over: watch::Sender<bool>,
    stopped: AtomicBool,
}

impl Run {
    pub(super) fn new(
        plan: Plan,
        global: &Global,
        began: Instant,
        window: Window,
        queue: &str,
        names: &Arc<[String]>,
        ledger: &Arc<Ledger>,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan,
            global: global.clone(),
            began,
            window,
            queue: queue.to_owned(),
            names: Arc::clone(names),
            ledger: Arc::clone(ledger),
            called_duplicate: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            target: AtomicU64::new(u64::MAX),
            over: watch::channel(false).0,
            stopped: AtomicBool::new(false),
        })
    }

    /// Nanoseconds since the run began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A connection of one's own.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        connect(&self.global).await
    }

    /// The address of the broker, for what speaks plain HTTP.
    pub(super) fn address(&self) -> &str {
        let endpoint = self.global.endpoint.as_str();
        endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest).trim_end_matches('/')
    }

    /// The name of a message's group.
    pub(super) fn name(&self, drawn: &Drawn) -> String {
        self.names[drawn.group as usize].clone()
    }

    /// Takes note of an accepted message.
    pub(super) fn accepted(&self, outcome: Result<lockstep_client::Sent, Error>) -> anyhow::Result<()> {
        if outcome?.duplicate {
            self.called_duplicate.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes note of deletes.
    pub(super) fn deleted(&self, messages: u64) {
        let deleted = self.deleted.fetch_add(messages, Ordering::AcqRel) + messages;
        if deleted >= self.target.load(Ordering::Acquire) {
            self.end();
        }
    }

    /// How many were deleted.
    pub(super) fn deletes(&self) -> u64 {
        self.deleted.load(Ordering::Acquire)
    }

    /// So many are to be deleted.
    pub(super) fn aim(&self, messages: u64) {
        self.target.store(messages, Ordering::Release);
        if self.deletes() >= messages {
            self.end();
        }
    }

    /// Consumers stop.
    pub(super) fn end(&self) {
        self.stopped.store(true, Ordering::Release);
        self.over.send_replace(true);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Tells when consumers shall stop.
    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }
}
