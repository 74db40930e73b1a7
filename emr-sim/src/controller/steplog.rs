//! The log folder of a step, laid out as EMR lays it out: `<cluster>/steps/<step>/{controller,stderr,stdout}`. Written for
//! people; nothing reads it back to decide anything.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::cluster::{ClusterId, StepId};

/// The files of a step's log.
pub const FILES: [&str; 3] = ["controller", "stderr", "stdout"];

/// The folder of a step's log files.
#[must_use]
pub fn folder(logs: &Path, cluster: &ClusterId, step: &StepId) -> PathBuf {
    logs.join(cluster.as_str()).join("steps").join(step.as_str())
}

/// The log of one step.
#[derive(Debug)]
pub(super) struct StepLog {
    folder: PathBuf,
    controller: File,
}

impl StepLog {
    /// Makes the folder and its files, or goes on in them.
    pub(super) fn open(logs: &Path, cluster: &ClusterId, step: &StepId) -> io::Result<Self> {
        let folder = folder(logs, cluster, step);
        std::fs::create_dir_all(&folder)?;
        for file in FILES {
            append(&folder.join(file))?;
        }
        let controller = append(&folder.join("controller"))?;
        Ok(Self { folder, controller })
    }

    /// Where the workers' stderr goes.
    pub(super) fn stderr(&self) -> PathBuf {
        self.folder.join("stderr")
    }

    /// One line of the controller's. A log that cannot be written stops no step.
    pub(super) fn say(&self, level: &str, line: &str) {
        let now = jiff::Timestamp::now();
        if let Err(error) = writeln!(&self.controller, "{now:.3} {level} {line}") {
            tracing::warn!(%error, line, "the log of a step cannot be written");
        }
    }

    /// What the step has to say at its end.
    pub(super) fn result(&self, line: &str) {
        let written = append(&self.folder.join("stdout")).and_then(|mut stdout| writeln!(stdout, "{line}"));
        if let Err(error) = written {
            tracing::warn!(%error, "the stdout of a step cannot be written");
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
