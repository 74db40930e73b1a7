//! `lockstep worker`: one worker process of a pool. Its controller speaks to it over stdin and stdout; the end of stdin
//! is its own end.

use std::path::PathBuf;

use clap::Args;
use lockstep_emr_sim::{
    crash::CrashPoints,
    drill,
    worker::{WorkerSettings, run_worker},
};

use crate::{
    cli::Global,
    connect::trusting,
    exit::{Found, Usage},
};

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
pub(crate) async fn run(args: WorkerArgs, global: &Global) -> anyhow::Result<()> {
    let settings = WorkerSettings::from_argument(&args.settings).map_err(Usage)?;
    let crash = args.drills.map_or_else(CrashPoints::default, drill::armed);
    let mut global = global.clone();
    if !settings.endpoint.starts_with("https://") {
        // Certificates in the environment are for another broker.
        global.tls_ca = None;
    }
    // The broker may be starting again just now.
    let client = trusting(&global, &settings.endpoint)?.connect_lazy()?;
    Box::pin(run_worker(&client, settings, &crash, tokio::io::stdin(), tokio::io::stdout()))
        .await
        .map_err(|error| Found(error.to_string()).into())
}
