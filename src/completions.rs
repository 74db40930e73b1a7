//! `lockstep completions`: completion scripts, made from the same definitions as `--help`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep completions bash > /etc/bash_completion.d/lockstep
  lockstep completions zsh > \"${fpath[1]}/_lockstep\"")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::Cli::command(), "lockstep", &mut script);
    crate::output::print(String::from_utf8(script)?.trim_end())
}
