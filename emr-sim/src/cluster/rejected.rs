//! Why the machine does not do what it is asked: each with the way out. Which EMR error that is, is the wire door's to say.

use super::ids::{ClusterId, GroupId};
use super::limits::{MAX_ACTIVE_CLUSTERS, MAX_ACTIVE_STEPS, MAX_INSTANCES};

/// A rejection; the state is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No cluster has that id.
    #[error("Cluster id '{0}' is not valid. ListClusters names those there are.")]
    NoSuchCluster(ClusterId),
    /// No group of the cluster has that id.
    #[error("Instance group id '{0}' is not valid. ListInstanceGroups names those of a cluster.")]
    NoSuchGroup(GroupId),
    /// The cluster ends or has ended.
    #[error(
        "A job flow that is shutting down, terminated, or finished may not be modified: {0}. Make another cluster with \
         RunJobFlow."
    )]
    ClusterEnded(ClusterId),
    /// It is protected.
    #[error(
        "Could not shut down one or more job flows since they are termination protected: {0}. Nothing was shut down; \
         SetTerminationProtection lifts the protection."
    )]
    Protected(ClusterId),
    /// More than 256 steps.
    #[error(
        "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded: \
         {active} are active, {added} more would pass {MAX_ACTIVE_STEPS}. None was added; wait for some to end."
    )]
    TooManySteps {
        /// Active now.
        active: usize,
        /// Asked for.
        added: usize,
    },
    /// Several steps at once, and one whose failure would touch the others.
    #[error(
        "ActionOnFailure of step '{0}' must be CONTINUE while StepConcurrencyLevel is above 1. Set it so, or the level to 1."
    )]
    ActionNeedsOneStep(String),
    /// Too many clusters.
    #[error("{MAX_ACTIVE_CLUSTERS} clusters are active, more there may not be. Terminate one.")]
    TooManyClusters,
    /// Too many instances.
    #[error(
        "a cluster has at most {MAX_INSTANCES} core and task instances, each is a process here; {0} were asked for. \
         Ask for fewer."
    )]
    TooManyInstances(u64),
    /// An argument that cannot be.
    #[error("{0}")]
    Invalid(String),
}
