//! Stub.
use super::*;
/// Stub.
#[derive(Debug, Clone)]
pub struct ClientPort;
impl ClientPort {
    /// Stub.
    pub fn connect(_endpoint: &str, _patience: std::time::Duration) -> Result<Self, PortError> {
        Err(PortError::Unavailable(String::new()))
    }
}
#[allow(unused_variables)]
impl Port for ClientPort {
    async fn open_reader(
        &self,
        queue: &str,
        queue_generation: u64,
        reader: &str,
        instance: &str,
    ) -> Result<OpenedReader, PortError> {
        unreachable!()
    }
    async fn claim(&self, reader: &ReaderRef, number: u64, limits: ClaimLimits) -> Result<Claimed, PortError> {
        unreachable!()
    }
    async fn take_claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        worker: &str,
        previous_failed: bool,
    ) -> Result<OpenClaim, PortError> {
        unreachable!()
    }
    async fn read_claim(&self, reader: &ReaderRef, number: u64, epoch: u64) -> Result<ClaimContents, PortError> {
        unreachable!()
    }
    async fn commit_claim(&self, reader: &ReaderRef, commit: &ClaimCommit) -> Result<u64, PortError> {
        unreachable!()
    }
    async fn commit_reader(&self, reader: &ReaderRef, commit: &ReaderCommit) -> Result<(), PortError> {
        unreachable!()
    }
    async fn read_values(&self, reader: &ReaderRef, key_prefix: &str, after: &str) -> Result<ValuesPage, PortError> {
        unreachable!()
    }
    async fn describe_reader(&self, reader: &ReaderRef) -> Result<ReaderState, PortError> {
        unreachable!()
    }
    async fn describe_queue(&self, reader: &ReaderRef) -> Result<QueueState, PortError> {
        unreachable!()
    }
}
