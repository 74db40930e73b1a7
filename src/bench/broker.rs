//! The broker of a run: a process of its own on a fresh directory, which both end with the run; and what the system and
//! the broker's own figures say of it.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use super::http::Connection;
use crate::pipeline::process;

/// A broker that was started for a run. Dropped, it is killed, and its directory removed.
#[derive(Debug)]
pub(super) struct Broker {
    child: Child,
    pub(super) endpoint: String,
    /// Open, because the broker ends when nobody reads its stdout.
    _stdout: BufReader<ChildStdout>,
    directory: Directory,
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Broker {
    pub(super) async fn start(journal: &str, within: Option<&Path>) -> anyhow::Result<Self> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let directory = within.join(format!("lockstep-bench-{:016x}", fastrand::u64(..)));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let directory = Directory(directory);
        let log = directory.0.join("log");
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        let mut child = process::broker(&listener, &directory.0.join("data"), Some(journal), &log)?;
        let mut stdout = BufReader::new(child.stdout.take().context("the broker has no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line).await?;
        let Some(endpoint) = line.trim().strip_prefix("listening on ") else {
            bail!("the broker does not start; its log says:\n{}", process::tail_of(&log));
        };
        Ok(Self { child, endpoint: endpoint.to_owned(), _stdout: stdout, directory })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it said before it failed.
    pub(super) fn last_words(&self) -> String {
        process::tail_of(&self.directory.0.join("log"))
    }

    /// Ends it.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Ticks of the processor's time in a second, as Linux counts for its users.
const TICKS: f64 = 100.0;

/// What a process and its journal used up so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usage {
    /// Seconds of processor time, user and system; to 10 ms.
    pub(super) cpu: Option<f64>,
    /// The most memory it ever had, in bytes.
    pub(super) peak: Option<u64>,
    /// Bytes that it had the system write to storage.
    pub(super) written: Option<u64>,
    /// Frames that were made durable, each by one sync.
    pub(super) frames: Option<u64>,
    /// Bytes of events and bodies in them.
    pub(super) frame_bytes: Option<u64>,
}

impl Usage {
    /// Of a process of this machine.
    pub(super) fn of(pid: u32) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let (stat, status, io) = (read("stat"), read("status"), read("io"));
        Self {
            cpu: processor_seconds(&stat),
            peak: field(&status, "VmHWM:").map(|kilobytes| kilobytes * 1_024),
            written: field(&io, "write_bytes:"),
            frames: None,
            frame_bytes: None,
        }
    }

    /// The same, with the figures of the broker at this address.
    pub(super) async fn with_figures(self, address: &str) -> Self {
        let figures = async { anyhow::Ok(Connection::open(address).await?.get("/metrics").await?.to_owned()) };
        let figures = figures.await.unwrap_or_default();
        Self {
            frames: field(&figures, "lockstep_frames_appended_total"),
            frame_bytes: field(&figures, "lockstep_frame_bytes_total"),
            ..self
        }
    }

    /// What was used up since.
    pub(super) fn since(self, before: Self) -> Self {
        let less = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Self {
            cpu: self.cpu.zip(before.cpu).map(|(now, before)| now - before),
            peak: self.peak,
            written: less(self.written, before.written),
            frames: less(self.frames, before.frames),
            frame_bytes: less(self.frame_bytes, before.frame_bytes),
        }
    }
}

/// The number behind a name, in the first line that begins with it.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime` of /proc/PID/stat, which stand behind the name in parentheses.
#[allow(clippy::cast_precision_loss, reason = "a process that lives so long is not measured")]
fn processor_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let [user, system] = [fields.next()?, fields.next()?].map(|ticks| ticks.parse::<u64>().ok());
    Some((user? + system?) as f64 / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_looked_into() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0";
        assert_eq!(processor_seconds(stat), Some(4.0));
        let own = Usage::of(std::process::id());
        assert!(own.cpu.is_some() && own.peak.is_some_and(|peak| peak > 1 << 20));
        assert_eq!(Usage::of(u32::MAX).cpu, None);
    }

    #[test]
    fn figures_are_read_by_name() {
        let text = "# TYPE lockstep_frames_appended counter\nlockstep_frames_appended_total 17\n";
        assert_eq!(field(text, "lockstep_frames_appended_total"), Some(17));
        assert_eq!(field(text, "lockstep_frame_bytes_total"), None);
    }
}
