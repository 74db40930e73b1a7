//! What all tasks of a run share: chance, time, the disk, the broker of the moment and the history. The broker's lives
//! begin and end here.

use std::{cell::RefCell, collections::BTreeMap, future::Future, pin::Pin, rc::Rc, task::Poll, task::Waker};

use lockstep_broker::{BrokerSettings, Handle, JournalChoice, ManualClock, Receipts, simulation::SteppedBroker};
use lockstep_engine::words::Timestamp;
use lockstep_journal::{Fault, FaultyJournal, JournalId, MemoryDisk, MemoryJournal};

use crate::{
    history::{Ask, Call, Event, History, What},
    plan::{self, Flaw, Plan, Weather},
    run::Followed,
};

/// Milliseconds of Unix time at which every run begins.
const BEGINNING: u64 = 1_700_000_000_000;
const RECEIPT_KEY: [u8; 32] = [7; 32];

pub(crate) type Life = SteppedBroker<FaultyJournal<MemoryJournal>>;
/// The world, as tasks hold it.
pub(crate) type Shared = Rc<RefCell<World>>;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) weather: Weather,
    pub(crate) rng: fastrand::Rng,
    pub(crate) clock: ManualClock,
    pub(crate) disk: MemoryDisk,
    pub(crate) broker: Option<Life>,
    /// When a broker that is down starts again.
    pub(crate) restart_at: u64,
    pub(crate) history: History,
    /// What the followers of the lives that ended did.
    pub(crate) followed: Followed,
    /// Clients end: no new work, no more harm.
    pub(crate) closing: bool,
    /// Tasks that tasks want.
    pub(crate) wanted: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    sleepers: BTreeMap<(u64, u64), Waker>,
    next_sleeper: u64,
    next_call: Call,
    next_name: u64,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        let queues = plan::queues(&mut rng);
        let weather = Weather::draw(&mut rng);
        Self {
            weather,
            clock: ManualClock::new(Timestamp(BEGINNING)),
            disk: MemoryDisk::with_identity(JournalId(plan.seed.to_be_bytes().repeat(2).try_into().expect("16 bytes"))),
            broker: None,
            restart_at: BEGINNING,
            history: History { queues, events: Vec::new(), may_fill: weather.backlog.is_some() },
            followed: Followed::default(),
            closing: false,
            wanted: Vec::new(),
            sleepers: BTreeMap::new(),
            next_sleeper: 0,
            next_call: 0,
            next_name: 0,
            plan,
            rng,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.time().0
    }

    pub(crate) fn note(&mut self, what: What) {
        self.history.events.push(Event { at: self.now(), what });
    }

    /// A question reaches the broker.
    pub(crate) fn asked(&mut self, ask: Ask) -> Call {
        self.next_call += 1;
        self.note(What::Asked(self.next_call, ask));
        self.next_call
    }

    pub(crate) fn calls(&self) -> u32 {
        self.next_call
    }

    /// A number that nothing else in the run has.
    pub(crate) fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    /// Whether something with so many chances in 1,000 happens; never once the run is closing.
    pub(crate) fn bad_luck(&mut self, chances: u32) -> bool {
        chances > 0 && !self.closing && self.rng.u32(..1_000) < chances
    }

    /// Harm ends, and a broker that is down comes back at once.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.restart_at = self.restart_at.min(self.now());
    }

    pub(crate) fn handle(&self) -> Option<Handle> {
        self.broker.as_ref().map(|broker| broker.handle().clone())
    }

    /// Begins a life of the broker on what the disk holds.
    pub(crate) fn start(&mut self) {
        let journal = match MemoryJournal::open(&self.disk) {
            Ok(journal) => journal,
            Err(error) => return self.note(What::RefusedToStart(error.to_string())),
        };
        let nth = if self.bad_luck(self.weather.bad_disk) { self.rng.u64(1..60) } else { 0 };
        let journal = match self.rng.u32(..3) {
            0 => FaultyJournal::new(journal, nth, Fault::Lost),
            1 => FaultyJournal::new(journal, nth, Fault::Stored),
            _ => FaultyJournal::torn(journal, nth),
        };
        let settings = BrokerSettings {
            cache_bytes: if self.rng.bool() { 1 << 20 } else { 1 << 10 },
            checkpoint_floor: self.weather.checkpoint_floor,
            sled_backlog: self.weather.backlog.unwrap_or(u64::MAX),
            accept_time_jump: true,
            ..BrokerSettings::new(JournalChoice::Memory)
        };
        match SteppedBroker::start(journal, Receipts::from_key(RECEIPT_KEY), &self.clock, &settings) {
            Ok(broker) => {
                let gap = broker.gap();
                self.followed.resumed += u64::from(self.disk.covered().is_some());
                self.note(What::Started { last: self.now() - gap, gap });
                self.broker = Some(broker.with_slices_of(self.weather.slice_bytes));
            }
            Err(error) => self.note(What::RefusedToStart(error.to_string())),
        }
    }

    /// Lets the follower go on a little. True: it did something.
    pub(crate) fn follow(&mut self, quiet: bool) -> bool {
        self.broker.as_mut().is_some_and(|broker| broker.step_follower(quiet))
    }

    /// A life is over.
    pub(crate) fn bury(&mut self) {
        if let Some(broker) = self.broker.take() {
            let work = broker.follower_work();
            self.followed.checkpoints += work.checkpoints;
            self.followed.moves += work.moves;
            self.followed.interrupted += u64::from(work.in_checkpoint);
        }
    }

    /// Ends a life at once: what the journal has not written is lost.
    pub(crate) fn crash(&mut self) {
        self.note(What::Ended);
        self.bury();
        if self.plan.flaw == Some(Flaw::LyingDisk) && !self.closing {
            self.disk.forget(self.rng.usize(..4));
        }
        if self.plan.flaw == Some(Flaw::GreedyRelease)
            && let Some(covered) = self.disk.covered()
        {
            self.disk.numbers_up_to(covered).into_iter().for_each(|number| self.disk.lose(number));
        }
        let down = match self.rng.u32(..8) {
            0..5 => self.rng.u64(..2_000),
            5 | 6 => self.rng.u64(..120_000),
            _ => self.rng.u64(..4_000_000),
        };
        self.restart_at = self.now() + if self.closing { 0 } else { down };
    }

    /// Moves time on and wakes who waited for it.
    pub(crate) fn advance_to(&mut self, at: u64) {
        self.clock.reach(Timestamp(at));
        while let Some(entry) = self.sleepers.first_entry() {
            if entry.key().0 > at {
                break;
            }
            entry.remove().wake();
        }
    }

    /// When the next sleeper wakes.
    pub(crate) fn next_alarm(&self) -> Option<u64> {
        self.sleepers.first_key_value().map(|((at, _), _)| *at)
    }
}

/// Ends when so many milliseconds have passed.
pub(crate) fn sleep(world: &Shared, milliseconds: u64) -> impl Future<Output = ()> + use<> {
    let world = Rc::clone(world);
    let mut place: Option<(u64, u64)> = None;
    std::future::poll_fn(move |context| {
        let mut world = world.borrow_mut();
        let key = *place.get_or_insert_with(|| {
            world.next_sleeper += 1;
            (world.now() + milliseconds, world.next_sleeper)
        });
        if world.now() >= key.0 {
            world.sleepers.remove(&key);
            return Poll::Ready(());
        }
        world.sleepers.insert(key, context.waker().clone());
        Poll::Pending
    })
}

/// The value of `work`, unless so many milliseconds pass before; then it is dropped.
pub(crate) async fn within<T>(world: &Shared, milliseconds: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = Box::pin(work);
    let mut alarm = Box::pin(sleep(world, milliseconds));
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        alarm.as_mut().poll(context).map(|()| None)
    })
    .await
}
