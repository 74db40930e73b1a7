//! How many lives (send, receive, delete) a second the engine alone does on one core: no journal, no threads, no bodies.
//! Medians of several runs; `cargo bench --bench engine`.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::time::Instant;

use lockstep_engine::{
    AttributeChanges, Engine,
    command::{Command, Context, CreateQueue, Delete, QueueRef, Receive, Send, SendEntry, Space},
    words::{DeduplicationKey, GroupId, QueueName, Receipt, Tags, Timestamp},
};

const RUNS: usize = 5;
const LIVES: u64 = 200_000;

fn main() {
    for groups in [1_000, 100_000] {
        for batch in [1, 10, 100] {
            let mut rates: Vec<f64> = (0..RUNS).map(|_| lives_a_second(groups, batch)).collect();
            rates.sort_by(f64::total_cmp);
            println!("{groups:>7} groups, batches of {batch:>3}: {:>9.0} lives/s (median of {RUNS})", rates[RUNS / 2]);
        }
    }
}

struct Bench {
    engine: Engine,
    now: u64,
}

impl Bench {
    fn apply<C: Command>(&mut self, command: &C) -> C::Reply {
        self.now += 1;
        let context = Context { now: Timestamp(self.now), frame: self.now, next_body: 0, space: Space::UNLIMITED };
        self.engine.settle(context.now).events.iter().for_each(|event| self.engine.evolve(event));
        let decision = self.engine.decide(command, &context);
        decision.events.iter().for_each(|event| self.engine.evolve(event));
        decision.reply.expect("nothing here is refused")
    }
}

fn lives_a_second(groups: u64, batch: u64) -> f64 {
    let mut bench = Bench { engine: Engine::new(), now: 1 };
    let name = QueueName::parse("bench.fifo").expect("a queue name");
    bench.apply(&CreateQueue { name: name.clone(), attributes: AttributeChanges::default(), tags: Tags::default() });
    let queue = QueueRef { name, generation: None };
    let groups: Vec<GroupId> =
        (0..groups).map(|group| GroupId::parse(&format!("g{group}")).expect("a group id")).collect();
    let mut next = 0_u64;
    let began = Instant::now();
    for _ in 0..LIVES / batch {
        let entries = (0..batch).map(|_| {
            next += 1;
            entry(&groups, next)
        });
        bench.apply(&Send { queue: queue.clone(), session: None, entries: entries.collect() });
        let max_messages = u32::try_from(batch).expect("a small batch");
        let delivered = bench.apply(&Receive { queue: queue.clone(), max_messages, visibility: None, attempt: None });
        let receipts = delivered.iter().map(|message| Receipt {
            generation: message.generation,
            sequence: message.sequence,
            epoch: message.epoch,
        });
        let receipts = receipts.collect();
        bench.apply(&Delete { queue: queue.clone(), receipts });
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let lives = (LIVES / batch * batch) as f64;
    lives / began.elapsed().as_secs_f64()
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
