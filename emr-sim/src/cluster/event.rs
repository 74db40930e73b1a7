//! What happened, as absolute facts; also the form in which the log keeps them (JSON). A change of these types is a change
//! of the stored format: only additions that older logs do without. What an event does is `evolve`'s.

use serde::{Deserialize, Serialize};

use super::ids::{ClusterId, GroupId, InstanceId, StepId};
use super::state::{ActionOnFailure, Cluster, ClusterReason, Failure, Jar, Profile, Role, ScalingPolicy};

/// A new step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepMade {
    /// Its id.
    pub id: StepId,
    /// Its name.
    pub name: String,
    /// What its failure means.
    pub action: ActionOnFailure,
    /// What it runs.
    pub jar: Jar,
}

/// A new instance group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMade {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// A word.
    pub market: String,
    /// A word.
    pub instance_type: String,
    /// How many instances.
    pub count: u32,
}

/// A new instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceMade {
    /// Its id.
    pub id: InstanceId,
    /// Its group.
    pub group: GroupId,
    /// Its number in the cluster.
    pub slot: usize,
}

/// An event. `at` is milliseconds of Unix time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of the state, under the same names")]
pub enum Event {
    /// A cluster was asked for.
    ClusterCreated {
        cluster: ClusterId,
        at: u64,
        number: u64,
        profile: Profile,
        keep_alive: bool,
        protected: bool,
        concurrency: u32,
        idle_timeout: Option<u64>,
        scaling: Option<ScalingPolicy>,
        groups: Vec<GroupMade>,
        instances: Vec<InstanceMade>,
        steps: Vec<StepMade>,
    },
    /// Its first instances are provided.
    ClusterBootstrapping { cluster: ClusterId, at: u64 },
    /// Its first instances can work.
    ClusterReady { cluster: ClusterId, at: u64 },
    /// It has a step again.
    ClusterRuns { cluster: ClusterId, at: u64 },
    /// It has no step any more, and waits.
    ClusterWaits { cluster: ClusterId, at: u64 },
    /// Its end begins.
    TerminationBegan { cluster: ClusterId, at: u64, reason: ClusterReason, message: String },
    /// It has ended, and with it its instances.
    ClusterTerminated { cluster: ClusterId, at: u64, with_errors: bool },
    /// Steps were added.
    StepsAdded { cluster: ClusterId, at: u64, steps: Vec<StepMade> },
    /// A step's turn has come.
    StepStarted { cluster: ClusterId, at: u64, step: StepId },
    /// A running step is to end; `kill`: at once.
    StepCancelRequested { cluster: ClusterId, at: u64, step: StepId, kill: bool },
    /// A step did all.
    StepCompleted { cluster: ClusterId, at: u64, step: StepId },
    /// A step was cancelled.
    StepCancelled { cluster: ClusterId, at: u64, step: StepId },
    /// A step ended with its cluster.
    StepInterrupted { cluster: ClusterId, at: u64, step: StepId },
    /// A step cannot go on.
    StepFailed { cluster: ClusterId, at: u64, step: StepId, failure: Failure },
    /// An instance group was added, with its instances.
    GroupAdded { cluster: ClusterId, at: u64, group: GroupMade, instances: Vec<InstanceMade> },
    /// A group is to have another number of instances: new ones, and some that are to go.
    GroupResized {
        cluster: ClusterId,
        at: u64,
        group: GroupId,
        requested: u32,
        added: Vec<InstanceMade>,
        retiring: Vec<InstanceId>,
    },
    /// New instances of a running cluster can work.
    InstancesReady { cluster: ClusterId, at: u64, instances: Vec<InstanceId> },
    /// Instances went.
    InstancesReleased { cluster: ClusterId, at: u64, instances: Vec<InstanceId> },
    /// Termination protection.
    ProtectionSet { cluster: ClusterId, on: bool },
    /// How many steps may run at once.
    ConcurrencySet { cluster: ClusterId, level: u32 },
    /// Managed scaling.
    ScalingSet { cluster: ClusterId, policy: ScalingPolicy },
    /// Since when fewer instances would do; absent: they are needed.
    DemandLow { cluster: ClusterId, since: Option<u64> },
    /// A cluster as it is: what a checkpoint is made of.
    ClusterRestored { cluster: Box<Cluster> },
    /// The last number given to a cluster: the end of a checkpoint.
    FleetRestored { last_number: u64 },
}
