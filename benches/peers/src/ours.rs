//! Lockstep by its own load generator, `lockstep bench`, as a child: it starts the broker, verifies each message, and
//! tells its figures.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The figures of one run of `lockstep bench` with these arguments.
pub(crate) fn run(program: &Path, directory: &Path, journal: &str, arguments: &str) -> Result<Value> {
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--journal", journal, "--directory"]).arg(directory);
    let output = command.args(arguments.split_whitespace()).output().context("cannot start lockstep")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "lockstep bench {arguments} --journal {journal}: {}\n{told}{errors}",
        output.status
    );
    serde_json::from_str(told.trim()).context("figures that are no JSON")
}

/// A number within them.
pub(crate) fn number(figures: &Value, pointer: &str) -> Option<f64> {
    figures.pointer(pointer).and_then(Value::as_f64)
}
