//! A broker process for the benchmarks that start it again, and what the system says of it.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lockstep_client::{Client, Message};

pub(crate) struct Broker {
    child: Child,
    /// Open, because the broker ends when nobody reads it.
    _stdout: BufReader<ChildStdout>,
    pub(crate) endpoint: String,
    /// From its start until it listened.
    pub(crate) start: Duration,
    data: PathBuf,
}

impl Broker {
    pub(crate) fn start(journal: &str, data: &Path) -> Result<Self> {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--journal", journal, "--data"]).arg(data);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let endpoint = line.trim().strip_prefix("listening on ").context("the broker does not listen")?.to_owned();
        Ok(Self { child, _stdout: stdout, endpoint, start: began.elapsed(), data: data.to_owned() })
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// CPU time so far, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("no CPU time");
        // Ticks are 1/100 s on every Linux that Rust's std runs on.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Bytes that the data directory takes on the disk.
    pub(crate) fn disk(&self) -> Result<u64> {
        disk(&self.data)
    }

    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as SIGTERM does, and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // One that has ended has nothing to be told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn disk(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { disk(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

/// Sends so many messages over so many groups, in blocks.
pub(crate) async fn fill(client: &Client, queue: &str, messages: u64, groups: u64, size: usize) -> Result<()> {
    let producer = client.producer(queue).build();
    let body = "x".repeat(size);
    for first in (0..messages).step_by(10_000) {
        let some = first..messages.min(first + 10_000);
        let some = some.map(|number| Message::new(format!("g{}", number % groups), body.clone())).collect();
        for sent in producer.send_batch(some).await {
            sent?;
        }
    }
    Ok(())
}

/// Receives and deletes so many messages.
pub(crate) async fn drain(client: &Client, queue: &str, messages: u64) -> Result<()> {
    let mut stream = client.consumer(queue).max_messages(2_000).stream();
    let mut left = messages;
    while left > 0 {
        let mut some = vec![stream.next().await?];
        while some.len() < 1_000
            && let Some(more) = stream.try_next()
        {
            some.push(more?);
        }
        for deleted in stream.delete_all(&some).await {
            deleted?;
        }
        left -= some.len() as u64;
    }
    Ok(())
}

pub(crate) fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}
