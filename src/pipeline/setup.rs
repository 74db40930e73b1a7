//! What a run is: its folders, its checked input, its queue and the settings of its pool.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lockstep_client::{Client, GroupDelivery, QueueAttributes, RedrivePolicy};
use lockstep_emr_sim::{
    cluster::Jar,
    controller::Terms,
    job::JobKind,
    manifest,
    place::is_url,
    port::ClaimLimits,
    step::{OnPoison, StepSpec, Task},
};

use crate::{
    exit::Usage,
    output::say,
    pipeline::{
        PipelineArgs,
        facts::RunFacts,
        generate,
        input::{self, Checked, GroupBy, Mapping},
        process::{self, Supervised},
    },
    serve::JournalKind,
};

/// The queue that the pipeline makes.
pub(super) const QUEUE: &str = "conversations.fifo";
/// Where messages go that cannot be processed, with `--on-poison dlq`.
const DEAD_LETTERS: &str = "conversations-dead.fifo";
/// The reader that its pool opens.
const READER: &str = "pipeline";
/// Deduplication window and retention of the queue: continuing later stays right (H11).
const FORTNIGHT: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 60 * 60);
/// So many skipped lines are listed.
const LISTED: usize = 20;

/// A run that may start.
pub(super) struct Run {
    pub(super) args: PipelineArgs,
    pub(super) out: PathBuf,
    pub(super) data: PathBuf,
    pub(super) step: StepSpec,
    pub(super) input: Checked,
    pub(super) producers: u64,
}

impl Run {
    /// Makes the folders, makes the input where none is given, and checks it whole.
    pub(super) fn prepare(args: PipelineArgs) -> anyhow::Result<Self> {
        let (out, data) = folders(&args)?;
        let mut step = step(&args, &out)?;
        if args.journal == Some(JournalKind::Memory) {
            if args.chaos {
                return Err(
                    Usage("--journal memory loses all when the broker is killed: not with --chaos".to_owned()).into()
                );
            }
            if out.join(manifest::FILE_NAME).exists() {
                let text = format!("--journal memory cannot continue {}: its broker has gone", out.display());
                return Err(Usage(text).into());
            }
        }
        for folder in [&out, &data] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let (out, data) = (absolute(&out)?, absolute(&data)?);
        step.output.clone_from(&out);
        let path = match &args.input {
            Some(path) => absolute(path)?,
            None => generated(&out, args.seed)?,
        };
        let mapping = Mapping { group_by: args.group_by.clone(), id_by: args.id_by.clone() };
        let input = input::check(&path, &mapping, args.skip_bad, input::demand(demands(&step)))?;
        tell_input(&input);
        let producers = if args.group_by == GroupBy::None { 1 } else { args.producers };
        Ok(Self { args, out, data, step, input, producers })
    }

    /// The command that goes on with this run.
    pub(super) fn command(&self) -> String {
        let input = self.args.input.as_ref().map_or_else(String::new, |path| format!(" --input {}", path.display()));
        let PipelineArgs { group_by, id_by, .. } = &self.args;
        let skip = if self.args.skip_bad { " --skip-bad" } else { "" };
        let task = match &self.step.task {
            Task::Job(job) => format!("--job {job}"),
            Task::Mapper(mapper) => format!("--mapper {:?}", mapper.to_string()),
        };
        let StepSpec { format, on_poison, .. } = &self.step;
        format!(
            "lockstep pipeline{input} {task} --format {format} --on-poison {on_poison} --group-by {group_by} \
             --id-by {id_by}{skip} --out {} --data {}",
            self.out.display(),
            self.data.display()
        )
    }

    /// The job whose demands lines must meet before they are sent.
    pub(super) fn demands(&self) -> Option<JobKind> {
        demands(&self.step)
    }

    /// Starts the broker's process on a socket that this process keeps.
    pub(super) fn start_broker(&self, listener: std::net::TcpListener) -> anyhow::Result<Supervised> {
        let log = self.log("broker")?;
        let (data, journal, to) = (self.data.clone(), self.args.journal.map(|kind| kind.to_string()), log.clone());
        Supervised::start("the broker".to_owned(), log, move || {
            process::broker(&listener, &data, journal.as_deref(), &to)
        })
    }

    /// The log file of a child.
    pub(super) fn log(&self, child: &str) -> anyhow::Result<PathBuf> {
        let folder = self.out.join("logs");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder.join(format!("{child}.log")))
    }

    /// Makes the queue, or finds it as it was made; its generation.
    pub(super) async fn make_queue(&self, client: &Client) -> anyhow::Result<u64> {
        let attributes = QueueAttributes {
            group_delivery: Some(GroupDelivery::Strict),
            deduplication_window: Some(FORTNIGHT),
            message_retention: Some(FORTNIGHT),
            ..QueueAttributes::default()
        };
        let generation = client.create_queue(QUEUE, attributes.clone()).await?.queue_generation;
        if self.step.on_poison == OnPoison::Dlq {
            client.create_queue(DEAD_LETTERS, attributes).await?;
            let max_receive_count = self.args.max_receives;
            let policy = RedrivePolicy::To { dead_letter_queue: DEAD_LETTERS.to_owned(), max_receive_count };
            let attributes = QueueAttributes { redrive_policy: Some(policy), ..QueueAttributes::default() };
            client.set_queue_attributes(QUEUE, attributes).await?;
        }
        Ok(generation)
    }

    /// The step in the words of a cluster's. It follows its queue until it is told that no more messages are coming.
    pub(super) fn jar(&self) -> Jar {
        let StepSpec { task, format, on_poison, limits, .. } = &self.step;
        let (what, task) = match task {
            Task::Job(job) => ("--job", job.name().to_owned()),
            Task::Mapper(mapper) => ("--mapper", mapper.to_string()),
        };
        let (output, format) = (format!("file://{}", self.out.display()), format.to_string());
        let (policy, seconds) = (on_poison.to_string(), limits.seconds.to_string());
        let words =
            ["lockstep", what, &task, "--input", QUEUE, "--output", &output, "--reader", READER, "--format", &format];
        let words = words.into_iter().chain(["--on-poison", &policy, "--mapper-seconds", &seconds, "--follow"]);
        Jar { jar: "command-runner.jar".to_owned(), args: words.map(str::to_owned).collect(), ..Jar::default() }
    }

    /// What the cluster's steps have in common; with chaos their claims are small, so that there is more to interrupt.
    pub(super) fn terms(&self, generation: u64) -> anyhow::Result<Terms> {
        let facts = RunFacts {
            input_digest: self.input.digest.clone(),
            group_by: self.args.group_by.to_string(),
            id_by: self.args.id_by.to_string(),
            skip_bad: self.args.skip_bad,
            checked: matches!(self.step.task, Task::Mapper(_)) || self.demands().is_some(),
        };
        let small = ClaimLimits { max_messages: 100, min_messages: 10, ..ClaimLimits::default() };
        Ok(Terms {
            facts: serde_json::to_value(facts)?,
            queue_generation: Some(generation),
            claim: self.args.chaos.then_some(small),
        })
    }
}

fn step(args: &PipelineArgs, out: &Path) -> anyhow::Result<StepSpec> {
    let task = args.mapper.clone().map_or(Task::Job(args.job), Task::Mapper);
    let mut step = StepSpec::new(task, out.to_owned());
    (step.format, step.on_poison, step.limits.seconds) = (args.format, args.on_poison, args.time_limit);
    step.check().map_err(|fault| Usage(fault.to_string()))?;
    Ok(step)
}

/// Where poison is set aside it must get there: only a step that would fail on it turns it away before.
fn demands(step: &StepSpec) -> Option<JobKind> {
    match (&step.task, step.on_poison) {
        (Task::Job(job), OnPoison::Fail) => Some(*job),
        (Task::Job(_), OnPoison::Dlq | OnPoison::Park) | (Task::Mapper(_), _) => None,
    }
}

fn folders(args: &PipelineArgs) -> anyhow::Result<(PathBuf, PathBuf)> {
    if let Some(url) = args.out.iter().chain(&args.data).find(|folder| is_url(folder)) {
        let (url, way) =
            (url.display(), "a step writes to a bucket: lockstep emr step add … --output s3://BUCKET/PREFIX");
        return Err(Usage(format!(
            "`{url}` is no folder, and a pipeline keeps its input and its data beside its output; {way}"
        ))
        .into());
    }
    Ok(match (&args.out, &args.data) {
        (Some(out), Some(data)) => (out.clone(), data.clone()),
        (Some(out), None) => (out.clone(), out.join("data")),
        (None, Some(data)) => (data.join("out"), data.clone()),
        (None, None) => {
            let run = fresh(Path::new("lockstep-pipeline"))?;
            (run.join("out"), run.join("data"))
        }
    })
}

/// A folder of its own for a run that names none: `run-0001`, `run-0002`, …
fn fresh(base: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(base).with_context(|| format!("cannot make {}", base.display()))?;
    for number in 1.. {
        let run = base.join(format!("run-{number:04}"));
        match std::fs::create_dir(&run) {
            Ok(()) => return Ok(run),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", run.display())),
        }
    }
    unreachable!("the numbers do not end")
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot read {}", path.display()))
}

/// The generated day; a run that is continued has it already.
fn generated(out: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let path = out.join("input.jsonl");
    if !path.exists() {
        generate::write_day(&path, seed)?;
    }
    Ok(path)
}

fn tell_input(input: &Checked) {
    let Checked { path, lines, distinct, groups, skipped, .. } = input;
    say(&format!("{}: {lines} lines, {distinct} different messages in {groups} groups", path.display()));
    for (number, what) in skipped.iter().take(LISTED) {
        say(&format!("skipped line {number}: {what}"));
    }
    if !skipped.is_empty() {
        say(&format!("{} bad lines are skipped", skipped.len()));
    }
}
