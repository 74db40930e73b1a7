//! The generated types of Lockstep's three protobuf packages. They never share a message: the public API ([`v1`]) may
//! change without touching what is on disk ([`storage`]), and the other way round; the workers of clusters ([`emr`]) are
//! none of the broker's business. Nothing else lives here.

pub mod codec;

/// The public gRPC API, `lockstep.v1`.
pub mod v1 {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("lockstep.v1");
}

/// Workers by hand of the emulated EMR, `lockstep.emr.v1`.
pub mod emr {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("lockstep.emr.v1");
}

/// The format of the journal, `lockstep.storage.v1`.
pub mod storage {
    #![allow(missing_docs, clippy::all)]
    tonic::include_proto!("lockstep.storage.v1");
}

/// The encoded file descriptors of all packages, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lockstep.bin"));
