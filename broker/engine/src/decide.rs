//! How commands are judged: pure functions from the state to events and a reply. Nothing here can write.

mod aws;
mod catalog;
mod commit;
mod dead_letters;
mod delete;
pub(crate) mod due;
mod moving;
mod outcomes;
mod parking;
mod producers;
pub(crate) mod readers;
mod receive;
mod redrive;
mod send;
mod tags;
mod visibility;
