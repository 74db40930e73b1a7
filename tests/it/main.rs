//! The product from outside: real processes, real sockets, SIGKILL. What a crate can prove alone stands in its own tests.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should end, and may tell")]

mod backup;
mod bench;
mod by_hand;
mod cli;
mod console;
mod contract;
mod dead_letters;
mod disk;
mod doctor;
mod drills;
mod emr;
mod emr_flags;
mod faults;
mod forgetfs;
mod golden;
mod hostile;
mod house;
mod journal;
mod kill;
mod lab;
mod load;
mod pipeline;
mod power;
mod security;
mod streaming;
mod streams;
mod world;
