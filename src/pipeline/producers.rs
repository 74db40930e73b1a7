//! The producer processes of a run, and what they say.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
    sync::{Mutex, watch},
};

use crate::{
    exit::Found,
    pipeline::{
        process::{Killer, Supervised, log_file, ourselves},
        setup::{QUEUE, Run},
    },
    sender::{ProducerSettings, Report},
};

/// Messages of one call; with chaos fewer, so that there is more to interrupt.
const BATCH: usize = 400;
const CHAOS_BATCH: usize = 25;

/// All producers of a run.
pub(super) struct Producers {
    each: Mutex<Vec<Supervised>>,
    killers: Vec<Killer>,
    reports: watch::Receiver<Vec<Report>>,
}

impl Producers {
    /// Starts them; each sends its share from the first line.
    pub(super) fn start(run: &Run, endpoint: &str, generation: u64) -> anyhow::Result<Self> {
        let shares = usize::try_from(run.producers).expect("at most 32");
        let (reports_in, reports) = watch::channel(vec![Report::default(); shares]);
        let mut each = Vec::with_capacity(shares);
        for share in 0..shares {
            let settings = settings(run, endpoint, generation, share as u64);
            let log = run.log(&format!("producer-{share}"))?;
            let (to, reports) = (log.clone(), reports_in.clone());
            let mut life = 0;
            let start = move || {
                life += 1;
                // Another life loses other answers.
                let lose_answers = settings.lose_answers.map(|seed| seed.wrapping_add(life));
                let mut child = launch(&ProducerSettings { lose_answers, ..settings.clone() }, &to)?;
                let stdout = child.stdout.take().context("a producer without stdout")?;
                tokio::spawn(listen(stdout, share, reports.clone()));
                Ok(child)
            };
            each.push(Supervised::start(format!("producer {share}"), log, start)?);
        }
        let killers = each.iter().map(|producer| producer.killer.clone()).collect();
        Ok(Self { each: Mutex::new(each), killers, reports })
    }

    /// Waits until all have ended; how many different messages were accepted, in all lives and runs.
    pub(super) async fn done(&self) -> anyhow::Result<u64> {
        for producer in self.each.lock().await.iter_mut() {
            producer.ended().await?;
        }
        let mut reports = self.reports.clone();
        // Their last words may still be in the pipes; every listener ends after its producer.
        let all = reports.wait_for(|reports| reports.iter().all(|report| report.done)).await;
        let all = all.map_err(|_| Found("a producer ended without a word".to_owned()))?;
        Ok(all.iter().map(|report| report.accepted).sum())
    }

    /// What they last said.
    pub(super) fn reports(&self) -> watch::Receiver<Vec<Report>> {
        self.reports.clone()
    }

    /// Who kills them.
    pub(super) fn killers(&self) -> &[Killer] {
        &self.killers
    }
}

fn settings(run: &Run, endpoint: &str, generation: u64, share: u64) -> ProducerSettings {
    ProducerSettings {
        endpoint: endpoint.to_owned(),
        queue: QUEUE.to_owned(),
        queue_generation: generation,
        input: run.input.path.clone(),
        group_by: run.args.group_by.to_string(),
        id_by: run.args.id_by.to_string(),
        job: run.demands(),
        skip_bad: run.args.skip_bad,
        share,
        shares: run.producers,
        batch: if run.args.chaos { CHAOS_BATCH } else { BATCH },
        speed: run.args.speed,
        lose_answers: run.args.chaos.then(|| run.args.seed.wrapping_mul(1_000).wrapping_add(share * 100)),
    }
}

fn launch(settings: &ProducerSettings, log: &std::path::Path) -> anyhow::Result<Child> {
    let mut command = ourselves()?;
    command.arg("pipeline-producer").arg(serde_json::to_string(settings)?);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file(log)?);
    command.spawn().context("cannot start a producer process")
}

/// Takes what one life of a producer says. The reading end of its stdout lives here: when this process ends, however
/// it ends, the producer ends too.
async fn listen(stdout: ChildStdout, share: usize, reports: watch::Sender<Vec<Report>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(report) = serde_json::from_str::<Report>(&line) else { continue };
        reports.send_modify(|reports| {
            let resent = reports[share].resent.max(report.resent);
            reports[share] = Report { resent, ..report };
        });
    }
}
