//! What happens by itself: instances come up, steps get their turn, clusters wait, end when there is nothing more to do,
//! and are gone when their last step has let go. One event at a time; `settle` asks until there is none.

use super::event::Event;
use super::ids::InstanceId;
use super::state::{Cluster, ClusterReason, ClusterState, Fleet, InstanceState, StepState};

impl Fleet {
    /// The next event that is due at `now`.
    pub(super) fn due(&self, now: u64) -> Option<Event> {
        self.clusters.values().find_map(|cluster| cluster.due(now))
    }

    /// When something happens by itself the next time, if nothing else does before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.clusters.values().filter_map(Cluster::idle_deadline).min()
    }
}

impl Cluster {
    fn due(&self, at: u64) -> Option<Event> {
        let cluster = self.id.clone();
        match self.state {
            ClusterState::Starting => Some(Event::ClusterBootstrapping { cluster, at }),
            ClusterState::Bootstrapping => Some(Event::ClusterReady { cluster, at }),
            ClusterState::Running => self.instances_due(at).or_else(|| self.next_step(at)).or_else(|| self.idle(at)),
            ClusterState::Waiting => self.instances_due(at).or_else(|| self.wakes(at)),
            ClusterState::Terminating => self.ends(at),
            ClusterState::Terminated | ClusterState::TerminatedWithErrors => None,
        }
    }

    fn instances_due(&self, at: u64) -> Option<Event> {
        let coming = self.instances.iter().filter(|one| one.state == InstanceState::Provisioning);
        let instances: Vec<InstanceId> = coming.map(|one| one.id.clone()).collect();
        (!instances.is_empty()).then(|| Event::InstancesReady { cluster: self.id.clone(), at, instances })
    }

    fn next_step(&self, at: u64) -> Option<Event> {
        let started = self.steps.iter().filter(|step| step.state.is_started()).count();
        let next = self.steps.iter().find(|step| step.state == StepState::Pending)?;
        let free = started < self.concurrency as usize;
        free.then(|| Event::StepStarted { cluster: self.id.clone(), at, step: next.id.clone() })
    }

    /// A running cluster without steps waits, or ends.
    fn idle(&self, at: u64) -> Option<Event> {
        if self.active_steps() > 0 {
            return None;
        }
        let cluster = self.id.clone();
        if self.keep_alive || self.waits_after_failure() {
            return Some(Event::ClusterWaits { cluster, at });
        }
        let failed = self.steps.iter().any(|step| step.state == StepState::Failed);
        let message = if failed { "Steps completed with errors" } else { "Steps completed" };
        Some(Event::TerminationBegan {
            cluster,
            at,
            reason: ClusterReason::AllStepsCompleted,
            message: message.to_owned(),
        })
    }

    fn wakes(&self, at: u64) -> Option<Event> {
        let cluster = self.id.clone();
        if self.active_steps() > 0 {
            return Some(Event::ClusterRuns { cluster, at });
        }
        let seconds = self.idle_timeout?;
        let message = format!("Terminated by the auto-termination policy: idle for {seconds} seconds");
        let reason = ClusterReason::AllStepsCompleted;
        let due = self.idle_deadline()? <= at;
        due.then_some(Event::TerminationBegan { cluster, at, reason, message })
    }

    fn idle_deadline(&self) -> Option<u64> {
        let waits = self.state == ClusterState::Waiting;
        let timeout = self.idle_timeout.filter(|_| waits)?;
        Some(self.idle_since?.saturating_add(timeout.saturating_mul(1_000)))
    }

    /// A cluster that ends: pending steps are cancelled, those that run are waited for, then it is gone.
    fn ends(&self, at: u64) -> Option<Event> {
        let cluster = self.id.clone();
        if let Some(step) = self.steps.iter().find(|step| step.state == StepState::Pending) {
            return Some(Event::StepCancelled { cluster, at, step: step.id.clone() });
        }
        let with_errors = matches!(self.reason, Some((ClusterReason::StepFailure, _)));
        (self.active_steps() == 0).then_some(Event::ClusterTerminated { cluster, at, with_errors })
    }
}
