//! The broker from outside: over a real loopback socket, and through its handle with a clock that the test moves.
//! No test sleeps to wait for a state. What the engine decides is tested in its own crate.

mod backup;
mod checkpoints;
mod console;
mod dead_letters;
mod delivery;
mod drain;
mod explain;
mod failing;
mod faults;
mod grpc;
mod http;
mod parking;
mod pipelining;
mod polls;
mod restart;
mod sessions;
mod sqs;
mod stepped;
mod stopping;
mod streams;
mod support;
mod tags;
mod travel;
