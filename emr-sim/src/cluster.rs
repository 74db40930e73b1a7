//! EMR's cluster model as a pure machine: clusters, instance groups, instances, steps, and what may become of them. As in
//! the broker's engine `decide` reads, `evolve` writes, events hold absolute facts, and replay is `evolve` alone. Time is
//! an argument in milliseconds of Unix time, chance comes in with the command. No process, no disk, no broker here: the
//! controller looks at the state and makes it true.
//!
//! - [`Fleet`] is the state, [`Command`] what may be asked, [`Event`] what happened, [`Rejected`] why not.
//! - [`apply`] is one turn: settle what is due, decide, and settle what follows from it.

mod command;
mod decide;
mod due;
mod event;
mod evolve;
mod ids;
mod invariants;
mod limits;
mod rejected;
mod share;
mod state;

pub use command::{CancelHow, Command, GroupSpec, JobFlow, NewStep, Reply, StepEnd};
pub use event::{Event, GroupMade, InstanceMade, StepMade};
pub use ids::{Chance, ClusterId, GroupId, InstanceId, StepId};
pub use invariants::check;
pub use limits::{
    MAX_ACTIVE_CLUSTERS, MAX_ACTIVE_STEPS, MAX_CONCURRENCY, MAX_ENDED_CLUSTERS, MAX_ENDED_STEPS, MAX_IDLE_SECONDS,
    MAX_INSTANCES, MIN_IDLE_SECONDS, SCALE_IN_AFTER_MS,
};
pub use rejected::Rejected;
pub use share::share;
pub use state::{
    ActionOnFailure, Cluster, ClusterReason, ClusterState, Failure, Fleet, Group, GroupState, Instance, InstanceState,
    Jar, Profile, Role, ScalingPolicy, Step, StepState,
};

/// One turn of the machine at `now`: what is due, then the command, then what follows from it. The events are applied to
/// `fleet` already, in their order; a rejected command leaves those of what was due.
pub fn apply(fleet: &mut Fleet, command: &Command, now: u64) -> (Vec<Event>, Result<Reply, Rejected>) {
    let mut events = settle(fleet, now);
    let reply = fleet.decide(command, now).map(|(reply, decided)| {
        for event in decided {
            fleet.evolve(&event);
            events.push(event);
        }
        reply
    });
    events.extend(settle(fleet, now));
    (events, reply)
}

/// Everything that happens by itself until `now`, applied already.
pub fn settle(fleet: &mut Fleet, now: u64) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = fleet.due(now) {
        fleet.evolve(&event);
        events.push(event);
    }
    events
}
