//! `lockstep emr`: clusters, steps and instances of the emulated EMR, over its own wire protocol, as any SDK would. Here
//! are the flags and the way to the verbs; each group of verbs has its file beside this one.

mod cluster;
mod compact;
mod create;
mod instances;
mod step;
mod wire;
mod worker;

use clap::{Args, Subcommand};

use crate::cli::Global;

const EXAMPLES: &str = "Examples:
  lockstep emr cluster create --name day --workers 2        a cluster that waits for steps
  lockstep emr step add j-… --job transcript --input orders.fifo --output ./out --wait
  lockstep emr cluster create --name once --job transcript --input orders.fifo --output ./out --wait
  lockstep emr step list j-…
  lockstep emr logs j-… s-… --file stderr
  lockstep emr worker j-…                                   works for it from any machine
  lockstep emr cluster terminate j-…
The same over any AWS SDK: docs/emr.md.";

/// Flags of `emr`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EmrArgs {
    #[command(subcommand)]
    verb: EmrVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum EmrVerb {
    /// Make, list, show, change and end clusters.
    Cluster(cluster::ClusterArgs),
    /// Add, list, show, cancel and wait for steps.
    Step(step::StepArgs),
    /// List the instances of a cluster, with the worker processes behind them.
    Instances(instances::InstancesArgs),
    /// Print the log of a step.
    Logs(instances::LogsArgs),
    /// Work for a cluster from this machine, as one of its instances.
    Worker(worker::WorkerArgs),
    /// Join the small files of a published output into large ones, without a broker.
    Compact(compact::CompactArgs),
}

/// Runs one of the emr verbs.
pub(crate) async fn run(args: EmrArgs, global: &Global) -> anyhow::Result<()> {
    let emr = match &args.verb {
        EmrVerb::Compact(args) => return compact::run(args, global.output()),
        EmrVerb::Worker(args) => return worker::run(args.clone(), global).await,
        EmrVerb::Cluster(_) | EmrVerb::Step(_) | EmrVerb::Instances(_) | EmrVerb::Logs(_) => wire::Emr::new(global)?,
    };
    match args.verb {
        EmrVerb::Cluster(args) => cluster::run(args, &emr, global.output()).await,
        EmrVerb::Step(args) => step::run(args, &emr, global.output()).await,
        EmrVerb::Instances(args) => instances::list(args, &emr, global.output()).await,
        EmrVerb::Logs(args) => instances::logs(args, &emr, global.output()).await,
        EmrVerb::Worker(args) => worker::run(args, global).await,
        EmrVerb::Compact(args) => compact::run(&args, global.output()),
    }
}
