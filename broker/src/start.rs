//! Puts a broker together and takes it apart: journal, recovery, clock, the three threads, the fronts. The only place
//! that names a concrete journal or clock. What a request means is decided elsewhere.

mod clock;
mod disk;
pub(crate) mod parts;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

pub use clock::{ClockChoice, ClockError};
pub(crate) use disk::{OnJournal, open as open_journal, salvage as salvage_journal};
use lockstep_journal::{Journal, MemoryJournal, SegmentsJournal, SegmentsOptions, SledJournal, SledOptions, StoreKind};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

use self::parts::{Ground, Parts, assemble};
use crate::{
    faults::{CrashPoint, Faults},
    front::{
        port::{self, Door, Doors, Guest, Security},
        sqs::SqsSettings,
        web::ConsoleSettings,
    },
    handle::Handle,
    identity::Identity,
    limits,
    receipts::{ReceiptKeyError, Receipts},
    recovery::{Follow, RecoveryError, recover},
    scrub,
    sequencer::Phase,
    space::Reserves,
    writer::{self, note_fault},
};

/// Which journal a broker keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalChoice {
    /// On sled in this directory, made when it is missing. Survives kill -9 and power cuts.
    Sled(PathBuf),
    /// In append-only segments in this directory, made when it is missing. Survives kill -9 and power cuts.
    Segments(PathBuf),
    /// In memory: gone with the process.
    Memory,
}

impl JournalChoice {
    /// What it is called.
    const fn name(&self) -> &'static str {
        match self {
            Self::Sled(_) => "sled",
            Self::Segments(_) => "segments",
            Self::Memory => "memory",
        }
    }

    /// The journal on disk of this kind; where none is named, the one that the directory holds, and sled in a new one.
    ///
    /// # Errors
    /// [`StartError::Journal`] when what the directory holds cannot be told.
    pub fn on_disk(directory: PathBuf, kind: Option<StoreKind>) -> Result<Self, StartError> {
        let kind = match kind {
            Some(kind) => kind,
            None => StoreKind::of(&directory)?.unwrap_or(StoreKind::Sled),
        };
        Ok(match kind {
            StoreKind::Sled => Self::Sled(directory),
            StoreKind::Segments => Self::Segments(directory),
        })
    }
}

/// How a broker is to run.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Where it keeps its journal.
    pub journal: JournalChoice,
    /// What time it is.
    pub clock: ClockChoice,
    /// Most bytes of fresh bodies kept in memory.
    pub cache_bytes: u64,
    /// Free disk space at which it stops storing (H5).
    pub reserves: Reserves,
    /// Most bytes that a sled journal may hold before sends are rejected; the rest of the limit is for finishing.
    pub sled_backlog: u64,
    /// Bytes of events that are worth a checkpoint, however small the last one was (H6).
    pub checkpoint_floor: u64,
    /// The pause before each pass that reads every stored body again (H6); none: no such passes.
    pub scrub_pause: Option<Duration>,
    /// Start although a downtime of more than a day expires messages (H2).
    pub accept_time_jump: bool,
    /// Serve a data directory although it was served by another kind of clock (H2).
    pub force_clock: bool,
    /// Trouble on purpose, for tests.
    pub faults: Option<Faults>,
    /// TLS and tokens of the port.
    pub security: Security,
    /// The SQS door.
    pub sqs: SqsSettings,
    /// The console.
    pub console: ConsoleSettings,
}

impl BrokerSettings {
    /// The defaults, with this journal.
    #[must_use]
    pub fn new(journal: JournalChoice) -> Self {
        Self {
            journal,
            clock: ClockChoice::System,
            cache_bytes: limits::CACHE_BYTES,
            reserves: Reserves::default(),
            sled_backlog: limits::SLED_BACKLOG,
            checkpoint_floor: limits::CHECKPOINT_FLOOR,
            scrub_pause: Some(Duration::from_millis(limits::SCRUB_PAUSE)),
            accept_time_jump: false,
            force_clock: false,
            faults: None,
            security: Security::default(),
            sqs: SqsSettings::default(),
            console: ConsoleSettings::default(),
        }
    }
}

/// Why a broker does not start. Nothing was changed in its data directory, but for what H7 repairs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal does not open: in use, read-only, damaged or from a newer version.
    #[error("the journal does not open: {0}")]
    Journal(#[from] lockstep_journal::OpenError),
    /// The journal's past is in doubt.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// H2.
    #[error("{0}; start with --accept-time-jump to let them expire")]
    TimeJump(lockstep_engine::view::TimeJump),
    /// H2.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// H9.
    #[error(transparent)]
    ReceiptKey(#[from] ReceiptKeyError),
    /// The system gives no thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a broker that served does not serve any more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The journal failed; the outcome of what was unanswered is unknown, a restart recovers (H4).
    #[error("{0}")]
    Journal(Arc<str>),
    /// The door broke.
    #[error("the gRPC server failed: {0}")]
    Grpc(#[from] tonic::transport::Error),
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    handle: Handle,
    phase: watch::Sender<Phase>,
    fault: watch::Receiver<Option<Arc<str>>>,
    faults: Option<Faults>,
    doors: Doors,
    scrub_pause: Option<Duration>,
    ended: oneshot::Receiver<()>,
}

impl Broker {
    /// Opens the journal, replays it and starts to take requests. Blocks while it replays.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; in doubt it does not start.
    pub fn start(settings: &BrokerSettings) -> Result<Self, StartError> {
        match &settings.journal {
            JournalChoice::Sled(directory) => {
                let journal = SledJournal::open(directory, SledOptions::default())?;
                let receipts = Receipts::open(directory)?;
                Self::start_on(journal, receipts, Some(directory), Some(settings.sled_backlog), settings)
            }
            JournalChoice::Segments(directory) => {
                let journal = SegmentsJournal::open(directory, SegmentsOptions::default())?;
                let receipts = Receipts::open(directory)?;
                Self::start_on(journal, receipts, Some(directory), None, settings)
            }
            JournalChoice::Memory => Self::start_on(MemoryJournal::new(), Receipts::ephemeral()?, None, None, settings),
        }
    }

    /// Starts on a journal that is open already, such as one that a test makes fail. `directory` is where free space
    /// is measured, `backlog` the most bytes that the journal may hold; `settings.journal` is not looked at.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on<J: Journal>(
        journal: J,
        receipts: Receipts,
        directory: Option<&Path>,
        backlog: Option<u64>,
        settings: &BrokerSettings,
    ) -> Result<Self, StartError> {
        if let Some(faults) = &settings.faults {
            faults.announce();
        }
        let recovered = recover(&journal, Follow::Beside)?;
        if let Some(faults) = &settings.faults {
            faults.pass(CrashPoint::Recovery);
        }
        let left = recovered.engine.left();
        tracing::info!(queues = left.queues, messages = left.messages, frame = recovered.last_frame, "recovered");
        let last = recovered.last_frame.map(|_| recovered.engine.time());
        let (clock, resumed_at) = clock::start(&settings.clock, last);
        let mark = directory.map(|directory| clock::check(directory, &settings.clock, last, settings.force_clock));
        let mark = mark.transpose()?;
        if let Some(jump) = recovered.engine.expired_by_gap(resumed_at).filter(|_| !settings.accept_time_jump) {
            return Err(StartError::TimeJump(jump));
        }
        if let Some(mark) = mark {
            mark.leave()?;
        }
        let ground = Ground { journal, recovered, receipts, clock, resumed_at, directory, backlog };
        let Parts { sequencer, writer, follower, handle, phase, fault } = assemble(ground, settings);
        let fault_in = writer.fault.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (ended_in, ended) = oneshot::channel();
        spawn("lockstep-journal", fault_in.clone(), move || {
            writer.run();
            // The owner may be gone.
            let _ = ended_in.send(());
        })?;
        if let Some(follower) = follower {
            spawn("lockstep-follower", fault_in.clone(), move || follower.run())?;
        }
        spawn("lockstep-sequencer", fault_in, move || runtime.block_on(sequencer.run()))?;
        let doors = Doors {
            security: settings.security.clone(),
            sqs: settings.sqs,
            console: settings.console.clone(),
            journal: settings.journal.name(),
            guest: None,
        };
        let scrub_pause = settings.scrub_pause;
        Ok(Self { handle, phase, fault, faults: settings.faults.clone(), doors, scrub_pause, ended })
    }

    /// Lets another service answer on the broker's port. What its `routes` answer is shielded by no token; its `calls` are.
    #[must_use]
    pub fn with_guest(mut self, guest: Guest) -> Self {
        self.doors.guest = Some(guest);
        self
    }

    /// What a front uses.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The journal's identity.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        self.handle.identity()
    }

    /// Ends when the broker cannot go on, with the reason: the owner then ends the process with it (H4).
    pub fn failed(&self) -> impl Future<Output = Arc<str>> + Send + 'static {
        let mut fault = self.fault.clone();
        async move {
            let reason = fault.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // It ended without a fault.
                None => std::future::pending().await,
            }
        }
    }

    /// Serves gRPC and HTTP on a listening socket until `shutdown` ends, or a drain does: then polls are answered empty,
    /// what was accepted is answered, connections that stay open are dropped, and the journal is closed. Ends within
    /// 2 s of `shutdown`.
    ///
    /// # Errors
    /// [`ServeError`]: the journal failed, or the server did; the process must end with it.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
        }
        let (close, closing) = watch::channel(Door::Open);
        let mut server =
            tokio::spawn(port::serve(self.handle.clone(), self.faults.clone(), self.doors.clone(), listener, closing));
        let scrub = self.scrub_pause.map(|pause| tokio::spawn(scrub::run(self.handle.clone(), pause)));
        let served = tokio::select! {
            () = shutdown => Ok(()),
            () = self.handle.drained() => {
                tracing::info!("drained: every queue is empty");
                Ok(())
            }
            reason = self.failed() => Err(ServeError::Journal(reason)),
            ended = &mut server => ended.expect("the server does not panic").map_err(ServeError::Grpc),
        };
        tracing::info!("stopping");
        if let Some(scrub) = scrub {
            scrub.abort();
        }
        self.phase.send_replace(Phase::Draining);
        close.send_replace(Door::Closing);
        if !server.is_finished()
            && tokio::time::timeout(Duration::from_millis(limits::DRAIN), &mut server).await.is_err()
        {
            tracing::info!("connections that are still open are dropped");
        }
        close.send_replace(Door::Closed);
        let stopped = self.stop().await;
        tracing::info!("stopped");
        served.and(stopped.map_err(ServeError::Journal))
    }

    /// Answers what was accepted, closes the journal with its mark of a clean end, and ends the threads.
    ///
    /// # Errors
    /// The reason, when the journal failed before.
    pub async fn stop(self) -> Result<(), Arc<str>> {
        self.phase.send_replace(Phase::Stopping);
        // An error means that the journal's thread panicked: its fault says so.
        let _ = self.ended.await;
        self.fault.borrow().clone().map_or(Ok(()), Err)
    }
}

/// A thread whose panic is a fault of the broker: nobody may wait for it in vain.
fn spawn(
    name: &str,
    fault: writer::Fault,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::JoinHandle<()>> {
    struct Watch(writer::Fault, String);
    impl Drop for Watch {
        fn drop(&mut self) {
            if thread::panicking() {
                let reason: Arc<str> = format!("the thread {} panicked", self.1).into();
                note_fault(&self.0, reason);
            }
        }
    }
    let watch = Watch(fault, name.into());
    thread::Builder::new().name(name.into()).spawn(move || {
        let _watch = watch;
        work();
    })
}
