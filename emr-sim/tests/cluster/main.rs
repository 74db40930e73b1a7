//! The cluster machine: its stories, and seeded laws over random commands.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets the unexpected may panic")]
#![allow(clippy::cast_possible_truncation, reason = "made data is small")]

mod laws;
mod stories;

use lockstep_emr_sim::cluster::{
    ActionOnFailure, Chance, Cluster, ClusterId, Command, Event, Failure, Fleet, GroupSpec, JobFlow, NewStep, Profile,
    Rejected, Reply, Role, StepEnd, StepId, StepState, apply, check,
};

/// A fleet with its log and a clock of its own.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) log: Vec<Event>,
    pub(crate) now: u64,
    chances: u128,
}

impl World {
    pub(crate) fn chance(&mut self) -> Chance {
        self.chances += 1;
        Chance(self.chances)
    }

    /// One turn; the invariants hold afterwards.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Reply, Rejected> {
        let (events, reply) = apply(&mut self.fleet, command, self.now);
        self.log.extend(events);
        check(&self.fleet).unwrap_or_else(|what| panic!("after {command:?}: {what}"));
        reply
    }

    pub(crate) fn run(&mut self, flow: JobFlow) -> ClusterId {
        let chance = self.chance();
        match self.ask(&Command::RunJobFlow { flow: Box::new(flow), chance }).unwrap() {
            Reply::Cluster(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn add(&mut self, cluster: &ClusterId, steps: Vec<NewStep>) -> Result<Vec<StepId>, Rejected> {
        let chance = self.chance();
        match self.ask(&Command::AddSteps { cluster: cluster.clone(), steps, chance })? {
            Reply::Steps(ids) => Ok(ids),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn end(&mut self, cluster: &ClusterId, step: &StepId, end: StepEnd) {
        let command = Command::EndStep { cluster: cluster.clone(), step: step.clone(), end };
        self.ask(&command).unwrap();
    }

    pub(crate) fn of(&self, cluster: &ClusterId) -> &Cluster {
        self.fleet.cluster(cluster).unwrap()
    }

    pub(crate) fn states(&self, cluster: &ClusterId) -> Vec<StepState> {
        self.of(cluster).steps.iter().map(|step| step.state).collect()
    }
}

pub(crate) fn group(role: Role, count: u32) -> GroupSpec {
    let (market, instance_type) = ("ON_DEMAND".to_owned(), "m5.xlarge".to_owned());
    GroupSpec { name: String::new(), role, market, instance_type, count }
}

pub(crate) fn flow(core: u32) -> JobFlow {
    let mut groups = vec![group(Role::Master, 1)];
    if core > 0 {
        groups.push(group(Role::Core, core));
    }
    JobFlow {
        profile: Profile { name: "day".into(), ..Profile::default() },
        groups,
        steps: Vec::new(),
        keep_alive: true,
        protected: false,
        concurrency: 1,
        idle_timeout: None,
        scaling: None,
    }
}

pub(crate) fn step(action: ActionOnFailure) -> NewStep {
    NewStep { name: "transcript".into(), action, jar: lockstep_emr_sim::cluster::Jar::default() }
}

pub(crate) fn failed() -> StepEnd {
    let (reason, message, log_file) = ("Illegal Argument.".into(), "no such queue".into(), "stderr".into());
    StepEnd::Failed(Failure { reason, message, log_file })
}
