//! The follower: it keeps a copy of the engine by the frames that are durable, and from it writes checkpoints and says
//! which frames may go (H6). It has its own thread and never touches the sequencer's engine, so that no turn waits for
//! it. What a checkpoint is on disk is the journal's affair.
//!
//! The copy costs the engine's memory a second time; the bytes of bodies are held nowhere.

mod feed;
pub(crate) mod held;
mod mover;
mod nudge;
pub(crate) mod slices;
pub(crate) mod snapshot;
mod stepped;

use std::{
    sync::{
        atomic::Ordering,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use lockstep_engine::Engine;
use lockstep_journal::MAX_SLICE_BYTES;
use tokio::sync::mpsc;

use self::{
    feed::{Fed, Intake},
    held::Held,
    mover::Mover,
};
use crate::{
    bodies::Bodies,
    limits,
    recent::{self, Allowance, Fact, Recent},
    request::Request,
    space::Gauge,
    writer::{Job, SliceJob},
};

pub(crate) use self::{
    feed::{Durable, Feed},
    stepped::{Stepped, Stepping},
};

/// What a start knows of the past, beside the engine.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The copy, after every frame.
    pub(crate) engine: Engine,
    /// The frames that the journal holds.
    pub(crate) held: Held,
    /// The newest frame; 0 in a new journal.
    pub(crate) last: u64,
    /// The frame that the newest checkpoint covers; 0: there is none.
    pub(crate) covered: u64,
    /// Bytes of that checkpoint.
    pub(crate) checkpoint_bytes: u64,
    /// Bytes of the events after it.
    pub(crate) tail_bytes: u64,
}

/// What the follower reaches beside the journal's feed.
pub(crate) struct Ways {
    /// The way to the journal's thread.
    pub(crate) jobs: mpsc::WeakSender<Job>,
    /// The way to the sequencer.
    pub(crate) requests: mpsc::Sender<Box<dyn Request>>,
    /// Where bodies are read.
    pub(crate) bodies: Bodies,
    /// What is stored, and how much may be.
    pub(crate) space: Gauge,
    /// Where people look what happened.
    pub(crate) recent: Recent,
}

/// Everything the thread owns.
pub(crate) struct Follower {
    past: Followed,
    intake: Intake,
    /// The way to the journal's thread. Weak: the broker ends when the sequencer does.
    jobs: mpsc::WeakSender<Job>,
    /// Bytes of events that are worth a checkpoint, however small the last one was.
    floor: u64,
    /// Most bytes of a slice.
    slice_bytes: usize,
    /// Bodies that are named now, and were when the last checkpoint was written.
    bodies: (u64, u64),
    mover: Mover,
    /// Bytes that were released if a checkpoint covered them, at the last look.
    idle_bytes: u64,
    space: Gauge,
    /// A checkpoint is due, and the disk has no room for it; said once.
    put_off: bool,
    /// Bytes of events since the names were last looked at, and when that was.
    unseen: u64,
    looked_at: Instant,
    /// Frames may go that a backup keeps.
    owing: bool,
    /// Where people look what happened, and what is on its way there.
    recent: Recent,
    told: Vec<Fact>,
    allowance: Allowance,
}

/// The broker ends: nothing more is to be written.
struct Ending;

impl Follower {
    /// A follower, and the journal's end of what feeds it.
    pub(crate) fn new(past: Followed, ways: Ways, floor: u64) -> (Self, Feed) {
        let (feed, intake) = feed::connect();
        let Ways { jobs, requests, bodies, space, recent } = ways;
        let mover = Mover::new(requests, bodies);
        let (slice_bytes, bodies) = (MAX_SLICE_BYTES, (0, 0));
        let (idle_bytes, unseen, looked_at) = (0, 0, Instant::now());
        let (put_off, owing) = (false, false);
        let mut follower = Self {
            past,
            intake,
            jobs,
            floor,
            slice_bytes,
            bodies,
            mover,
            idle_bytes,
            space,
            put_off,
            unseen,
            looked_at,
            owing,
            recent,
            told: Vec::new(),
            allowance: Allowance::new(Instant::now()),
        };
        follower.look();
        follower.bodies.1 = follower.bodies.0;
        (follower, feed)
    }

    /// Follows until the journal's thread ends.
    pub(crate) fn run(mut self) {
        loop {
            let pause = if self.intake.has_releasable() { limits::RELEASE_PAUSE } else { limits::FOLLOWER_PAUSE };
            match self.intake.take(Duration::from_millis(pause)) {
                Ok(fed) => self.follow(fed),
                // Nothing happens by itself: then what may go needs a frame of its own.
                Err(RecvTimeoutError::Timeout) if self.intake.has_releasable() => self.mover.nudge(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.is_checkpoint_due() && self.has_room() && self.checkpoint().is_err() {
                return;
            }
            let patience = Duration::from_millis(limits::LOOK_PAUSE);
            if !self.tend(self.looked_at.elapsed() >= patience) {
                return;
            }
        }
    }

    /// Lets go what may go, and moves what keeps the rest. False: the broker ends.
    fn tend(&mut self, is_late: bool) -> bool {
        if self.is_look_due(is_late) {
            self.look();
            self.move_bodies();
        }
        self.mover.step()
    }

    fn apply(&mut self, frame: Durable) {
        let Durable { number, facts, event_bytes: size, bodies, bytes } = frame;
        let tells = self.allowance.is_left(Instant::now()) || self.recent.is_watched();
        for event in &facts {
            if tells {
                recent::tell(event, &self.past.engine, number, &mut self.told);
            }
            self.past.engine.evolve(event);
        }
        self.allowance.spend(self.told.len());
        if tells {
            self.recent.note(number, &mut self.told);
        } else {
            self.recent.skip(number);
        }
        self.past.held.add(number, bodies, bytes);
        self.past.last = number;
        self.past.tail_bytes += size;
        self.unseen += size;
    }

    /// The tail is larger than the next checkpoint is likely to be: then the checkpoint costs less than what led to it.
    /// Or it would give back more than it takes: large bodies come with few events.
    fn is_checkpoint_due(&self) -> bool {
        let likely = self.likely_bytes();
        self.past.last > self.past.covered
            && (self.past.tail_bytes > likely.max(self.floor)
                || self.idle_bytes > likely.max(self.floor * limits::IDLE_FLOORS))
    }

    /// What the next checkpoint is likely to take. A state that shrank makes a smaller one than the last.
    fn likely_bytes(&self) -> u64 {
        let (now, then) = self.bodies;
        let last = self.past.checkpoint_bytes;
        if now < then {
            u64::try_from(u128::from(last) * u128::from(now) / u128::from(then)).unwrap_or(last)
        } else {
            last
        }
    }

    /// A checkpoint that meets a full disk would end the process, at every start again. It is put off instead: the frames
    /// stay, and nothing is lost (H5).
    fn has_room(&mut self) -> bool {
        let needed = self.likely_bytes().max(self.floor).saturating_mul(limits::CHECKPOINT_ROOM);
        let free = self.space.free();
        if !std::mem::replace(&mut self.put_off, free < needed) && self.put_off {
            tracing::warn!(free, needed, "the disk has no room for a checkpoint: it waits, and no space comes back");
        }
        !self.put_off
    }

    /// Writes a checkpoint of the copy, slice by slice between the appends. The copy stands still meanwhile; frames
    /// gather in the feed.
    fn checkpoint(&mut self) -> Result<(), Ending> {
        let began = Instant::now();
        let covers = self.past.last;
        self.intake.writing(true);
        let (mut bytes, mut count) = (0, 0);
        for slice in slices::cut_at(self.past.engine.distilled(), self.slice_bytes) {
            bytes += slice.bytes.len() as u64;
            count += 1;
            let (stored_in, stored) = sync_channel(1);
            let job = SliceJob { covers, bytes: slice.bytes, last: slice.last, stored: stored_in };
            let jobs = self.jobs.upgrade().ok_or(Ending)?;
            jobs.blocking_send(Job::Slice(job)).map_err(|_| Ending)?;
            drop(jobs);
            stored.recv().map_err(|_| Ending)?;
        }
        let tail = self.wrote(covers, bytes);
        let milliseconds = began.elapsed().as_millis();
        tracing::info!(covers, bytes, slices = count, tail, milliseconds, "a checkpoint was written");
        Ok(())
    }

    /// A whole checkpoint is stored; answers how many bytes of events it stands for.
    fn wrote(&mut self, covers: u64, bytes: u64) -> u64 {
        self.intake.writing(false);
        let tail = std::mem::take(&mut self.past.tail_bytes);
        self.past.covered = covers;
        self.past.checkpoint_bytes = bytes;
        self.space.checkpoint.store(bytes, Ordering::Relaxed);
        self.look();
        self.bodies.1 = self.bodies.0;
        tail
    }

    fn follow(&mut self, fed: Fed) {
        match fed {
            Fed::Frame(frame) => self.apply(frame),
            Fed::TurnedAway(accepted) => {
                let last = self.past.last;
                accepted.iter().for_each(|it| recent::turned_away(it, &self.past.engine, last, &mut self.told));
                self.recent.note(last, &mut self.told);
            }
            Fed::Ask(ask) => {
                // The copy stands still meanwhile.
                self.intake.writing(true);
                ask.answer(&self.past.engine, self.past.last);
                self.intake.writing(false);
            }
        }
    }

    /// When hardly anything of what is stored is named any more, what is left in the oldest frames moves.
    fn move_bodies(&mut self) {
        let most = (self.past.held.named_bytes() * limits::MOVE_SHARE).max(self.floor * limits::MOVE_FLOORS);
        if self.mover.is_idle()
            && self.space.stored.load(Ordering::Relaxed) > most
            && let Some(frames) = self.past.held.sparse(self.past.covered, self.floor * limits::MOVE_GROUP_FLOORS)
        {
            self.mover.begin(&self.past.engine, &frames);
        }
    }

    /// `is_late`: the last look was [`limits::LOOK_PAUSE`] ago.
    fn is_look_due(&self, is_late: bool) -> bool {
        // Looking costs a visit to each body: not more often than as many bytes of events paid for it.
        let worth = (self.floor / limits::LOOKS_PER_FLOOR).max(self.bodies.0 * limits::LOOK_BYTES_PER_BODY);
        let owed = self.owing && !self.intake.is_asked();
        owed || self.unseen > worth || (self.unseen > 0 && is_late)
    }

    /// Looks which frames are still named; those that are not, and are covered, go with the next appends. While a backup
    /// reads they stay: the state that it saves may name them.
    fn look(&mut self) {
        self.bodies.0 = self.past.held.look(self.past.engine.bodies());
        self.owing = self.intake.is_asked();
        let releasable = if self.owing { Vec::new() } else { self.past.held.take_releasable(self.past.covered) };
        if !releasable.is_empty() {
            tracing::debug!(frames = releasable.len(), held = self.past.held.bytes(), "frames may go");
            self.intake.release(releasable);
        }
        self.idle_bytes = self.past.held.idle_bytes(self.past.covered);
        self.unseen = 0;
        self.looked_at = Instant::now();
    }
}
