//! A whole broker, its clients, its network, its disk and its clock in one thread, all from one seed: the engine, turn,
//! sequencer, writer, follower, polls, handle, codec and recovery are the real ones; time, loss, crashes and power cuts
//! are made up. What crossed the wire becomes a [`history::History`], and [`checker::check`] judges it by the contract alone.
//!
//! The same seed gives the same history and the same journal, to the byte. No wall clock, no thread, no runtime and no
//! chance but the seed's may come in here.

#[allow(clippy::wildcard_enum_match_arm, reason = "each function knows its own questions")]
mod calls;
pub mod checker;
#[allow(clippy::wildcard_enum_match_arm, reason = "each client looks for the answers that it can use")]
mod clients;
pub mod history;
mod plan;
mod run;
mod tasks;
mod wire;
mod world;

pub use plan::{Flaw, Plan};
pub use run::{Followed, Report, simulate};
