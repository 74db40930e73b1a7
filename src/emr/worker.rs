//! `lockstep emr worker`: a worker that somebody starts by hand, on any machine that reaches the broker and sees the output
//! folder. What it does is `lockstep_emr_sim::attach`'s; here are its flags, its signals and what it says.

use std::time::Duration;

use clap::Args;
use lockstep_emr_sim::attach::worker::{Hand, HandError, Told, work};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    cli::Global,
    connect::connect,
    exit::{Found, Unreachable},
    guard,
    output::{Output, print, say},
};

/// Flags of `emr worker`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep emr worker j-…
  lockstep --endpoint https://broker.example:9324 --tls-ca ca.pem emr worker j-… --name rack-7

It must see the step's output folder under the same path, as the broker's machine does (a shared file system), and run the
step's mapper: it tries both before it takes a claim, and says what is missing. It works until the cluster ends. Ctrl-C lets it
finish what it holds, a second one does not. When the connection breaks, what it held is handed on, and it attaches again for
up to 60 s.")]
pub(super) struct WorkerArgs {
    /// The cluster.
    cluster: String,
    /// What `emr instances` calls it. Default: the machine's name and the process id.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Works for a cluster.
pub(super) async fn run(args: WorkerArgs, global: &Global) -> anyhow::Result<()> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let hand = Hand {
        cluster: args.cluster,
        name: args.name.unwrap_or_else(|| format!("{host}-{}", std::process::id())),
        host,
        guard: guard::words()?,
        patience: Duration::from_secs(global.patience),
    };
    let client = connect(global).await?;
    let (stop, stopped) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let output = global.output();
    let working = work(&client, &hand, stopped, |told| tell(output, &told));
    tokio::pin!(working);
    let mut asked = false;
    loop {
        tokio::select! {
            ended = &mut working => return end(ended, output),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if std::mem::replace(&mut asked, true) {
            return Err(Found("ended at once; what was held is handed on to others".to_owned()).into());
        }
        say("lockstep: finishing what is held; once more ends at once");
        stop.send_replace(true);
    }
}

fn end(ended: Result<String, HandError>, output: Output) -> anyhow::Result<()> {
    match ended {
        Ok(reason) => output.result(&json!({ "event": "ended", "reason": reason }), || format!("ended: {reason}")),
        Err(HandError::Refused(error)) => Err(error.into()),
        Err(HandError::Unfit(why)) => Err(Found(why).into()),
        Err(HandError::Unreachable(why)) => Err(Unreachable(why).into()),
    }
}

fn tell(output: Output, told: &Told) {
    let (line, text) = match told {
        Told::Attached(instance) => {
            (json!({ "event": "attached", "instance": instance }), format!("attached as {instance}"))
        }
        Told::Began(queue, out) => (
            json!({ "event": "began", "queue": queue, "output": out }),
            format!("works for a step: {queue} to {}", out.display()),
        ),
        Told::Done(claim, messages) => (
            json!({ "event": "done", "claim": claim, "messages": messages }),
            format!("claim {claim}: {messages} messages"),
        ),
        Told::Failed(claim, why) => (
            json!({ "event": "failed", "claim": claim, "reason": why }),
            format!("claim {claim} was not finished: {why}"),
        ),
        Told::Broken(why) => {
            (json!({ "event": "broken", "reason": why }), format!("the connection broke, attaching again: {why}"))
        }
    };
    // Whoever closed the pipe does not want to know.
    let _ = if output.json { print(&line.to_string()) } else { print(&text) };
}
