//! The state: clusters with their groups, instances and steps, in EMR's words. Values and questions about them; only
//! `evolve` changes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ClusterId, GroupId, InstanceId, StepId};

/// The state of a cluster, as EMR names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterState {
    /// Its instances are being provided.
    Starting,
    /// Its instances are being set up.
    Bootstrapping,
    /// A step runs, or may run.
    Running,
    /// Ready, without a step.
    Waiting,
    /// Its steps are being ended.
    Terminating,
    /// Ended as asked.
    Terminated,
    /// Ended because something failed.
    TerminatedWithErrors,
}

impl ClusterState {
    /// Whether nothing can happen to the cluster any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Terminated | Self::TerminatedWithErrors)
    }

    /// Whether the cluster takes no more commands.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Terminating | Self::Terminated | Self::TerminatedWithErrors)
    }
}

/// Why a cluster ends: EMR's state change reason codes, as far as ours can come to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterReason {
    /// Somebody asked for it.
    UserRequest,
    /// A step failed whose ActionOnFailure says so.
    StepFailure,
    /// There is nothing more to do, or there was nothing for too long.
    AllStepsCompleted,
}

/// The state of a step, as EMR names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StepState {
    /// Waits for its turn.
    Pending,
    /// Works.
    Running,
    /// Was told to end, and has not yet.
    CancelPending,
    /// Did all.
    Completed,
    /// Was cancelled.
    Cancelled,
    /// Cannot go on.
    Failed,
    /// Ran when its cluster was terminated.
    Interrupted,
}

impl StepState {
    /// Whether it counts against the 256 of its cluster.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::CancelPending)
    }

    /// Whether something of it may be running.
    #[must_use]
    pub const fn is_started(self) -> bool {
        matches!(self, Self::Running | Self::CancelPending)
    }
}

/// What becomes of the cluster when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionOnFailure {
    /// The old name of the next.
    TerminateJobFlow,
    /// The cluster ends with errors; under termination protection it waits instead.
    TerminateCluster,
    /// Later steps are cancelled, the cluster waits.
    CancelAndWait,
    /// The next step runs.
    Continue,
}

/// What an instance group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// The controller; one instance. Its worker works only where the cluster has no other group.
    Master,
    /// Workers.
    Core,
    /// Workers that come and go.
    Task,
}

/// The state of an instance group, as EMR names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GroupState {
    /// Its instances are being provided.
    Provisioning,
    /// Its instances are being set up.
    Bootstrapping,
    /// As many instances as were asked for.
    Running,
    /// On the way to another number.
    Resizing,
    /// The cluster ends.
    Terminating,
    /// The cluster has ended.
    Terminated,
}

/// The state of an instance, as EMR names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceState {
    /// Being provided.
    Provisioning,
    /// Being set up.
    Bootstrapping,
    /// May work.
    Running,
    /// Gone.
    Terminated,
}

/// What a step runs: EMR's HadoopJarStep. What the words mean is not known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jar {
    /// The jar, `command-runner.jar` as a rule.
    pub jar: String,
    /// The main class, where one was named.
    pub main_class: Option<String>,
    /// The arguments.
    pub args: Vec<String>,
    /// Properties.
    pub properties: Vec<(String, String)>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In a few words, the same for the same kind of failure.
    pub reason: String,
    /// What was met, and what to do.
    pub message: String,
    /// Where more stands.
    pub log_file: String,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// Its name.
    pub name: String,
    /// What its failure means for the cluster.
    pub action: ActionOnFailure,
    /// What it runs.
    pub jar: Jar,
    /// Where it is.
    pub state: StepState,
    /// It is to end at once, without waiting for what its workers hold.
    pub kill: bool,
    /// When it was added.
    pub created: u64,
    /// When it began to run.
    pub started: Option<u64>,
    /// When it ended.
    pub ended: Option<u64>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its group.
    pub group: GroupId,
    /// Its number in the cluster, from 0, never used again: the place of its worker in a pool.
    pub slot: usize,
    /// Where it is.
    pub state: InstanceState,
    /// It is to go once its worker has finished what it holds.
    pub retiring: bool,
    /// When it was asked for.
    pub created: u64,
    /// When it could work.
    pub ready: Option<u64>,
    /// When it went.
    pub ended: Option<u64>,
}

/// An instance group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// `ON_DEMAND` or `SPOT`; a word, no more.
    pub market: String,
    /// The instance type; a word, no more.
    pub instance_type: String,
    /// How many instances it is to have.
    pub requested: u32,
    /// When it was asked for.
    pub created: u64,
}

/// How far the number of instances may follow the demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingPolicy {
    /// Fewest core and task instances.
    pub minimum: u32,
    /// Most core and task instances.
    pub maximum: u32,
    /// Most of them on demand, where said; kept, and of no effect: nothing here costs more or less.
    pub maximum_on_demand: Option<u32>,
    /// Most of them in the core group, where said.
    pub maximum_core: Option<u32>,
}

/// What a caller says about a cluster and hears again; of no effect here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The release label.
    pub release_label: Option<String>,
    /// Where logs were asked to go.
    pub log_uri: Option<String>,
    /// The service role.
    pub service_role: Option<String>,
    /// The instance profile.
    pub job_flow_role: Option<String>,
    /// Whether all users of the account see it.
    pub visible_to_all: bool,
    /// Applications: name and version.
    pub applications: Vec<(String, Option<String>)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Its number in the fleet, from 1: the order of creation.
    pub number: u64,
    /// What its caller said about it.
    pub profile: Profile,
    /// Where it is.
    pub state: ClusterState,
    /// Why it ends, and in words.
    pub reason: Option<(ClusterReason, String)>,
    /// When it was asked for.
    pub created: u64,
    /// When it could work.
    pub ready: Option<u64>,
    /// When it ended.
    pub ended: Option<u64>,
    /// It waits for more steps instead of ending.
    pub keep_alive: bool,
    /// Nobody may terminate it.
    pub protected: bool,
    /// How many steps may run at once.
    pub concurrency: u32,
    /// It ends after so many seconds without a step.
    pub idle_timeout: Option<u64>,
    /// Since when it has had no step.
    pub idle_since: Option<u64>,
    /// Managed scaling.
    pub scaling: Option<ScalingPolicy>,
    /// Since when fewer instances would do.
    pub demand_low_since: Option<u64>,
    /// Its groups, in the order of creation.
    pub groups: Vec<Group>,
    /// Its instances, those that went too, in the order of their slots.
    pub instances: Vec<Instance>,
    /// Its steps, in the order in which they were added.
    pub steps: Vec<Step>,
    /// The slot of the next instance.
    pub next_slot: usize,
}

impl Cluster {
    /// The step of an id.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// The group of an id.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == *id)
    }

    /// The instances of a group that have not gone.
    pub fn members(&self, group: &GroupId) -> impl DoubleEndedIterator<Item = &Instance> {
        self.instances.iter().filter(move |one| one.group == *group && one.state != InstanceState::Terminated)
    }

    /// How many instances of a group may work.
    #[must_use]
    pub fn running_in(&self, group: &GroupId) -> usize {
        self.members(group).filter(|one| one.state == InstanceState::Running).count()
    }

    /// Where a group is; it follows from the cluster and its instances.
    #[must_use]
    pub fn group_state(&self, group: &Group) -> GroupState {
        match self.state {
            ClusterState::Starting => GroupState::Provisioning,
            ClusterState::Bootstrapping => GroupState::Bootstrapping,
            ClusterState::Terminating => GroupState::Terminating,
            ClusterState::Terminated | ClusterState::TerminatedWithErrors => GroupState::Terminated,
            ClusterState::Running | ClusterState::Waiting => {
                let all_run = self.members(&group.id).all(|one| one.state == InstanceState::Running);
                let count = self.members(&group.id).count();
                if all_run && count == group.requested as usize { GroupState::Running } else { GroupState::Resizing }
            }
        }
    }

    /// The instances whose workers may work now and are to stay, in the order of their slots: core and task instances,
    /// or the master's own where no such group was ever asked for.
    #[must_use]
    pub fn slots(&self) -> Vec<usize> {
        let role = |one: &Instance| self.group(&one.group).map_or(Role::Master, |group| group.role);
        let alone = self.groups.iter().all(|group| group.role == Role::Master);
        let works = |one: &&Instance| {
            one.state == InstanceState::Running && !one.retiring && (alone || role(one) != Role::Master)
        };
        self.instances.iter().filter(works).map(|one| one.slot).collect()
    }

    /// How many steps are pending, running or being cancelled.
    #[must_use]
    pub fn active_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.state.is_active()).count()
    }

    /// How many core and task instances are asked for.
    #[must_use]
    pub fn workers_requested(&self) -> u32 {
        self.groups.iter().filter(|group| group.role != Role::Master).map(|group| group.requested).sum()
    }
}

/// All clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    pub(super) clusters: BTreeMap<ClusterId, Cluster>,
    pub(super) last_number: u64,
}

impl Fleet {
    /// The cluster of an id.
    #[must_use]
    pub fn cluster(&self, id: &ClusterId) -> Option<&Cluster> {
        self.clusters.get(id)
    }

    /// All clusters, in the order of their ids.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.clusters.values()
    }
}
