//! The sixteen operations: a request, a command or a question of the controller, an answer. Every other operation of EMR is
//! answered with what there is.

use serde_json::{Value, json};

use super::errors::WireError;
use super::{answers, read, requests, write};
use crate::cluster::{CancelHow, Cluster, ClusterId, Command, GroupId, InstanceState, Rejected, Reply, Role, StepId};
use crate::controller::{ByHand, Controller, View};

const KNOWN: &str = "RunJobFlow, DescribeCluster, ListClusters, TerminateJobFlows, AddJobFlowSteps, DescribeStep, ListSteps, \
    CancelSteps, ListInstanceGroups, ListInstances, AddInstanceGroups, ModifyInstanceGroups, ModifyCluster, \
    PutManagedScalingPolicy, GetManagedScalingPolicy, SetTerminationProtection";

/// As many clusters, steps or instances as EMR tells at once.
const PAGE: usize = 50;
const INSTANCES_PAGE: usize = 2_000;

/// Performs an operation; the answer's body.
pub(super) async fn perform(controller: &Controller, operation: &str, body: &[u8]) -> Result<String, WireError> {
    match operation {
        "RunJobFlow" => run_job_flow(controller, body).await,
        "DescribeCluster" => {
            let id = read::<requests::OfCluster>(body)?.cluster_id;
            look(controller, id, |cluster, _| Ok(json!({ "Cluster": answers::cluster(cluster) }))).await
        }
        "ListClusters" => list_clusters(controller, body).await,
        "TerminateJobFlows" => {
            let clusters = clusters(&read::<requests::JobFlows>(body)?.job_flow_ids);
            done(controller, Command::Terminate { clusters }).await
        }
        "AddJobFlowSteps" => add_steps(controller, body).await,
        "DescribeStep" => {
            let request: requests::DescribeStep = read(body)?;
            look(controller, request.cluster_id, move |cluster, view| {
                let step = cluster.step(&StepId::named(&request.step_id)).ok_or_else(|| no_step(&request.step_id))?;
                Ok(json!({ "Step": answers::step(step, cluster, view) }))
            })
            .await
        }
        "ListSteps" => list_steps(controller, body).await,
        "CancelSteps" => cancel_steps(controller, body).await,
        "ListInstanceGroups" => {
            let id = read::<requests::OfCluster>(body)?.cluster_id;
            look(controller, id, |cluster, view| {
                let mut groups: Vec<_> = cluster.groups.iter().map(|group| answers::group(cluster, group)).collect();
                let by_hand: Vec<_> = by_hand(cluster, view).collect();
                if !by_hand.is_empty() {
                    groups.push(answers::group_by_hand(cluster, &by_hand));
                }
                Ok(json!({ "InstanceGroups": groups }))
            })
            .await
        }
        "ListInstances" => list_instances(controller, body).await,
        "AddInstanceGroups" => add_groups(controller, body).await,
        "ModifyInstanceGroups" => modify_groups(controller, body).await,
        "ModifyCluster" => modify_cluster(controller, body).await,
        "PutManagedScalingPolicy" => {
            let request: requests::PutManagedScaling = read(body)?;
            let (cluster, policy) = (ClusterId::named(&request.cluster_id), request.managed_scaling_policy.policy()?);
            controller.command(|_| Command::PutScaling { cluster, policy }).await?;
            Ok("{}".to_owned())
        }
        "GetManagedScalingPolicy" => {
            let id = read::<requests::OfCluster>(body)?.cluster_id;
            look(controller, id, |cluster, _| {
                let policy = cluster.scaling.as_ref().map(answers::policy);
                Ok(policy.map_or_else(|| json!({}), |policy| json!({ "ManagedScalingPolicy": policy })))
            })
            .await
        }
        // `aws emr describe-cluster` asks it beside DescribeCluster. Who names such actions was refused, so there are none.
        "ListBootstrapActions" => {
            let id = read::<requests::OfCluster>(body)?.cluster_id;
            look(controller, id, |_, _| Ok(json!({ "BootstrapActions": [] }))).await
        }
        "SetTerminationProtection" => {
            let request: requests::JobFlows = read(body)?;
            let (clusters, on) = (clusters(&request.job_flow_ids), request.termination_protected);
            done(controller, Command::SetProtection { clusters, on }).await
        }
        other => {
            let text = format!("The operation {other} is not known here. Known are {KNOWN}.");
            Err(WireError::InvalidRequest(text))
        }
    }
}

fn clusters(ids: &[String]) -> Vec<ClusterId> {
    ids.iter().map(|id| ClusterId::named(id)).collect()
}

fn no_step(id: &str) -> WireError {
    WireError::InvalidRequest(format!("Step id '{id}' is not valid. ListSteps names those of a cluster."))
}

/// A command whose answer has no fields.
async fn done(controller: &Controller, command: Command) -> Result<String, WireError> {
    controller.command(|_| command).await?;
    Ok(String::new())
}

/// A question about one cluster.
async fn look(
    controller: &Controller,
    id: String,
    tell: impl FnOnce(&Cluster, View<'_>) -> Result<Value, WireError> + Send + 'static,
) -> Result<String, WireError> {
    let id = ClusterId::named(&id);
    let told = controller.look(move |view| match view.fleet.cluster(&id) {
        Some(cluster) => tell(cluster, view),
        None => Err(Rejected::NoSuchCluster(id).into()),
    });
    Ok(write(&told.await??))
}

/// An answer that the command at hand cannot have.
fn unexpected(reply: &Reply) -> WireError {
    WireError::Unavailable(format!("the controller answered {reply:?}"))
}

async fn run_job_flow(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let flow = Box::new(read::<requests::RunJobFlow>(body)?.flow()?);
    match controller.command(|chance| Command::RunJobFlow { flow, chance }).await? {
        Reply::Cluster(id) => Ok(write(&json!({ "JobFlowId": id.as_str(), "ClusterArn": answers::arn(id.as_str()) }))),
        other @ (Reply::Done | Reply::Steps(_) | Reply::Groups(_) | Reply::Cancelled(_)) => Err(unexpected(&other)),
    }
}

async fn add_steps(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::AddJobFlowSteps = read(body)?;
    let (cluster, steps) = (ClusterId::named(&request.job_flow_id), requests::steps(request.steps)?);
    match controller.command(|chance| Command::AddSteps { cluster, steps, chance }).await? {
        Reply::Steps(ids) => {
            let ids: Vec<_> = ids.iter().map(StepId::as_str).collect();
            Ok(write(&json!({ "StepIds": ids })))
        }
        other @ (Reply::Done | Reply::Cluster(_) | Reply::Groups(_) | Reply::Cancelled(_)) => Err(unexpected(&other)),
    }
}

async fn cancel_steps(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::CancelSteps = read(body)?;
    let how = match request.step_cancellation_option.as_deref() {
        None | Some("SEND_INTERRUPT") => CancelHow::Interrupt,
        Some("TERMINATE_PROCESS") => CancelHow::Kill,
        Some(other) => {
            let text = format!("StepCancellationOption must be SEND_INTERRUPT or TERMINATE_PROCESS, it was {other}.");
            return Err(WireError::Validation(text));
        }
    };
    let cluster = ClusterId::named(&request.cluster_id);
    let steps = request.step_ids.iter().map(|id| StepId::named(id)).collect();
    match controller.command(|_| Command::CancelSteps { cluster, steps, how }).await? {
        Reply::Cancelled(answers) => {
            let told = answers.iter().map(|(id, answer)| match answer {
                Ok(()) => json!({ "StepId": id.as_str(), "Status": "SUBMITTED" }),
                Err(why) => json!({ "StepId": id.as_str(), "Status": "FAILED", "Reason": why }),
            });
            Ok(write(&json!({ "CancelStepsInfoList": told.collect::<Vec<_>>() })))
        }
        other @ (Reply::Done | Reply::Cluster(_) | Reply::Groups(_) | Reply::Steps(_)) => Err(unexpected(&other)),
    }
}

async fn add_groups(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::AddInstanceGroups = read(body)?;
    let (cluster, groups) = (ClusterId::named(&request.job_flow_id), requests::groups(request.instance_groups)?);
    match controller.command(|chance| Command::AddGroups { cluster, groups, chance }).await? {
        Reply::Groups(ids) => {
            let ids: Vec<_> = ids.iter().map(GroupId::as_str).collect();
            let id = request.job_flow_id;
            Ok(write(&json!({ "JobFlowId": id, "InstanceGroupIds": ids, "ClusterArn": answers::arn(&id) })))
        }
        other @ (Reply::Done | Reply::Cluster(_) | Reply::Steps(_) | Reply::Cancelled(_)) => Err(unexpected(&other)),
    }
}

async fn modify_groups(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::ModifyInstanceGroups = read(body)?;
    let cluster = request.cluster_id.as_deref().map(ClusterId::named);
    let count = |group: &requests::InstanceGroupModify| match group.instance_count {
        Some(count) => Ok((GroupId::named(&group.instance_group_id), count)),
        None => {
            Err(WireError::Validation("InstanceCount must be given: nothing else of a group can be changed.".into()))
        }
    };
    let counts = request.instance_groups.iter().map(count).collect::<Result<_, _>>()?;
    controller.command(|chance| Command::ResizeGroups { cluster, counts, chance }).await?;
    Ok(String::new())
}

async fn modify_cluster(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::ModifyCluster = read(body)?;
    let Some(level) = request.step_concurrency_level else {
        return Err(WireError::Validation("StepConcurrencyLevel must be given: nothing else can be changed.".into()));
    };
    let cluster = ClusterId::named(&request.cluster_id);
    controller.command(|_| Command::SetConcurrency { cluster, level }).await?;
    Ok(write(&json!({ "StepConcurrencyLevel": level })))
}

/// A word as the API writes a state.
fn word(state: impl serde::Serialize) -> String {
    serde_json::to_value(state).ok().and_then(|state| state.as_str().map(str::to_owned)).unwrap_or_default()
}

fn among(words: &[String], state: impl serde::Serialize) -> bool {
    words.is_empty() || words.contains(&word(state))
}

/// One page of what was found: those after the marker's, and the marker of the next page.
fn page<'a, T>(
    found: &[&'a T],
    marker: Option<&String>,
    id: impl Fn(&T) -> &str,
    most: usize,
) -> (Vec<&'a T>, Option<String>) {
    let start = marker.and_then(|marker| found.iter().position(|one| id(one) == *marker)).map_or(0, |place| place + 1);
    let page: Vec<&T> = found[start..].iter().take(most).copied().collect();
    let more = start + page.len() < found.len();
    let next = page.last().filter(|_| more).map(|last| id(last).to_owned());
    (page, next)
}

fn paged(name: &str, told: impl Iterator<Item = Value>, next: Option<String>) -> Value {
    let mut answer = json!({ name: told.collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["Marker"] = json!(next);
    }
    answer
}

async fn list_clusters(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::ListClusters = read(body)?;
    let told = controller.look(move |view| {
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of Unix time have 41 bits")]
        let created = |cluster: &Cluster| cluster.created as f64 / 1_000.0;
        let mut found: Vec<&Cluster> = view
            .fleet
            .clusters()
            .filter(|cluster| among(&request.cluster_states, cluster.state))
            .filter(|cluster| request.created_after.is_none_or(|after| created(cluster) >= after))
            .filter(|cluster| request.created_before.is_none_or(|before| created(cluster) <= before))
            .collect();
        // The newest first, as EMR tells them.
        found.sort_by_key(|cluster| std::cmp::Reverse(cluster.number));
        let (page, next) = page(&found, request.marker.as_ref(), |cluster| cluster.id.as_str(), PAGE);
        paged("Clusters", page.into_iter().map(answers::cluster_summary), next)
    });
    Ok(write(&told.await?))
}

async fn list_steps(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::ListSteps = read(body)?;
    if request.step_ids.len() > 10 {
        return Err(WireError::Validation("StepIds may name at most 10 steps.".to_owned()));
    }
    let id = request.cluster_id.clone();
    look(controller, id, move |cluster, view| {
        if let Some(unknown) = request.step_ids.iter().find(|id| cluster.step(&StepId::named(id)).is_none()) {
            return Err(no_step(unknown));
        }
        let asked = |id: &StepId| request.step_ids.is_empty() || request.step_ids.iter().any(|one| one == id.as_str());
        let steps = cluster.steps.iter().rev().filter(|step| asked(&step.id));
        let found: Vec<_> = steps.filter(|step| among(&request.step_states, step.state)).collect();
        let (page, next) = page(&found, request.marker.as_ref(), |step| step.id.as_str(), PAGE);
        let told = page.into_iter().map(|step| answers::step(step, cluster, view));
        Ok(paged("Steps", told, next))
    })
    .await
}

fn by_hand<'a>(cluster: &'a Cluster, view: View<'a>) -> impl Iterator<Item = &'a ByHand> {
    view.by_hand.values().filter(move |one| one.cluster == cluster.id)
}

async fn list_instances(controller: &Controller, body: &[u8]) -> Result<String, WireError> {
    let request: requests::ListInstances = read(body)?;
    let id = request.cluster_id.clone();
    look(controller, id, move |cluster, view| {
        let in_group = |group: &GroupId| {
            let role = cluster.group(group).map(|group| group.role);
            let role = role.or_else(|| (*group == GroupId::by_hand(&cluster.id)).then_some(Role::Task));
            let role = role.map(answers::role_name);
            request.instance_group_id.as_ref().is_none_or(|id| id == group.as_str())
                && (request.instance_group_types.is_empty()
                    || role.is_some_and(|role| request.instance_group_types.iter().any(|one| one == role)))
        };
        let found = cluster.instances.iter().filter(|one| in_group(&one.group));
        let found = found.filter(|one| among(&request.instance_states, one.state));
        let mut told: Vec<Value> = found.map(|one| answers::instance(cluster, one, view)).collect();
        if in_group(&GroupId::by_hand(&cluster.id)) && among(&request.instance_states, InstanceState::Running) {
            told.extend(by_hand(cluster, view).map(|one| answers::instance_by_hand(cluster, one)));
        }
        let told: Vec<&Value> = told.iter().collect();
        let marker = request.marker.as_ref();
        let (page, next) = page(&told, marker, |one| one["Id"].as_str().unwrap_or_default(), INSTANCES_PAGE);
        Ok(paged("Instances", page.into_iter().cloned(), next))
    })
    .await
}
