//! `lockstep pipeline-producer`: one producer process of the pipeline. It sends its share of the input, from the first
//! line, in order; deduplication turns away what an earlier life had sent, and the answers give the counts.

use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use lockstep_client::{Client, Message, Producer, RetryPolicy};
use lockstep_emr_sim::job::JobKind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    exit::{Found, Usage},
    output::print,
    parent,
    pipeline::PATIENCE,
    pipeline::input::{self, Filter, Lines, Mapping},
};

/// Flags of `pipeline-producer`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SenderArgs {
    /// The producer's settings, as JSON; the pipeline gives them.
    settings: String,
}

/// What a producer process must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProducerSettings {
    pub(crate) endpoint: String,
    pub(crate) queue: String,
    pub(crate) queue_generation: u64,
    pub(crate) input: PathBuf,
    pub(crate) group_by: String,
    pub(crate) id_by: String,
    /// Lines that this job cannot use are turned away; none when absent.
    pub(crate) job: Option<JobKind>,
    pub(crate) skip_bad: bool,
    /// This producer's share, and how many there are: each group belongs to one.
    pub(crate) share: u64,
    pub(crate) shares: u64,
    /// Messages of one call.
    pub(crate) batch: usize,
    /// Times real time, by `sent_at`; as fast as it goes when absent.
    pub(crate) speed: Option<f64>,
    /// With chaos: a seed for answers that are taken as lost.
    pub(crate) lose_answers: Option<u64>,
}

/// How far a producer is; one JSON object a line on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Lines sent and answered in this life.
    pub(crate) sent: u64,
    /// Different message ids among the answers.
    pub(crate) accepted: u64,
    /// Answers that were taken as lost, so that the batch was sent again.
    pub(crate) resent: u64,
    /// The share is sent whole.
    pub(crate) done: bool,
}

/// Sends the share.
pub(crate) async fn run(args: SenderArgs) -> anyhow::Result<()> {
    let settings: ProducerSettings = serde_json::from_str(&args.settings).map_err(|error| Usage(error.to_string()))?;
    parent::end_with_stdout();
    let retry = RetryPolicy { time_limit: PATIENCE, ..RetryPolicy::default() };
    let client = Client::builder(settings.endpoint.as_str()).retry(retry).connect().await?;
    let producer = client.producer(settings.queue.as_str()).generation(settings.queue_generation).build();
    let mut sending = Sending {
        producer,
        accepted: HashSet::new(),
        report: Report::default(),
        chance: settings.lose_answers.map(fastrand::Rng::with_seed),
    };
    sending.send_share(&settings).await?;
    sending.report.done = true;
    sending.tell()
}

struct Sending {
    producer: Producer,
    /// Sequence numbers: as many as different message ids.
    accepted: HashSet<u64>,
    report: Report,
    chance: Option<fastrand::Rng>,
}

impl Sending {
    async fn send_share(&mut self, settings: &ProducerSettings) -> anyhow::Result<()> {
        let mapping = Mapping {
            group_by: settings.group_by.parse().map_err(Usage)?,
            id_by: settings.id_by.parse().map_err(Usage)?,
        };
        let mut filter = Filter::new(mapping, input::demand(settings.job));
        let mut lines = Lines::open(&settings.input)?;
        let mut pace = settings.speed.map(Pace::new);
        let mut batch = Vec::with_capacity(settings.batch);
        while let Some((number, line)) = lines.next_line().context("cannot read the input")? {
            let message = match filter.message(number, line) {
                Ok(message) => message,
                Err(_) if settings.skip_bad => continue,
                Err(what) => {
                    return Err(Found(format!("line {number} has changed since it was checked: {what}")).into());
                }
            };
            if share_of(&message.group, settings.shares) != settings.share {
                continue;
            }
            if let Some(due) = pace.as_mut().and_then(|pace| pace.due(&message.body)) {
                self.send(&mut batch).await?;
                tokio::time::sleep_until(due.into()).await;
            }
            batch.push(Message::new(message.group, message.body).deduplication_id(message.id));
            if batch.len() >= settings.batch {
                self.send(&mut batch).await?;
            }
        }
        self.send(&mut batch).await
    }

    /// Sends a batch until every entry is answered; one that is refused ends the producer.
    async fn send(&mut self, batch: &mut Vec<Message>) -> anyhow::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.report.sent += batch.len() as u64;
        loop {
            let answers = self.producer.send_batch(batch.clone()).await;
            // What a client does whose connection broke before the answer came: the same again, under the same keys.
            if self.chance.as_mut().is_some_and(|chance| chance.u8(0..8) == 0) {
                self.report.resent += 1;
                continue;
            }
            for answer in answers {
                self.accepted.insert(answer?.sequence_number);
            }
            break;
        }
        batch.clear();
        self.report.accepted = self.accepted.len() as u64;
        self.tell()
    }

    fn tell(&self) -> anyhow::Result<()> {
        print(&serde_json::to_string(&self.report)?)
    }
}

/// Which producer a group belongs to: the same in every life and with every order of lines.
pub(crate) fn share_of(group: &str, shares: u64) -> u64 {
    let digest: [u8; 32] = Sha256::digest(group.as_bytes()).into();
    u64::from_be_bytes(*digest.first_chunk().expect("8 of 32 bytes")) % shares.max(1)
}

/// Sends lines at the distances of their `sent_at`, faster by a factor.
struct Pace {
    speed: f64,
    first: Option<(jiff::Timestamp, Instant)>,
}

impl Pace {
    fn new(speed: f64) -> Self {
        Self { speed, first: None }
    }

    /// When this line is due, if that is still to come.
    fn due(&mut self, body: &str) -> Option<Instant> {
        #[derive(Deserialize)]
        struct Sent {
            sent_at: jiff::Timestamp,
        }
        let at = serde_json::from_str::<Sent>(body).ok()?.sent_at;
        let (first, began) = *self.first.get_or_insert_with(|| (at, Instant::now()));
        let after = at.duration_since(first).as_secs_f64() / self.speed;
        let due = began + Duration::try_from_secs_f64(after).ok()?;
        (due > Instant::now()).then_some(due)
    }
}
