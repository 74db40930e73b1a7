//! `lockstep simulate`: seeds of a whole broker with its clients, network, disk and clock in one thread each, and a
//! checker that judges what crossed the wire. Everything but the printing is `lockstep-simulation`'s affair.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lockstep_simulation::{
    Plan, Report,
    checker::{Summary, Violation},
    history::History,
    simulate,
};
use serde::Serialize;

use crate::{
    cli::Global,
    exit::{Found, Usage},
    output,
};

/// Flags of `simulate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep simulate                          1,000 seeds from 1
  lockstep simulate --count 10000 --seed 5   seeds 5 to 10004
  lockstep simulate --seed 42 --count 1      one seed; on a failure, what led to it
The same seed gives the same run, to the byte. A failure names the seed, the rule and the end of its history; exit 1.")]
pub(crate) struct SimulateArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    count: u64,
    /// Questions that reach the broker in a run before it is drained.
    #[arg(long, default_value_t = Plan::STEPS, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Events of the history to show before a failure.
    #[arg(long, default_value_t = 30, value_name = "EVENTS")]
    tail: usize,
}

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    ok: bool,
    first_seed: u64,
    seeds: u64,
    calls: u64,
    messages: u64,
    deliveries: u64,
    commits: u64,
    crashes: u64,
    unknown_outcomes: u64,
    failures: Vec<Failure>,
    milliseconds: u128,
}

#[derive(Debug, Serialize)]
struct Failure {
    seed: u64,
    rule: &'static str,
    event: usize,
    what: String,
    history: Vec<String>,
}

impl Verdict {
    fn add(&mut self, summary: &Summary) {
        self.calls += summary.calls;
        self.messages += summary.messages;
        self.deliveries += summary.deliveries;
        self.commits += summary.commits;
        self.crashes += summary.ends;
        self.unknown_outcomes += summary.unknown;
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for failure in &self.failures {
            for line in &failure.history {
                writeln!(f, "  {line}")?;
            }
            writeln!(f, "seed {}: {} at event {}: {}", failure.seed, failure.rule, failure.event, failure.what)?;
        }
        let seconds = self.milliseconds.max(1);
        let each = u128::from(self.seeds) * 1_000 / seconds;
        write!(
            f,
            "{}: {} seeds from {} ({each}/s): {} calls, {} messages, {} deliveries, {} commits, {} crashes and stops, {} \
             outcomes unknown, {} failures",
            if self.ok { "OK" } else { "FAILED" },
            self.seeds,
            self.first_seed,
            self.calls,
            self.messages,
            self.deliveries,
            self.commits,
            self.crashes,
            self.unknown_outcomes,
            self.failures.len(),
        )
    }
}

/// Stops after so many failures: they are seldom of different kinds.
const MOST_FAILURES: usize = 10;

/// Runs the seeds; a failure is exit 1.
pub(crate) fn run(args: &SimulateArgs, global: &Global) -> anyhow::Result<()> {
    if args.seed.checked_add(args.count).is_none() {
        return Err(Usage("--seed and --count together pass 2^64".to_owned()).into());
    }
    // What a made-up crash would log is no news.
    let verdict =
        tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), || all(args, global.json));
    global.output().result(&verdict, || verdict.to_string())?;
    match verdict.failures.first() {
        None => Ok(()),
        Some(first) => Err(Found(format!("seed {} breaks rule {}", first.seed, first.rule)).into()),
    }
}

fn all(args: &SimulateArgs, silent: bool) -> Verdict {
    let started = Instant::now();
    let (next, stop) = (AtomicU64::new(args.seed), AtomicBool::new(false));
    let results: Mutex<(Verdict, BTreeMap<u64, Failure>)> = Mutex::default();
    let bar = if silent { ProgressBar::hidden() } else { ProgressBar::new(args.count) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}").expect("a fixed template"));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.seed + args.count {
                return;
            }
            let Report { history, verdict, .. } = simulate(&Plan { steps: args.steps, ..Plan::new(seed) });
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.0.seeds += 1;
            bar.inc(1);
            match verdict {
                Ok(summary) => results.0.add(&summary),
                Err(violation) => {
                    bar.suspend(|| output::say(&format!("seed {seed}: {violation}")));
                    results.1.insert(seed, failure(seed, violation, &history, args.tail));
                    stop.store(results.1.len() >= MOST_FAILURES, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::new(), work);
            });
        }
    });
    bar.finish_and_clear();
    let (mut verdict, failures) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdict.first_seed = args.seed;
    verdict.ok = failures.is_empty();
    verdict.failures = failures.into_values().collect();
    verdict.milliseconds = started.elapsed().as_millis();
    verdict
}

fn failure(seed: u64, violation: Violation, history: &History, tail: usize) -> Failure {
    let Violation { rule, event, what } = violation;
    let until = history.events.len().min(event + 1);
    let beginning = history.events.first().map_or(0, |event| event.at);
    let lines = history.events.iter().zip(0..).take(until).skip(until.saturating_sub(tail));
    let line = |(event, number): (&lockstep_simulation::history::Event, usize)| {
        format!("{number:>6} {:>10} ms  {:?}", event.at - beginning, event.what)
    };
    Failure { seed, rule, event, what, history: lines.map(line).collect() }
}
