//! `lockstep emr step`: steps from flags, in EMR's words, and their ends.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use lockstep_emr_sim::{
    cluster::Jar,
    controller::Plan,
    format::Format,
    job::JobKind,
    step::{Mapper, OnPoison},
};
use serde_json::{Value, json};

use super::wire::{Emr, text, time};
use crate::{
    exit::{Found, Usage},
    output::Output,
};

/// Flags of `emr step`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr step add j-… --job reply-pairs --input orders.fifo --output ./out --wait
  lockstep emr step add j-… --mapper 'python3 /srv/my.py' --input orders.fifo --output ./out --on-failure cancel-and-wait
  lockstep emr step add j-… --job count --input orders.fifo --output ./out --format jsonl.gz --on-poison dlq --follow
  lockstep emr step list j-…
  lockstep emr step cancel j-… s-…                       its workers finish what they hold
  lockstep emr step wait j-… s-… --limit 60
A step with the output folder of an earlier one goes on where that one stopped, and publishes nothing twice.")]
pub(super) struct StepArgs {
    #[command(subcommand)]
    verb: StepVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum StepVerb {
    /// Add a step to a cluster.
    Add {
        /// The cluster.
        cluster: String,
        #[command(flatten)]
        step: OneStep,
        /// Wait until it has ended; anything but COMPLETED is exit 1.
        #[arg(long)]
        wait: bool,
    },
    /// List the steps of a cluster, the newest first.
    List {
        /// The cluster.
        cluster: String,
    },
    /// Show a step.
    Describe {
        /// The cluster.
        cluster: String,
        /// The step.
        step: String,
    },
    /// Cancel steps; what they hold goes back in order.
    Cancel {
        /// The cluster.
        cluster: String,
        /// The steps.
        #[arg(required = true)]
        steps: Vec<String>,
        /// Do not wait for the workers to finish what they hold.
        #[arg(long)]
        kill: bool,
    },
    /// Wait until a step has ended; anything but COMPLETED is exit 1.
    Wait {
        /// The cluster.
        cluster: String,
        /// The step.
        step: String,
        /// For how long at most, in seconds.
        #[arg(long, value_name = "SECONDS")]
        limit: Option<u64>,
    },
}

/// A step from flags.
#[derive(Args, Clone, Debug)]
pub(super) struct OneStep {
    /// The step's name.
    #[arg(long, value_name = "NAME")]
    step_name: Option<String>,
    /// What it computes: transcript, reply-pairs, count.
    #[arg(long, value_name = "JOB", value_parser = JobKind::from_str)]
    job: Option<JobKind>,
    /// Or a program of yours, fed over its stdin, with its arguments. No shell is between.
    #[arg(long, value_name = "COMMAND", conflicts_with = "job")]
    mapper: Option<Mapper>,
    /// So long may the mapper take for one batch, 1 to 86400 s; 300 when absent.
    #[arg(long, value_name = "SECONDS", requires = "mapper", conflicts_with = "job", visible_alias = "time-limit")]
    mapper_seconds: Option<u64>,
    /// So much may the mapper write for one batch; 268435456 when absent.
    #[arg(long, value_name = "BYTES", requires = "mapper", conflicts_with = "job")]
    mapper_output_bytes: Option<u64>,
    /// The queue, or its URL.
    #[arg(long, value_name = "QUEUE")]
    input: Option<String>,
    /// The output: a folder of the machine of `serve`, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIR")]
    output: Option<std::path::PathBuf>,
    /// The form of the published files: jsonl, jsonl.gz, jsonl.zst, parquet (where it is built in); jsonl when absent.
    #[arg(long, value_name = "FORMAT", value_parser = Format::from_str)]
    format: Option<Format>,
    /// What becomes of a message that cannot be processed: fail (the step ends), dlq (it goes to the queue's dead-letter
    /// queue), park (its group waits for `lockstep unpark`); fail when absent.
    #[arg(long, value_name = "POLICY", value_parser = OnPoison::from_str)]
    on_poison: Option<OnPoison>,
    /// The reader's name, 1 to 80 of A-Z a-z 0-9 _ -; one of the output folder's own when absent.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    /// End only when nothing came for so long; at the first empty look when absent.
    #[arg(long, value_name = "SECONDS", conflicts_with = "follow")]
    idle_seconds: Option<u64>,
    /// Do not end before it is cancelled.
    #[arg(long)]
    follow: bool,
    /// What its failure means for the cluster.
    #[arg(long, value_name = "ACTION")]
    on_failure: Option<OnFailure>,
}

/// What a failure means for the cluster.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum OnFailure {
    /// The cluster ends with errors.
    TerminateCluster,
    /// Later steps are cancelled, the cluster waits.
    CancelAndWait,
    /// The next step runs.
    Continue,
}

impl OneStep {
    /// The step as EMR has it; none where none is described. What the broker would refuse whatever it knows is refused
    /// here, by the same rules, before anything is sent.
    pub(super) fn request(&self, otherwise: &str) -> anyhow::Result<Option<Value>> {
        let need = |what: &str| Usage(format!("a step needs {what}: say --job or --mapper, --input and --output"));
        let what = match (&self.job, &self.mapper) {
            (Some(job), _) => Some(("--job", job.to_string())),
            (None, Some(mapper)) => Some(("--mapper", mapper.to_string())),
            (None, None) => None,
        };
        let output = self.output.as_deref().map(whole).transpose()?;
        let given = [
            ("--input", self.input.clone()),
            ("--output", output),
            ("--mapper-seconds", self.mapper_seconds.map(|seconds| seconds.to_string())),
            ("--mapper-output-bytes", self.mapper_output_bytes.map(|bytes| bytes.to_string())),
            ("--format", self.format.map(|format| format.to_string())),
            ("--on-poison", self.on_poison.map(|policy| policy.to_string())),
            ("--reader", self.reader.clone()),
            ("--idle-seconds", self.idle_seconds.map(|seconds| seconds.to_string())),
        ];
        let told = given.iter().any(|(_, value)| value.is_some()) || self.follow || self.on_failure.is_some();
        let Some((flag, what)) = what else {
            return if told || self.step_name.is_some() { Err(need("--job or --mapper").into()) } else { Ok(None) };
        };
        if let Some((missing, _)) = given[..2].iter().find(|(_, value)| value.is_none()) {
            return Err(need(missing).into());
        }
        let name = self.step_name.clone().unwrap_or_else(|| what.chars().take(200).collect());
        let mut args = vec!["lockstep".to_owned(), flag.to_owned(), what];
        for (flag, value) in given {
            args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        args.extend(self.follow.then(|| "--follow".to_owned()));
        let jar = Jar { jar: "command-runner.jar".to_owned(), args: args.clone(), ..Jar::default() };
        Plan::understand(&jar).map_err(Usage)?;
        let action = match self.on_failure {
            Some(OnFailure::TerminateCluster) => "TERMINATE_CLUSTER",
            Some(OnFailure::CancelAndWait) => "CANCEL_AND_WAIT",
            Some(OnFailure::Continue) => "CONTINUE",
            None => otherwise,
        };
        let jar = json!({ "Jar": "command-runner.jar", "Args": args });
        Ok(Some(json!({ "Name": name, "ActionOnFailure": action, "HadoopJarStep": jar })))
    }
}

/// The output as the step needs it, which runs elsewhere: an absolute path, or the URL it is.
fn whole(output: &std::path::Path) -> anyhow::Result<String> {
    let bad = || Usage(format!("--output {}: a path must be UTF-8", output.display()));
    let text = output.to_str().ok_or_else(bad)?;
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    Ok(std::path::absolute(output)?.to_str().ok_or_else(bad)?.to_owned())
}

/// Runs one of the step verbs.
pub(super) async fn run(args: StepArgs, emr: &Emr, output: Output) -> anyhow::Result<()> {
    match args.verb {
        StepVerb::Add { cluster, step, wait } => {
            let Some(step) = step.request("CONTINUE")? else {
                return Err(Usage("say --job or --mapper, --input and --output".to_owned()).into());
            };
            let added = emr.call("AddJobFlowSteps", &json!({ "JobFlowId": cluster, "Steps": [step] })).await?;
            let id = text(&added, "/StepIds/0").to_owned();
            output.result(&added, || id.clone())?;
            if wait { self::wait(emr, &cluster, &id, None, output).await } else { Ok(()) }
        }
        StepVerb::List { cluster } => {
            for step in emr.all("ListSteps", json!({ "ClusterId": cluster }), "Steps").await? {
                output.result(&step, || summary(&step))?;
            }
            Ok(())
        }
        StepVerb::Describe { cluster, step } => {
            let request = json!({ "ClusterId": cluster, "StepId": step });
            let found = emr.call("DescribeStep", &request).await?["Step"].take();
            output.result(&found, || described(&found))
        }
        StepVerb::Cancel { cluster, steps, kill } => {
            let how = if kill { "TERMINATE_PROCESS" } else { "SEND_INTERRUPT" };
            let request = json!({ "ClusterId": cluster, "StepIds": steps, "StepCancellationOption": how });
            let mut answer = emr.call("CancelSteps", &request).await?;
            let mut failed = Vec::new();
            for one in answer["CancelStepsInfoList"].as_array_mut().into_iter().flatten() {
                let (id, status, reason) = (text(one, "/StepId"), text(one, "/Status"), text(one, "/Reason"));
                output.result(one, || format!("{id}  {status}  {reason}").trim_end().to_owned())?;
                failed.extend((status == "FAILED").then(|| id.to_owned()));
            }
            if failed.is_empty() { Ok(()) } else { Err(Found(format!("not cancelled: {}", failed.join(", "))).into()) }
        }
        StepVerb::Wait { cluster, step, limit } => wait(emr, &cluster, &step, limit, output).await,
    }
}

fn summary(step: &Value) -> String {
    let (id, state, name) = (text(step, "/Id"), text(step, "/Status/State"), text(step, "/Name"));
    let ended = match time(step, "/Status/Timeline/EndDateTime") {
        at if at == "-" => String::new(),
        at => format!(" to {at}"),
    };
    format!("{id}  {state:<14}  {}{ended}  {name}", time(step, "/Status/Timeline/StartDateTime"))
}

fn described(step: &Value) -> String {
    let mut lines = vec![summary(step)];
    let args = step["Config"]["Args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.push(format!("  {} {}", text(step, "/Config/Jar"), args.collect::<Vec<_>>().join(" ")));
    lines.push(format!("  on failure: {}", text(step, "/ActionOnFailure")));
    if step["Status"]["FailureDetails"].is_object() {
        let of = |name: &str| text(step, &format!("/Status/FailureDetails/{name}")).to_owned();
        lines.push(format!("  {} {}", of("Reason"), of("Message")));
        lines.push(format!("  log: {}", of("LogFile")));
    }
    lines.join("\n")
}

/// Waits for a step's end and shows it.
pub(super) async fn wait(
    emr: &Emr,
    cluster: &str,
    step: &str,
    limit: Option<u64>,
    output: Output,
) -> anyhow::Result<()> {
    let request = json!({ "ClusterId": cluster, "StepId": step });
    let ended = emr.wait("DescribeStep", &request, limit, |answer| {
        let found = &answer["Step"];
        let goes_on = matches!(text(found, "/Status/State"), "PENDING" | "RUNNING" | "CANCEL_PENDING");
        (!goes_on).then(|| found.clone())
    });
    let ended = ended.await?;
    output.result(&ended, || described(&ended))?;
    match text(&ended, "/Status/State") {
        "COMPLETED" => Ok(()),
        state => Err(Found(format!("step {step} is {state}")).into()),
    }
}
