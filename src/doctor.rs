//! `lockstep doctor`: whether a broker and its data directory are well, line by line, each with the way out. It asks
//! and measures only; what belongs to the directory is in `doctor/directory`, and nothing is mended here.

mod directory;

use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use lockstep_broker::Reserves;
use lockstep_client::{Client, v1};
use serde::Serialize;

use crate::{
    cli::Global,
    connect::connect,
    exit::Found,
    output::{Output, instant},
};

/// Clocks that differ by more are worth a word.
const SKEW: Duration = Duration::from_secs(1);
/// What is held for longer is worth a word.
const HELD: Duration = Duration::from_secs(600);
/// How many queues are looked through: the first page, so that a look costs little.
const QUEUES: u32 = 100;
/// How many of the groups that are held longest are named.
const GROUPS: usize = 3;

/// Flags of `doctor`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Lines are `ok|warn|fail  what: figure; way out`. Exit code 1 when something fails; 3 when only a \
broker was asked for and it cannot be reached.

Examples:
  lockstep doctor                        the broker at --endpoint
  lockstep doctor --data ./data          its data directory, too; it may be in use
  lockstep doctor --data ./data --json   one object a line"
)]
pub(crate) struct DoctorArgs {
    /// A data directory to look at; never opened for writing, but a small file is written beside the journal, synced
    /// and removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: &'static str,
    figure: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    way_out: String,
}

/// Prints findings as they come, and counts those that fail.
struct Report {
    output: Output,
    failed: u32,
}

impl Report {
    /// One line; the way out is said only where there is something to get out of.
    fn say(&mut self, level: Level, what: &'static str, figure: String, way_out: &str) -> anyhow::Result<()> {
        let way_out = if level == Level::Ok { String::new() } else { way_out.to_owned() };
        self.failed += u32::from(level == Level::Fail);
        let finding = Finding { level, what, figure, way_out };
        self.output.result(&finding, || {
            let word = match level {
                Level::Ok => "ok  ",
                Level::Warn => "warn",
                Level::Fail => "fail",
            };
            let out = if finding.way_out.is_empty() { String::new() } else { format!("; {}", finding.way_out) };
            format!("{word}  {what}: {}{out}", finding.figure)
        })
    }
}

/// Checks everything that was asked for, then says whether anything fails.
pub(crate) async fn run(args: DoctorArgs, global: &Global) -> anyhow::Result<()> {
    let mut report = Report { output: global.output(), failed: 0 };
    let in_use = match &args.data {
        Some(data) => Some(directory::check(data, &mut report)?),
        None => None,
    };
    endpoint(&global.endpoint, &mut report)?;
    match reach(global).await {
        Ok((client, status, took)) => broker(&client, &status, took, &mut report).await?,
        Err(error) => {
            // A directory that nobody has open needs no broker; one in use has a broker that should be found.
            let level = if in_use == Some(false) { Level::Warn } else { Level::Fail };
            let way_out = "start one with `lockstep serve`, or name its address with --endpoint";
            report.say(level, "broker", error.to_string(), way_out)?;
            if in_use.is_none() {
                return Err(error);
            }
        }
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Found(format!("{failed} of the checks failed")).into()),
    }
}

async fn reach(global: &Global) -> anyhow::Result<(Client, v1::StatusResponse, Duration)> {
    let client = connect(global).await?;
    // The first call makes the connection; the second one is timed.
    client.status().await?;
    let asked = Instant::now();
    let status = client.status().await?;
    Ok((client, status, asked.elapsed()))
}

/// Whether what goes over the wire could be read on the way.
fn endpoint(endpoint: &str, report: &mut Report) -> anyhow::Result<()> {
    let plain = !endpoint.starts_with("https://");
    let level = if plain && !is_loopback(endpoint) { Level::Warn } else { Level::Ok };
    let over = if plain { "plain HTTP/2" } else { "TLS" };
    report.say(
        level,
        "endpoint",
        format!("{endpoint}, over {over}"),
        "anybody on the way can read and change it: keep it on a private network or in a tunnel",
    )
}

fn is_loopback(endpoint: &str) -> bool {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a broker that answers says of itself.
async fn broker(
    client: &Client,
    status: &v1::StatusResponse,
    took: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let reached = format!(
        "answers in {:.1} ms, up since {}; {} queues, {} messages, journal {} of {} bytes",
        took.as_secs_f64() * 1_000.0,
        instant(status.started_unix_ms),
        status.queues,
        status.messages,
        status.journal_id,
        status.journal_bytes
    );
    report.say(Level::Ok, "broker", reached, "")?;
    let ours = env!("CARGO_PKG_VERSION");
    let level = if status.version == ours { Level::Ok } else { Level::Warn };
    let figure = format!("broker {}, this command {ours}", status.version);
    report.say(level, "version", figure, "use the command of the broker's version")?;
    skew(status.now_unix_ms, took, report)?;
    let (level, figure) =
        if status.draining { (Level::Warn, "draining: sends are turned away") } else { (Level::Ok, "serving") };
    report.say(level, "health", figure.to_owned(), "`lockstep drain --cancel` takes sends again")?;
    if let Some(left) = status.space_for_sends_bytes {
        let level = if left == 0 { Level::Fail } else { near(left, Reserves::default().for_sends) };
        let figure = format!("{left} bytes before sends are rejected (H5)");
        report.say(level, "space for sends", figure, "let consumers finish messages, or free the disk")?;
    }
    match held(client).await {
        Ok(held) => held.say(report),
        Err(error) => report.say(Level::Warn, "held", format!("unknown: {error}"), "ask again"),
    }
}

/// A warning when less than so much is left.
fn near(left: u64, least: u64) -> Level {
    if left < least { Level::Warn } else { Level::Ok }
}

fn skew(broker_ms: u64, took: Duration, report: &mut Report) -> anyhow::Result<()> {
    let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(took / 2);
    let there = Duration::from_millis(broker_ms);
    let (apart, side) = if there >= here { (there - here, "ahead of") } else { (here - there, "behind") };
    let level = if apart > SKEW + took { Level::Warn } else { Level::Ok };
    let figure = format!("the broker's is {:.3} s {side} this machine's", apart.as_secs_f64());
    report.say(level, "clock", figure, "set both by NTP, unless it runs under --clock manual")
}

/// What stands in the way of others, oldest first.
struct Held {
    now_ms: u64,
    queues: usize,
    more: bool,
    /// When it was opened, and what it is.
    claim: Option<(u64, String)>,
    groups: Vec<(u64, String)>,
}

async fn held(client: &Client) -> Result<Held, lockstep_client::Error> {
    let page = client.list_queues_page("", "", QUEUES).await?;
    let mut held =
        Held { now_ms: 0, queues: page.queues.len(), more: page.next.is_some(), claim: None, groups: Vec::new() };
    for queue in page.queues {
        let name = queue.queue;
        for reader in client.list_readers(&name).await? {
            for claim in reader.open_claims {
                let text = format!("{name}, reader {}, claim {}", reader.reader, claim.number);
                let older = held.claim.take().filter(|(opened, _)| *opened <= claim.opened_unix_ms);
                held.claim = Some(older.unwrap_or((claim.opened_unix_ms, text)));
            }
        }
        let request = v1::ExplainRequest { queue: name.clone(), max_groups: 100, ..v1::ExplainRequest::default() };
        let explained = client.explain(request).await?;
        held.now_ms = explained.at_unix_ms;
        for group in explained.held_groups {
            let since = group.blocking.map_or(explained.at_unix_ms, |blocking| blocking.since_unix_ms);
            held.groups.push((since, format!("{name}: {}", group.text)));
        }
    }
    held.groups.sort();
    Ok(held)
}

impl Held {
    fn level(&self, since: u64) -> Level {
        if Duration::from_millis(self.now_ms.saturating_sub(since)) > HELD { Level::Warn } else { Level::Ok }
    }

    fn say(&self, report: &mut Report) -> anyhow::Result<()> {
        let of = if self.more { " of the first queues" } else { "" };
        let age = |since: u64| self.now_ms.saturating_sub(since) / 1_000;
        match &self.claim {
            None => report.say(Level::Ok, "oldest claim", format!("none in {} queues{of}", self.queues), "")?,
            Some((since, claim)) => {
                let figure = format!("open for {} s: {claim}", age(*since));
                let way_out = "see `lockstep reader describe`; `lockstep reader abandon` gives it back";
                report.say(self.level(*since), "oldest claim", figure, way_out)?;
            }
        }
        if self.groups.is_empty() {
            return report.say(Level::Ok, "held groups", format!("none in {} queues{of}", self.queues), "");
        }
        for (since, text) in self.groups.iter().take(GROUPS) {
            let figure = format!("for {} s, {text}", age(*since));
            report.say(self.level(*since), "held group", figure, "see `lockstep explain`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        for here in ["http://127.0.0.1:9324", "127.9.9.9:1", "http://localhost:1/x", "http://[::1]:9324", "localhost"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["http://10.0.0.1:9324", "http://localhost.example:1", "http://[fd00::1]:1", "broker:9324", ""] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
