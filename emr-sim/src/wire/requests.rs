//! EMR's requests, as far as they mean something here, and what they become. Fields that are known and have no effect are
//! not named: they are taken and forgotten (docs/emr.md lists them). Those that would change what happens are refused.

use serde::Deserialize;
use serde_json::Value;

use super::errors::WireError;
use crate::cluster::{ActionOnFailure, GroupSpec, Jar, JobFlow, NewStep, Profile, Role, ScalingPolicy};
use crate::controller::Plan;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RunJobFlow {
    name: String,
    instances: Instances,
    log_uri: Option<String>,
    release_label: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    bootstrap_actions: Vec<Value>,
    #[serde(default)]
    applications: Vec<Application>,
    #[serde(default = "yes")]
    visible_to_all_users: bool,
    job_flow_role: Option<String>,
    service_role: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    step_concurrency_level: Option<u32>,
    managed_scaling_policy: Option<ManagedScalingPolicy>,
    auto_termination_policy: Option<AutoTerminationPolicy>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    master_instance_type: Option<String>,
    slave_instance_type: Option<String>,
    instance_count: Option<u32>,
    #[serde(default)]
    instance_groups: Vec<InstanceGroup>,
    #[serde(default)]
    instance_fleets: Vec<Value>,
    #[serde(default)]
    keep_job_flow_alive_when_no_steps: bool,
    #[serde(default)]
    termination_protected: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceGroup {
    #[serde(default)]
    name: String,
    market: Option<String>,
    instance_role: Role,
    instance_type: String,
    instance_count: u32,
    auto_scaling_policy: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Application {
    name: String,
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Step {
    name: String,
    action_on_failure: Option<ActionOnFailure>,
    hadoop_jar_step: HadoopJarStep,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HadoopJarStep {
    jar: String,
    main_class: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    properties: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ManagedScalingPolicy {
    compute_limits: ComputeLimits,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ComputeLimits {
    unit_type: String,
    minimum_capacity_units: u32,
    maximum_capacity_units: u32,
    maximum_on_demand_capacity_units: Option<u32>,
    maximum_core_capacity_units: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AutoTerminationPolicy {
    idle_timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfCluster {
    pub(super) cluster_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListClusters {
    pub(super) created_after: Option<f64>,
    pub(super) created_before: Option<f64>,
    #[serde(default)]
    pub(super) cluster_states: Vec<String>,
    pub(super) marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct JobFlows {
    pub(super) job_flow_ids: Vec<String>,
    #[serde(default)]
    pub(super) termination_protected: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddJobFlowSteps {
    pub(super) job_flow_id: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeStep {
    pub(super) cluster_id: String,
    pub(super) step_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSteps {
    pub(super) cluster_id: String,
    #[serde(default)]
    pub(super) step_states: Vec<String>,
    #[serde(default)]
    pub(super) step_ids: Vec<String>,
    pub(super) marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancelSteps {
    pub(super) cluster_id: String,
    pub(super) step_ids: Vec<String>,
    pub(super) step_cancellation_option: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInstances {
    pub(super) cluster_id: String,
    pub(super) instance_group_id: Option<String>,
    #[serde(default)]
    pub(super) instance_group_types: Vec<String>,
    #[serde(default)]
    pub(super) instance_states: Vec<String>,
    pub(super) marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddInstanceGroups {
    pub(super) job_flow_id: String,
    pub(super) instance_groups: Vec<InstanceGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyInstanceGroups {
    pub(super) cluster_id: Option<String>,
    #[serde(default)]
    pub(super) instance_groups: Vec<InstanceGroupModify>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceGroupModify {
    pub(super) instance_group_id: String,
    pub(super) instance_count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyCluster {
    pub(super) cluster_id: String,
    pub(super) step_concurrency_level: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutManagedScaling {
    pub(super) cluster_id: String,
    pub(super) managed_scaling_policy: ManagedScalingPolicy,
}

fn refused<T>(text: &str) -> Result<T, WireError> {
    Err(WireError::Validation(text.to_owned()))
}

/// A request may leave the instance type out where EMR has one by default.
const INSTANCE_TYPE: &str = "m5.xlarge";

impl RunJobFlow {
    pub(super) fn flow(self) -> Result<JobFlow, WireError> {
        if !self.bootstrap_actions.is_empty() {
            return refused("BootstrapActions are not run here: set up this machine instead, and leave them out.");
        }
        let profile = Profile {
            name: self.name,
            release_label: self.release_label,
            log_uri: self.log_uri,
            service_role: self.service_role,
            job_flow_role: self.job_flow_role,
            visible_to_all: self.visible_to_all_users,
            applications: self.applications.into_iter().map(|one| (one.name, one.version)).collect(),
            tags: self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        };
        let idle_timeout = self.auto_termination_policy.map(|policy| policy.idle_timeout.unwrap_or(3_600));
        let (keep_alive, protected) =
            (self.instances.keep_job_flow_alive_when_no_steps, self.instances.termination_protected);
        Ok(JobFlow {
            profile,
            groups: self.instances.groups()?,
            steps: steps(self.steps)?,
            keep_alive,
            protected,
            concurrency: self.step_concurrency_level.unwrap_or(1),
            idle_timeout,
            scaling: self.managed_scaling_policy.map(ManagedScalingPolicy::policy).transpose()?,
        })
    }
}

impl Instances {
    fn groups(self) -> Result<Vec<GroupSpec>, WireError> {
        if !self.instance_fleets.is_empty() {
            return refused("InstanceFleets are not known here: name InstanceGroups, or InstanceCount.");
        }
        if !self.instance_groups.is_empty() {
            return groups(self.instance_groups);
        }
        let of = |role, instance_type: Option<String>, count| GroupSpec {
            name: String::new(),
            role,
            market: "ON_DEMAND".to_owned(),
            instance_type: instance_type.unwrap_or_else(|| INSTANCE_TYPE.to_owned()),
            count,
        };
        match self.instance_count {
            None | Some(0) => refused("Instances must name InstanceGroups, or an InstanceCount of at least 1."),
            Some(1) => Ok(vec![of(Role::Master, self.master_instance_type, 1)]),
            Some(count) => Ok(vec![
                of(Role::Master, self.master_instance_type, 1),
                of(Role::Core, self.slave_instance_type, count - 1),
            ]),
        }
    }
}

pub(super) fn groups(groups: Vec<InstanceGroup>) -> Result<Vec<GroupSpec>, WireError> {
    let group = |group: InstanceGroup| {
        if group.auto_scaling_policy.is_some() {
            return refused("AutoScalingPolicy is not known here: use a ManagedScalingPolicy.");
        }
        Ok(GroupSpec {
            name: group.name,
            role: group.instance_role,
            market: group.market.unwrap_or_else(|| "ON_DEMAND".to_owned()),
            instance_type: group.instance_type,
            count: group.instance_count,
        })
    };
    groups.into_iter().map(group).collect()
}

/// Steps that would run: each is understood before any is taken.
pub(super) fn steps(steps: Vec<Step>) -> Result<Vec<NewStep>, WireError> {
    let step = |step: Step| {
        let HadoopJarStep { jar, main_class, args, properties } = step.hadoop_jar_step;
        let properties = properties.into_iter().map(|one| (one.key, one.value)).collect();
        let jar = Jar { jar, main_class, args, properties };
        Plan::read(&jar).map_err(|why| WireError::Validation(format!("Step '{}' cannot run: {why}.", step.name)))?;
        // EMR's documentation names no default; the one that hurts least.
        let action = step.action_on_failure.unwrap_or(ActionOnFailure::Continue);
        Ok(NewStep { name: step.name, action, jar })
    };
    steps.into_iter().map(step).collect()
}

impl ManagedScalingPolicy {
    pub(super) fn policy(self) -> Result<ScalingPolicy, WireError> {
        let limits = self.compute_limits;
        if limits.unit_type != "Instances" {
            return refused("UnitType must be Instances: there are neither fleets nor virtual cores here.");
        }
        Ok(ScalingPolicy {
            minimum: limits.minimum_capacity_units,
            maximum: limits.maximum_capacity_units,
            maximum_on_demand: limits.maximum_on_demand_capacity_units,
            maximum_core: limits.maximum_core_capacity_units,
        })
    }
}
