//! Streaming steps: a program of the user's gets a batch of messages as JSON lines on stdin and answers with JSON lines on
//! stdout. `lines` is what is said, `process` is the life of the program. Claims and files are the worker's business.

mod lines;
mod process;

use std::path::PathBuf;

use crate::batch::{Batch, Made};
use crate::step::{Mapper, StepLimits};

/// A batch may change so many state values: with their keys and groups they always fit into one Commit (H1).
pub const MAX_STATE_CHANGES: usize = 1_000;

/// Why a run of a mapper counts for nothing. None of its output is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapperError {
    /// The program failed, hung or wrote what is no output; another try may succeed.
    #[error("{0}")]
    Failed(String),
    /// A stored state value that is no JSON: no mapper wrote it.
    #[error("the stored state of group {group}, key {key}, is no JSON")]
    State {
        /// The message group.
        group: String,
        /// The key.
        key: String,
    },
}

/// How a worker runs its mapper.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) mapper: Mapper,
    pub(crate) limits: StepLimits,
    /// Words that stand before the mapper's: a program that ends it when this process dies.
    pub(crate) guard: Vec<String>,
    /// The output, and the file in it that keeps what the runs of this attempt say on stderr, and how they end.
    pub(crate) out: PathBuf,
    pub(crate) log: String,
}

impl Runner {
    /// Runs the program once over a batch. When the future is dropped the program and all its children are killed.
    pub(crate) async fn run(&self, batch: &Batch) -> Result<Made, MapperError> {
        let input = lines::input(batch)?;
        let ran = process::run(self, input).await;
        let (stderr, judged) = match ran {
            Ok(ran) => {
                let judged = lines::output(batch, &ran.stdout).map_err(|why| format!("{}: {why}", ran.ended));
                (ran.stderr, judged)
            }
            Err(failed) => (failed.stderr, Err(failed.why)),
        };
        let told = judged.as_ref().err().map(|why| format!("mapper `{}`: {why}", self.mapper));
        self.keep(&stderr, told.as_deref()).await;
        judged.map_err(|_| {
            let told = told.unwrap_or_default();
            MapperError::Failed(match last_lines(&stderr) {
                said if said.is_empty() => told,
                said => format!("{told}; its last words on stderr: {said}"),
            })
        })
    }

    /// Keeps stderr and the fault beside the output. It is for people: when it cannot be written, the step goes on.
    async fn keep(&self, stderr: &[u8], fault: Option<&str>) {
        if stderr.is_empty() && fault.is_none() {
            return;
        }
        let mut text = stderr.to_vec();
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend(fault.into_iter().flat_map(|fault| format!("lockstep: {fault}\n").into_bytes()));
        let (out, log) = (self.out.clone(), self.log.clone());
        let kept = crate::blocking::blocking(move || crate::store::at(&out)?.note(&log, &text));
        if let Err(error) = kept.await {
            tracing::warn!(%error, "what a mapper said on stderr is not kept");
        }
    }
}

/// The last lines of stderr, short enough for an error.
fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join(" | ");
    let skipped = last.chars().count().saturating_sub(600);
    last.chars().skip(skipped).collect()
}
