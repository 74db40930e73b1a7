//! How many lives (send, receive, delete) a second the engine alone does on one core: no journal, no threads, no bodies.
//! At the end with 1,000,000 groups and 10,000,000 messages that wait: about 3 GB of memory, a minute. Medians of several
//! runs; `cargo bench --bench engine`.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::time::Instant;

use lockstep_engine::{
    AttributeChanges, Engine,
    command::{Command, Context, CreateQueue, Delete, QueueRef, Receive, Send, SendEntry, Space},
    words::{DeduplicationKey, GroupId, QueueName, Receipt, Tags, Timestamp},
};

const RUNS: usize = 5;
const LIVES: u64 = 200_000;
/// The large case.
const GROUPS: u64 = 1_000_000;
const BACKLOG: u64 = 10_000_000;

fn main() {
    for groups in [1_000, 100_000] {
        for batch in [1, 10, 100] {
            let rates = (0..RUNS).map(|_| Bench::with_groups(groups).lives_a_second(batch)).collect();
            tell(groups, batch, rates);
        }
    }
    let mut bench = Bench::with_groups(GROUPS);
    for _ in 0..BACKLOG / 1_000 {
        bench.send(1_000);
    }
    for batch in [1, 10, 100] {
        tell(GROUPS, batch, (0..RUNS).map(|_| bench.lives_a_second(batch)).collect());
    }
}

fn tell(groups: u64, batch: u64, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    println!("{groups:>7} groups, batches of {batch:>3}: {:>9.0} lives/s (median of {RUNS})", rates[RUNS / 2]);
}

struct Bench {
    engine: Engine,
    now: u64,
    queue: QueueRef,
    groups: Vec<GroupId>,
    sent: u64,
}

impl Bench {
    /// An engine with an empty queue; messages come to so many groups in turn.
    fn with_groups(groups: u64) -> Self {
        let name = QueueName::parse("bench.fifo").expect("a queue name");
        let group = |group| GroupId::parse(&format!("g{group}")).expect("a group id");
        let queue = QueueRef { name: name.clone(), generation: None };
        let mut bench =
            Self { engine: Engine::new(), now: 1, queue, groups: (0..groups).map(group).collect(), sent: 0 };
        bench.apply(&CreateQueue { name, attributes: AttributeChanges::default(), tags: Tags::default() });
        bench
    }

    fn apply<C: Command>(&mut self, command: &C) -> C::Reply {
        self.now += 1;
        let context = Context { now: Timestamp(self.now), frame: self.now, next_body: 0, space: Space::UNLIMITED };
        self.engine.settle(context.now).events.iter().for_each(|event| self.engine.evolve(event));
        let decision = self.engine.decide(command, &context);
        decision.events.iter().for_each(|event| self.engine.evolve(event));
        decision.reply.expect("nothing here is refused")
    }

    fn send(&mut self, batch: u64) {
        let entries = (self.sent + 1..=self.sent + batch).map(|number| entry(&self.groups, number)).collect();
        self.sent += batch;
        self.apply(&Send { queue: self.queue.clone(), session: None, entries });
    }

    fn lives_a_second(&mut self, batch: u64) -> f64 {
        let began = Instant::now();
        for _ in 0..LIVES / batch {
            self.send(batch);
            let max_messages = u32::try_from(batch).expect("a small batch");
            let queue = self.queue.clone();
            let delivered = self.apply(&Receive { queue, max_messages, visibility: None, attempt: None });
            let receipts = delivered.iter().map(|message| Receipt {
                generation: message.generation,
                sequence: message.sequence,
                epoch: message.epoch,
            });
            let receipts = receipts.collect();
            self.apply(&Delete { queue: self.queue.clone(), receipts });
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let lives = (LIVES / batch * batch) as f64;
        lives / began.elapsed().as_secs_f64()
    }
}

fn entry(groups: &[GroupId], number: u64) -> SendEntry {
    let mut key = [0; 16];
    // Spread as a hash would be.
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    let group = usize::try_from(number).expect("64 bits") % groups.len();
    SendEntry {
        group: groups[group].clone(),
        explicit_id: true,
        queue_key: DeduplicationKey(key),
        group_key: DeduplicationKey(key),
        size: 256,
        delay: None,
    }
}
