//! `lockstep emr cluster`: clusters by their verbs; `create` has a file of its own.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    create::{self, CreateArgs},
    wire::{Emr, text, time},
};
use crate::{
    exit::{Found, Usage},
    output::Output,
};

/// Flags of `emr cluster`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr cluster create --name day --workers 4
  lockstep emr cluster create --name day --workers 1 --scale-to 6      follows the number of unblocked groups
  lockstep emr cluster list --active
  lockstep emr cluster describe j-2AXXXXXXGAPLF --json
  lockstep emr cluster resize j-2AXXXXXXGAPLF --core 2 --task 4
  lockstep emr cluster wait j-2AXXXXXXGAPLF --for terminated
  lockstep emr cluster terminate j-2AXXXXXXGAPLF")]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    verb: ClusterVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum ClusterVerb {
    /// Make a cluster, with a step or without.
    Create(Box<CreateArgs>),
    /// List clusters, the newest first.
    List {
        /// Only those that have not ended.
        #[arg(long)]
        active: bool,
    },
    /// Show a cluster and its instance groups.
    Describe {
        /// The cluster.
        cluster: String,
    },
    /// End clusters; running steps give back what they hold.
    Terminate {
        /// The clusters.
        #[arg(required = true)]
        clusters: Vec<String>,
    },
    /// Wait until a cluster is as it should be.
    Wait {
        /// The cluster.
        cluster: String,
        /// For what to wait.
        #[arg(long = "for", default_value = "running", value_name = "STATE")]
        until: Until,
        /// For how long at most, in seconds.
        #[arg(long, value_name = "SECONDS")]
        limit: Option<u64>,
    },
    /// Change how many instances the core and task groups have.
    Resize {
        /// The cluster.
        cluster: String,
        /// Core instances.
        #[arg(long, value_name = "COUNT")]
        core: Option<u64>,
        /// Task instances; a task group is added where there is none.
        #[arg(long, value_name = "COUNT")]
        task: Option<u64>,
    },
    /// Let the number of instances follow the number of unblocked groups.
    Scale {
        /// The cluster.
        cluster: String,
        /// Fewest instances.
        #[arg(long, value_name = "COUNT")]
        min: u64,
        /// Most instances.
        #[arg(long, value_name = "COUNT")]
        max: u64,
    },
    /// Set how many steps may run at once.
    Concurrency {
        /// The cluster.
        cluster: String,
        /// 1 to 256.
        level: u64,
    },
    /// Protect clusters against their end.
    Protect {
        /// The clusters.
        #[arg(required = true)]
        clusters: Vec<String>,
        /// Lift the protection.
        #[arg(long)]
        off: bool,
    },
}

/// For what to wait.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// It runs or waits for steps.
    Running,
    /// It has no step to run.
    Idle,
    /// It has ended.
    Terminated,
}

/// Runs one of the cluster verbs.
pub(super) async fn run(args: ClusterArgs, emr: &Emr, output: Output) -> anyhow::Result<()> {
    match args.verb {
        ClusterVerb::Create(args) => create::run(&args, emr, output).await,
        ClusterVerb::List { active } => list(active, emr, output).await,
        ClusterVerb::Describe { cluster } => {
            let mut found = emr.call("DescribeCluster", &json!({ "ClusterId": cluster })).await?["Cluster"].take();
            let groups = emr.all("ListInstanceGroups", json!({ "ClusterId": cluster }), "InstanceGroups").await?;
            found["InstanceGroups"] = json!(groups);
            output.result(&found, || described(&found))
        }
        ClusterVerb::Terminate { clusters } => {
            emr.call("TerminateJobFlows", &json!({ "JobFlowIds": clusters })).await?;
            let shown = json!({ "JobFlowIds": clusters, "Terminating": true });
            output.result(&shown, || format!("{} terminating", clusters.join(", ")))
        }
        ClusterVerb::Wait { cluster, until, limit } => {
            let found = wait(emr, &cluster, until, limit).await?;
            output.result(&found, || summary(&found))
        }
        ClusterVerb::Resize { cluster, core, task } => resize(emr, &cluster, core, task, output).await,
        ClusterVerb::Scale { cluster, min, max } => {
            let limits = json!({ "UnitType": "Instances", "MinimumCapacityUnits": min, "MaximumCapacityUnits": max });
            let policy = json!({ "ComputeLimits": limits });
            let request = json!({ "ClusterId": cluster, "ManagedScalingPolicy": policy });
            emr.call("PutManagedScalingPolicy", &request).await?;
            output.result(&request, || format!("{cluster} has {min} to {max} instances, by demand"))
        }
        ClusterVerb::Concurrency { cluster, level } => {
            let request = json!({ "ClusterId": cluster, "StepConcurrencyLevel": level });
            emr.call("ModifyCluster", &request).await?;
            output.result(&request, || format!("{cluster} runs up to {level} steps at once"))
        }
        ClusterVerb::Protect { clusters, off } => {
            let request = json!({ "JobFlowIds": clusters, "TerminationProtected": !off });
            emr.call("SetTerminationProtection", &request).await?;
            let word = if off { "not protected any more" } else { "protected" };
            output.result(&request, || format!("{} {word}", clusters.join(", ")))
        }
    }
}

async fn list(active: bool, emr: &Emr, output: Output) -> anyhow::Result<()> {
    let states =
        if active { json!(["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]) } else { json!([]) };
    for cluster in emr.all("ListClusters", json!({ "ClusterStates": states }), "Clusters").await? {
        output.result(&cluster, || summary(&cluster))?;
    }
    Ok(())
}

fn summary(cluster: &Value) -> String {
    let (id, state, name) = (text(cluster, "/Id"), text(cluster, "/Status/State"), text(cluster, "/Name"));
    format!("{id}  {state:<11}  since {}  {name}", time(cluster, "/Status/Timeline/CreationDateTime"))
}

fn described(cluster: &Value) -> String {
    let mut lines = vec![summary(cluster)];
    let (code, message) =
        (text(cluster, "/Status/StateChangeReason/Code"), text(cluster, "/Status/StateChangeReason/Message"));
    if !message.is_empty() {
        lines.push(format!("  {code} {message}"));
    }
    for group in cluster["InstanceGroups"].as_array().into_iter().flatten() {
        let (id, role, state) = (text(group, "/Id"), text(group, "/InstanceGroupType"), text(group, "/Status/State"));
        let (running, requested) = (&group["RunningInstanceCount"], &group["RequestedInstanceCount"]);
        lines.push(format!("  {id}  {role:<6}  {state}  {running} of {requested} instances run"));
    }
    let word = |yes: &Value, one: &'static str, other: &'static str| if yes == &json!(true) { one } else { other };
    lines.push(format!(
        "  up to {} steps at once, {}, {}",
        cluster["StepConcurrencyLevel"],
        word(&cluster["AutoTerminate"], "ends after its last step", "waits for steps"),
        word(&cluster["TerminationProtected"], "protected", "not protected"),
    ));
    lines.join("\n")
}

async fn wait(emr: &Emr, cluster: &str, until: Until, limit: Option<u64>) -> anyhow::Result<Value> {
    let request = json!({ "ClusterId": cluster });
    let found = emr.wait("DescribeCluster", &request, limit, |answer| {
        let found = &answer["Cluster"];
        let state = text(found, "/Status/State");
        let ended = state.starts_with("TERMINATED");
        let there = match until {
            Until::Running => matches!(state, "RUNNING" | "WAITING"),
            Until::Idle => state == "WAITING",
            Until::Terminated => ended,
        };
        (there || ended).then(|| (there, found.clone()))
    });
    match found.await? {
        (true, found) => Ok(found),
        (false, found) => Err(Found(format!("the cluster has ended: {}", described(&found))).into()),
    }
}

pub(super) async fn ended(emr: &Emr, cluster: &str) -> anyhow::Result<Value> {
    wait(emr, cluster, Until::Terminated, None).await
}

async fn resize(emr: &Emr, cluster: &str, core: Option<u64>, task: Option<u64>, output: Output) -> anyhow::Result<()> {
    if core.is_none() && task.is_none() {
        return Err(Usage("say --core or --task, or both".to_owned()).into());
    }
    let groups = emr.all("ListInstanceGroups", json!({ "ClusterId": cluster }), "InstanceGroups").await?;
    let of = |role: &str| groups.iter().find(|group| text(group, "/InstanceGroupType") == role);
    let (mut changed, mut added) = (Vec::new(), Vec::new());
    for (role, count) in [("CORE", core), ("TASK", task)] {
        let Some(count) = count else { continue };
        match of(role) {
            Some(group) => changed.push(json!({ "InstanceGroupId": group["Id"], "InstanceCount": count })),
            None => added.push(json!({ "InstanceRole": role, "InstanceType": "m5.xlarge", "InstanceCount": count })),
        }
    }
    if !changed.is_empty() {
        emr.call("ModifyInstanceGroups", &json!({ "ClusterId": cluster, "InstanceGroups": changed })).await?;
    }
    if !added.is_empty() {
        emr.call("AddInstanceGroups", &json!({ "JobFlowId": cluster, "InstanceGroups": added })).await?;
    }
    let shown = json!({ "ClusterId": cluster, "Core": core, "Task": task });
    output.result(&shown, || format!("{cluster} is being resized; who has to go finishes its claim first"))
}
