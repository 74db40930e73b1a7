//! What a step is: what to run, where and in which form to write, what becomes of messages that cannot be processed. One
//! value that the command line, a cluster and a worker's settings all carry. Nothing here runs or writes anything.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::job::JobKind;
use crate::place::{self, Place};

/// A step, whole. As JSON: `{"task":"transcript","output":"run/out"}` with the rest at its default, or
/// `{"task":{"mapper":["python3","my.py"]},"output":"run/out","format":"jsonl.gz","on_poison":"dlq"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// What it computes.
    pub task: Task,
    /// The output folder, its path in UTF-8; or a place in an S3-like store, as `s3://BUCKET/PREFIX`.
    pub output: PathBuf,
    /// In which form the published files are.
    #[serde(default)]
    pub format: Format,
    /// What becomes of a message that cannot be processed.
    #[serde(default)]
    pub on_poison: OnPoison,
    /// How long and how much a run of a mapper may take.
    #[serde(default)]
    pub limits: StepLimits,
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Words", into = "Words")]
pub enum Task {
    /// A job of this program.
    Job(JobKind),
    /// A program of the user's, fed over its stdin.
    Mapper(Mapper),
}

/// A program and its arguments. No shell is between: who wants one names it (`sh -c '…'`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapper(Vec<String>);

/// What becomes of a message that cannot be processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnPoison {
    /// The step ends with an error that names it; its claim stays open.
    #[default]
    Fail,
    /// It goes to the queue's dead-letter queue, and its group goes on (B7).
    Dlq,
    /// Its group is parked before it, until somebody unparks it (B7).
    Park,
}

/// The limits of one run of a mapper. A run past one is killed and counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepLimits {
    /// Seconds from its start to its end, 1 to 86,400.
    pub seconds: u64,
    /// Bytes of its stdout, at least 1.
    pub output_bytes: u64,
}

impl Default for StepLimits {
    /// 300 s and 256 MiB.
    fn default() -> Self {
        Self { seconds: 300, output_bytes: 256 << 20 }
    }
}

/// Why a step cannot be run. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepFault(String);

impl StepSpec {
    /// The step with everything but task and output at its default.
    #[must_use]
    pub fn new(task: Task, output: PathBuf) -> Self {
        let (format, on_poison, limits) = (Format::default(), OnPoison::default(), StepLimits::default());
        Self { task, output, format, on_poison, limits }
    }

    /// Checks what can be known before anything runs: that the mapper's program is there, the format is built in, the
    /// limits make sense, the output can be named and its kind is built in. Looks at the disk; changes nothing.
    ///
    /// # Errors
    /// [`StepFault`], saying what to do.
    pub fn check(&self) -> Result<(), StepFault> {
        if let Task::Mapper(mapper) = &self.task {
            mapper.check()?;
        }
        if !self.format.is_built_in() {
            return Err(StepFault(self.format.not_built_in()));
        }
        self.check_values()?;
        place::check_here(&self.output).map_err(StepFault)
    }

    /// Checks what any program can know of it, wherever it will run: the limits, and that the output can be named.
    ///
    /// # Errors
    /// [`StepFault`], saying what to do.
    pub fn check_values(&self) -> Result<(), StepFault> {
        if !(1..=86_400).contains(&self.limits.seconds) {
            return Err(StepFault("a mapper's time limit is 1 to 86,400 seconds".to_owned()));
        }
        if self.limits.output_bytes == 0 {
            return Err(StepFault("a mapper may write at least 1 byte".to_owned()));
        }
        match self.output.to_str() {
            Some("") => Err(StepFault("the step names no output folder".to_owned())),
            Some(_) => Place::of(&self.output).map(drop).map_err(StepFault),
            None => Err(StepFault(format!("the path of the output folder is not UTF-8: {}", self.output.display()))),
        }
    }
}

impl Task {
    /// The task's name in file names: the job's, or `mapper`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Job(job) => job.name(),
            Self::Mapper(_) => "mapper",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "job {job}"),
            Self::Mapper(mapper) => write!(f, "mapper `{mapper}`"),
        }
    }
}

impl From<JobKind> for Task {
    fn from(job: JobKind) -> Self {
        Self::Job(job)
    }
}

/// The two forms of a task in JSON; a job is its name, as manifests always had it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    Job(String),
    Mapper { mapper: Vec<String> },
}

impl From<Task> for Words {
    fn from(task: Task) -> Self {
        match task {
            Task::Job(job) => Self::Job(job.name().to_owned()),
            Task::Mapper(Mapper(mapper)) => Self::Mapper { mapper },
        }
    }
}

impl TryFrom<Words> for Task {
    type Error = StepFault;

    fn try_from(words: Words) -> Result<Self, StepFault> {
        match words {
            Words::Job(name) => name.parse().map(Self::Job).map_err(StepFault),
            Words::Mapper { mapper } => Mapper::new(mapper).map(Self::Mapper),
        }
    }
}

impl Mapper {
    /// A program and its arguments.
    ///
    /// # Errors
    /// [`StepFault`] when there is no program among them.
    pub fn new(words: Vec<String>) -> Result<Self, StepFault> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            Some(_) | None => Err(StepFault("the mapper names no program: try --mapper 'python3 my.py'".to_owned())),
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.0[0]
    }

    /// Its arguments.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.0[1..]
    }

    fn check(&self) -> Result<(), StepFault> {
        let program = self.program();
        let found = if program.contains('/') {
            is_program(Path::new(program))
        } else {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&folders).any(|folder| is_program(&folder.join(program)))
        };
        if found {
            return Ok(());
        }
        let place = if program.contains('/') { "" } else { " on the PATH" };
        let hint = "name one that is there and executable, or its interpreter first: 'python3 my.py'";
        Err(StepFault(format!("the mapper's program `{program}` cannot be run: no such program{place}; {hint}")))
    }
}

impl FromStr for Mapper {
    type Err = StepFault;

    /// Takes a command line apart as a shell would, quotes and backslashes included; nothing is expanded.
    fn from_str(line: &str) -> Result<Self, StepFault> {
        let words = shlex::split(line)
            .ok_or_else(|| StepFault(format!("the mapper `{line}` has a quote that is never closed")))?;
        Self::new(words)
    }
}

impl fmt::Display for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().map(|word| match word.bytes().all(is_plain) && !word.is_empty() {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        });
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte)
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

impl OnPoison {
    /// Every policy there is.
    pub const ALL: [Self; 3] = [Self::Fail, Self::Dlq, Self::Park];

    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Dlq => "dlq",
            Self::Park => "park",
        }
    }
}

impl fmt::Display for OnPoison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OnPoison {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == name);
        found.ok_or_else(|| format!("there is no policy `{name}`; there are fail, dlq and park"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_short_json_and_reads_back() {
        let step: StepSpec = serde_json::from_str(r#"{"task":"transcript","output":"out"}"#).unwrap();
        assert_eq!(step, StepSpec::new(JobKind::Transcript.into(), "out".into()));
        let text = r#"{"task":{"mapper":["python3","my.py"]},"output":"o","format":"jsonl.gz","on_poison":"dlq",
            "limits":{"seconds":5}}"#;
        let step: StepSpec = serde_json::from_str(text).unwrap();
        assert_eq!((step.on_poison, step.limits.seconds, step.format), (OnPoison::Dlq, 5, Format::Gzip));
        assert_eq!(serde_json::from_str::<StepSpec>(&serde_json::to_string(&step).unwrap()).unwrap(), step);
    }

    #[test]
    fn an_unknown_job_is_answered_with_the_jobs() {
        let error = serde_json::from_str::<StepSpec>(r#"{"task":"transscript","output":"out"}"#).unwrap_err();
        assert!(error.to_string().contains("reply-pairs"), "{error}");
    }

    #[test]
    fn a_command_line_is_split_as_a_shell_would_and_shown_the_same() {
        let mapper: Mapper = r#"awk '{ print $1 }' "a b" c\ d"#.parse().unwrap();
        assert_eq!((mapper.program(), mapper.arguments().len()), ("awk", 3));
        assert_eq!(mapper.to_string().parse::<Mapper>().unwrap(), mapper);
        assert!("python3 'my.py".parse::<Mapper>().unwrap_err().to_string().contains("never closed"));
        assert!("  ".parse::<Mapper>().unwrap_err().to_string().contains("no program"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let check = |line: &str| line.parse::<Mapper>().unwrap().check();
        assert_eq!(check("sh -c true"), Ok(()));
        for line in ["no-such-program-here -x", "./no/such.py", "/etc/passwd"] {
            let error = check(line).unwrap_err().to_string();
            assert!(error.contains(line.split(' ').next().unwrap()) && error.contains("interpreter"), "{error}");
        }
    }
}
