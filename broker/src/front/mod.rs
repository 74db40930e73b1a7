//! The doors of the broker. A front sees the handle and its own conversions, nothing else; never another front. Only
//! `port` knows them all: they share one listening socket.

pub(crate) mod access;
mod door;
pub(crate) mod grpc;
pub(crate) mod port;
pub(crate) mod sqs;
pub(crate) mod tls;
pub(crate) mod web;
