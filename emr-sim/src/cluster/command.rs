//! What may be asked of the machine, and what it answers. Callers' commands and the controller's own reports alike; what
//! they do is `decide`'s.

use super::ids::{Chance, ClusterId, GroupId, InstanceId, StepId};
use super::state::{ActionOnFailure, Failure, Jar, Profile, Role, ScalingPolicy};

/// A step as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStep {
    /// 1 to 256 characters.
    pub name: String,
    /// What its failure means for the cluster.
    pub action: ActionOnFailure,
    /// What it runs; judged before it comes here.
    pub jar: Jar,
}

/// An instance group as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name; the role when empty.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// `ON_DEMAND` or `SPOT`.
    pub market: String,
    /// The instance type.
    pub instance_type: String,
    /// How many instances.
    pub count: u32,
}

/// A cluster as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFlow {
    /// What is kept and told again.
    pub profile: Profile,
    /// Exactly one master, at most one core group, task groups.
    pub groups: Vec<GroupSpec>,
    /// Its first steps.
    pub steps: Vec<NewStep>,
    /// It waits for more steps instead of ending.
    pub keep_alive: bool,
    /// Nobody may terminate it.
    pub protected: bool,
    /// How many steps may run at once, 1 to 256.
    pub concurrency: u32,
    /// It ends after so many seconds without a step, 60 to 604,800.
    pub idle_timeout: Option<u64>,
    /// Managed scaling.
    pub scaling: Option<ScalingPolicy>,
}

/// How a running step is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelHow {
    /// Its workers finish what they hold.
    Interrupt,
    /// At once.
    Kill,
}

/// How a step ended, by the word of what ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It did all.
    Completed,
    /// It cannot go on.
    Failed(Failure),
    /// It was told to end, and has given back what it held.
    Stopped,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make a cluster.
    RunJobFlow {
        /// The cluster.
        flow: Box<JobFlow>,
        /// For its ids.
        chance: Chance,
    },
    /// Add steps to a cluster.
    AddSteps {
        /// The cluster.
        cluster: ClusterId,
        /// The steps, in order.
        steps: Vec<NewStep>,
        /// For their ids.
        chance: Chance,
    },
    /// Cancel steps.
    CancelSteps {
        /// The cluster.
        cluster: ClusterId,
        /// The steps.
        steps: Vec<StepId>,
        /// How those that run.
        how: CancelHow,
    },
    /// End clusters; all of them or, where one is protected or unknown, none.
    Terminate {
        /// The clusters.
        clusters: Vec<ClusterId>,
    },
    /// Add instance groups.
    AddGroups {
        /// The cluster.
        cluster: ClusterId,
        /// The groups.
        groups: Vec<GroupSpec>,
        /// For their ids.
        chance: Chance,
    },
    /// Change the number of instances of groups.
    ResizeGroups {
        /// The cluster, where the caller named it.
        cluster: Option<ClusterId>,
        /// Group and number.
        counts: Vec<(GroupId, u32)>,
        /// For the ids of new instances.
        chance: Chance,
    },
    /// Change how many steps may run at once.
    SetConcurrency {
        /// The cluster.
        cluster: ClusterId,
        /// 1 to 256.
        level: u32,
    },
    /// Protect clusters against their end, or do not.
    SetProtection {
        /// The clusters.
        clusters: Vec<ClusterId>,
        /// Whether.
        on: bool,
    },
    /// Let the number of instances follow the demand.
    PutScaling {
        /// The cluster.
        cluster: ClusterId,
        /// Within these limits.
        policy: ScalingPolicy,
    },
    /// The controller: a step has ended.
    EndStep {
        /// The cluster.
        cluster: ClusterId,
        /// The step.
        step: StepId,
        /// How.
        end: StepEnd,
    },
    /// The controller: these retiring instances hold nothing any more.
    Release {
        /// The cluster.
        cluster: ClusterId,
        /// The instances.
        instances: Vec<InstanceId>,
    },
    /// The controller: so many workers would find work now.
    Demand {
        /// The cluster.
        cluster: ClusterId,
        /// Workers.
        workers: u32,
        /// For the ids of new instances.
        chance: Chance,
    },
    /// The controller: time has passed.
    Tick,
}

/// The answer to a command that was not rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// The new cluster.
    Cluster(ClusterId),
    /// The new steps.
    Steps(Vec<StepId>),
    /// The new groups.
    Groups(Vec<GroupId>),
    /// For every step that was to be cancelled: whether that was taken up, or why not.
    Cancelled(Vec<(StepId, Result<(), String>)>),
}
