//! One run: which of the things that could happen next does, until the clients are done and every queue is empty.

use std::{cell::RefCell, rc::Rc, task::Context};

use crate::{
    checker::{self, Summary, Violation},
    clients,
    history::{History, What},
    plan::Plan,
    tasks::Tasks,
    world::{Shared, World},
};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What crossed the wire.
    pub history: History,
    /// Every byte on the disk at the end: frames, then slices of the checkpoint.
    pub disk: Vec<bytes::Bytes>,
    /// What the follower did (H6).
    pub followed: Followed,
    /// The verdict.
    pub verdict: Result<Summary, Violation>,
}

/// What was seen of the follower's work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Checkpoints that became whole.
    pub checkpoints: u64,
    /// Lives that ended in the middle of a checkpoint.
    pub interrupted: u64,
    /// Starts on a checkpoint.
    pub resumed: u64,
    /// How often bodies began to move out of old frames.
    pub moves: u64,
}

/// Steps without an event after which a run that does not end is stuck.
const MOST_STEPS: u32 = 20_000;
/// Events, in all and for each question that is planned, after which a run that does not end goes in circles.
const MOST_EVENTS: usize = 10_000;
const MOST_EVENTS_PER_QUESTION: usize = 50;

/// Runs a plan and judges it.
#[must_use]
pub fn simulate(plan: &Plan) -> Report {
    let world: Shared = Rc::new(RefCell::new(World::new(plan.clone())));
    let mut tasks = Tasks::new();
    world.borrow_mut().start();
    tasks.spawn(Box::pin(clients::everyone(Rc::clone(&world))));
    drive(&world, &mut tasks);
    // What waits in vain must not outlive the run.
    drop(tasks);
    let mut world = world.borrow_mut();
    world.bury();
    let history = std::mem::take(&mut world.history);
    let verdict = checker::check(&history);
    let disk = world.disk.contents().into_iter().chain(world.disk.slices()).collect();
    Report { verdict, history, disk, followed: world.followed }
}

fn drive(world: &Shared, tasks: &mut Tasks) {
    let (mut steps, mut events) = (0, 0);
    loop {
        let wanted = std::mem::take(&mut world.borrow_mut().wanted);
        wanted.into_iter().for_each(|work| tasks.spawn(work));
        if tasks.unfinished() == 0 || refused(world) {
            return;
        }
        let now = world.borrow().history.events.len();
        // While the broker is down nothing can be heard of.
        steps = if now == events && world.borrow().broker.is_some() { steps + 1 } else { 0 };
        events = now;
        let most = MOST_EVENTS + MOST_EVENTS_PER_QUESTION * world.borrow().plan.steps as usize;
        if steps > MOST_STEPS || events > most {
            return world.borrow_mut().note(What::Stuck(format!("{} tasks do not end", tasks.unfinished())));
        }
        if !worsen(world, tasks) && !follow(world) && !work(world, tasks) && !world.borrow_mut().follow(false) {
            pass_time(world);
        }
    }
}

fn refused(world: &Shared) -> bool {
    matches!(world.borrow().history.events.last(), Some(event) if matches!(event.what, What::RefusedToStart(_)))
}

/// Crashes, restarts and jumps of time, by chance.
fn worsen(world: &Shared, tasks: &Tasks) -> bool {
    let mut world = world.borrow_mut();
    let world = &mut *world;
    let Some(broker) = &world.broker else {
        if world.now() >= world.restart_at {
            world.start();
            tasks.waker(0).wake_by_ref();
            return true;
        }
        return false;
    };
    let failed = broker.fault().is_some();
    let ended = broker.has_ended();
    if ended || (failed && world.rng.u32(..8) == 0) || world.bad_luck(world.weather.crash) {
        if !ended && !failed && world.rng.u32(..4) == 0 {
            // A clean end: it goes on until all was answered.
            world.broker.as_ref().expect("it is up").stop();
            tasks.waker(0).wake_by_ref();
        } else {
            world.crash();
        }
        return true;
    }
    if world.bad_luck(world.weather.jump) {
        let by = jump(&mut world.rng);
        world.advance_to(world.now() + by);
        return true;
    }
    false
}

/// A step of time: small, across leases, across windows and short retentions.
fn jump(rng: &mut fastrand::Rng) -> u64 {
    match rng.u32(..20) {
        0..10 => rng.u64(1..500),
        10..16 => rng.u64(..20_000),
        16..19 => rng.u64(..90_000),
        _ => rng.u64(..700_000),
    }
}

/// Lets the follower go on although others could, by chance.
fn follow(world: &Shared) -> bool {
    let mut world = world.borrow_mut();
    let slow = world.weather.slow_follower;
    world.rng.u32(..slow) == 0 && world.follow(false)
}

/// Lets one of those run that could.
fn work(world: &Shared, tasks: &mut Tasks) -> bool {
    let ready = tasks.ready();
    let journal = {
        let mut world = world.borrow_mut();
        let slow = world.weather.slow_disk;
        let waits = world
            .broker
            .as_ref()
            .is_some_and(|broker| broker.has_work_for_the_journal() || broker.fault().is_none() && broker.has_ended());
        waits && (ready == 0 || world.rng.u32(..slow) == 0)
    };
    if journal {
        let mut world = world.borrow_mut();
        world.broker.as_mut().expect("it is up").write_one();
        return true;
    }
    if ready == 0 {
        return false;
    }
    let index = world.borrow_mut().rng.usize(..ready);
    let number = tasks.take(index);
    if number == 0 {
        let mut world = world.borrow_mut();
        if let Some(broker) = &mut world.broker {
            let ended = broker.poll_sequencer(&mut Context::from_waker(tasks.waker(0)));
            if ended && broker.fault().is_none() {
                // The journal writes what it has, and closes.
                while !broker.has_ended() {
                    broker.write_one();
                }
            }
        }
    } else {
        tasks.poll(number);
    }
    true
}

/// Nothing can happen before time passes: to the next alarm.
fn pass_time(world: &Shared) {
    let mut world = world.borrow_mut();
    let now = world.now();
    let down = world.broker.is_none().then_some(world.restart_at);
    let next = [world.next_alarm(), down].into_iter().flatten().min().unwrap_or(now + 1_000);
    world.advance_to(next.max(now + 1));
    if world.rng.bool() {
        // Nothing happened for a while.
        world.follow(true);
    }
}
