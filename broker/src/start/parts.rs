//! A broker in pieces, before anybody drives them: sequencer, writer, handle and what connects them. The threads drive
//! them in `start`, one step after the other does in `simulation`. Nothing is opened, spawned or decided here.

use std::sync::{Arc, atomic::AtomicU64};

use lockstep_engine::{Engine, words::Timestamp};
use lockstep_journal::{FrameNumber, Journal};
use tokio::sync::{Semaphore, mpsc, watch};

use super::{BrokerSettings, ClockChoice};
use crate::{
    bodies::Bodies,
    clock::Clock,
    follower::{Feed, Follower, Ways},
    handle::{Backups, Drain, Handle},
    identity::Identity,
    limits,
    metrics::Metrics,
    receipts::Receipts,
    recent::Recent,
    recovery::Recovered,
    sequencer::{Phase, Sequencer},
    space::Gauge,
    turn::Turn,
    writer::Writer,
};

/// What a broker stands on, once its journal is open and replayed.
pub(crate) struct Ground<'a, J> {
    pub(crate) journal: J,
    pub(crate) recovered: Recovered,
    pub(crate) receipts: Receipts,
    pub(crate) clock: Arc<dyn Clock>,
    /// The time at which it goes on (H2).
    pub(crate) resumed_at: Timestamp,
    /// Where free space is measured.
    pub(crate) directory: Option<&'a std::path::Path>,
    /// Most bytes that the journal may hold before sends are rejected.
    pub(crate) backlog: Option<u64>,
}

/// The pieces.
pub(crate) struct Parts<J> {
    pub(crate) sequencer: Sequencer,
    pub(crate) writer: Writer<J>,
    pub(crate) follower: Option<Follower>,
    pub(crate) handle: Handle,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) fault: watch::Receiver<Option<Arc<str>>>,
}

/// Puts the pieces together.
pub(crate) fn assemble<J: Journal>(ground: Ground<'_, J>, settings: &BrokerSettings) -> Parts<J> {
    let Ground { journal, recovered, receipts, clock, resumed_at, directory, backlog } = ground;
    let clock_is_manual = !matches!(settings.clock, ClockChoice::System);
    let Recovered { engine, last_frame, followed, recent } = recovered;
    let recent = Recent::new(recent);
    let turn = start_turn(engine, last_frame, resumed_at);
    let turn = if clock_is_manual { turn.without_ticks() } else { turn };
    let identity = Identity::new(journal.identity().0);
    let bodies = Bodies::new(journal.reader(), settings.cache_bytes);
    let (requests_in, requests) = mpsc::channel(limits::QUEUED_REQUESTS);
    // Capacity 1 and a permit taken before the turn: one frame at the journal, one behind it (H4).
    let (jobs_in, jobs) = mpsc::channel(1);
    let (phase, phases) = watch::channel(Phase::Running);
    let (fault_in, fault) = watch::channel(None);
    let stored = Arc::new(AtomicU64::new(journal.stored_bytes()));
    let metrics = Arc::new(Metrics::new(journal.stored_bytes()));
    let space = Gauge {
        directory: directory.map(std::path::Path::to_path_buf),
        reserves: settings.reserves,
        backlog,
        stored: Arc::clone(&stored),
        checkpoint: Arc::new(AtomicU64::new(followed.as_ref().map_or(0, |followed| followed.checkpoint_bytes))),
    };
    let follow = |followed| {
        let (requests, bodies, space) = (requests_in.clone(), bodies.clone(), space.clone());
        let ways = Ways { jobs: jobs_in.downgrade(), requests, bodies, space, recent: recent.clone() };
        Follower::new(followed, ways, settings.checkpoint_floor)
    };
    let (follower, feed) = followed.map(follow).unzip();
    let asking = feed.as_ref().map(Feed::asking);
    let backups = Backups { asking, directory: directory.map(std::path::Path::to_path_buf) };
    let sequencer = Sequencer {
        turn,
        requests,
        jobs: jobs_in,
        clock,
        space,
        bodies: bodies.clone(),
        phase: phases,
        fault: fault_in.clone(),
        journey: None,
        metrics: Arc::clone(&metrics),
    };
    let writer = Writer {
        journal,
        jobs,
        stored,
        fault: fault_in,
        failed: None,
        feed,
        metrics: Arc::clone(&metrics),
        recent: recent.clone(),
        faults: settings.faults.clone(),
    };
    let shares = Arc::new(Semaphore::new(limits::QUEUED_KIB as usize));
    let handle = Handle {
        requests: requests_in,
        shares,
        fault: fault.clone(),
        bodies,
        receipts,
        identity,
        clock_is_manual,
        metrics,
        drain: Drain::off(),
        backups,
        recent,
    };
    Parts { sequencer, writer, follower, handle, phase, fault }
}

/// A journal with a past resumes (H2); a new one just begins.
fn start_turn(engine: Engine, last_frame: Option<u64>, resumed_at: Timestamp) -> Turn {
    let opening = last_frame.map(|_| engine.resume(resumed_at));
    Turn::new(engine, FrameNumber::after(last_frame.map(FrameNumber)).0, opening)
}
