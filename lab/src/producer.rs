//! A producer process: it sends its share of the dialogue, one message after the other, as fast as it is allowed, and
//! writes down every try and every answer before it does anything else. That log is what the proof counts. It obeys
//! lines on stdin, and ends with it.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use lockstep_client::{Client, Error, Message, RetryPolicy, Sent, Session, v1};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::dialogue::{POISON, Turn};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(40);

/// How a producer makes sure that a repeat is no second message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// A deduplication id for each message: recognised for the window of the queue (S4).
    Ids,
    /// A session with numbers: recognised for ever (B3).
    Numbers,
}

/// What a producer process must know; it travels as one argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProducerSettings {
    /// Its name.
    pub name: String,
    /// Where it reaches the broker.
    pub endpoint: String,
    /// The queue.
    pub queue: String,
    /// How repeats are recognised.
    pub keys: Keys,
    /// After an answer that was lost it waits for the word `again`, as one does that was cut off.
    pub waits_after_loss: bool,
    /// Its share of the dialogue, as JSON Lines.
    pub script: PathBuf,
    /// Where it writes down what it does.
    pub log: PathBuf,
}

/// A line of its log. A message is named by its conversation and its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Noted {
    /// It goes out now.
    Try {
        /// Its conversation.
        conversation: String,
        /// Its turn.
        turn: u32,
    },
    /// The broker's answer: it is on disk.
    Answer {
        /// Its conversation.
        conversation: String,
        /// Its turn.
        turn: u32,
        /// Its number in the queue.
        sequence_number: u64,
        /// The broker knew it already: nothing new was stored.
        known: bool,
    },
    /// No answer came.
    Unanswered {
        /// Its conversation.
        conversation: String,
        /// Its turn.
        turn: u32,
        /// What the connection met.
        why: String,
    },
}

/// Runs a producer until `orders` end. Lines: `go 3` allows three more messages, `pace 200` waits so many milliseconds
/// before each, `again` ends the wait after a loss, `poison` spoils the next message.
///
/// # Errors
/// A log or script that cannot be used; a message that the broker refuses.
pub async fn run(settings: ProducerSettings, orders: impl AsyncRead + Unpin + Send + 'static) -> anyhow::Result<()> {
    let script = std::fs::read_to_string(&settings.script).context("the script cannot be read")?;
    let script: Vec<Turn> = script.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let log = OpenOptions::new().create(true).append(true).open(&settings.log).context("the log cannot be written")?;
    let retry = RetryPolicy { time_limit: Duration::ZERO, ..RetryPolicy::default() };
    let client = Client::builder(settings.endpoint.as_str()).retry(retry).connect_lazy()?;
    let mut lines = BufReader::new(orders).lines();
    let (allowed, pace) = (0, Duration::ZERO);
    let mut producer = Producer { client, session: None, log, allowed, pace, again: false, poison: false, settings };
    let mut script = script.into_iter();
    loop {
        if producer.allowed > 0
            && let Some(mut turn) = script.next()
        {
            producer.allowed -= 1;
            if std::mem::take(&mut producer.poison) {
                turn.text = format!("{POISON} {}", turn.text);
            }
            let course = producer.course(&turn, &mut lines);
            if !course.await? {
                return Ok(());
            }
            continue;
        }
        match lines.next_line().await? {
            Some(order) => producer.hear(&order)?,
            None => return Ok(()),
        }
    }
}

type Orders<R> = tokio::io::Lines<BufReader<R>>;

struct Producer {
    client: Client,
    session: Option<Session>,
    log: File,
    allowed: u64,
    pace: Duration,
    again: bool,
    poison: bool,
    settings: ProducerSettings,
}

impl Producer {
    fn hear(&mut self, order: &str) -> anyhow::Result<()> {
        match order.split_once(' ').unwrap_or((order, "")) {
            ("go", count) => self.allowed += count.parse::<u64>().context("go how many?")?,
            ("pace", ms) => self.pace = Duration::from_millis(ms.parse().context("what pace?")?),
            ("again", "") => self.again = true,
            ("poison", "") => self.poison = true,
            _ => bail!("`{order}` is no order"),
        }
        Ok(())
    }

    /// Sends one message until it is answered, hearing orders beside; false when they ended.
    async fn course<R: AsyncRead + Unpin>(&mut self, turn: &Turn, orders: &mut Orders<R>) -> anyhow::Result<bool> {
        if !self.wait_turn(orders).await? {
            return Ok(false);
        }
        self.again = false;
        let (conversation, number) = (turn.conversation.clone(), turn.turn);
        loop {
            self.note(&Noted::Try { conversation: conversation.clone(), turn: number })?;
            let sent = tokio::select! {
                sent = Self::send(&self.client, &mut self.session, &self.settings, turn) => sent,
                () = ended(orders, &mut self.allowed, &mut self.pace) => return Ok(false),
            };
            match sent {
                Ok(Sent { sequence_number, duplicate: known, .. }) => {
                    self.note(&Noted::Answer { conversation, turn: number, sequence_number, known })?;
                    return Ok(true);
                }
                Err(error @ Error::Refused { .. }) => bail!("{conversation}, turn {number}: {error}"),
                Err(error) => {
                    let why = error.to_string();
                    self.note(&Noted::Unanswered { conversation: conversation.clone(), turn: number, why })?;
                }
            }
            if !self.pause(PAUSE, orders).await? {
                return Ok(false);
            }
            while self.settings.waits_after_loss && !self.again {
                match orders.next_line().await? {
                    Some(order) => self.hear(&order)?,
                    None => return Ok(false),
                }
            }
        }
    }

    /// Waits as long as the pace says, which may change meanwhile; false when the orders ended.
    async fn wait_turn<R: AsyncRead + Unpin>(&mut self, orders: &mut Orders<R>) -> anyhow::Result<bool> {
        let began = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(began + self.pace) => return Ok(true),
                order = orders.next_line() => match order? {
                    Some(order) => self.hear(&order)?,
                    None => return Ok(false),
                },
            }
        }
    }

    /// Waits so long, hearing orders; false when they ended.
    async fn pause<R: AsyncRead + Unpin>(&mut self, time: Duration, orders: &mut Orders<R>) -> anyhow::Result<bool> {
        let until = tokio::time::Instant::now() + time;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(true),
                order = orders.next_line() => match order? {
                    Some(order) => self.hear(&order)?,
                    None => return Ok(false),
                },
            }
        }
    }

    async fn send(
        client: &Client,
        session: &mut Option<Session>,
        settings: &ProducerSettings,
        turn: &Turn,
    ) -> Result<Sent, Error> {
        let body = serde_json::to_string(turn).expect("words and numbers are always JSON");
        match settings.keys {
            Keys::Ids => {
                let entry = v1::SendEntry {
                    message_group_id: turn.conversation.clone(),
                    message_deduplication_id: turn.key(),
                    body: body.into(),
                    ..v1::SendEntry::default()
                };
                let request =
                    v1::SendRequest { queue: settings.queue.clone(), entry: Some(entry), ..v1::SendRequest::default() };
                client.send(request).await
            }
            Keys::Numbers => {
                let session = match session {
                    Some(session) => session,
                    None => {
                        let producer = client.producer(settings.queue.as_str());
                        let instance = uuid::Uuid::new_v4().to_string();
                        session.insert(producer.session(settings.name.as_str(), instance).await?)
                    }
                };
                if session.unanswered() > 0 {
                    // The same message, under the number that it has.
                    return session.resume().await.pop().expect("one message has one outcome");
                }
                session.send(Message::new(turn.conversation.as_str(), body)).await
            }
        }
    }

    fn note(&mut self, noted: &Noted) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(noted)?;
        line.push(b'\n');
        Ok(self.log.write_all(&line)?)
    }
}

/// Hears orders while a message is under way; comes back when they have ended.
async fn ended<R: AsyncRead + Unpin>(orders: &mut Orders<R>, allowed: &mut u64, pace: &mut Duration) {
    while let Ok(Some(order)) = orders.next_line().await {
        match order.split_once(' ') {
            Some(("go", count)) => *allowed += count.parse::<u64>().unwrap_or(0),
            Some(("pace", ms)) => *pace = Duration::from_millis(ms.parse().unwrap_or(0)),
            Some(_) | None => {}
        }
    }
}
