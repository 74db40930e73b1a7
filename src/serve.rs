//! `lockstep serve`: runs a broker until SIGTERM or Ctrl-C. It answers what it accepted and ends within 2 s.

use std::{
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use lockstep_broker::{
    Account, Broker, BrokerSettings, ClockChoice, ConsoleSettings, GroupDelivery, Guest, JournalChoice, Security,
    SqsSettings, StartError, StoreKind, Timestamp,
};
use lockstep_emr_sim::{
    attach,
    controller::{Controller, Ground, LogPlace, Terms},
    crash::CrashPoints,
    drill, wire,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{DEFAULT_ADDRESS, Global, LogFormat},
    connect::trusting,
    console::{self, ConsoleArgs},
    exit::{Found, Refused, Usage},
    faults,
    output::{print, say},
    parent,
    security::{self, SecurityArgs},
};

/// Flags of `serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep serve                                     on 127.0.0.1:9324, journal in ./lockstep-data
  lockstep serve --listen 127.0.0.1:0 --data /srv/q  on a free port, which the first line on stdout names
  lockstep serve --journal segments --data /srv/q    append-only files instead of sled, remembered by the directory
  lockstep serve --journal memory                    nothing survives the process
  lockstep serve --journal memory --clock manual     for tests: time moves by `lockstep clock` alone")]
pub(crate) struct ServeArgs {
    /// The address to listen on; port 0 takes a free one. `stdin`: the listening socket is stdin.
    #[arg(long, default_value = DEFAULT_ADDRESS, value_name = "ADDRESS")]
    listen: String,
    /// The data directory; made when it is missing.
    #[arg(long, default_value = "lockstep-data", value_name = "DIR")]
    data: PathBuf,
    /// Where the journal lies. Default: what the data directory holds, sled in a new one.
    #[arg(long)]
    journal: Option<JournalKind>,
    /// Read every stored body again, slowly, so long after the last time, and name the damaged ones; 0: never (H6).
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    scrub_every: u64,
    /// Write a checkpoint when the events since the last one are more than it, and more than so many bytes (H6).
    #[arg(long, default_value_t = 4 << 20, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(4_096..=1 << 30))]
    checkpoint_floor: u64,
    /// Start although messages expired during a downtime of more than a day (H2).
    #[arg(long)]
    accept_time_jump: bool,
    /// What time it is: the machine's, or one that only `lockstep clock` moves, for tests (docs/time-travel.md).
    #[arg(long, default_value = "system")]
    clock: ClockKind,
    /// Where a manual clock begins in a new data directory, such as 2026-01-01T00:00:00Z. Default: now.
    #[arg(long, value_name = "INSTANT")]
    clock_start: Option<jiff::Timestamp>,
    /// Serve a data directory although it was served by the other kind of clock (H2).
    #[arg(long)]
    force_clock: bool,
    /// Make trouble on purpose, by this plan, for tests of what talks to the broker (docs/faults.md).
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Let files in this folder strike the workers of clusters and their controller, for drills (docs/drills.md).
    #[arg(long, value_name = "DIR")]
    drills: Option<PathBuf>,
    /// The seed of the plan's chances.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// How FIFO queues that SQS callers make without saying it hand out their groups: as SQS does, or one consumer a group.
    #[arg(long, default_value = "prefix", value_name = "DISCIPLINE")]
    sqs_delivery: SqsDelivery,
    /// Let SQS callers wait as AWS does: 60 s between the deletion of a queue and a new one of its name, and between purges.
    #[arg(long)]
    aws_timing: bool,
    /// The account of SQS callers whose access key is no account id of 12 digits.
    #[arg(long, default_value = "000000000000", value_name = "DIGITS", value_parser = |text: &str| Account::parse(text))]
    account: Account,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    console: ConsoleArgs,
    /// Wait so long for another process to let go of the data directory.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    lock_patience: u64,
}

/// A kind of journal.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalKind {
    /// On disk, in sled: every answer waits for a sync; a backlog of at most 2 GiB, which costs as much memory.
    Sled,
    /// On disk, in append-only files: every answer waits for a sync; the backlog costs disk, not memory.
    Segments,
    /// In memory: nothing survives the process.
    Memory,
}

impl std::fmt::Display for JournalKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Segments => "segments",
            Self::Memory => "memory",
        })
    }
}

/// How groups are handed out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqsDelivery {
    /// Exactly what SQS does: deletes in any order.
    Prefix,
    /// One consumer holds a group at a time, and deletes go in order; such queues can be claimed.
    Strict,
}

impl std::fmt::Display for SqsDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Prefix => "prefix",
            Self::Strict => "strict",
        })
    }
}

/// A kind of clock.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockKind {
    /// The machine's.
    System,
    /// Stands still until it is moved.
    Manual,
}

impl ServeArgs {
    fn clock(&self) -> anyhow::Result<ClockChoice> {
        match (self.clock, self.clock_start) {
            (ClockKind::System, None) => Ok(ClockChoice::System),
            (ClockKind::System, Some(_)) => {
                Err(Usage("--clock-start is the beginning of a manual clock: say --clock manual too".to_owned()).into())
            }
            (ClockKind::Manual, start) => {
                let start = start.unwrap_or_else(jiff::Timestamp::now).as_millisecond();
                let start = u64::try_from(start)
                    .map_err(|_| Usage("--clock-start must not be before 1970-01-01T00:00:00Z".to_owned()))?;
                Ok(ClockChoice::Served(Timestamp(start)))
            }
        }
    }
}

/// Serves until it is told to stop.
pub(crate) async fn run(args: ServeArgs, global: &Global) -> anyhow::Result<()> {
    end_on_panic();
    let inherited = args.listen == "stdin";
    let listener = if inherited { inherited_socket()? } else { bind(&args.listen)? };
    let address = listener.local_addr().context("the listening socket has no address")?;
    if inherited {
        parent::end_with_stdout();
    }
    let security = security::read(&args.security, global)?;
    security::check(&security, &args.security, address)?;
    let scheme = if security.tls.is_some() { "https" } else { "http" };
    let clusters = match may_have_clusters(&security, &args.security, global, address) {
        Ok(()) => Ok(clusters(&args, global, (scheme, address))?),
        Err(why) => Err(why),
    };
    let admin = security.tokens.is_some();
    let console = args.console.settings()?;
    let link = console::link(&console, scheme, address);
    let broker = tokio::task::spawn_blocking(move || start(&args, security, console)).await??;
    let door = open_clusters(clusters).await;
    let controller = match &door {
        wire::Door::Open(controller) => Some(controller.clone()),
        wire::Door::Closed(_) => None,
    };
    let (routes, calls) = (wire::router(door.clone()), attach::router(door));
    let broker = broker.with_guest(Guest { service: wire::SERVICE, routes, admin, calls });
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    print(&format!("listening on {scheme}://{address}"))?;
    if let Some(link) = link {
        // Among lines of JSON it is one of them.
        say(&match global.log_format {
            LogFormat::Text => format!("console: {link}"),
            LogFormat::Json => serde_json::json!({ "console": link }).to_string(),
        });
    }
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if let Some(controller) = controller {
            controller.let_all_go().await;
        }
    };
    broker.serve(listener, shutdown).await.map_err(|error| Found(format!("the broker ended: {error}")).into())
}

/// Whether there may be clusters here: steps run programs as this user. On loopback whoever calls is this machine's; where
/// tokens say who calls, the controller shows one itself, and its door is for those with the right `admin`.
///
/// # Errors
/// Why not, and what to do.
fn may_have_clusters(
    Security { tls, tokens, credentials }: &Security,
    args: &SecurityArgs,
    global: &Global,
    address: SocketAddr,
) -> Result<(), String> {
    let open = tls.is_none() && tokens.is_none() && credentials.is_none() && address.ip().is_loopback();
    let shows = tokens.is_some() && global.token.is_some();
    let trusts = tls.is_none() || (global.tls_ca.is_some() && !args.asks_for_certificates());
    if open || (shows && trusts) {
        return Ok(());
    }
    Err("a step runs programs on this machine, so clusters are only on a broker that listens on loopback, without TLS, \
         tokens and credentials; or on one with --tokens whose `serve` has a --token of its own for them and, with TLS, \
         --tls-ca, and asks for no client certificates. Serve one of the two for them."
        .to_owned())
}

/// What the controller of the clusters stands on, and where it keeps its log: beside the journal.
fn clusters(
    args: &ServeArgs,
    global: &Global,
    (scheme, address): (&str, SocketAddr),
) -> anyhow::Result<(Ground, LogPlace)> {
    let ip = match address.ip() {
        any if any.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let endpoint = format!("{scheme}://{}", SocketAddr::new(ip, address.port()));
    // What the processes that work for steps show is not for the eyes of all users: no argument says it.
    let mut environment = Vec::new();
    if let Some(token) = &global.token {
        environment.push(("LOCKSTEP_TOKEN".to_owned(), token.into()));
    }
    if let Some(path) = &global.tls_ca {
        environment.push(("LOCKSTEP_TLS_CA".to_owned(), std::path::absolute(path)?.into()));
    }
    let (place, folder) = if args.journal == Some(JournalKind::Memory) {
        (LogPlace::Memory, std::env::temp_dir().join(format!("lockstep-emr-{}", std::process::id())))
    } else {
        let folder = std::path::absolute(&args.data)?.join("emr");
        (LogPlace::Directory(folder.clone()), folder)
    };
    let program = std::env::current_exe().context("the program of the workers is not known")?;
    let mut arguments: Vec<OsString> = vec!["worker".into()];
    if let Some(drills) = &args.drills {
        arguments.extend(["--drills".into(), drills.into()]);
    }
    Ok((
        Ground {
            client: trusting(&of(global, scheme), &endpoint)?.connect_lazy()?,
            endpoint,
            program,
            arguments,
            environment,
            guard: crate::guard::words()?,
            logs: folder.join("logs"),
            crash: args.drills.clone().map_or_else(CrashPoints::default, drill::armed),
            terms: Terms::default(),
        },
        place,
    ))
}

/// The flags as they fit a scheme: certificates are for TLS.
fn of(global: &Global, scheme: &str) -> Global {
    Global { tls_ca: global.tls_ca.clone().filter(|_| scheme == "https"), ..global.clone() }
}

/// Opens the door of the clusters. What keeps it closed is no reason to keep the broker closed: callers hear it.
async fn open_clusters(clusters: Result<(Ground, LogPlace), String>) -> wire::Door {
    let (ground, place) = match clusters {
        Ok(clusters) => clusters,
        Err(why) => return wire::Door::Closed(why),
    };
    match Controller::start(ground, place).await {
        Ok(controller) => wire::Door::Open(controller),
        Err(error) => {
            say(&format!(
                "lockstep: no clusters: {error}; move the folder emr of the data directory away to begin anew: outputs stay exactly once"
            ));
            wire::Door::Closed(format!("{error}. The broker's stderr says what to do."))
        }
    }
}

/// A thread that panicked may have left memory ahead of the disk: the process ends with the reason, recovery is a
/// restart. Reading a damaged store is the likeliest cause: sled does not survive every flipped bit.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no reason given");
        let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
        say(&format!(
            "lockstep: the broker cannot go on: {what}{place}; nothing that was answered is undone by this. \
             If it does so at every start, the journal is damaged: restore the data directory from a backup"
        ));
        std::process::exit(1);
    }));
}

fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr =
        address.parse().map_err(|_| Usage(format!("--listen {address}: not an address such as {DEFAULT_ADDRESS}")))?;
    TcpListener::bind(parsed).map_err(|error| {
        Refused(format!("cannot listen on {address}: {error}; choose another --listen, or stop what listens there"))
            .into()
    })
}

fn inherited_socket() -> anyhow::Result<TcpListener> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().context("--listen stdin: stdin cannot be taken")?;
    let listener = TcpListener::from(socket);
    listener.local_addr().map_err(|_| Usage("--listen stdin: stdin is no listening socket".to_owned()))?;
    Ok(listener)
}

fn start(args: &ServeArgs, security: Security, console: ConsoleSettings) -> anyhow::Result<Broker> {
    let on_disk = |kind| JournalChoice::on_disk(args.data.clone(), kind);
    let journal = match args.journal {
        None => on_disk(None),
        Some(JournalKind::Sled) => on_disk(Some(StoreKind::Sled)),
        Some(JournalKind::Segments) => on_disk(Some(StoreKind::Segments)),
        Some(JournalKind::Memory) => Ok(JournalChoice::Memory),
    };
    let journal = journal.map_err(|error| Refused(error.to_string()))?;
    let settings = BrokerSettings {
        checkpoint_floor: args.checkpoint_floor,
        scrub_pause: (args.scrub_every > 0).then(|| Duration::from_secs(args.scrub_every)),
        accept_time_jump: args.accept_time_jump,
        clock: args.clock()?,
        force_clock: args.force_clock,
        security,
        console,
        sqs: SqsSettings {
            delivery: match args.sqs_delivery {
                SqsDelivery::Prefix => GroupDelivery::Prefix,
                SqsDelivery::Strict => GroupDelivery::Strict,
            },
            aws_timing: args.aws_timing,
            account: args.account,
        },
        faults: args.faults.as_deref().map(|plan| faults::read(plan, args.seed)).transpose()?,
        ..BrokerSettings::new(journal)
    };
    let began = Instant::now();
    let patience = Duration::from_secs(args.lock_patience);
    loop {
        match Broker::start(&settings) {
            Ok(broker) => return Ok(broker),
            Err(StartError::Journal(lockstep_broker::OpenError::InUse { .. })) if began.elapsed() < patience => {
                // The system has no lock that waits only so long, so it is asked again.
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error @ (StartError::Recovery(_) | StartError::Thread(_))) => {
                return Err(Found(error.to_string()).into());
            }
            Err(
                error @ (StartError::Journal(_)
                | StartError::TimeJump(_)
                | StartError::Clock(_)
                | StartError::ReceiptKey(_)),
            ) => {
                say(&format!("lockstep: the data directory is {}", args.data.display()));
                return Err(Refused(error.to_string()).into());
            }
        }
    }
}
