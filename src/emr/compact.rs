//! `lockstep emr compact`: joins the small files of a published output. The work is the pool library's.

use std::path::PathBuf;

use clap::Args;
use lockstep_emr_sim::compact::{CompactError, Compacted, compact};

use crate::{
    exit::{Found, Refused, Usage},
    output::Output,
};

/// Flags of `emr compact`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:
  lockstep emr compact run/out
The manifest stays as it is, and each commit can still be verified by its own digest; OUT/compacted.jsonl says in which file \
its bytes lie. Killed at any point, the output is whole. Steps may go on with the folder afterwards.")]
pub(crate) struct CompactArgs {
    /// The output folder of a step or a pipeline that is not running.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// How large joined files may become, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,
}

/// Joins the files and says how many there were and are.
pub(crate) fn run(args: &CompactArgs, output: Output) -> anyhow::Result<()> {
    let done = compact(&args.out, args.size).map_err(|error| refused(&error))?;
    let Compacted { commits, files_before, files_after } = done;
    output.result(&done, || format!("{commits} commits in {files_after} files, {files_before} before"))
}

fn refused(error: &CompactError) -> anyhow::Error {
    match error {
        CompactError::Lock(_) => Refused(error.to_string()).into(),
        CompactError::Encoding(_) | CompactError::Place(_) => Usage(error.to_string()).into(),
        CompactError::Output(_) | CompactError::Disk(_) | CompactError::Killed(_) => Found(error.to_string()).into(),
    }
}
