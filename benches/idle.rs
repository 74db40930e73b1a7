//! What waiting costs: 10,000 long polls on queues without messages. The broker's CPU while nothing happens, and what
//! a message costs beside them; then the same at 100,000 groups. `cargo bench --bench idle`; medians of several runs, the sides
//! in turn, journal `segments`, 256-byte bodies.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

mod ground;

use std::time::Duration;

use anyhow::Result;
use ground::{Broker, drain, fill};
use lockstep_client::{Client, QueueAttributes};
use tokio::task::JoinSet;

const RUNS: usize = 5;
const POLLS: usize = 10_000;
/// Queues that are polled; connections that poll.
const QUEUES: usize = 100;
const CONNECTIONS: usize = 20;
const MESSAGES: u64 = 100_000;
/// Shorter than a poll waits, so that none is made anew meanwhile.
const IDLE: Duration = Duration::from_secs(8);

#[tokio::main]
async fn main() -> Result<()> {
    let (mut plain, mut polled, mut many, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        plain.push(life(0, 1_000).await?.0);
        let (cost, share) = life(POLLS, 1_000).await?;
        polled.push(cost);
        idle.push(share);
        many.push(life(0, 100_000).await?.0);
    }
    let (plain, polled, many, idle) = (median(plain), median(polled), median(many), median(idle));
    println!("a message's life, sent, delivered and deleted, in us of the broker's CPU time; medians of {RUNS}");
    println!("{plain:>8.2}  1,000 groups");
    println!("{polled:>8.2}  beside {POLLS} idle long polls: {:.2} x", polled / plain);
    println!("{many:>8.2}  100,000 groups: {:.2} x", many / plain);
    println!("{:>8.2}  % of a core with {POLLS} long polls and nothing to do", idle * 100.0);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a message's life costs, and the broker's share of a core while nothing happened before.
async fn life(polls: usize, groups: u64) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let broker = Broker::start("segments", &folder.path().join("data"))?;
    let client = Client::connect(broker.endpoint.clone()).await?;
    client.create_queue("busy.fifo", QueueAttributes::default()).await?;
    let mut waiting = JoinSet::new();
    if polls > 0 {
        for queue in 0..QUEUES {
            client.create_queue(&format!("idle-{queue}.fifo"), QueueAttributes::default()).await?;
        }
        for connection in 0..CONNECTIONS {
            let client = Client::connect(broker.endpoint.clone()).await?;
            for poll in 0..polls / CONNECTIONS {
                let queue = format!("idle-{}.fifo", (connection + poll) % QUEUES);
                let consumer = client.consumer(queue).wait(Duration::from_secs(20)).build();
                waiting.spawn(async move { consumer.receive().await.map(|messages| messages.len()) });
            }
        }
        // Until the broker has them all, it works.
        let mut before = broker.cpu()?;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = broker.cpu()?;
            if now - before < 0.02 {
                break;
            }
            before = now;
        }
    }
    let before = broker.cpu()?;
    tokio::time::sleep(IDLE).await;
    let idle = broker.cpu()?;
    fill(&client, "busy.fifo", MESSAGES, groups, 256).await?;
    drain(&client, "busy.fifo", MESSAGES).await?;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let cost = (broker.cpu()? - idle) * 1e6 / MESSAGES as f64;
    anyhow::ensure!(waiting.len() == polls, "the polls did not wait as long as the measuring took");
    waiting.abort_all();
    Ok((cost, (idle - before) / IDLE.as_secs_f64()))
}
