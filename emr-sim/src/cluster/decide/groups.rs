//! Commands about instance groups: the first ones, more of them, other numbers of instances, and managed scaling, which
//! follows the demand: what is missing comes at once, what is too much goes when it was too much for a while.

use super::{Decided, invalid};
use crate::cluster::command::{GroupSpec, Reply};
use crate::cluster::event::{Event, GroupMade, InstanceMade};
use crate::cluster::ids::{Chance, ClusterId, GroupId, InstanceId};
use crate::cluster::limits::{MAX_INSTANCES, MAX_NAME, SCALE_IN_AFTER_MS};
use crate::cluster::rejected::Rejected;
use crate::cluster::state::{Cluster, ClusterState, Fleet, Group, InstanceState, Role, ScalingPolicy};

impl Fleet {
    pub(super) fn add_groups(&self, id: &ClusterId, specs: &[GroupSpec], chance: Chance, at: u64) -> Decided {
        let cluster = self.open(id)?;
        if specs.is_empty() {
            return invalid("InstanceGroups must name at least one group.");
        }
        let has_core = cluster.groups.iter().any(|group| group.role == Role::Core);
        let core = specs.iter().filter(|spec| spec.role == Role::Core).count();
        if specs.iter().any(|spec| spec.role == Role::Master) || (has_core && core > 0) || core > 1 {
            return invalid("a cluster has one master group and one core group; further groups are task groups.");
        }
        check_specs(specs)?;
        within_limit(specs.iter().map(|spec| spec.count).chain([cluster.workers_requested()]))?;
        let (groups, instances) = made(specs, chance, cluster.next_slot);
        let ids = groups.iter().map(|group| group.id.clone()).collect();
        let events = groups.into_iter().map(|group| {
            let instances = instances.iter().filter(|one| one.group == group.id).cloned().collect();
            Event::GroupAdded { cluster: id.clone(), at, group, instances }
        });
        Ok((Reply::Groups(ids), events.collect()))
    }

    pub(super) fn resize_groups(
        &self,
        id: Option<&ClusterId>,
        counts: &[(GroupId, u32)],
        chance: Chance,
        at: u64,
    ) -> Decided {
        let mut resizes: Vec<(&Cluster, Vec<(&Group, u32)>)> = Vec::new();
        for (group_id, count) in counts {
            let cluster = match id {
                Some(id) => self.open(id)?,
                None => self.owner(group_id)?,
            };
            let group = cluster.group(group_id).ok_or_else(|| Rejected::NoSuchGroup(group_id.clone()))?;
            if group.role == Role::Master {
                return invalid("the master group has one instance and keeps it.");
            }
            if cluster.scaling.is_some() {
                return invalid("managed scaling sets the number of instances; change its limits instead.");
            }
            match resizes.iter_mut().find(|(known, _)| known.id == cluster.id) {
                Some((_, of)) if of.iter().any(|(known, _)| known.id == group.id) => {
                    return invalid(format!("group {group_id} is named twice."));
                }
                Some((_, of)) => of.push((group, *count)),
                None => resizes.push((cluster, vec![(group, *count)])),
            }
        }
        let mut events = Vec::new();
        for (place, (cluster, of)) in (0..).zip(resizes) {
            let others = cluster.groups.iter().filter(|known| !of.iter().any(|(group, _)| group.id == known.id));
            let others = others.filter(|group| group.role != Role::Master).map(|group| group.requested);
            within_limit(others.chain(of.iter().map(|(_, count)| *count)))?;
            // Each cluster draws its ids from chance of its own.
            events.extend(cluster.resized(&of, Chance(chance.0 ^ place), at));
        }
        Ok((Reply::Done, events))
    }

    fn owner(&self, group: &GroupId) -> Result<&Cluster, Rejected> {
        let owner = self.clusters.values().find(|cluster| cluster.group(group).is_some());
        self.open(&owner.ok_or_else(|| Rejected::NoSuchGroup(group.clone()))?.id)
    }

    pub(super) fn put_scaling(&self, id: &ClusterId, policy: ScalingPolicy) -> Decided {
        let cluster = self.open(id)?;
        check_policy(&policy, cluster.groups.iter().map(|group| group.role))?;
        Ok((Reply::Done, vec![Event::ScalingSet { cluster: id.clone(), policy }]))
    }

    /// Managed scaling: `workers` would find work now.
    pub(super) fn demand(&self, id: &ClusterId, workers: u32, chance: Chance, at: u64) -> (Reply, Vec<Event>) {
        let scaled = self.cluster(id).and_then(|cluster| Some((cluster, cluster.scaling?)));
        (Reply::Done, scaled.map_or_else(Vec::new, |(cluster, policy)| cluster.follow(policy, workers, chance, at)))
    }
}

impl Cluster {
    fn follow(&self, policy: ScalingPolicy, workers: u32, chance: Chance, at: u64) -> Vec<Event> {
        if !matches!(self.state, ClusterState::Running | ClusterState::Waiting) {
            return Vec::new();
        }
        let wanted = workers.clamp(policy.minimum, policy.maximum);
        let now = self.workers_requested();
        // Limits that were changed count at once, low demand only after a while.
        let too_many = wanted < now && now <= policy.maximum;
        match self.demand_low_since {
            None if too_many => return vec![Event::DemandLow { cluster: self.id.clone(), since: Some(at) }],
            Some(since) if too_many && at < since.saturating_add(SCALE_IN_AFTER_MS) => return Vec::new(),
            Some(_) if !too_many && wanted == now => {
                return vec![Event::DemandLow { cluster: self.id.clone(), since: None }];
            }
            None | Some(_) => {}
        }
        if wanted == now { Vec::new() } else { self.spread(policy, wanted, chance, at) }
    }

    /// Core instances first, up to their limit; task instances for the rest. Without a task group the core group takes
    /// them all.
    fn spread(&self, policy: ScalingPolicy, wanted: u32, chance: Chance, at: u64) -> Vec<Event> {
        let of = |role| self.groups.iter().filter(move |group| group.role == role);
        let Some(core) = of(Role::Core).next() else { return Vec::new() };
        let tasks: Vec<&Group> = of(Role::Task).collect();
        let most_core = policy.maximum_core.unwrap_or(policy.maximum).max(1);
        let for_core = if tasks.is_empty() { wanted } else { wanted.min(most_core) };
        let mut rest = wanted - for_core;
        let mut counts = vec![(core, for_core)];
        for (place, task) in tasks.iter().enumerate() {
            let last = place + 1 == tasks.len();
            let count = if last { rest } else { rest.min(task.requested) };
            rest -= count;
            counts.push((*task, count));
        }
        counts.retain(|(group, count)| group.requested != *count);
        self.resized(&counts, chance, at)
    }

    /// New numbers of instances: the newest go first, and one that was to go may stay after all only as a new one.
    fn resized(&self, counts: &[(&Group, u32)], chance: Chance, at: u64) -> Vec<Event> {
        let mut slot = self.next_slot;
        let mut index = 0;
        let mut event = |(group, count): &(&Group, u32)| {
            let staying: Vec<_> = self.members(&group.id).filter(|one| !one.retiring).collect();
            let count = *count as usize;
            let mut added = Vec::new();
            for _ in staying.len()..count {
                added.push(InstanceMade { id: InstanceId::fresh(chance, index), group: group.id.clone(), slot });
                slot += 1;
                index += 1;
            }
            let retiring = staying.iter().rev().take(staying.len().saturating_sub(count));
            Event::GroupResized {
                cluster: self.id.clone(),
                at,
                group: group.id.clone(),
                requested: u32::try_from(count).expect("it came as one"),
                added,
                retiring: retiring.map(|one| one.id.clone()).collect(),
            }
        };
        counts.iter().map(&mut event).collect()
    }

    /// The retiring instances, with their slots.
    pub fn retiring(&self) -> impl Iterator<Item = (usize, &InstanceId)> {
        let leaves = |one: &&super::super::state::Instance| one.retiring && one.state != InstanceState::Terminated;
        self.instances.iter().filter(leaves).map(|one| (one.slot, &one.id))
    }
}

/// The groups of a new cluster and their instances.
pub(super) fn first_groups(
    specs: &[GroupSpec],
    chance: Chance,
) -> Result<(Vec<GroupMade>, Vec<InstanceMade>), Rejected> {
    let of = |role| specs.iter().filter(move |spec| spec.role == role);
    if of(Role::Master).count() != 1 || of(Role::Master).any(|spec| spec.count != 1) {
        return invalid("a cluster has exactly one MASTER group, of one instance.");
    }
    if of(Role::Core).count() > 1 {
        return invalid("a cluster has at most one CORE group.");
    }
    if of(Role::Core).count() == 0 && of(Role::Task).count() > 0 {
        return invalid("a cluster with TASK instances needs a CORE group too.");
    }
    check_specs(specs)?;
    within_limit(specs.iter().filter(|spec| spec.role != Role::Master).map(|spec| spec.count))?;
    Ok(made(specs, chance, 0))
}

fn check_specs(specs: &[GroupSpec]) -> Result<(), Rejected> {
    for spec in specs {
        if spec.role != Role::Task && spec.count == 0 {
            return invalid("a MASTER or CORE group needs at least one instance; a TASK group may have 0.");
        }
        if spec.name.chars().count() > MAX_NAME {
            return invalid(format!("the Name of an instance group has at most {MAX_NAME} characters."));
        }
    }
    Ok(())
}

fn within_limit(counts: impl Iterator<Item = u32>) -> Result<(), Rejected> {
    let asked: u64 = counts.map(u64::from).sum();
    if asked > u64::from(MAX_INSTANCES) { Err(Rejected::TooManyInstances(asked)) } else { Ok(()) }
}

/// Judges a scaling policy of a cluster with these groups.
pub(super) fn check_policy(policy: &ScalingPolicy, mut roles: impl Iterator<Item = Role>) -> Result<(), Rejected> {
    let ScalingPolicy { minimum, maximum, maximum_on_demand, maximum_core } = *policy;
    if !roles.any(|role| role == Role::Core) {
        return invalid("managed scaling needs a CORE group; add one with AddInstanceGroups.");
    }
    if !(1..=maximum).contains(&minimum) {
        return invalid(format!(
            "MinimumCapacityUnits ({minimum}) must be at least 1 and at most MaximumCapacityUnits ({maximum})."
        ));
    }
    if [maximum_on_demand, maximum_core].into_iter().flatten().any(|most| most > maximum) {
        return invalid("no other maximum may be above MaximumCapacityUnits.");
    }
    within_limit([maximum].into_iter())
}

fn made(specs: &[GroupSpec], chance: Chance, first_slot: usize) -> (Vec<GroupMade>, Vec<InstanceMade>) {
    let (mut groups, mut instances) = (Vec::new(), Vec::new());
    for (index, spec) in (0..).zip(specs) {
        let GroupSpec { name, role, market, instance_type, count } = spec.clone();
        let id = GroupId::fresh(chance, index);
        for _ in 0..count {
            let number = u32::try_from(instances.len()).expect("at most 33");
            let id_of_one = InstanceId::fresh(chance, number);
            instances.push(InstanceMade { id: id_of_one, group: id.clone(), slot: first_slot + instances.len() });
        }
        groups.push(GroupMade { id, name, role, market, instance_type, count });
    }
    (groups, instances)
}
