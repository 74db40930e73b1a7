//! The same workloads against Lockstep, Redis and NATS JetStream, in turns, with what the disk and a bare call give beside
//! them. The flags and the order of what is done; `./run` builds and installs what it needs, docs/benchmarks.md says how
//! to read the figures.

mod disk;
mod echo;
mod load;
mod nats;
mod ours;
mod redis;
mod server;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    load::{How, Peer, Workload},
    nats::Nats,
    redis::Redis,
    table::Table,
};

/// Whoever is measured, in this order.
const SIDES: [&str; 6] = ["segments", "sled", "redis", "nats", "disk", "echo"];
const USAGE: &str = "usage: run [--rounds 5] [--seconds 5] [--only segments,sled,redis,nats,disk,echo] [--workload WORD] \
    [--json] [--directory DIR]";

/// A line of the table.
struct Row {
    name: &'static str,
    workload: Workload,
    how: How,
}

const fn row(name: &'static str, workload: Workload, batch: usize, deduplicated: bool) -> Row {
    Row { name, workload, how: How { batch, deduplicated } }
}

const BOTH: Workload = Workload::Both { rate: None };
const SEND: &str = "send singly";
const BATCHES: &str = "send in batches";
const ROWS: [Row; 8] = [
    row(SEND, Workload::Send, 1, false),
    row("send singly, deduplicated", Workload::Send, 1, true),
    row(BATCHES, Workload::Send, 100, false),
    row("drain singly", Workload::Drain, 1, false),
    row("drain in batches", Workload::Drain, 100, false),
    row("both singly", BOTH, 1, false),
    row("both in batches", BOTH, 100, false),
    row("delivery at 2000/s", Workload::Both { rate: Some(2_000) }, 1, false),
];

struct Arguments {
    rounds: u32,
    seconds: f64,
    only: Vec<String>,
    /// Rows whose name has this word.
    word: String,
    json: bool,
    directory: PathBuf,
    lockstep: PathBuf,
    nats: PathBuf,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut read = Self {
            rounds: 5,
            seconds: 5.0,
            only: SIDES.map(str::to_owned).to_vec(),
            word: String::new(),
            json: false,
            directory: std::env::temp_dir(),
            lockstep: "lockstep".into(),
            nats: "nats-server".into(),
        };
        while let Some(flag) = words.next() {
            let mut value = || words.next().with_context(|| format!("{flag} needs a value; {USAGE}"));
            match flag.as_str() {
                "--rounds" => read.rounds = value()?.parse().context("--rounds")?,
                "--seconds" => read.seconds = value()?.parse().context("--seconds")?,
                "--only" => read.only = value()?.split(',').map(str::to_owned).collect(),
                "--workload" => read.word = value()?,
                "--json" => read.json = true,
                "--directory" => read.directory = value()?.into(),
                "--lockstep" => read.lockstep = value()?.into(),
                "--nats-server" => read.nats = value()?.into(),
                other => bail!("{other}: {USAGE}"),
            }
        }
        ensure!(
            read.rounds > 0 && (1.0..=60.0).contains(&read.seconds),
            "--rounds 1 or more, --seconds 1 to 60; {USAGE}"
        );
        let unknown = read.only.iter().find(|side| !SIDES.contains(&side.as_str()));
        ensure!(unknown.is_none(), "--only {}: {USAGE}", unknown.map_or("", String::as_str));
        Ok(read)
    }

    fn measures(&self, side: &str) -> bool {
        self.only.iter().any(|only| only == side)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [flag, kind, port, sync @ ..] = words.as_slice()
        && flag == "--serve-echo"
    {
        return runtime.block_on(echo::serve(kind, port.parse()?, sync.first().map(PathBuf::from)));
    }
    let arguments = Arguments::read(words.into_iter())?;
    let directory = arguments.directory.join(format!("lockstep-peers-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    settings(&arguments);
    let measured = measure(&arguments, &directory, &runtime);
    fs::remove_dir_all(&directory)?;
    let table = measured?;
    println!("{}", if arguments.json { table.json().to_string() } else { table.text() });
    Ok(())
}

/// Says what is measured, on standard error, so that `--json` stays what it is.
fn settings(arguments: &Arguments) {
    eprintln!(
        "{} rounds of {} s, bodies of {} bytes, {} groups; of each side {} connections that send and {} that drain, {} \
         messages in flight on each; a batch has 100, 10 of them in flight",
        arguments.rounds,
        arguments.seconds,
        load::BODY,
        load::GROUPS,
        load::CONNECTIONS,
        load::CONNECTIONS,
        load::IN_FLIGHT
    );
    eprintln!("Lockstep: every answer is durable, in every setting; deduplication on");
    let redis: Vec<String> = redis::SETTINGS.iter().map(|(name, value)| format!("{name} '{value}'")).collect();
    eprintln!("Redis: {}; {} streams", redis.join(", "), load::CONNECTIONS);
    eprintln!("NATS: {}", nats::settings(Path::new("DIR")).trim_end());
}

fn measure(arguments: &Arguments, directory: &Path, runtime: &tokio::runtime::Runtime) -> Result<Table> {
    let mut table = Table::default();
    for round in 1..=arguments.rounds {
        for row in ROWS.iter().filter(|row| row.name.contains(&arguments.word)) {
            for side in SIDES[..4].iter().filter(|side| arguments.measures(side)) {
                eprintln!("round {round}: {}, {side}", row.name);
                let measuring = match *side {
                    "segments" | "sled" => lockstep(arguments, directory, side, row, &mut table),
                    peer => another(arguments, directory, peer, row, &mut table),
                };
                measuring.with_context(|| format!("{}, {side}", row.name))?;
            }
        }
        if arguments.measures("disk") {
            eprintln!("round {round}: disk");
            references(arguments, directory, &mut table)?;
        }
        if arguments.measures("echo") {
            eprintln!("round {round}: echo");
            echoes(arguments, directory, runtime, &mut table)?;
        }
    }
    Ok(table)
}

/// What a drain finds: about what lasts for so long.
fn fill(each_second: u64, seconds: f64) -> u64 {
    (each_second as f64 * seconds) as u64 / 400 * 400
}

fn lockstep(arguments: &Arguments, directory: &Path, journal: &str, row: &Row, table: &mut Table) -> Result<()> {
    if row.how.deduplicated {
        // Ours always deduplicates: it is the figure of the line before.
        return Ok(());
    }
    let seconds = arguments.seconds;
    let what = match row.workload {
        Workload::Send => format!("send --duration {seconds}"),
        Workload::Drain => format!("drain --messages {}", fill(60_000, seconds)),
        Workload::Both { rate: None } => format!("both --duration {seconds}"),
        Workload::Both { rate: Some(rate) } => format!("both --rate {rate} --duration {seconds}"),
    };
    let in_flight = load::IN_FLIGHT / row.how.batch;
    let shape = format!("--producers 4 --consumers 4 --in-flight {in_flight} --batch {}", row.how.batch);
    let figures = ours::run(&arguments.lockstep, directory, journal, &format!("{what} {shape}"))?;
    if let Workload::Both { rate: Some(_) } = row.workload {
        for quantile in ["p50", "p99"] {
            let value = ours::number(&figures, &format!("/delivery_ms/{quantile}"));
            table.note(&format!("{} {quantile} ms", row.name), journal, value.context("no time to delivery")?);
        }
        return Ok(());
    }
    let of = if row.workload == Workload::Send { "/send/per_second" } else { "/drain/per_second" };
    table.note(row.name, journal, ours::number(&figures, of).context("no rate")?);
    if row.workload == Workload::Send {
        let of = |name: &str| ours::number(&figures, &format!("/costs/{name}")).with_context(|| format!("no {name}"));
        table.frames(row.name, journal, of("messages_per_sync")?, of("journal_bytes_per_message")?);
    }
    Ok(())
}

fn another(arguments: &Arguments, directory: &Path, side: &str, row: &Row, table: &mut Table) -> Result<()> {
    // NATS has no delete for many: an acknowledgement of a work queue is for one message.
    if side == "nats" && row.how.batch > 1 && row.workload != Workload::Send {
        return Ok(());
    }
    let (peer, each_second): (Box<dyn Peer>, u64) = match side {
        "redis" => (Box::new(Redis::start(directory)?), 30_000),
        _ => (Box::new(Nats::start(directory, &arguments.nats)?), 2_000),
    };
    let measured = load::run(&*peer, row.workload, row.how, arguments.seconds, fill(each_second, arguments.seconds))?;
    if !matches!(row.workload, Workload::Both { rate: Some(_) }) {
        table.note(row.name, side, measured.per_second);
    } else if let Some((p50, p99)) = measured.delivery {
        table.note(&format!("{} p50 ms", row.name), side, p50);
        table.note(&format!("{} p99 ms", row.name), side, p99);
    } else {
        eprintln!("{}, {side}: nothing was delivered within the measured time", row.name);
    }
    Ok(())
}

fn references(arguments: &Arguments, directory: &Path, table: &mut Table) -> Result<()> {
    let (p50, p99) = disk::sync(directory, arguments.time())?;
    table.refer("bare sync p50 ms", p50);
    table.refer("bare sync p99 ms", p99);
    for row in [SEND, BATCHES] {
        for journal in ["segments", "sled"] {
            // The frames that ours made in this round.
            let Some((messages, bytes)) = table.last_frames(row, journal) else { continue };
            let size = ((messages * bytes) as usize, messages.round() as usize);
            let frames = disk::journal(directory, journal, size, arguments.time())?;
            table.refer_to(&format!("bare journal {journal}, frames of {row}"), frames * messages, (row, journal));
        }
    }
    Ok(())
}

fn echoes(arguments: &Arguments, directory: &Path, runtime: &tokio::runtime::Runtime, table: &mut Table) -> Result<()> {
    let doors = [("tonic", "grpc", echo::CALLS), ("axum", "sqs", echo::CONNECTIONS)];
    for (kind, protocol, in_flight) in doors {
        let ours = format!("send by {protocol}, {in_flight} in flight");
        let what = format!("send --protocol {protocol} --in-flight {in_flight} --duration {}", arguments.seconds);
        let figures = ours::run(&arguments.lockstep, directory, "segments", &what)?;
        table.note(&ours, "segments", ours::number(&figures, "/send/per_second").context("no rate")?);
        for synced in [false, true] {
            let calls = runtime.block_on(echo::measure(kind, synced, directory, arguments.time()))?;
            let name = format!("{kind} echo, {}", if synced { "one shared sync" } else { "bare" });
            table.refer_to(&name, calls, (&ours, "segments"));
        }
    }
    Ok(())
}
