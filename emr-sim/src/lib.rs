//! The EMR-like worker pool: a cluster of workers that turns a queue's messages into published files, each message
//! exactly once (B6, B9). It speaks to the broker only as any client does; nothing of the broker's inside belongs here.
//!
//! - [`pool`] is the controller: [`pool::Pool::open`], then [`pool::Pool::run`].
//! - [`cluster`] is EMR's model of clusters and steps as a pure machine, [`controller`] what makes it true,
//!   [`wire`] its door in EMR's own protocol.
//! - [`attach`] is how a worker that somebody started on another machine joins a cluster.
//! - [`worker`] is one worker: [`worker::run_worker`] over the stdin and stdout of a process.
//! - [`step`] is what a step is; [`job`] is what one computes by itself; [`sink`], [`state`], [`record`] and [`manifest`] are what it leaves on disk.
//! - [`place`] is how the place of all that is named.
//! - [`manifest::Output`] reads a published output back, verified; [`job::recompute_pairs`] is for outside verifiers.

pub mod attach;
pub mod attempt;
pub mod cluster;
pub mod compact;
pub mod controller;
pub mod crash;
pub mod drill;
pub mod encoding;
pub mod format;
pub mod identity;
pub mod inputs;
pub mod job;
pub mod manifest;
pub mod mapper;
pub mod place;
pub mod pool;
pub mod port;
pub mod protocol;
pub mod record;
pub mod rows;
pub mod sink;
pub mod state;
pub mod step;
pub mod sweep;
pub mod wire;
pub mod worker;

mod batch;
mod blocking;
mod digest;
mod store;
