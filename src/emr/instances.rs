//! `lockstep emr instances` and `lockstep emr logs`: who works, and what a step left to read.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::wire::{Emr, text};
use crate::{
    exit::Found,
    output::{Output, print},
};

/// Flags of `emr instances`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr instances j-…
  lockstep emr instances j-… --all --json")]
pub(super) struct InstancesArgs {
    /// The cluster.
    cluster: String,
    /// Those that have gone too.
    #[arg(long)]
    all: bool,
}

/// Flags of `emr logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr logs j-… s-…
  lockstep emr logs j-… s-… --file stderr")]
pub(super) struct LogsArgs {
    /// The cluster.
    cluster: String,
    /// The step.
    step: String,
    /// Which file.
    #[arg(long, default_value = "controller", value_name = "FILE")]
    file: LogFile,
}

/// A file of a step's log.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum LogFile {
    /// What the step's controller did.
    Controller,
    /// What its workers and mappers said.
    Stderr,
    /// What it had to say at its end.
    Stdout,
}

/// Lists instances.
pub(super) async fn list(args: InstancesArgs, emr: &Emr, output: Output) -> anyhow::Result<()> {
    let states = if args.all { json!([]) } else { json!(["PROVISIONING", "BOOTSTRAPPING", "RUNNING"]) };
    let request = json!({ "ClusterId": args.cluster, "InstanceStates": states });
    let groups = emr.all("ListInstanceGroups", json!({ "ClusterId": args.cluster }), "InstanceGroups").await?;
    for mut one in emr.all("ListInstances", request, "Instances").await? {
        let group = groups.iter().find(|group| group["Id"] == one["InstanceGroupId"]);
        let role = group.map(|group| text(group, "/InstanceGroupType").to_owned()).unwrap_or_default();
        let worker = text(&one, "/PrivateDnsName").strip_prefix("pid-").and_then(|name| name.split('.').next());
        let worker: Option<u32> = worker.and_then(|pid| pid.parse().ok());
        // A process of another machine is nobody's to kill here.
        let by_hand = text(&one, "/Ec2InstanceId").strip_prefix("by-hand-").map(str::to_owned);
        one["WorkerProcess"] = json!(worker.filter(|_| by_hand.is_none()));
        one["ByHand"] = json!(by_hand);
        one["InstanceGroupType"] = json!(role);
        output.result(&one, || {
            let process = worker.map_or_else(|| "no worker".to_owned(), |pid| format!("worker process {pid}"));
            let works = by_hand.as_ref().map_or_else(
                || process.clone(),
                |name| {
                    format!(
                        "by hand: {name}, process {} on {}",
                        worker.unwrap_or_default(),
                        text(&one, "/PublicDnsName")
                    )
                },
            );
            format!("{}  {role:<6}  {}  {works}", text(&one, "/Id"), text(&one, "/Status/State"))
        })?;
    }
    Ok(())
}

/// Prints a file of a step's log.
pub(super) async fn logs(args: LogsArgs, emr: &Emr, output: Output) -> anyhow::Result<()> {
    let request = json!({ "ClusterId": args.cluster, "StepId": args.step });
    let found = emr.call("DescribeStep", &request).await?["Step"].take();
    let Some(folder) = text(&found, "/LogUri").strip_prefix("file://") else {
        return Err(Found(format!("step {} has not begun, it has no log yet", args.step)).into());
    };
    let name = match args.file {
        LogFile::Controller => "controller",
        LogFile::Stderr => "stderr",
        LogFile::Stdout => "stdout",
    };
    let path = Path::new(folder).join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Found(format!("cannot read {}: {error}; logs lie on the machine of the broker", path.display()))
    })?;
    if output.json {
        return output.result(&json!({ "File": path, "Text": text }), String::new);
    }
    if text.is_empty() { Ok(()) } else { print(text.trim_end_matches('\n')) }
}
