//! What the words of a HadoopJarStep mean: `command-runner.jar` with `hadoop-streaming …` or `lockstep …` becomes a source,
//! a step and an end. Everything that would not run is refused here, before it is a step; what is refused says what to do.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::cluster::Jar;
use crate::place::Place;
use crate::step::{StepSpec, Task};

/// When a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnds {
    /// When its queue is empty and nothing of it is held, for so many seconds.
    Drained {
        /// 0: at the first look.
        idle_seconds: u64,
    },
    /// When it is cancelled.
    Never,
}

/// A step, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The queue's name.
    pub queue: String,
    /// The reader's name: the same reader and output go on where an earlier step stopped.
    pub reader: String,
    /// What runs, and where it writes.
    pub step: StepSpec,
    /// When it is done.
    pub ends: StepEnds,
}

const USAGE: &str = "a step is Jar command-runner.jar with Args [hadoop-streaming, -mapper, CMD, -input, QUEUE, -output, \
    DIR] or [lockstep, --job, transcript|reply-pairs|count, --input, QUEUE, --output, DIR]";

impl Plan {
    /// Understands a jar and its arguments, and checks what can be known before anything runs.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn read(jar: &Jar) -> Result<Self, String> {
        let plan = Self::understand(jar)?;
        plan.step.check().map_err(|fault| fault.to_string())?;
        Ok(plan)
    }

    /// Understands a jar and its arguments without a look at this machine: also for who only asks for a step.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn understand(jar: &Jar) -> Result<Self, String> {
        let (program, arguments) = program(jar)?;
        let mut words = Words::read(program, arguments)?;
        let task = match (words.take("job"), words.take("mapper")) {
            (Some(job), None) => Task::Job(job.parse()?),
            (None, Some(mapper)) => Task::Mapper(mapper.parse().map_err(|fault| format!("{fault}"))?),
            (Some(_), Some(_)) => return Err("a step has a job or a mapper, not both".to_owned()),
            (None, None) => return Err(format!("the step says not what to run: {USAGE}")),
        };
        no_reducer(&mut words)?;
        let queue = queue(&words.need("input")?)?;
        let output = output(&words.need("output")?)?;
        let reader = match words.take("reader") {
            Some(reader) => checked_reader(reader)?,
            None => reader_of(&output),
        };
        let mut step = StepSpec::new(task, output);
        if let Some(format) = words.take("format") {
            step.format = format.parse()?;
        }
        if let Some(policy) = words.take("on-poison") {
            step.on_poison = policy.parse()?;
        }
        if let Some(seconds) = words.number("mapper-seconds")? {
            step.limits.seconds = seconds;
        }
        if let Some(bytes) = words.number("mapper-output-bytes")? {
            step.limits.output_bytes = bytes;
        }
        let ends = match (words.flag("follow"), words.number("idle-seconds")?) {
            (true, Some(_)) => return Err("a step that follows its queue has no idle time: leave one out".to_owned()),
            (true, None) => StepEnds::Never,
            (false, idle) => StepEnds::Drained { idle_seconds: idle.unwrap_or(0) },
        };
        words.nothing_left()?;
        step.check_values().map_err(|fault| fault.to_string())?;
        Ok(Self { queue, reader, step, ends })
    }
}

/// Which program a jar and its arguments name.
fn program(jar: &Jar) -> Result<(&str, &[String]), String> {
    if let Some(class) = &jar.main_class {
        return Err(format!("MainClass {class} cannot be run, no Java is here: {USAGE}"));
    }
    let name = jar.jar.rsplit('/').next().unwrap_or_default();
    match (name, jar.args.split_first()) {
        ("command-runner.jar", Some((program, rest))) => match program.as_str() {
            "hadoop-streaming" | "lockstep" => Ok((program, rest)),
            "spark-submit" | "spark-example" => Err(format!("Spark is not run here: {USAGE}")),
            other => Err(format!("command-runner.jar does not run `{other}` here: {USAGE}")),
        },
        ("hadoop-streaming.jar", Some(_)) => Ok(("hadoop-streaming", &jar.args)),
        ("command-runner.jar" | "hadoop-streaming.jar", None) => Err(format!("the step has no Args: {USAGE}")),
        (_, _) => Err(format!("the Jar `{}` cannot be run, no Java is here: {USAGE}", jar.jar)),
    }
}

/// The arguments by their names, without the hyphens before them.
struct Words {
    values: Vec<(String, String)>,
    flags: Vec<String>,
}

const WITH_VALUE: [&str; 12] = [
    "job",
    "mapper",
    "input",
    "output",
    "reader",
    "format",
    "on-poison",
    "mapper-seconds",
    "mapper-output-bytes",
    "idle-seconds",
    "reducer",
    "numReduceTasks",
];

impl Words {
    fn read(program: &str, arguments: &[String]) -> Result<Self, String> {
        let mut words = Self { values: Vec::new(), flags: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or_default();
            if name == "follow" {
                words.flags.push(name.to_owned());
            } else if WITH_VALUE.contains(&name) {
                let value = rest.next().ok_or_else(|| format!("`{argument}` of {program} has no value"))?;
                if words.values.iter().any(|(known, _)| known == name) {
                    return Err(format!("`{argument}` is there twice; a step has one"));
                }
                words.values.push((name.to_owned(), value.clone()));
            } else {
                let hint = match name {
                    "files" | "file" | "archives" | "cacheFile" => {
                        "files are not shipped, workers run on this machine: name the mapper by its full path"
                    }
                    "D" | "jobconf" => "there are no Hadoop settings here",
                    "combiner" => "there is no reducer here, so no combiner",
                    _ => {
                        "known are -job, -mapper, -input, -output, -reader, -format, -on-poison, -mapper-seconds, \
                          -mapper-output-bytes, -idle-seconds, -follow"
                    }
                };
                return Err(format!("`{argument}` is no argument of {program}: {hint}"));
            }
        }
        Ok(words)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.values.iter().position(|(known, _)| known == name)?;
        Some(self.values.remove(place).1)
    }

    fn need(&mut self, name: &str) -> Result<String, String> {
        self.take(name).ok_or_else(|| format!("the step has no -{name}: {USAGE}"))
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let parse = |text: String| text.parse().map_err(|_| format!("-{name} must be a whole number, it was `{text}`"));
        self.take(name).map(parse).transpose()
    }

    fn flag(&mut self, name: &str) -> bool {
        self.flags.iter().any(|known| known == name)
    }

    fn nothing_left(&self) -> Result<(), String> {
        self.values.first().map_or(Ok(()), |(name, _)| Err(format!("-{name} means nothing in this step")))
    }
}

/// Exactly once is per message: there is nothing to shuffle.
fn no_reducer(words: &mut Words) -> Result<(), String> {
    let reducer = words.take("reducer").is_some_and(|reducer| !reducer.eq_ignore_ascii_case("none"));
    let tasks = words.number("numReduceTasks")?.is_some_and(|tasks| tasks > 0);
    if reducer || tasks {
        return Err(
            "there is no reducer: messages stream through the mapper in order. Leave it out, or say NONE".to_owned()
        );
    }
    Ok(())
}

/// A queue's name, or its URL.
fn queue(text: &str) -> Result<String, String> {
    let bad = |why: &str| {
        let way = "name a queue (orders.fifo) or its URL (http://HOST:PORT/000000000000/orders.fifo)";
        Err(format!("the input `{text}` is no queue: {why}; {way}"))
    };
    let name = match text.split_once("://") {
        None => text,
        Some(("http" | "https", rest)) => match rest.split('/').collect::<Vec<_>>()[..] {
            [host, account, name] if !host.is_empty() && !account.is_empty() => name,
            _ => return bad("its URL must have a host, an account and a name"),
        },
        Some((scheme, _)) => return bad(&format!("{scheme} is not read here, messages come from a queue")),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if name.is_empty() || name.len() > 80 || !name.chars().all(letters) {
        return bad("a queue's name has 1 to 80 letters, digits, hyphens and underscores");
    }
    if !name.ends_with(".fifo") {
        return bad("a step needs a FIFO queue with strict delivery, whose name ends in .fifo (B6)");
    }
    Ok(name.to_owned())
}

fn output(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("file://").unwrap_or(text);
    if matches!(Place::of(Path::new(path))?, Place::Bucket { .. }) {
        // The same place has the same name, for it has the same reader.
        return Ok(PathBuf::from(path.trim_end_matches('/')));
    }
    if !Path::new(path).is_absolute() {
        return Err(format!("the output `{text}` must be an absolute path: the step runs elsewhere than its caller"));
    }
    Ok(PathBuf::from(path))
}

fn checked_reader(reader: String) -> Result<String, String> {
    let fits = (1..=80).contains(&reader.len());
    if fits && reader.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Ok(reader);
    }
    Err(format!("the reader `{reader}` must have 1 to 80 of A-Z a-z 0-9 _ - (B6)"))
}

/// The same folder has the same reader: a step that is added again goes on, and publishes nothing twice.
fn reader_of(output: &Path) -> String {
    let digest = Sha256::digest(output.as_os_str().as_encoded_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("emr-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobKind;

    fn read(jar: &str, line: &str) -> Result<Plan, String> {
        let args = line.split_whitespace().map(str::to_owned).collect();
        Plan::read(&Jar { jar: jar.to_owned(), args, ..Jar::default() })
    }

    fn runner(line: &str) -> Result<Plan, String> {
        read("command-runner.jar", line)
    }

    #[test]
    fn both_forms_name_a_queue_a_task_and_a_folder() {
        let plan = runner("lockstep --job transcript --input orders.fifo --output /tmp/out").unwrap();
        assert_eq!((plan.queue.as_str(), &plan.step.task), ("orders.fifo", &Task::Job(JobKind::Transcript)));
        assert_eq!(plan.ends, StepEnds::Drained { idle_seconds: 0 });
        let url = "http://127.0.0.1:9324/000000000000/orders.fifo";
        let line = format!("-mapper cat -reducer NONE -numReduceTasks 0 -input {url} -output file:///tmp/out");
        for again in [runner(&format!("hadoop-streaming {line}")), read("/home/hadoop/hadoop-streaming.jar", &line)] {
            let again = again.unwrap();
            assert_eq!(
                (again.queue.as_str(), again.reader),
                ("orders.fifo", plan.reader.clone()),
                "one folder, one reader"
            );
            assert!(matches!(again.step.task, Task::Mapper(_)));
        }
        let plan = runner("lockstep --job transcript --input a.fifo --output /o --reader mine --follow").unwrap();
        assert_eq!((plan.reader.as_str(), plan.ends), ("mine", StepEnds::Never));
    }

    #[test]
    fn what_would_not_run_is_refused_with_the_way_out() {
        let good = "--input orders.fifo --output /tmp/out";
        for (line, way) in [
            ("spark-submit --class x", "hadoop-streaming"),
            ("bash -c x", "hadoop-streaming"),
            ("lockstep --job transscript --input orders.fifo --output /o", "reply-pairs"),
            (&format!("lockstep {good}"), "what to run"),
            (&format!("lockstep --job transcript --mapper cat {good}"), "not both"),
            (&format!("lockstep --job transcript {good} --files x"), "full path"),
            (&format!("lockstep --job transcript {good} --input b.fifo"), "twice"),
            (&format!("hadoop-streaming -mapper cat -reducer sort {good}"), "no reducer"),
            (&format!("hadoop-streaming -mapper no-such-program-here {good}"), "interpreter"),
            ("lockstep --job transcript --output /o", "-input"),
            ("lockstep --job transcript --input s3://bucket/day --output /o", "from a queue"),
            ("lockstep --job transcript --input http:///x --output /o", "URL"),
            ("lockstep --job transcript --input orders --output /o", ".fifo"),
            ("lockstep --job transcript --input orders.fifo --output out", "absolute"),
            ("lockstep --job transcript --input orders.fifo --output gs://bucket/out", "this machine"),
            ("lockstep --job transcript --input orders.fifo --output s3:///out", "no bucket"),
            ("lockstep --job transcript --input orders.fifo --output", "no value"),
            (&format!("lockstep --job transcript {good} --reader a/b"), "B6"),
            (&format!("lockstep --job transcript {good} --idle-seconds soon"), "whole number"),
        ] {
            let fault = runner(line).unwrap_err();
            assert!(fault.contains(way), "{line}: {fault}");
        }
        assert!(read("s3://bucket/my.jar", "x").unwrap_err().contains("no Java"));
        assert!(read("command-runner.jar", "").unwrap_err().contains("no Args"));
    }
}
