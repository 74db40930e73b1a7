//! `lockstep worker`: one worker process of a pool. Its controller speaks to it over stdin and stdout; the end of stdin
//! is its own end.

use std::path::PathBuf;

use clap::Args;
use lockstep_emr_sim::{
    crash::CrashPoints,
    drill,
    worker::{WorkerSettings, run_worker},
};

use crate::exit::{Found, Usage};

/// Flags of `worker`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// The worker's settings, as JSON; the controller gives them.
    settings: String,
    /// The folder of drills (docs/drills.md).
    #[arg(long, value_name = "DIR")]
    drills: Option<PathBuf>,
}

/// Works until stdin ends.
pub(crate) async fn run(args: WorkerArgs) -> anyhow::Result<()> {
    let settings = WorkerSettings::from_argument(&args.settings).map_err(Usage)?;
    let crash = args.drills.map_or_else(CrashPoints::default, drill::armed);
    Box::pin(run_worker(settings, &crash, tokio::io::stdin(), tokio::io::stdout()))
        .await
        .map_err(|error| Found(error.to_string()).into())
}
