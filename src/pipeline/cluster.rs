//! The pipeline's cluster: the machine and the controller that `lockstep serve` has, here in this process, so that broker
//! and controller are killed apart. Its log lies in the data directory; a run that was stopped or killed goes on with the
//! step that it had, where that is still what is wanted.

use std::ffi::OsString;

use anyhow::Context as _;
use lockstep_client::Client;
use lockstep_emr_sim::{
    cluster::{
        ActionOnFailure, ClusterId, Command, Fleet, GroupSpec, Jar, JobFlow, NewStep, Profile, Reply, Role, Step,
        StepEnd, StepId, StepState,
    },
    controller::{Controller, Ground, LogPlace},
    crash::CrashPoints,
    pool::PoolHandle,
};

use crate::{
    exit::{Found, Refused},
    guard,
    pipeline::setup::Run,
    serve::JournalKind,
};

/// The step of a run, in its cluster.
pub(super) struct Running {
    controller: Controller,
    cluster: ClusterId,
    step: StepId,
}

impl Running {
    /// Goes on with the step of an earlier run that wanted the same, or makes a cluster with one.
    pub(super) async fn start(run: &Run, endpoint: &str, generation: u64) -> anyhow::Result<Self> {
        let ground = Ground {
            endpoint: endpoint.to_owned(),
            client: Client::connect_lazy(endpoint)?,
            program: std::env::current_exe().context("cannot find this program's own file")?,
            arguments: vec![OsString::from("worker")],
            environment: Vec::new(),
            guard: guard::words()?,
            logs: run.out.join("logs"),
            crash: CrashPoints::default(),
            terms: run.terms(generation)?,
        };
        let place = match run.args.journal {
            Some(JournalKind::Memory) => LogPlace::Memory,
            _ => LogPlace::Directory(run.data.join("pipeline")),
        };
        let (jar, workers) = (run.jar(), u32::try_from(run.args.workers).expect("at most 32"));
        let mut earlier = None;
        let started = Controller::start_after(ground, place, |fleet| {
            let (found, end_others) = earlier_run(fleet, &jar, workers);
            earlier = found;
            end_others
        });
        let controller = started.await.map_err(|error| Found(error.to_string()))?;
        let (cluster, step) = match earlier {
            Some(earlier) => earlier,
            None => make(&controller, jar, workers).await?,
        };
        Ok(Self { controller, cluster, step })
    }

    /// Its pool, when that is open: from then on messages may be sent.
    pub(super) async fn pool(&self) -> anyhow::Result<PoolHandle> {
        if let Ok(pool) = self.controller.pool(&self.cluster, &self.step).await {
            return Ok(pool);
        }
        self.completed().await?;
        Err(Found("the step ended before it began".to_owned()).into())
    }

    /// Waits until it has completed.
    pub(super) async fn completed(&self) -> anyhow::Result<()> {
        let ended = self.controller.ended(&self.cluster, &self.step).await;
        judge(ended.map_err(|error| Found(error.to_string()))?)
    }
}

/// What a step's end means for the exit code.
fn judge(step: Step) -> anyhow::Result<()> {
    match (step.state, step.failure) {
        (StepState::Completed, _) => Ok(()),
        (_, Some(failure)) if matches!(failure.reason.as_str(), "Output Refused." | "Reader Taken Over.") => {
            Err(Refused(failure.message).into())
        }
        (_, Some(failure)) => Err(Found(failure.message).into()),
        (state, None) => Err(Found(format!("the step has ended: {state:?}")).into()),
    }
}

/// The step of an earlier run that goes on, if one wanted the same; and what ends all others.
fn earlier_run(fleet: &Fleet, jar: &Jar, workers: u32) -> (Option<(ClusterId, StepId)>, Vec<Command>) {
    let (mut found, mut commands) = (None, Vec::new());
    for cluster in fleet.clusters().filter(|cluster| !cluster.state.has_ended()) {
        let fits = |step: &&Step| step.state == StepState::Running && step.jar == *jar;
        let step = cluster.steps.iter().find(fits).filter(|_| cluster.workers_requested() == workers);
        match step {
            Some(step) if found.is_none() => found = Some((cluster.id.clone(), step.id.clone())),
            Some(_) | None => {
                commands.push(Command::Terminate { clusters: vec![cluster.id.clone()] });
                // Nothing of it runs any more.
                let started = cluster.steps.iter().filter(|step| step.state.is_started());
                commands.extend(started.map(|step| Command::EndStep {
                    cluster: cluster.id.clone(),
                    step: step.id.clone(),
                    end: StepEnd::Stopped,
                }));
            }
        }
    }
    (found, commands)
}

async fn make(controller: &Controller, jar: Jar, workers: u32) -> anyhow::Result<(ClusterId, StepId)> {
    let group = |role, count| GroupSpec {
        name: String::new(),
        role,
        market: "ON_DEMAND".to_owned(),
        instance_type: "local".to_owned(),
        count,
    };
    let name = "pipeline".to_owned();
    let flow = Box::new(JobFlow {
        profile: Profile { name: name.clone(), ..Profile::default() },
        groups: vec![group(Role::Master, 1), group(Role::Core, workers)],
        steps: vec![NewStep { name, action: ActionOnFailure::TerminateCluster, jar }],
        keep_alive: false,
        protected: false,
        concurrency: 1,
        idle_timeout: None,
        scaling: None,
    });
    let reply = controller.command(|chance| Command::RunJobFlow { flow, chance }).await;
    let Reply::Cluster(cluster) = reply.map_err(|error| Found(error.to_string()))? else {
        return Err(Found("the controller made no cluster".to_owned()).into());
    };
    let of = cluster.clone();
    let step = controller.look(move |view| view.fleet.cluster(&of)?.steps.first().map(|step| step.id.clone())).await;
    let step = step.map_err(|error| Found(error.to_string()))?;
    Ok((cluster, step.ok_or_else(|| Found("the cluster has no step".to_owned()))?))
}
