//! What must be true of every state, whatever was asked. Tests check it after every turn, the controller after a replay.

use std::collections::BTreeSet;

use super::limits::{MAX_ACTIVE_STEPS, MAX_INSTANCES};
use super::state::{Cluster, ClusterState, Fleet, InstanceState, Role, Step, StepState};

/// The first thing that is wrong with a state.
///
/// # Errors
/// In words, with the ids.
pub fn check(fleet: &Fleet) -> Result<(), String> {
    let mut numbers = BTreeSet::new();
    for cluster in fleet.clusters() {
        let fault = |what: &str| Err(format!("cluster {}: {what}", cluster.id));
        if !numbers.insert(cluster.number) || cluster.number > fleet.last_number {
            return fault("its number is another one's, or was never given");
        }
        check_cluster(cluster).or_else(|what| fault(&what))?;
    }
    Ok(())
}

fn ensure(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn check_cluster(cluster: &Cluster) -> Result<(), String> {
    let state = cluster.state;
    ensure(state.has_ended() == cluster.ended.is_some(), "it has ended without a time, or the reverse")?;
    ensure(state.is_ending() == cluster.reason.is_some(), "it ends without a reason, or the reverse")?;
    ensure((state == ClusterState::Waiting) == cluster.idle_since.is_some(), "it waits since no time")?;
    ensure(cluster.ready.is_none_or(|ready| ready >= cluster.created), "it was ready before it was made")?;
    let started = cluster.steps.iter().filter(|step| step.state.is_started()).count();
    let early = matches!(state, ClusterState::Starting | ClusterState::Bootstrapping);
    let may_run = state == ClusterState::Running || state == ClusterState::Terminating;
    ensure(started == 0 || may_run, "a step runs in a cluster that does not")?;
    ensure(started <= cluster.concurrency as usize || !early, "steps run before their cluster")?;
    ensure(!state.has_ended() || cluster.active_steps() == 0, "it has ended before its steps")?;
    ensure(state != ClusterState::Waiting || started == 0, "it waits while a step runs")?;
    ensure(cluster.active_steps() <= MAX_ACTIVE_STEPS, "too many steps are active")?;
    cluster.steps.iter().try_for_each(check_step)?;
    let distinct: BTreeSet<_> = cluster.steps.iter().map(|step| &step.id).collect();
    ensure(distinct.len() == cluster.steps.len(), "two steps have one id")?;
    check_instances(cluster)
}

fn check_step(step: &Step) -> Result<(), String> {
    let fault = |what: &str| format!("step {}: {what}", step.id);
    ensure(step.state.is_active() == step.ended.is_none(), fault("it has ended without a time, or the reverse"))?;
    ensure((step.state == StepState::Failed) == step.failure.is_some(), fault("it failed without a reason"))?;
    ensure(!step.state.is_started() || step.started.is_some(), fault("it runs, and never began"))?;
    let ran = !matches!(step.state, StepState::Pending | StepState::Cancelled);
    ensure(!ran || step.started.is_some(), fault("it did something, and never began"))
}

fn check_instances(cluster: &Cluster) -> Result<(), String> {
    let masters = cluster.groups.iter().filter(|group| group.role == Role::Master).count();
    ensure(masters == 1, "it has not one master group")?;
    ensure(cluster.workers_requested() <= MAX_INSTANCES, "too many instances are asked for")?;
    let slots: BTreeSet<_> = cluster.instances.iter().map(|one| one.slot).collect();
    ensure(slots.len() == cluster.instances.len(), "two instances have one slot")?;
    ensure(slots.last().is_none_or(|last| *last < cluster.next_slot), "an instance has a slot never given")?;
    for group in &cluster.groups {
        let staying = cluster.members(&group.id).filter(|one| !one.retiring).count();
        let right = cluster.state.has_ended() || staying == group.requested as usize;
        ensure(right, format!("group {} has not as many instances as asked for", group.id))?;
    }
    for one in &cluster.instances {
        let gone = one.state == InstanceState::Terminated;
        ensure(gone == one.ended.is_some(), format!("instance {} went at no time", one.id))?;
        ensure(!(gone && one.retiring), format!("instance {} has gone and is still to go", one.id))?;
        ensure(!cluster.state.has_ended() || gone, format!("instance {} has outlived its cluster", one.id))?;
    }
    Ok(())
}
