//! Commands about steps: add, cancel, and what their end means for their cluster.

use super::{Decided, invalid};
use crate::cluster::command::{CancelHow, NewStep, Reply, StepEnd};
use crate::cluster::event::{Event, StepMade};
use crate::cluster::ids::{Chance, ClusterId, StepId};
use crate::cluster::limits::{MAX_ACTIVE_STEPS, MAX_ARGUMENT_BYTES, MAX_NAME};
use crate::cluster::rejected::Rejected;
use crate::cluster::state::{ActionOnFailure, Cluster, ClusterReason, Fleet, Step, StepState};

impl Fleet {
    pub(super) fn add_steps(&self, id: &ClusterId, steps: &[NewStep], chance: Chance, at: u64) -> Decided {
        let cluster = self.open(id)?;
        if steps.is_empty() {
            return invalid("Steps must name at least one step.");
        }
        check(steps, cluster.concurrency, cluster.active_steps())?;
        let made = made(steps, chance);
        let ids = made.iter().map(|step| step.id.clone()).collect();
        Ok((Reply::Steps(ids), vec![Event::StepsAdded { cluster: id.clone(), at, steps: made }]))
    }

    pub(super) fn cancel_steps(&self, id: &ClusterId, steps: &[StepId], how: CancelHow, at: u64) -> Decided {
        let cluster = self.open(id)?;
        if steps.is_empty() || steps.len() > MAX_ACTIVE_STEPS {
            return invalid(format!("StepIds must name 1 to {MAX_ACTIVE_STEPS} steps."));
        }
        let (mut answers, mut events) = (Vec::new(), Vec::new());
        for (place, step_id) in steps.iter().enumerate() {
            if steps[..place].contains(step_id) {
                continue;
            }
            let (cluster_id, step) = (id.clone(), step_id.clone());
            let answer = match cluster.step(step_id).map(|step| step.state) {
                None => Err(format!("There is no step {step_id} in this cluster; ListSteps names them.")),
                Some(StepState::Pending) => {
                    events.push(Event::StepCancelled { cluster: cluster_id, at, step });
                    Ok(())
                }
                Some(StepState::Running | StepState::CancelPending) => {
                    let kill = how == CancelHow::Kill;
                    events.push(Event::StepCancelRequested { cluster: cluster_id, at, step, kill });
                    Ok(())
                }
                Some(StepState::Completed | StepState::Cancelled | StepState::Failed | StepState::Interrupted) => {
                    Err("The step has ended; only a pending or running step can be cancelled.".to_owned())
                }
            };
            answers.push((step_id.clone(), answer));
        }
        Ok((Reply::Cancelled(answers), events))
    }

    /// What the end of a step means. A report about what has ended already, such as one repeated, means nothing.
    pub(super) fn end_step_by(&self, id: &ClusterId, step_id: &StepId, end: &StepEnd, at: u64) -> (Reply, Vec<Event>) {
        let found = self.cluster(id).and_then(|cluster| Some((cluster, cluster.step(step_id)?)));
        let Some((cluster, step)) = found.filter(|(_, step)| step.state.is_started()) else {
            return (Reply::Done, Vec::new());
        };
        let (cluster_id, step_id) = (id.clone(), step_id.clone());
        let events = match end {
            StepEnd::Completed => vec![Event::StepCompleted { cluster: cluster_id, at, step: step_id }],
            StepEnd::Stopped if cluster.state.is_ending() => {
                vec![Event::StepInterrupted { cluster: cluster_id, at, step: step_id }]
            }
            StepEnd::Stopped => vec![Event::StepCancelled { cluster: cluster_id, at, step: step_id }],
            StepEnd::Failed(failure) => {
                let failed = Event::StepFailed { cluster: cluster_id, at, step: step_id, failure: failure.clone() };
                std::iter::once(failed).chain(after_failure(cluster, step, at)).collect()
            }
        };
        (Reply::Done, events)
    }
}

/// ActionOnFailure.
fn after_failure(cluster: &Cluster, failed: &Step, at: u64) -> Vec<Event> {
    let ends = matches!(failed.action, ActionOnFailure::TerminateCluster | ActionOnFailure::TerminateJobFlow);
    if cluster.state.is_ending() || failed.action == ActionOnFailure::Continue {
        return Vec::new();
    }
    if ends && !cluster.protected {
        let (reason, message) = (ClusterReason::StepFailure, format!("Shut down as step {} failed", failed.id));
        return vec![Event::TerminationBegan { cluster: cluster.id.clone(), at, reason, message }];
    }
    let pending = cluster.steps.iter().filter(|step| step.state == StepState::Pending);
    pending.map(|step| Event::StepCancelled { cluster: cluster.id.clone(), at, step: step.id.clone() }).collect()
}

impl Cluster {
    /// Whether the last step that ran failed in a way after which the cluster waits, although it is not kept alive.
    pub(in crate::cluster) fn waits_after_failure(&self) -> bool {
        let last = self.steps.iter().filter(|step| step.started.is_some()).max_by_key(|step| step.ended);
        last.is_some_and(|step| step.state == StepState::Failed && step.action != ActionOnFailure::Continue)
    }
}

/// Judges new steps where `active` others are.
pub(super) fn check(steps: &[NewStep], concurrency: u32, active: usize) -> Result<(), Rejected> {
    if active + steps.len() > MAX_ACTIVE_STEPS {
        return Err(Rejected::TooManySteps { active, added: steps.len() });
    }
    for step in steps {
        if !(1..=MAX_NAME).contains(&step.name.chars().count()) {
            return invalid(format!("a step's Name must have 1 to {MAX_NAME} characters."));
        }
        let properties = step.jar.properties.iter().map(|(key, value)| key.len() + value.len());
        let bytes: usize = step.jar.args.iter().map(String::len).chain(properties).sum();
        if bytes > MAX_ARGUMENT_BYTES {
            return invalid(format!(
                "the Args and Properties of a step must not be more than {MAX_ARGUMENT_BYTES} bytes."
            ));
        }
        if concurrency > 1 && step.action != ActionOnFailure::Continue {
            return Err(Rejected::ActionNeedsOneStep(step.name.clone()));
        }
    }
    Ok(())
}

/// With several steps at once the failure of one must not touch the others.
pub(super) fn all_continue<'a>(mut steps: impl Iterator<Item = &'a Step>) -> Result<(), Rejected> {
    match steps.find(|step| step.action != ActionOnFailure::Continue) {
        Some(step) => Err(Rejected::ActionNeedsOneStep(step.name.clone())),
        None => Ok(()),
    }
}

pub(super) fn made(steps: &[NewStep], chance: Chance) -> Vec<StepMade> {
    let made = |(index, step): (u32, &NewStep)| {
        let NewStep { name, action, jar } = step.clone();
        StepMade { id: StepId::fresh(chance, index), name, action, jar }
    };
    (0..).zip(steps).map(made).collect()
}
