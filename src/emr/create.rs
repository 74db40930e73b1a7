//! `lockstep emr cluster create`: a cluster from flags, with a first step where one is described.

use clap::Args;
use serde_json::json;

use super::{
    cluster,
    step::{self, OneStep},
    wire::{Emr, text},
};
use crate::{exit::Usage, output::Output};

/// Flags of `emr cluster create`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr cluster create --name day --workers 4
  lockstep emr cluster create --name once --job transcript --input orders.fifo --output ./out --wait
A cluster with a step ends after it unless --keep-alive says otherwise; one without waits for steps.")]
pub(super) struct CreateArgs {
    /// The cluster's name.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Core instances, a worker process each; 0: the master works.
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    workers: u64,
    /// Managed scaling: between --workers (at least 1) and so many instances, by the number of unblocked groups.
    #[arg(long, value_name = "COUNT")]
    scale_to: Option<u64>,
    /// Wait for more steps after the last one.
    #[arg(long)]
    keep_alive: bool,
    /// Protect it against its end.
    #[arg(long)]
    protected: bool,
    /// Steps that may run at once.
    #[arg(long, default_value_t = 1, value_name = "LEVEL")]
    concurrency: u64,
    /// End it after so many seconds without a step, 60 to 604800.
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u64>,
    #[command(flatten)]
    step: OneStep,
    /// Wait until the step has ended.
    #[arg(long)]
    wait: bool,
}

/// Makes the cluster.
pub(super) async fn run(args: &CreateArgs, emr: &Emr, output: Output) -> anyhow::Result<()> {
    let step = args.step.request("TERMINATE_CLUSTER")?;
    if args.wait && step.is_none() {
        return Err(Usage("--wait waits for a step: say --job or --mapper, --input and --output too".to_owned()).into());
    }
    let mut groups = vec![json!({ "InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1 })];
    if args.workers > 0 {
        groups.push(json!({ "InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": args.workers }));
    }
    let mut request = json!({
        "Name": args.name,
        "Instances": {
            "InstanceGroups": groups,
            "KeepJobFlowAliveWhenNoSteps": args.keep_alive || step.is_none(),
            "TerminationProtected": args.protected,
        },
        "StepConcurrencyLevel": args.concurrency,
        "Steps": step.iter().collect::<Vec<_>>(),
    });
    if let Some(most) = args.scale_to {
        let limits = json!({
            "UnitType": "Instances", "MinimumCapacityUnits": args.workers.max(1), "MaximumCapacityUnits": most,
        });
        request["ManagedScalingPolicy"] = json!({ "ComputeLimits": limits });
    }
    if let Some(seconds) = args.idle_timeout {
        request["AutoTerminationPolicy"] = json!({ "IdleTimeout": seconds });
    }
    let made = emr.call("RunJobFlow", &request).await?;
    let id = text(&made, "/JobFlowId").to_owned();
    output.result(&made, || id.clone())?;
    if !args.wait {
        return Ok(());
    }
    let steps = emr.all("ListSteps", json!({ "ClusterId": id }), "Steps").await?;
    let step = steps.first().map(|step| text(step, "/Id").to_owned()).unwrap_or_default();
    let ended = step::wait(emr, &id, &step, None, output).await;
    if !args.keep_alive {
        cluster::ended(emr, &id).await?;
    }
    ended
}
