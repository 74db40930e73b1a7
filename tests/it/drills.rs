//! Failure drills: real brokers, controllers, workers and mappers, struck where it hurts, while a step of a cluster runs;
//! at the end the output is judged by `verify`. Each drill prints a row of the table in docs/drills.md.
//! `LOCKSTEP_DRILL_COUNT` rounds of each, from `LOCKSTEP_DRILL_SEED`.

mod broker;
mod disk;
mod ground;
mod mapper;
mod poison;
mod workers;

use crate::load::setting;

/// The seeds of this run.
fn seeds() -> std::ops::Range<u64> {
    let first = setting("LOCKSTEP_DRILL_SEED", 1);
    first..first + setting("LOCKSTEP_DRILL_COUNT", 1)
}
