//! What a command leads to: an answer and events, or a rejection that names the way out. Reads only. Here are the commands
//! about whole clusters and the controller's reports; `steps` and `groups` have the others.

mod groups;
mod steps;

use super::command::{Command, JobFlow, Reply};
use super::event::Event;
use super::ids::{Chance, ClusterId, InstanceId};
use super::limits::{MAX_ACTIVE_CLUSTERS, MAX_CONCURRENCY, MAX_IDLE_SECONDS, MAX_NAME, MIN_IDLE_SECONDS};
use super::rejected::Rejected;
use super::state::{Cluster, ClusterReason, Fleet};

type Decided = Result<(Reply, Vec<Event>), Rejected>;

fn invalid<T>(what: impl Into<String>) -> Result<T, Rejected> {
    Err(Rejected::Invalid(what.into()))
}

impl Fleet {
    /// Judges a command at `now`; what was due until then must be settled before.
    ///
    /// # Errors
    /// [`Rejected`]; nothing happens then.
    pub fn decide(&self, command: &Command, now: u64) -> Decided {
        match command {
            Command::RunJobFlow { flow, chance } => self.run_job_flow(flow, *chance, now),
            Command::AddSteps { cluster, steps, chance } => self.add_steps(cluster, steps, *chance, now),
            Command::CancelSteps { cluster, steps, how } => self.cancel_steps(cluster, steps, *how, now),
            Command::Terminate { clusters } => self.terminate(clusters, now),
            Command::AddGroups { cluster, groups, chance } => self.add_groups(cluster, groups, *chance, now),
            Command::ResizeGroups { cluster, counts, chance } => {
                self.resize_groups(cluster.as_ref(), counts, *chance, now)
            }
            Command::SetConcurrency { cluster, level } => self.set_concurrency(cluster, *level),
            Command::SetProtection { clusters, on } => self.set_protection(clusters, *on),
            Command::PutScaling { cluster, policy } => self.put_scaling(cluster, *policy),
            Command::EndStep { cluster, step, end } => Ok(self.end_step_by(cluster, step, end, now)),
            Command::Release { cluster, instances } => Ok(self.release(cluster, instances, now)),
            Command::Demand { cluster, workers, chance } => Ok(self.demand(cluster, *workers, *chance, now)),
            Command::Tick => Ok((Reply::Done, Vec::new())),
        }
    }

    /// The cluster of an id, if it takes commands.
    fn open(&self, id: &ClusterId) -> Result<&Cluster, Rejected> {
        match self.cluster(id) {
            Some(cluster) if cluster.state.is_ending() => Err(Rejected::ClusterEnded(id.clone())),
            Some(cluster) => Ok(cluster),
            None => Err(Rejected::NoSuchCluster(id.clone())),
        }
    }

    fn run_job_flow(&self, flow: &JobFlow, chance: Chance, at: u64) -> Decided {
        let JobFlow { profile, keep_alive, protected, concurrency, idle_timeout, scaling, .. } = flow;
        if !(1..=MAX_NAME).contains(&profile.name.chars().count()) {
            return invalid(format!("Name must have 1 to {MAX_NAME} characters."));
        }
        if self.clusters.values().filter(|cluster| !cluster.state.has_ended()).count() >= MAX_ACTIVE_CLUSTERS {
            return Err(Rejected::TooManyClusters);
        }
        check_level(*concurrency)?;
        if let Some(seconds) = idle_timeout
            && !(MIN_IDLE_SECONDS..=MAX_IDLE_SECONDS).contains(seconds)
        {
            return invalid(format!("IdleTimeout must be {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS} seconds."));
        }
        let (groups, instances) = groups::first_groups(&flow.groups, chance)?;
        if let Some(policy) = scaling {
            groups::check_policy(policy, groups.iter().map(|group| group.role))?;
        }
        steps::check(&flow.steps, *concurrency, 0)?;
        let cluster = ClusterId::fresh(chance, 0);
        let created = Event::ClusterCreated {
            cluster: cluster.clone(),
            at,
            number: self.last_number + 1,
            profile: profile.clone(),
            keep_alive: *keep_alive,
            protected: *protected,
            concurrency: *concurrency,
            idle_timeout: *idle_timeout,
            scaling: *scaling,
            groups,
            instances,
            steps: steps::made(&flow.steps, chance),
        };
        Ok((Reply::Cluster(cluster), vec![created]))
    }

    fn terminate(&self, clusters: &[ClusterId], at: u64) -> Decided {
        let mut events = Vec::new();
        for id in clusters {
            let cluster = self.cluster(id).ok_or_else(|| Rejected::NoSuchCluster(id.clone()))?;
            if cluster.state.is_ending() {
                // To end what ends already is no error in EMR.
                continue;
            }
            if cluster.protected {
                return Err(Rejected::Protected(id.clone()));
            }
            let (reason, message) = (ClusterReason::UserRequest, "Terminated by user request".to_owned());
            events.push(Event::TerminationBegan { cluster: id.clone(), at, reason, message });
        }
        Ok((Reply::Done, events))
    }

    fn set_concurrency(&self, id: &ClusterId, level: u32) -> Decided {
        let cluster = self.open(id)?;
        check_level(level)?;
        if level > 1 {
            steps::all_continue(cluster.steps.iter().filter(|step| step.state.is_active()))?;
        }
        Ok((Reply::Done, vec![Event::ConcurrencySet { cluster: id.clone(), level }]))
    }

    fn set_protection(&self, clusters: &[ClusterId], on: bool) -> Decided {
        let event = |id: &ClusterId| {
            self.open(id)?;
            Ok(Event::ProtectionSet { cluster: id.clone(), on })
        };
        Ok((Reply::Done, clusters.iter().map(event).collect::<Result<_, _>>()?))
    }

    fn release(&self, id: &ClusterId, instances: &[InstanceId], at: u64) -> (Reply, Vec<Event>) {
        let retiring = |id: &InstanceId| {
            self.clusters.values().any(|cluster| cluster.instances.iter().any(|one| one.id == *id && one.retiring))
        };
        let instances: Vec<_> = instances.iter().filter(|id| retiring(id)).cloned().collect();
        let event = Event::InstancesReleased { cluster: id.clone(), at, instances: instances.clone() };
        (Reply::Done, if instances.is_empty() { Vec::new() } else { vec![event] })
    }
}

fn check_level(level: u32) -> Result<(), Rejected> {
    if (1..=MAX_CONCURRENCY).contains(&level) {
        return Ok(());
    }
    invalid(format!("StepConcurrencyLevel must be 1 to {MAX_CONCURRENCY}, it was {level}."))
}
