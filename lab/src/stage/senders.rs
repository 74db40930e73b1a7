//! Producer processes and the wires that they send over.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use anyhow::{Context as _, bail};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, ChildStdin},
};

use super::{Setup, append_to, child, last_lines};
use crate::{
    dialogue::Turn,
    producer::{Keys, ProducerSettings},
    wire::Wire,
};

pub(super) struct Sender {
    name: String,
    child: Child,
    orders: ChildStdin,
    wire: Wire,
    /// What it writes down.
    pub(super) log: PathBuf,
    said: PathBuf,
}

impl Sender {
    /// Starts a producer of its own share: queue, keys, and whether it waits after a loss.
    pub(super) async fn start(
        setup: &Setup,
        place: usize,
        broker: SocketAddr,
        (queue, keys, waits_after_loss): (&str, Keys, bool),
        script: &[Turn],
    ) -> anyhow::Result<Self> {
        let wire = Wire::start(broker).await?;
        let name = format!("producer-{}", place + 1);
        let path = setup.folder.join(format!("{name}.script.jsonl"));
        let lines = script.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        std::fs::write(&path, lines.join("\n")).context("a script cannot be written")?;
        let log = setup.folder.join(format!("{name}.log.jsonl"));
        let settings = ProducerSettings {
            name: name.clone(),
            endpoint: wire.endpoint(),
            queue: queue.to_owned(),
            keys,
            waits_after_loss,
            script: path,
            log: log.clone(),
        };
        let said = setup.folder.join(format!("logs/{name}.log"));
        let mut command = child(&setup.program);
        command.arg("lab-producer").arg(serde_json::to_string(&settings)?);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(append_to(&said)?);
        let mut child = command.spawn().context("cannot start a producer process")?;
        let orders = child.stdin.take().context("stdin was asked to be a pipe")?;
        Ok(Self { name, child, orders, wire, log, said })
    }

    pub(super) async fn order(&mut self, order: &str) -> anyhow::Result<()> {
        let line = format!("{order}\n");
        let told = self.orders.write_all(line.as_bytes()).await;
        told.with_context(|| format!("{} hears nothing any more: {}", self.name, last_lines(&self.said)))
    }

    /// Loses the next answers to it.
    pub(super) fn lose(&self, answers: u64) {
        self.wire.lose(answers);
    }

    /// How many were lost.
    pub(super) fn lost(&self) -> u64 {
        self.wire.lost()
    }

    /// A producer ends with its orders and not before.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} has ended, {status}: {}", self.name, last_lines(&self.said)),
            None => Ok(()),
        }
    }
}
