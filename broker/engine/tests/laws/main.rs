//! The laws of the engine, on random commands: it does what a plain model does, it can be replayed and distilled, its
//! books balance, and the same seed twice comes to the same events. A failure prints its seed and step;
//! `LOCKSTEP_LAW_SEED` runs one seed, `LOCKSTEP_LAW_COUNT` sets how many are run.

mod explained;
mod ledger;
mod model;
mod run;
mod workload;

use run::Run;

/// Commands of one seed.
const STEPS: usize = 1_000;
/// Seeds of a default run.
const SEEDS: u64 = 300;
/// Seeds that were once red, and what they showed.
const ONCE_RED: [u64; 5] = [
    0,  // A commit of a claim did not look at the queue generation that it named itself (B1).
    4,  // The record of a commit did not count in the space that commits keep (H5).
    5,  // Leases that lapsed before one turn freed their groups by sequence number, not by deadline (O2, H3).
    8,  // Claim number 0 was an outcome that is not kept any more, instead of no number (B6).
    10, // Values of a commit of deliveries were judged before its epochs (B1).
];

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn the_engine_is_the_model_on_random_commands() {
    if let Some(seed) = setting("LOCKSTEP_LAW_SEED") {
        Run::of(seed, STEPS);
        return;
    }
    for seed in 0..setting("LOCKSTEP_LAW_COUNT").unwrap_or(SEEDS) {
        Run::of(seed, STEPS);
    }
}

#[test]
fn seeds_that_were_once_red_stay_green() {
    for seed in ONCE_RED {
        Run::of(seed, STEPS);
    }
}

#[test]
fn the_same_seed_comes_to_the_same_events() {
    for seed in 1_000_000..1_000_003 {
        assert_eq!(Run::of(seed, STEPS), Run::of(seed, STEPS), "seed {seed}");
    }
}
