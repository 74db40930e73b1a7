//! What events do to the state: the only writer. Total and timeless: an event about what is not there does nothing, and
//! replaying a log is this alone. Old ended steps, instances and clusters are let go here, by count.

use super::event::{Event, GroupMade, InstanceMade, StepMade};
use super::ids::{ClusterId, GroupId, InstanceId, StepId};
use super::limits::{MAX_ENDED_CLUSTERS, MAX_ENDED_STEPS};
use super::state::{Cluster, ClusterState, Fleet, Group, Instance, InstanceState, Step, StepState};

impl Fleet {
    /// Applies an event.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::ClusterCreated { cluster, number, .. } => {
                if let Some(made) = created(event) {
                    self.last_number = self.last_number.max(*number);
                    self.clusters.insert(cluster.clone(), made);
                }
            }
            Event::ClusterRestored { cluster } => drop(self.clusters.insert(cluster.id.clone(), (**cluster).clone())),
            Event::FleetRestored { last_number } => self.last_number = *last_number,
            Event::ClusterBootstrapping { cluster, .. } => self.change(cluster, Cluster::bootstrap),
            Event::ClusterReady { cluster, at } => self.change(cluster, |one| one.get_ready(*at)),
            Event::ClusterRuns { cluster, .. } => {
                self.change(cluster, |one| (one.state, one.idle_since) = (ClusterState::Running, None));
            }
            Event::ClusterWaits { cluster, at } => {
                self.change(cluster, |one| (one.state, one.idle_since) = (ClusterState::Waiting, Some(*at)));
            }
            Event::TerminationBegan { cluster, reason, message, .. } => self.change(cluster, |one| {
                (one.state, one.idle_since) = (ClusterState::Terminating, None);
                one.reason = Some((*reason, message.clone()));
            }),
            Event::ClusterTerminated { cluster, at, with_errors } => {
                self.change(cluster, |one| one.terminated(*at, *with_errors));
                self.forget_the_oldest();
            }
            Event::StepsAdded { cluster, at, steps } => {
                self.change(cluster, |one| one.steps.extend(steps.iter().map(|step| new_step(step, *at))));
            }
            Event::StepStarted { cluster, at, step } => self.change_step(cluster, step, |step| {
                (step.state, step.started) = (StepState::Running, Some(*at));
            }),
            Event::StepCancelRequested { cluster, step, kill, .. } => self.change_step(cluster, step, |step| {
                (step.state, step.kill) = (StepState::CancelPending, step.kill || *kill);
            }),
            Event::StepCompleted { cluster, at, step } => self.end_step(cluster, step, StepState::Completed, *at),
            Event::StepCancelled { cluster, at, step } => self.end_step(cluster, step, StepState::Cancelled, *at),
            Event::StepInterrupted { cluster, at, step } => self.end_step(cluster, step, StepState::Interrupted, *at),
            Event::StepFailed { cluster, at, step, failure } => {
                self.change_step(cluster, step, |step| step.failure = Some(failure.clone()));
                self.end_step(cluster, step, StepState::Failed, *at);
            }
            Event::GroupAdded { cluster, at, group, instances } => self.change(cluster, |one| {
                one.groups.push(new_group(group, *at));
                one.add_instances(instances, *at);
            }),
            Event::GroupResized { cluster, at, group, requested, added, retiring } => self.change(cluster, |one| {
                one.resize(group, *requested);
                one.add_instances(added, *at);
                one.change_instances(retiring, |instance| instance.retiring = true);
            }),
            Event::InstancesReady { cluster, at, instances } => self.change(cluster, |one| {
                let ready = |one: &mut Instance| (one.state, one.ready) = (InstanceState::Running, Some(*at));
                one.change_instances(instances, ready);
            }),
            Event::InstancesReleased { cluster, at, instances } => {
                self.change(cluster, |one| one.release(instances, *at));
            }
            Event::ProtectionSet { cluster, on } => self.change(cluster, |one| one.protected = *on),
            Event::ConcurrencySet { cluster, level } => self.change(cluster, |one| one.concurrency = *level),
            Event::ScalingSet { cluster, policy } => self.change(cluster, |one| one.scaling = Some(*policy)),
            Event::DemandLow { cluster, since } => self.change(cluster, |one| one.demand_low_since = *since),
        }
    }

    fn change_step(&mut self, cluster: &ClusterId, id: &StepId, change: impl FnOnce(&mut Step)) {
        self.change(cluster, |cluster| {
            if let Some(step) = cluster.steps.iter_mut().find(|step| step.id == *id) {
                change(step);
            }
        });
    }

    fn end_step(&mut self, cluster: &ClusterId, id: &StepId, state: StepState, at: u64) {
        self.change_step(cluster, id, |step| (step.state, step.ended) = (state, Some(at)));
        self.change(cluster, Cluster::forget_the_oldest_step);
    }

    fn change(&mut self, id: &ClusterId, change: impl FnOnce(&mut Cluster)) {
        if let Some(cluster) = self.clusters.get_mut(id) {
            change(cluster);
        }
    }

    fn forget_the_oldest(&mut self) {
        let ended = self.clusters.values().filter(|cluster| cluster.state.has_ended());
        if ended.clone().count() > MAX_ENDED_CLUSTERS
            && let Some(oldest) = ended.min_by_key(|cluster| cluster.number).map(|cluster| cluster.id.clone())
        {
            self.clusters.remove(&oldest);
        }
    }

    /// The state as a list of events: replayed into an empty fleet they give this one.
    #[must_use]
    pub fn distilled(&self) -> Vec<Event> {
        let restored = self.clusters.values().map(|one| Event::ClusterRestored { cluster: Box::new(one.clone()) });
        restored.chain([Event::FleetRestored { last_number: self.last_number }]).collect()
    }
}

fn created(event: &Event) -> Option<Cluster> {
    let Event::ClusterCreated {
        cluster,
        at,
        number,
        profile,
        keep_alive,
        protected,
        concurrency,
        idle_timeout,
        scaling,
        groups,
        instances,
        steps,
    } = event
    else {
        return None;
    };
    let mut made = Cluster {
        id: cluster.clone(),
        number: *number,
        profile: profile.clone(),
        state: ClusterState::Starting,
        reason: None,
        created: *at,
        ready: None,
        ended: None,
        keep_alive: *keep_alive,
        protected: *protected,
        concurrency: *concurrency,
        idle_timeout: *idle_timeout,
        idle_since: None,
        scaling: *scaling,
        demand_low_since: None,
        groups: groups.iter().map(|group| new_group(group, *at)).collect(),
        instances: Vec::new(),
        steps: steps.iter().map(|step| new_step(step, *at)).collect(),
        next_slot: 0,
    };
    made.add_instances(instances, *at);
    Some(made)
}

fn new_group(made: &GroupMade, at: u64) -> Group {
    let GroupMade { id, name, role, market, instance_type, count } = made.clone();
    Group { id, name, role, market, instance_type, requested: count, created: at }
}

fn new_step(made: &StepMade, at: u64) -> Step {
    let StepMade { id, name, action, jar } = made.clone();
    let state = StepState::Pending;
    Step { id, name, action, jar, state, kill: false, created: at, started: None, ended: None, failure: None }
}

impl Cluster {
    fn bootstrap(&mut self) {
        self.state = ClusterState::Bootstrapping;
        for one in &mut self.instances {
            one.state = InstanceState::Bootstrapping;
        }
    }

    fn get_ready(&mut self, at: u64) {
        (self.state, self.ready) = (ClusterState::Running, Some(at));
        for one in &mut self.instances {
            (one.state, one.ready) = (InstanceState::Running, Some(at));
        }
    }

    fn terminated(&mut self, at: u64, with_errors: bool) {
        self.state = if with_errors { ClusterState::TerminatedWithErrors } else { ClusterState::Terminated };
        self.ended = Some(at);
        for one in self.instances.iter_mut().filter(|one| one.state != InstanceState::Terminated) {
            (one.state, one.ended, one.retiring) = (InstanceState::Terminated, Some(at), false);
        }
    }

    fn forget_the_oldest_step(&mut self) {
        let ended = self.steps.iter().filter(|step| !step.state.is_active()).count();
        if ended > MAX_ENDED_STEPS
            && let Some(oldest) = self.steps.iter().position(|step| !step.state.is_active())
        {
            self.steps.remove(oldest);
        }
    }

    fn resize(&mut self, group: &GroupId, requested: u32) {
        self.demand_low_since = None;
        if let Some(group) = self.groups.iter_mut().find(|known| known.id == *group) {
            group.requested = requested;
        }
    }

    fn release(&mut self, instances: &[InstanceId], at: u64) {
        self.change_instances(instances, |one| {
            (one.state, one.ended, one.retiring) = (InstanceState::Terminated, Some(at), false);
        });
        let gone = |one: &Instance| one.state == InstanceState::Terminated;
        let mut excess = self.instances.iter().filter(|one| gone(one)).count().saturating_sub(MAX_ENDED_STEPS);
        self.instances.retain(|one| {
            let forget = excess > 0 && gone(one);
            excess -= usize::from(forget);
            !forget
        });
    }

    fn change_instances(&mut self, ids: &[InstanceId], change: impl Fn(&mut Instance)) {
        self.instances.iter_mut().filter(|one| ids.contains(&one.id)).for_each(change);
    }

    fn add_instances(&mut self, made: &[InstanceMade], at: u64) {
        for InstanceMade { id, group, slot } in made.iter().cloned() {
            self.next_slot = self.next_slot.max(slot + 1);
            let state = InstanceState::Provisioning;
            let one = Instance { id, group, slot, state, retiring: false, created: at, ready: None, ended: None };
            self.instances.push(one);
        }
    }
}
