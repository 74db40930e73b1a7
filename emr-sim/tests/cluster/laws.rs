//! Seeded laws: whatever is asked, invariants hold, no state is left that EMR does not let be left, and the log replayed
//! gives the same fleet, as its distilled form does.

use lockstep_emr_sim::cluster::{
    ActionOnFailure, CancelHow, Chance, ClusterId, ClusterState, Command, Event, Fleet, InstanceState, JobFlow, Role,
    ScalingPolicy, StepEnd, StepState, apply, check,
};

use crate::{failed, flow, group, step};

struct Caller {
    random: fastrand::Rng,
    now: u64,
    chance: u128,
}

impl Caller {
    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.random.usize(0..from.len())].clone()) }
    }

    fn chance(&mut self) -> Chance {
        self.chance += 1;
        Chance(self.chance)
    }

    fn action(&mut self) -> ActionOnFailure {
        use ActionOnFailure::{CancelAndWait, Continue, TerminateCluster, TerminateJobFlow};
        self.pick(&[CancelAndWait, Continue, Continue, Continue, TerminateCluster, TerminateJobFlow]).unwrap()
    }

    fn flow(&mut self) -> JobFlow {
        let mut made = flow(self.random.u32(0..4));
        if made.groups.len() == 2 && self.random.bool() {
            made.groups.push(group(Role::Task, self.random.u32(0..3)));
            let policy = ScalingPolicy { minimum: 1, maximum: 7, maximum_on_demand: None, maximum_core: Some(3) };
            made.scaling = self.random.bool().then_some(policy);
        }
        made.keep_alive = self.random.bool();
        made.protected = self.random.u8(0..8) == 0;
        made.concurrency = if self.random.u8(0..3) == 0 { 3 } else { 1 };
        made.idle_timeout = self.random.bool().then_some(60);
        made.steps = (0..self.random.usize(0..3)).map(|_| step(self.action())).collect();
        made
    }

    fn command(&mut self, fleet: &Fleet) -> Command {
        let chance = self.chance();
        let ids: Vec<ClusterId> = fleet.clusters().map(|cluster| cluster.id.clone()).collect();
        let Some(cluster) = self.pick(&ids).filter(|_| self.random.u8(0..6) > 0) else {
            return Command::RunJobFlow { flow: Box::new(self.flow()), chance };
        };
        let of = fleet.cluster(&cluster).unwrap();
        let steps: Vec<_> = of.steps.iter().map(|step| step.id.clone()).collect();
        let groups: Vec<_> = of.groups.iter().map(|group| group.id.clone()).collect();
        match self.random.u8(0..12) {
            0 | 1 => {
                let steps = (0..self.random.usize(0..4)).map(|_| step(self.action())).collect();
                Command::AddSteps { cluster, steps, chance }
            }
            2 => {
                let how = if self.random.bool() { CancelHow::Kill } else { CancelHow::Interrupt };
                let steps = (0..2).filter_map(|_| self.pick(&steps)).collect();
                Command::CancelSteps { cluster, steps, how }
            }
            3 if self.random.u8(0..3) == 0 => Command::Terminate { clusters: vec![cluster] },
            3 => Command::SetProtection { clusters: vec![cluster], on: self.random.bool() },
            4 => {
                let role = if self.random.u8(0..4) == 0 { Role::Core } else { Role::Task };
                Command::AddGroups { cluster, groups: vec![group(role, self.random.u32(0..4))], chance }
            }
            5 => {
                let counts = groups.iter().skip(1).map(|id| (id.clone(), self.random.u32(0..6))).collect();
                Command::ResizeGroups { cluster: self.random.bool().then_some(cluster), counts, chance }
            }
            6 => Command::SetConcurrency { cluster, level: self.random.u32(0..4) },
            7 => {
                let (minimum, maximum) = (self.random.u32(0..3), self.random.u32(0..9));
                let policy = ScalingPolicy { minimum, maximum, maximum_on_demand: None, maximum_core: None };
                Command::PutScaling { cluster, policy }
            }
            8 => Command::Demand { cluster, workers: self.random.u32(0..9), chance },
            9 => Command::Release { cluster, instances: of.retiring().map(|(_, id)| id.clone()).take(2).collect() },
            _ => {
                let end = match self.random.u8(0..4) {
                    0 => failed(),
                    1 => StepEnd::Stopped,
                    _ => StepEnd::Completed,
                };
                match self.pick(&steps) {
                    Some(step) => Command::EndStep { cluster, step, end },
                    None => Command::Tick,
                }
            }
        }
    }
}

/// From where to where EMR's cluster states go.
fn cluster_may(from: ClusterState, to: ClusterState) -> bool {
    use ClusterState::{Bootstrapping, Running, Starting, Terminated, TerminatedWithErrors, Terminating, Waiting};
    from == to
        || matches!(
            (from, to),
            (Starting, Bootstrapping | Terminating)
                | (Bootstrapping, Running | Terminating)
                | (Running, Waiting | Terminating)
                | (Waiting, Running | Terminating)
                | (Terminating, Terminated | TerminatedWithErrors)
        )
}

fn step_may(from: StepState, to: StepState) -> bool {
    use StepState::{CancelPending, Cancelled, Completed, Failed, Interrupted, Pending, Running};
    from == to
        || matches!(
            (from, to),
            (Pending, Running | Cancelled)
                | (Running, Completed | Failed | CancelPending | Cancelled | Interrupted)
                | (CancelPending, Cancelled | Completed | Failed | Interrupted)
        )
}

/// Applies the events one by one to a copy and judges every single change.
fn judge(copy: &mut Fleet, events: &[Event]) {
    for event in events {
        let before = copy.clone();
        copy.evolve(event);
        for was in before.clusters() {
            let is = copy.cluster(&was.id).unwrap();
            assert!(cluster_may(was.state, is.state), "{event:?}: {:?} to {:?}", was.state, is.state);
            for step in &was.steps {
                let now = is.step(&step.id).unwrap();
                assert!(step_may(step.state, now.state), "{event:?}: {:?} to {:?}", step.state, now.state);
            }
            for one in was.instances.iter().filter(|one| one.state == InstanceState::Terminated) {
                let now = is.instances.iter().find(|other| other.id == one.id).unwrap();
                assert_eq!(now, one, "what has gone does not come back");
            }
        }
    }
}

#[test]
fn whatever_is_asked_the_states_are_emrs_and_a_replay_gives_the_same() {
    let mut reached = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut caller = Caller { random: fastrand::Rng::with_seed(seed), now: 1_000, chance: u128::from(seed) << 64 };
        let (mut fleet, mut copy, mut log) = (Fleet::default(), Fleet::default(), Vec::new());
        for _ in 0..150 {
            caller.now += caller.random.u64(0..20_000);
            let command = caller.command(&fleet);
            let before = fleet.clone();
            let due = fleet.decide(&Command::Tick, caller.now);
            assert!(due.is_ok() && before == fleet, "to decide changes nothing");
            let (events, _) = apply(&mut fleet, &command, caller.now);
            check(&fleet).unwrap_or_else(|what| panic!("seed {seed}, {command:?}: {what}"));
            judge(&mut copy, &events);
            assert!(copy == fleet, "seed {seed}: the events tell it all");
            log.extend(events);
        }
        let through_json = |event: &Event| {
            let text = serde_json::to_string(event).unwrap();
            serde_json::from_str::<Event>(&text).unwrap()
        };
        let mut replayed = Fleet::default();
        log.iter().map(through_json).for_each(|event| replayed.evolve(&event));
        assert!(replayed == fleet, "seed {seed}: replay");
        let mut distilled = Fleet::default();
        fleet.distilled().iter().map(through_json).for_each(|event| distilled.evolve(&event));
        assert!(distilled == fleet, "seed {seed}: distilled");
        reached.extend(fleet.clusters().map(|cluster| format!("{:?}", cluster.state)));
        reached.extend(fleet.clusters().flat_map(|one| &one.steps).map(|step| format!("step {:?}", step.state)));
    }
    for state in ["Waiting", "Terminated", "TerminatedWithErrors", "step Interrupted", "step Failed", "step Cancelled"]
    {
        assert!(reached.contains(state), "{state} was never reached: {reached:?}");
    }
}
