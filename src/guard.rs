//! `lockstep mapper-guard`: stands between a worker and its mapper, in the mapper's process group. When the worker dies,
//! however that happens, nobody reads the mapper's stdout any more: then the guard kills the whole group. A mapper that
//! hangs therefore never outlives its worker.

use std::{os::unix::process::ExitStatusExt as _, process::Command};

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Signal, getpid, kill_current_process_group, kill_process, setpgid};

use crate::{exit::Found, parent};

/// Flags of `mapper-guard`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GuardArgs {
    /// The mapper's program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    mapper: Vec<String>,
}

/// The words that a worker puts before a mapper's command line.
pub(crate) fn words() -> anyhow::Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let program = program.into_os_string().into_string().map_err(|_| Found("its path is not UTF-8".to_owned()))?;
    Ok(vec![program, "mapper-guard".to_owned(), "--".to_owned()])
}

/// Runs the mapper on this process's own pipes and ends as it does.
pub(crate) fn run(args: &GuardArgs) -> anyhow::Result<()> {
    // The worker sees to that as well; whoever else starts this must not lose his own group.
    setpgid(None, None).context("cannot have a process group of its own")?;
    parent::when_stdout_closes(|| {
        // This process is of the group; were it refused, the mapper would still meet a closed pipe.
        let _ = kill_current_process_group(Signal::KILL);
    });
    let (program, arguments) = args.mapper.split_first().expect("clap wants at least one word");
    let mut mapper = Command::new(program);
    let mut child = mapper.args(arguments).spawn().with_context(|| format!("cannot start {program}"))?;
    let status = child.wait().context("cannot wait for the mapper")?;
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        // The worker is to see what became of the mapper.
        kill_process(getpid(), signal)?;
    }
    std::process::exit(status.code().unwrap_or(1));
}
