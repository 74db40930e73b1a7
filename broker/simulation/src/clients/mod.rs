//! Who works in a run: producers, consumers, pools and an operator, until enough was asked; then everything is drained. What they do
//! is chance's word, and they behave as badly as clients do: they hang, come back, repeat and forget.

mod consumer;
mod drain;
mod operator;
mod pool;
mod producer;
mod session;

use std::{cell::Cell, future::Future, rc::Rc};

use lockstep_broker::Failure;
use lockstep_engine::{
    AttributeChanges, DeduplicationScope, GroupDelivery, RedriveChange, RedrivePolicy, command::CreateQueue,
    words::Tags,
};

use crate::{
    calls::queue_name,
    history::{Answer, Ask, Entry, What},
    wire,
    world::{Shared, sleep},
};

/// A run from its first queue to its last message.
pub(crate) async fn everyone(world: Shared) {
    create_queues(&world).await;
    let running = Rc::new(Cell::new(0_u32));
    let queues = world.borrow().history.queues.len();
    let strict: Vec<_> = (0..queues).filter(|queue| world.borrow().history.queues[*queue].strict).collect();
    let (producers, consumers, pools) = {
        let rng = &mut world.borrow_mut().rng;
        (rng.u32(1..=3), rng.u32(1..=3), rng.u64(..=2))
    };
    for _ in 0..producers {
        spawn(&world, &running, producer::run(Rc::clone(&world)));
    }
    for _ in 0..consumers {
        spawn(&world, &running, consumer::run(Rc::clone(&world)));
    }
    spawn(&world, &running, operator::run(Rc::clone(&world)));
    if one_in(&world, 2) {
        spawn(&world, &running, session::run(Rc::clone(&world)));
    }
    for queue in &strict {
        for reader in 0..pools {
            spawn(&world, &running, pool::run(Rc::clone(&world), Rc::clone(&running), *queue, reader));
        }
    }
    while world.borrow().calls() < world.borrow().plan.steps {
        sleep(&world, 1_000).await;
    }
    world.borrow_mut().close();
    while running.get() > 0 {
        sleep(&world, 1_000).await;
    }
    drain::run(&world, &strict, pools).await;
}

/// Starts a client, and counts it until it ends.
fn spawn(world: &Shared, running: &Rc<Cell<u32>>, client: impl Future<Output = ()> + 'static) {
    running.set(running.get() + 1);
    let running = Rc::clone(running);
    world.borrow_mut().wanted.push(Box::pin(async move {
        client.await;
        running.set(running.get() - 1);
    }));
}

async fn create_queues(world: &Shared) {
    let queues = world.borrow().history.queues.clone();
    for (facts, queue) in queues.iter().zip(0..) {
        let attributes = AttributeChanges {
            delivery: Some(if facts.strict { GroupDelivery::Strict } else { GroupDelivery::Prefix }),
            content_based: Some(true),
            scope: Some(if facts.group_scope { DeduplicationScope::MessageGroup } else { DeduplicationScope::Queue }),
            window: Some(facts.window),
            visibility: Some(facts.visibility),
            retention: Some(facts.retention),
            delay: Some(facts.delay),
            redrive: facts.redrive.map(|(target, max_receives)| {
                RedriveChange::Set(RedrivePolicy { dead_letter_queue: queue_name(target), max_receives })
            }),
            ..AttributeChanges::default()
        };
        let command = CreateQueue { name: queue_name(queue), attributes, tags: Tags::default() };
        loop {
            let handle = world.borrow().handle();
            if let Some(handle) = handle {
                match handle.create_queue(command.clone()).await {
                    Ok(_) => break,
                    Err(Failure::Rejected(rejected)) => {
                        // A disk that lies has lost the dead-letter queue that this one names: asking again is in vain.
                        return world.borrow_mut().note(What::Stuck(format!("queue {queue} is refused: {rejected}")));
                    }
                    // Not now, or not known.
                    Err(_) => {}
                }
            }
            sleep(world, 500).await;
        }
    }
}

/// Asks until the outcome is known, or patience ends.
async fn persist(world: &Shared, ask: Ask, tries: u32) -> Answer {
    for _ in 1..tries {
        match wire::ask(world, ask.clone()).await {
            Answer::Unavailable => {
                let pause = world.borrow_mut().rng.u64(50..3_000);
                sleep(world, pause).await;
            }
            answer => return answer,
        }
    }
    wire::ask(world, ask).await
}

/// A pause of at most so many milliseconds.
async fn pause(world: &Shared, most: u64) {
    let milliseconds = world.borrow_mut().rng.u64(..=most);
    sleep(world, milliseconds).await;
}

fn closing(world: &Shared) -> bool {
    world.borrow().closing
}

/// One of so many, by chance.
fn one_in(world: &Shared, many: u32) -> bool {
    world.borrow_mut().rng.u32(..many) == 0
}

fn some_queue(world: &Shared) -> usize {
    let mut world = world.borrow_mut();
    let queues = world.history.queues.len();
    world.rng.usize(..queues)
}

/// Groups of a run: few, so that clients meet.
const GROUPS: u64 = 4;

/// A message that nobody sent before.
fn fresh_entry(world: &Shared, with_id: bool) -> Entry {
    let mut world = world.borrow_mut();
    let body = world.name();
    Entry { group: world.rng.u64(..GROUPS), id: with_id.then_some(body), body }
}
