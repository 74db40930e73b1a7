//! The doors of the broker. A front sees the handle and its own conversions, nothing else; never another front.

pub(crate) mod grpc;
