//! EMR's answers: the state in the shapes of its API, times in seconds of Unix time. Nothing is decided here.

use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Group, GroupId, GroupState, Instance, InstanceState, Role, ScalingPolicy, Step};
use crate::controller::{ByHand, View, log_folder};

/// One region and account, as nobody here has others.
const ARN: &str = "arn:aws:elasticmapreduce:us-east-1:000000000000:cluster/";

pub(super) fn arn(cluster: &str) -> String {
    format!("{ARN}{cluster}")
}

/// Seconds of Unix time, with milliseconds.
fn seconds(ms: u64) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of Unix time have 41 bits")]
    let seconds = ms as f64 / 1_000.0;
    json!(seconds)
}

fn timeline(times: &[(&str, Option<u64>)]) -> Value {
    let told = times.iter().filter_map(|(name, at)| Some(((*name).to_owned(), seconds((*at)?))));
    Value::Object(told.collect())
}

/// Puts in what there is.
fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.into());
    }
}

fn cluster_status(cluster: &Cluster) -> Value {
    let reason = cluster.reason.as_ref().map_or_else(
        || match cluster.idle_since {
            Some(_) => json!({ "Message": "Cluster ready after last step completed." }),
            None => json!({}),
        },
        |(code, message)| json!({ "Code": code, "Message": message }),
    );
    let times =
        [("CreationDateTime", Some(cluster.created)), ("ReadyDateTime", cluster.ready), ("EndDateTime", cluster.ended)];
    json!({ "State": cluster.state, "StateChangeReason": reason, "Timeline": timeline(&times) })
}

pub(super) fn cluster_summary(cluster: &Cluster) -> Value {
    json!({
        "Id": cluster.id.as_str(),
        "Name": cluster.profile.name,
        "Status": cluster_status(cluster),
        "NormalizedInstanceHours": 0,
        "ClusterArn": arn(cluster.id.as_str()),
    })
}

pub(super) fn cluster(cluster: &Cluster) -> Value {
    let profile = &cluster.profile;
    let tags: Vec<_> = profile.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    let applications = profile.applications.iter().map(|(name, version)| {
        let mut application = json!({ "Name": name });
        put(&mut application, "Version", version.clone());
        application
    });
    let mut ec2 = json!({});
    put(&mut ec2, "IamInstanceProfile", profile.job_flow_role.clone());
    let mut told = cluster_summary(cluster);
    put(&mut told, "InstanceCollectionType", Some("INSTANCE_GROUP"));
    put(&mut told, "Ec2InstanceAttributes", Some(ec2));
    put(&mut told, "LogUri", profile.log_uri.clone());
    put(&mut told, "ReleaseLabel", profile.release_label.clone());
    put(&mut told, "AutoTerminate", Some(!cluster.keep_alive));
    put(&mut told, "TerminationProtected", Some(cluster.protected));
    put(&mut told, "VisibleToAllUsers", Some(profile.visible_to_all));
    put(&mut told, "Applications", Some(applications.collect::<Vec<_>>()));
    put(&mut told, "Tags", Some(tags));
    put(&mut told, "ServiceRole", profile.service_role.clone());
    put(&mut told, "MasterPublicDnsName", Some("localhost"));
    put(&mut told, "Configurations", Some(Vec::<Value>::new()));
    put(&mut told, "StepConcurrencyLevel", Some(cluster.concurrency));
    told
}

/// A step; summaries have the same fields.
pub(super) fn step(step: &Step, cluster: &Cluster, view: View<'_>) -> Value {
    let properties: Map<String, Value> =
        step.jar.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let mut config = json!({ "Jar": step.jar.jar, "Properties": properties, "Args": step.jar.args });
    put(&mut config, "MainClass", step.jar.main_class.clone());
    let times =
        [("CreationDateTime", Some(step.created)), ("StartDateTime", step.started), ("EndDateTime", step.ended)];
    let mut status = json!({ "State": step.state, "StateChangeReason": {}, "Timeline": timeline(&times) });
    let failure = step
        .failure
        .as_ref()
        .map(|failure| json!({ "Reason": failure.reason, "Message": failure.message, "LogFile": failure.log_file }));
    put(&mut status, "FailureDetails", failure);
    let mut told = json!({
        "Id": step.id.as_str(),
        "Name": step.name,
        "Config": config,
        "ActionOnFailure": step.action,
        "Status": status,
    });
    let logs = log_folder(view.logs, &cluster.id, &step.id);
    put(&mut told, "LogUri", step.started.map(|_| format!("file://{}", logs.display())));
    told
}

fn group_times(cluster: &Cluster, group: &Group) -> Value {
    let ready = cluster.instances.iter().filter(|one| one.group == group.id).filter_map(|one| one.ready).min();
    let times = [("CreationDateTime", Some(group.created)), ("ReadyDateTime", ready), ("EndDateTime", cluster.ended)];
    timeline(&times)
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Master => "MASTER",
        Role::Core => "CORE",
        Role::Task => "TASK",
    }
}

pub(super) fn group(cluster: &Cluster, group: &Group) -> Value {
    let state = cluster.group_state(group);
    let reason = match state {
        GroupState::Terminating | GroupState::Terminated => {
            json!({ "Code": "CLUSTER_TERMINATED", "Message": "Job flow terminated" })
        }
        GroupState::Provisioning | GroupState::Bootstrapping | GroupState::Running | GroupState::Resizing => json!({}),
    };
    let name = if group.name.is_empty() { role_name(group.role) } else { &group.name };
    json!({
        "Id": group.id.as_str(),
        "Name": name,
        "Market": group.market,
        "InstanceGroupType": group.role,
        "InstanceType": group.instance_type,
        "RequestedInstanceCount": group.requested,
        "RunningInstanceCount": cluster.running_in(&group.id),
        "Status": { "State": state, "StateChangeReason": reason, "Timeline": group_times(cluster, group) },
        "Configurations": [],
        "EbsBlockDevices": [],
        "ShrinkPolicy": {},
    })
}

/// An instance. There is no machine behind it: its private name is the process that works for it, where one does.
pub(super) fn instance(cluster: &Cluster, one: &Instance, view: View<'_>) -> Value {
    let reason = match one.state {
        InstanceState::Terminated => json!({ "Code": "CLUSTER_TERMINATED", "Message": "Instance was terminated" }),
        InstanceState::Provisioning | InstanceState::Bootstrapping | InstanceState::Running => json!({}),
    };
    let times = [("CreationDateTime", Some(one.created)), ("ReadyDateTime", one.ready), ("EndDateTime", one.ended)];
    let group = cluster.group(&one.group);
    let ec2 = format!("i-{:017x}", (cluster.number << 20) + one.slot as u64);
    let mut told = json!({
        "Id": one.id.as_str(),
        "Ec2InstanceId": ec2,
        "PublicDnsName": "localhost",
        "PublicIpAddress": "127.0.0.1",
        "PrivateIpAddress": "127.0.0.1",
        "Status": { "State": one.state, "StateChangeReason": reason, "Timeline": timeline(&times) },
        "InstanceGroupId": one.group.as_str(),
        "EbsVolumes": [],
    });
    put(&mut told, "Market", group.map(|group| group.market.clone()));
    put(&mut told, "InstanceType", group.map(|group| group.instance_type.clone()));
    let worker = view.workers.get(&(cluster.id.clone(), one.slot));
    put(&mut told, "PrivateDnsName", worker.map(|pid| format!("pid-{pid}.localhost")));
    told
}

/// The group of the workers by hand: theirs is the number of its instances, nobody can ask for another.
pub(super) fn group_by_hand(cluster: &Cluster, workers: &[&ByHand]) -> Value {
    let times = timeline(&[("CreationDateTime", workers.iter().map(|one| one.since).min())]);
    json!({
        "Id": GroupId::by_hand(&cluster.id).as_str(),
        "Name": "workers by hand",
        "Market": "ON_DEMAND",
        "InstanceGroupType": Role::Task,
        "InstanceType": "by-hand",
        "RequestedInstanceCount": workers.len(),
        "RunningInstanceCount": workers.len(),
        "Status": { "State": GroupState::Running, "StateChangeReason": {}, "Timeline": times },
        "Configurations": [],
        "EbsBlockDevices": [],
        "ShrinkPolicy": {},
    })
}

/// A worker by hand, as an instance. Its names say who and where it is.
pub(super) fn instance_by_hand(cluster: &Cluster, one: &ByHand) -> Value {
    let message = if one.leaving { "It finishes what it holds, then it goes" } else { "Attached by hand" };
    let times = [("CreationDateTime", Some(one.since)), ("ReadyDateTime", Some(one.since))];
    json!({
        "Id": one.instance.as_str(),
        "Ec2InstanceId": format!("by-hand-{}", one.who.name),
        "PublicDnsName": one.who.host,
        "PrivateDnsName": format!("pid-{}.{}", one.who.process, one.who.host),
        "Status": {
            "State": InstanceState::Running,
            "StateChangeReason": { "Message": message },
            "Timeline": timeline(&times),
        },
        "InstanceGroupId": GroupId::by_hand(&cluster.id).as_str(),
        "Market": "ON_DEMAND",
        "InstanceType": "by-hand",
        "EbsVolumes": [],
    })
}

pub(super) fn policy(policy: &ScalingPolicy) -> Value {
    let mut limits = json!({
        "UnitType": "Instances",
        "MinimumCapacityUnits": policy.minimum,
        "MaximumCapacityUnits": policy.maximum,
    });
    put(&mut limits, "MaximumOnDemandCapacityUnits", policy.maximum_on_demand);
    put(&mut limits, "MaximumCoreCapacityUnits", policy.maximum_core);
    json!({ "ComputeLimits": limits })
}
