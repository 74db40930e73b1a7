//! A queue of its own beside ours, with a producer that has nothing but deduplication ids, and a consumer: what SQS FIFO
//! promises, no more. It shows the hole that the scenario `hole` is about.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use lockstep_client::{Client, QueueAttributes};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Setup, Tail, senders::Sender};
use crate::{
    dialogue::Turn,
    producer::{Keys, Noted},
};

/// Its queue.
const QUEUE: &str = "window.fifo";

/// A message that the consumer read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Its turn.
    pub turn: u32,
    /// Its number in the queue.
    pub sequence_number: u64,
}

pub(super) struct Beside {
    sender: Sender,
    log: Tail,
    answered: u64,
    unanswered: u64,
    read: Arc<Mutex<Vec<Read>>>,
    consumer: JoinHandle<()>,
}

impl Beside {
    pub(super) async fn start(setup: &Setup, broker: SocketAddr, client: &Client) -> anyhow::Result<Self> {
        client.create_queue(QUEUE, QueueAttributes::default()).await?;
        let script: Vec<Turn> = (1..=6)
            .map(|turn| Turn {
                conversation: "gina".to_owned(),
                turn,
                sender: "customer".to_owned(),
                text: format!("Message {turn} of a producer without numbers."),
            })
            .collect();
        let sender = Sender::start(setup, 2, broker, (QUEUE, Keys::Ids, true), &script).await?;
        let log = Tail::new(sender.log.clone());
        let read = Arc::<Mutex<Vec<Read>>>::default();
        let consumer = tokio::spawn(consume(client.clone(), Arc::clone(&read)));
        Ok(Self { sender, log, answered: 0, unanswered: 0, read, consumer })
    }

    pub(super) async fn order(&mut self, order: &str) -> anyhow::Result<()> {
        self.sender.order(order).await
    }

    /// Loses the next answer.
    pub(super) fn lose(&self) {
        self.sender.lose(1);
    }

    /// Messages answered for, tries without an answer, messages read.
    pub(super) fn look(&mut self) -> anyhow::Result<(u64, u64, u64)> {
        self.sender.check()?;
        for noted in self.log.lines() {
            match noted {
                Noted::Answer { .. } => self.answered += 1,
                Noted::Unanswered { .. } => self.unanswered += 1,
                Noted::Try { .. } => {}
            }
        }
        Ok((self.answered, self.unanswered, self.read().len() as u64))
    }

    pub(super) fn read(&self) -> Vec<Read> {
        self.read.lock().expect("nobody panics while holding it").clone()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.consumer.abort();
    }
}

async fn consume(client: Client, read: Arc<Mutex<Vec<Read>>>) {
    let consumer = client.consumer(QUEUE).wait(Duration::from_secs(1)).build();
    loop {
        if let Err(why) = round(&consumer, &read).await {
            tracing::info!(%why, "the consumer beside asks again");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn round(consumer: &lockstep_client::Consumer, read: &Mutex<Vec<Read>>) -> anyhow::Result<()> {
    for delivery in consumer.receive().await? {
        let turn: Turn = serde_json::from_slice(&delivery.body).context("none of ours")?;
        delivery.delete().await?;
        let message = Read { turn: turn.turn, sequence_number: delivery.sequence_number };
        read.lock().expect("nobody panics while holding it").push(message);
    }
    Ok(())
}
