//! How a pool begins: lock the folder, open the reader, judge the folder against it, repair what a crash left, tell the
//! reader which folder it writes to (B9). Nothing is changed on disk before the judgement, and nothing claimed here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::publish::Publisher;
use super::run::{Run, Start};
use super::{
    MAX_CLAIM_MESSAGES, PoolError, PoolHandle, PoolSettings, Progress, Request, Source, Summary, WorkerLauncher,
};
use crate::blocking::blocking;
use crate::crash::CrashPoint;
use crate::identity::Identity;
use crate::manifest::{
    BrokerSide, HEADER_KEY, Header, Manifest, ManifestError, OutputLock, OutputRefused, RefusedBecause, Unreconciled,
};
use crate::port::{OpenedReader, Patience, Port, PortError, ReaderCommit, ReaderRef, Reason, ValuesPage};
use crate::record::{self, Record};
use crate::step::OnPoison;

/// A pool whose reader is open and whose folder is in order: messages may be sent, and it may be run.
pub struct Pool<P: Port> {
    run: Run<P>,
}

impl<P: Port> Pool<P> {
    /// Opens the reader under a fresh instance id and sets the output folder right (B9). The caller sends its first
    /// message after this: from here on folder and broker know each other, and the facts of the settings are in both.
    ///
    /// # Errors
    /// [`PoolError::Refused`] when the folder is not this reader's or this run's: another pool that works on the reader
    /// with its own folder is not disturbed then. All other [`PoolError`]s as named there.
    pub async fn open(
        port: P,
        settings: PoolSettings,
        launcher: std::sync::Arc<dyn WorkerLauncher>,
    ) -> Result<(Self, PoolHandle), PoolError> {
        check(&settings)?;
        let patience = Patience(settings.patience);
        let lock = lock(&settings).await?;
        let out = settings.step.output.clone();
        let folder = blocking(move || Manifest::read(&out, lock)).await?;
        let Source { queue, queue_generation, reader } = settings.source.clone();
        let mut reader = ReaderRef { queue, queue_generation, reader, reader_generation: 0 };
        refuse_early(&port, patience, &reader, &folder).await?;
        let max_receives = max_receives(&port, patience, &reader, settings.step.on_poison).await?;
        let instance = uuid::Uuid::new_v4().to_string();
        let opened = patience
            .ask(|| port.open_reader(&reader.queue, reader.queue_generation, &reader.reader, &instance))
            .await?;
        reader.reader_generation = opened.reader_generation;
        let broker = BrokerSide {
            identity: opened.identity.clone(),
            header: recorded_header(&port, patience, &reader).await?,
            commits: opened.commits,
            records: records(&port, patience, &reader).await?,
        };
        let publisher = set_right(&port, &settings, &reader, folder, &broker).await?;
        Ok(Self::new(port, settings, launcher, reader, (opened, max_receives), publisher))
    }

    fn new(
        port: P,
        settings: PoolSettings,
        launcher: std::sync::Arc<dyn WorkerLauncher>,
        reader: ReaderRef,
        (opened, max_receives): (OpenedReader, u32),
        publisher: Publisher<P>,
    ) -> (Self, PoolHandle) {
        let progress = Progress {
            claims_open: opened.open_claims.len(),
            messages_committed: publisher.messages(),
            commits: opened.commits,
            manifest_lines: publisher.last(),
            worker_pids: (0..settings.workers).map(|place| (place, None)).collect(),
            ..Progress::default()
        };
        let (requests, said) = mpsc::unbounded_channel::<Request>();
        let (progress, shown) = watch::channel(progress);
        let run = Run::new(Start { port, settings, launcher, reader, opened, max_receives, publisher, said, progress });
        (Self { run }, PoolHandle { requests, progress: shown })
    }

    /// Whose output this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.run.identity()
    }

    /// The reader, as this controller opened it.
    #[must_use]
    pub fn reader(&self) -> &ReaderRef {
        self.run.reader()
    }

    /// The output folder.
    #[must_use]
    pub fn output(&self) -> &std::path::Path {
        self.run.output()
    }

    /// Claims, hands out and publishes until no more messages are coming (said through the [`PoolHandle`]), the queue is
    /// empty, no claim is open and every commit is in the manifest. Dropping the future ends the workers too.
    ///
    /// # Errors
    /// [`PoolError`]; whatever is committed stays so, and a later pool goes on from there.
    pub async fn run(self) -> Result<Summary, PoolError> {
        self.run.until_the_end().await
    }
}

fn check(settings: &PoolSettings) -> Result<(), PoolError> {
    let fault = |what: String| Err(PoolError::Settings(what));
    if settings.workers == 0 {
        return fault("a pool needs at least one worker".to_owned());
    }
    if !(1..=MAX_CLAIM_MESSAGES).contains(&settings.claim.max_messages) {
        return fault(format!("a claim of the pool has 1 to {MAX_CLAIM_MESSAGES} messages"));
    }
    settings.step.check().or_else(|what| fault(what.to_string()))
}

/// Takes the folder's lock; an earlier run that was killed has let go of it, one that is ending will soon.
async fn lock(settings: &PoolSettings) -> Result<OutputLock, PoolError> {
    let began = Instant::now();
    loop {
        let out = settings.step.output.clone();
        match blocking(move || OutputLock::take(&out)).await {
            // The system has no lock that waits only so long, so it is asked again.
            Err(ManifestError::InUse { .. }) if began.elapsed() < settings.lock_patience => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            taken => return Ok(taken?),
        }
    }
}

/// Opening a reader fences its controller. A folder that is certainly not the reader's is refused before that.
async fn refuse_early<P: Port>(
    port: &P,
    patience: Patience,
    reader: &ReaderRef,
    folder: &Unreconciled,
) -> Result<(), PoolError> {
    let recorded = match patience.ask(|| port.read_values(reader, HEADER_KEY, "")).await {
        // There is no such reader yet.
        Err(PortError::Refused { reason: Reason::ReaderGone, .. }) => None,
        page => header_in(page?)?,
    };
    match recorded {
        Some(recorded)
            if recorded.queue_generation == reader.queue_generation && folder.header() != Some(&recorded) =>
        {
            let because = RefusedBecause::Foreign;
            let broker = format!("output {}, {}", recorded.out_id, recorded.identity());
            Err(OutputRefused { because, folder: folder.name(), broker }.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// How often a message is tried before it is dead-lettered: the queue says it, and must have somewhere to put it.
async fn max_receives<P: Port>(
    port: &P,
    patience: Patience,
    reader: &ReaderRef,
    on_poison: OnPoison,
) -> Result<u32, PoolError> {
    if on_poison != OnPoison::Dlq {
        return Ok(0);
    }
    let queue = patience.ask(|| port.describe_queue(reader)).await?;
    queue.max_receive_count.ok_or_else(|| {
        let name = &reader.queue;
        PoolError::Settings(format!(
            "the policy dlq wants a dead-letter queue, and {name} has none: \
             lockstep queue set {name} --dead-letter-queue QUEUE --max-receives 5"
        ))
    })
}

async fn recorded_header<P: Port>(
    port: &P,
    patience: Patience,
    reader: &ReaderRef,
) -> Result<Option<Header>, PoolError> {
    header_in(patience.ask(|| port.read_values(reader, HEADER_KEY, "")).await?)
}

fn header_in(page: ValuesPage) -> Result<Option<Header>, PoolError> {
    match page.values.into_iter().find(|(key, _)| key == HEADER_KEY) {
        None => Ok(None),
        Some((key, value)) => Header::parse(&value).map(Some).map_err(|why| PoolError::Value { key, why }),
    }
}

async fn records<P: Port>(
    port: &P,
    patience: Patience,
    reader: &ReaderRef,
) -> Result<BTreeMap<u64, Record>, PoolError> {
    let mut records = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = patience.ask(|| port.read_values(reader, record::PREFIX, &after)).await?;
        for (key, value) in page.values {
            let (commit, record) = read_record(&key, &value)?;
            records.insert(commit, record);
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(records),
        }
    }
}

/// Reads one of the broker's values under `published/`.
pub(super) fn read_record(key: &str, value: &[u8]) -> Result<(u64, Record), PoolError> {
    let fault = |why: String| PoolError::Value { key: key.to_owned(), why };
    let commit = record::commit_of(key).ok_or_else(|| fault("its key names no commit".to_owned()))?;
    let record = serde_json::from_slice(value).map_err(|error| fault(error.to_string()))?;
    Ok((commit, record))
}

/// Judges the folder and carries the judgement out, each step durable before the next.
async fn set_right<P: Port>(
    port: &P,
    settings: &PoolSettings,
    reader: &ReaderRef,
    folder: Unreconciled,
    broker: &BrokerSide,
) -> Result<Publisher<P>, PoolError> {
    let judged = folder.judge(&settings.facts(), broker)?;
    let header = judged.header().to_bytes();
    let (manifest, plan) = blocking(move || judged.repair()).await?;
    settings.crash.at(CrashPoint::AfterHeader, 0)?;
    if plan.record_header {
        let commit = ReaderCommit {
            commit_id: format!("output-{}", reader.reader_generation),
            values: vec![(HEADER_KEY.to_owned(), Some(header))],
        };
        Patience(settings.patience).ask(|| port.commit_reader(reader, &commit)).await?;
    }
    let mut publisher = Publisher::new(port.clone(), settings, reader.clone(), broker.identity.clone(), manifest);
    publisher.append(plan.append).await?;
    publisher.remove(plan.remove).await?;
    publisher.sweep().await?;
    Ok(publisher)
}
