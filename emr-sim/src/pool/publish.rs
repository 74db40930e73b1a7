//! The pool's only way to the manifest: reads the records of commits from the broker, writes their lines in order of c,
//! removes records whose lines are durable, sweeps dead attempts (B9). It believes no worker's report about a file, only
//! the broker's record. It knows neither claims under way nor workers.

use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use super::open::read_record;
use super::{PoolError, PoolSettings, Progress};
use crate::blocking::blocking;
use crate::crash::{CrashPoint, CrashPoints};
use crate::identity::Identity;
use crate::manifest::{Manifest, Output};
use crate::port::{Patience, Port, ReaderCommit, ReaderRef};
use crate::record::{self, ManifestLine};
use crate::sweep::{ClaimsKnown, sweep};

/// So many records are removed by one call: removing is not urgent, and one call costs one sync of the broker.
const REMOVED_AT_ONCE: usize = 64;

/// What the publisher may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// There is a new commit.
    Publish,
    /// Attempts have failed since the last sweep.
    Sweep,
    /// Publish, remove and sweep everything, then end.
    Finish,
}

pub(super) struct Publisher<P> {
    port: P,
    reader: ReaderRef,
    identity: Identity,
    out: PathBuf,
    patience: Patience,
    crash: CrashPoints,
    /// Absent only while its thread writes.
    manifest: Option<Manifest>,
    last: u64,
    messages: u64,
    unremoved: Vec<u64>,
}

impl<P: Port> Publisher<P> {
    pub(super) fn new(
        port: P,
        settings: &PoolSettings,
        reader: ReaderRef,
        identity: Identity,
        manifest: Manifest,
    ) -> Self {
        let (last, messages) = (manifest.last(), manifest.messages());
        Self {
            port,
            reader,
            identity,
            out: settings.step.output.clone(),
            patience: Patience(settings.patience),
            crash: settings.crash.clone(),
            manifest: Some(manifest),
            last,
            messages,
            unremoved: Vec::new(),
        }
    }

    /// Whose output it publishes.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The newest published commit.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Messages of all published commits.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Does what it is asked, in order, until it has finished or nobody asks any more.
    pub(super) async fn serve(
        mut self,
        mut tasks: mpsc::UnboundedReceiver<Task>,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, PoolError> {
        while let Some(task) = tasks.recv().await {
            // One look at the records serves everybody who asked until now.
            let mut all = vec![task];
            while let Ok(task) = tasks.try_recv() {
                all.push(task);
            }
            self.publish().await?;
            progress.send_modify(|progress| progress.manifest_lines = self.last);
            let finish = all.contains(&Task::Finish);
            if self.unremoved.len() >= REMOVED_AT_ONCE || finish {
                let unremoved = std::mem::take(&mut self.unremoved);
                self.remove(unremoved).await?;
            }
            if all.contains(&Task::Sweep) || finish {
                self.sweep().await?;
            }
            if finish {
                break;
            }
        }
        Ok(self)
    }

    /// Publishes every commit the broker has a record of.
    async fn publish(&mut self) -> Result<(), PoolError> {
        loop {
            let after = record::key(self.last);
            let page = self.patience.ask(|| self.port.read_values(&self.reader, record::PREFIX, &after)).await?;
            let mut lines = Vec::with_capacity(page.values.len());
            for (key, value) in page.values {
                let (commit, record) = read_record(&key, &value)?;
                lines.push(ManifestLine { commit, record });
            }
            let commits: Vec<_> = lines.iter().map(|line| line.commit).collect();
            self.append(lines).await?;
            self.unremoved.extend(commits);
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    /// Appends lines and makes them durable.
    pub(super) async fn append(&mut self, lines: Vec<ManifestLine>) -> Result<(), PoolError> {
        let Some(first) = lines.first().map(|line| line.commit) else { return Ok(()) };
        self.crash.at(CrashPoint::BeforeLine, first)?;
        let mut manifest = self.manifest.take().expect("the manifest comes back from every append");
        let crash = self.crash.clone();
        let (manifest, appended) = blocking(move || {
            let appended = manifest.append_past(&lines, &crash);
            (manifest, appended)
        })
        .await;
        (self.last, self.messages) = (manifest.last(), manifest.messages());
        self.manifest = Some(manifest);
        appended?;
        Ok(self.crash.at(CrashPoint::AfterLine, self.last)?)
    }

    /// Removes records; their lines must be durable (B9).
    pub(super) async fn remove(&mut self, commits: Vec<u64>) -> Result<(), PoolError> {
        for commits in commits.chunks(1_000) {
            let (Some(first), Some(last)) = (commits.first(), commits.last()) else { continue };
            assert!(*last <= self.last, "a record is removed only after its line is durable");
            let commit = ReaderCommit {
                commit_id: format!("remove-{first}-{last}-{}", self.reader.reader_generation),
                values: commits.iter().map(|commit| (record::key(*commit), None)).collect(),
            };
            self.patience.ask(|| self.port.commit_reader(&self.reader, &commit)).await?;
        }
        Ok(())
    }

    /// Removes attempt files that no commit can name any more.
    pub(super) async fn sweep(&mut self) -> Result<(), PoolError> {
        // In this order: what the broker counted as committed must be in the manifest before anybody judges.
        let state = self.patience.ask(|| self.port.describe_reader(&self.reader)).await?;
        if state.reader_generation != self.reader.reader_generation {
            let (own, now) = (self.reader.reader_generation, state.reader_generation);
            return Err(PoolError::Fenced(format!("generation {now} has followed generation {own}")));
        }
        self.publish().await?;
        let open = state.open_claims.iter().map(|claim| (claim.number, claim.epoch)).collect();
        let (out, identity) = (self.out.clone(), self.identity.clone());
        let removed = blocking(move || {
            let lines = Output::open(&out)?;
            match ClaimsKnown::new(open, state.last_number, state.commits, lines.published_files()) {
                Some(known) => Ok(sweep(&out, &identity, &known)?),
                None => Ok(0),
            }
        })
        .await
        .map_err(|error: crate::manifest::OutputError| PoolError::Value {
            key: "manifest".to_owned(),
            why: error.to_string(),
        })?;
        if removed > 0 {
            tracing::info!(removed, "swept files of attempts that nobody can commit any more");
        }
        Ok(())
    }
}
