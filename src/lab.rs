//! `lockstep lab`: a classroom on real processes. The lab itself is the crate `lab`; here are its flags, and the two kinds
//! of its children that are lives of this program.

use std::{
    io::BufReader,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use lockstep_lab::{
    class,
    director::{Director, Phase},
    lesson::Scenario,
    lessons,
    producer::{self, ProducerSettings},
    report::{Report, rows},
    server::Door,
    stage::{Setup, Speed},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::Global,
    exit::{Found, Refused, Usage},
    output::{print, say},
};

/// Flags of `lab`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep lab                                             says the link of the page
  lockstep lab --scenario zombie --seed 7 --open           opens it
  lockstep lab --list                                      the scenarios
  lockstep lab --scenario zombie --seed 7 --headless       one of them, in the terminal; the exit code is the verdict
  lockstep lab --scenario crash --headless --report crash.html
docs/lab.md tells more, docs/classroom.md is a plan for a lesson.")]
pub(crate) struct LabArgs {
    /// The scenario: order, retry, zombie, crash, hole.
    #[arg(long, default_value = "order", value_parser = lessons::named)]
    scenario: Scenario,
    /// The seed of the dialogue.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// The port of the page on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0, value_name = "PORT", conflicts_with = "headless")]
    port: u16,
    /// Open the page (xdg-open).
    #[arg(long, conflicts_with = "headless")]
    open: bool,
    /// Go through the scenario without a page, as fast as it goes.
    #[arg(long)]
    headless: bool,
    /// Name the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Write a report as HTML, at the end.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep everything in this folder, which must be empty or new. Default: a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Flags of `lab-producer`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LabProducerArgs {
    /// The producer's settings, as JSON; the lab gives them.
    settings: String,
}

/// Flags of `lab-mapper`.
#[derive(Args, Clone, Debug)]
pub(crate) struct LabMapperArgs {
    /// The lab's folder.
    folder: PathBuf,
}

/// Runs the lab.
pub(crate) async fn run(args: LabArgs, global: &Global) -> anyhow::Result<()> {
    if args.list {
        return list(global);
    }
    if !args.headless && args.report.is_some() {
        return Err(Usage("--report goes with --headless; the page gives its report itself".to_owned()).into());
    }
    let folder = Folder::new(args.data.as_deref())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let verdict = tokio::select! {
        verdict = Box::pin(headless(&args, &folder.path, global)), if args.headless => verdict,
        ended = Box::pin(page(&args, &folder.path, global)), if !args.headless => ended,
        _ = tokio::signal::ctrl_c() => ended_by(args.headless, "interrupted"),
        _ = terminate.recv() => ended_by(args.headless, "told to end"),
    };
    verdict
}

/// A teacher who ends the lesson has found no fault; a scenario that was cut off has no verdict.
fn ended_by(headless: bool, whom: &str) -> anyhow::Result<()> {
    match headless {
        true => Err(Found(format!("{whom}; every process of the lab has ended")).into()),
        false => Ok(()),
    }
}

fn list(global: &Global) -> anyhow::Result<()> {
    for Scenario { name, title, shows, .. } in lessons::all() {
        let line = serde_json::json!({ "name": name, "title": title, "shows": shows });
        global.output().result(&line, || format!("{name:8} {title}. {shows}"))?;
    }
    Ok(())
}

/// Where a lab keeps its files.
struct Folder {
    path: PathBuf,
    /// Removed when the lab ends.
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn new(named: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = named else {
            let temporary = tempfile::Builder::new().prefix("lockstep-lab-").tempdir()?;
            return Ok(Self { path: temporary.path().canonicalize()?, _temporary: Some(temporary) });
        };
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        if std::fs::read_dir(path)?.next().is_some() {
            let path = path.display();
            return Err(Usage(format!("{path} is not empty: a lab begins anew, so name an empty or new folder")).into());
        }
        Ok(Self { path: path.canonicalize()?, _temporary: None })
    }
}

/// Serves the page until somebody ends the lab.
async fn page(args: &LabArgs, folder: &Path, global: &Global) -> anyhow::Result<()> {
    let door = Door::open(args.port).await.map_err(|error| Refused(format!("{error:#}")))?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let (class, course) = class::begin(program, folder.to_owned(), args.scenario.name, args.seed).await?;
    let link = door.link();
    global.output().result(&serde_json::json!({ "link": link }), || format!("lab: {link}"))?;
    if args.open && tokio::process::Command::new("xdg-open").arg(&link).spawn().is_err() {
        say("lockstep: there is no xdg-open here; open the link by hand");
    }
    tokio::select! {
        served = door.serve(class) => served,
        () = course => Ok(()),
    }
}

async fn headless(args: &LabArgs, folder: &Path, global: &Global) -> anyhow::Result<()> {
    let began = Instant::now();
    let setup = Setup {
        program: std::env::current_exe().context("cannot find this program's own file")?,
        folder: folder.to_owned(),
        seed: args.seed,
        speed: Speed { times: 1, message: Duration::ZERO },
        away: Duration::from_millis(50),
    };
    let mut lab = Director::start(setup, args.scenario.clone()).await?;
    let walked = walk(&mut lab, global.json).await;
    let facts = lab.facts().clone();
    let verdict = lab.verdict().cloned();
    lab.stage.end().await;
    walked?;
    let verdict = verdict.context("the scenario has no end")?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let command = Report::command(args.scenario.name, args.seed);
    let report = Report { scenario: args.scenario.clone(), seed: args.seed, command, verdict, facts, took_ms };
    if let Some(file) = &args.report {
        std::fs::write(file, report.html()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    global.output().result(&report, || {
        let table: Vec<String> =
            rows(&report.verdict).into_iter().map(|(name, value)| format!("  {name:30} {value}")).collect();
        format!("\n{}\n\n{}\n{}", table.join("\n"), args.scenario.learnt, report.verdict)
    })?;
    match report.verdict.ok {
        true => Ok(()),
        false => Err(Found("the output is not what was sent".to_owned()).into()),
    }
}

/// Walks through all steps, and tells them.
async fn walk(lab: &mut Director, silent: bool) -> anyhow::Result<()> {
    let tell = |line: &str| if silent { Ok(()) } else { print(line) };
    let (title, steps) = (lab.stage.scenario().title, lab.stage.scenario().steps.clone());
    tell(title)?;
    for (number, step) in (1..).zip(&steps) {
        tell(&format!("\n{number}. {}", step.title))?;
        if let Some(card) = &step.card {
            tell(&format!("   predict first: {}", card.question))?;
            for (letter, choice) in ('a'..).zip(&card.choices) {
                tell(&format!("     {letter}) {choice}"))?;
            }
        }
        while lab.at().1 != Phase::Runs {
            lab.next().await?;
        }
        let began = Instant::now();
        lab.met().await?;
        if let Some(card) = &step.card {
            let letter = ('a'..).nth(card.right).unwrap_or('?');
            tell(&format!("   answer: {letter}) {}", card.answer))?;
        }
        tell(&format!("   {} ({:.1} s: {})", step.see, began.elapsed().as_secs_f64(), lab.proof()))?;
    }
    Ok(())
}

/// Runs a producer of a lab.
pub(crate) async fn produce(args: LabProducerArgs) -> anyhow::Result<()> {
    let settings: ProducerSettings = serde_json::from_str(&args.settings).map_err(|error| Usage(error.to_string()))?;
    producer::run(settings, tokio::io::stdin()).await
}

/// Runs the mapper of a lab's workers.
pub(crate) fn map(args: &LabMapperArgs) -> anyhow::Result<()> {
    let worker = worker_of_guard();
    let input = BufReader::new(std::io::stdin());
    let mapped = lockstep_lab::mapper::run(&args.folder, worker, input, std::io::stdout().lock());
    if let Err(error) = &mapped {
        say(&format!("lab-mapper: {error:#}"));
    }
    mapped.map_err(|error| Found(format!("{error:#}")).into())
}

/// The worker is the parent of the guard, which is the parent of this process; 0 where nobody can say.
fn worker_of_guard() -> u32 {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    parent(std::process::id()).and_then(parent).unwrap_or(0)
}
