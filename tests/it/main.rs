//! The product from outside: real processes, real sockets, SIGKILL. What a crate can prove alone stands in its own tests.

mod cli;
mod house;
mod kill;
mod pipeline;
mod world;
