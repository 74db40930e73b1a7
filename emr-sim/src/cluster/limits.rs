//! Every limit of the cluster machine, in one place. Numbers only.

/// Clusters that have not ended, in one fleet.
pub const MAX_ACTIVE_CLUSTERS: usize = 64;
/// Steps of a cluster that are PENDING, RUNNING or CANCEL_PENDING, as in EMR.
pub const MAX_ACTIVE_STEPS: usize = 256;
/// Steps of a cluster that may run at the same time, as in EMR.
pub const MAX_CONCURRENCY: u32 = 256;
/// Core and task instances of a cluster: each is a worker process on this machine.
pub const MAX_INSTANCES: u32 = 32;
/// Clusters that ended and are still described; beyond it the oldest are forgotten.
pub const MAX_ENDED_CLUSTERS: usize = 1_000;
/// Steps of a cluster that ended and are still described; beyond it the oldest are forgotten.
pub const MAX_ENDED_STEPS: usize = 1_000;
/// The shortest idle timeout of auto-termination in seconds, as in EMR.
pub const MIN_IDLE_SECONDS: u64 = 60;
/// The longest idle timeout of auto-termination in seconds, as in EMR: seven days.
pub const MAX_IDLE_SECONDS: u64 = 604_800;
/// Demand must have been low for so long before managed scaling gives instances back, in milliseconds.
pub const SCALE_IN_AFTER_MS: u64 = 10_000;
/// Names, in characters, as in EMR.
pub(super) const MAX_NAME: usize = 256;
/// The arguments of one step together, in bytes.
pub(super) const MAX_ARGUMENT_BYTES: usize = 64 << 10;
