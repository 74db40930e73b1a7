//! `lockstep emr step`: steps from flags, in EMR's words, and their ends.

use clap::{Args, Subcommand, ValueEnum};
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
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Or a program of yours, fed over its stdin, with its arguments.
    #[arg(long, value_name = "COMMAND")]
    mapper: Option<String>,
    /// The queue, or its URL.
    #[arg(long, value_name = "QUEUE")]
    input: Option<String>,
    /// The output folder.
    #[arg(long, value_name = "DIR")]
    output: Option<std::path::PathBuf>,
    /// The form of the published files.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// What becomes of a message that cannot be processed: fail, dlq, park.
    #[arg(long, value_name = "POLICY")]
    on_poison: Option<String>,
    /// The reader's name; one of the output folder's own when absent.
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    /// End only when nothing came for so long.
    #[arg(long, value_name = "SECONDS")]
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
    /// The step as EMR has it; none where none is described.
    pub(super) fn request(&self, otherwise: &str) -> anyhow::Result<Option<Value>> {
        let told = [&self.job, &self.mapper, &self.input].iter().any(|one| one.is_some()) || self.output.is_some();
        if !told {
            return Ok(None);
        }
        let need = |what: &str| Usage(format!("a step needs {what}: say --job or --mapper, --input and --output"));
        let input = self.input.clone().ok_or_else(|| need("--input"))?;
        let output = self.output.as_ref().ok_or_else(|| need("--output"))?;
        let output = std::path::absolute(output)?.to_str().map(str::to_owned).ok_or_else(|| need("a path in UTF-8"))?;
        let what = self.job.clone().or_else(|| self.mapper.clone()).ok_or_else(|| need("--job or --mapper"))?;
        let name = self.step_name.clone().unwrap_or_else(|| what.chars().take(200).collect());
        let given = [
            ("--job", self.job.clone()),
            ("--mapper", self.mapper.clone()),
            ("--input", Some(input)),
            ("--output", Some(output)),
            ("--format", self.format.clone()),
            ("--on-poison", self.on_poison.clone()),
            ("--reader", self.reader.clone()),
            ("--idle-seconds", self.idle_seconds.map(|seconds| seconds.to_string())),
        ];
        let mut args = vec!["lockstep".to_owned()];
        for (flag, value) in given {
            args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        args.extend(self.follow.then(|| "--follow".to_owned()));
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
