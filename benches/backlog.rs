//! What a backlog costs: 1,000,000 messages of 1 KiB wait; memory, the time of a start after a clean and an unclean end, and
//! the disk after all are deleted. `cargo bench --bench backlog`; `-- COUNT` for another size. Memory is that of a process
//! that was just started: with the messages and their keys, then with the keys alone. Both hold the engine's state twice,
//! once for the follower that writes checkpoints.

#![allow(clippy::print_stdout, reason = "a benchmark tells its figures")]

mod ground;

use std::time::{Duration, Instant};

use anyhow::Result;
use ground::{Broker, drain, fill, mebibytes};
use lockstep_client::{Client, QueueAttributes};

const QUEUE: &str = "backlog.fifo";

#[tokio::main]
async fn main() -> Result<()> {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!("{count} messages of 1 KiB over 1,000 groups");
    println!(
        "{:<9} {:>8} {:>8} {:>14} {:>10} {:>9} {:>10} {:>9} {:>8} {:>8}",
        "journal",
        "peak MiB",
        "RSS MiB",
        "bytes/message",
        "bytes/key",
        "start s",
        "after kill",
        "disk MiB",
        "drained",
        "reopened"
    );
    for journal in ["segments", "sled"] {
        measure(journal, count).await?;
    }
    Ok(())
}

async fn measure(journal: &str, count: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let broker = Broker::start(journal, &data)?;
    let client = Client::connect(broker.endpoint.clone()).await?;
    client.create_queue(QUEUE, QueueAttributes::default()).await?;
    let empty = broker.resident()?;
    fill(&client, QUEUE, count, 1_000, 1_024).await?;
    let peak = broker.resident()?;
    let disk = broker.disk()?;
    broker.stop()?;
    let broker = Broker::start(journal, &data)?;
    let clean = broker.start;
    broker.kill()?;
    let broker = Broker::start(journal, &data)?;
    let unclean = broker.start;
    let full = broker.resident()?;
    let client = Client::connect(broker.endpoint.clone()).await?;
    drain(&client, QUEUE, count).await?;
    let drained = settled(&broker).await?;
    broker.stop()?;
    let broker = Broker::start(journal, &data)?;
    let (keys, reopened) = (broker.resident()?, settled(&broker).await?);
    println!(
        "{journal:<9} {:>8} {:>8} {:>14} {:>10} {:>9.2} {:>10.2} {:>9} {:>8} {:>8}",
        mebibytes(peak),
        mebibytes(full),
        full.saturating_sub(keys) / count,
        keys.saturating_sub(empty) / count,
        clean.as_secs_f64(),
        unclean.as_secs_f64(),
        mebibytes(disk),
        mebibytes(drained),
        mebibytes(reopened)
    );
    Ok(())
}

/// The disk once it has not shrunk for eight seconds: what is stored is looked through every five.
async fn settled(broker: &Broker) -> Result<u64> {
    let (mut least, mut since) = (broker.disk()?, Instant::now());
    while since.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = broker.disk()?;
        if now < least {
            (least, since) = (now, Instant::now());
        }
    }
    Ok(least)
}
