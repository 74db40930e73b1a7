//! The stage: the processes of a lab and the means to strike them. What is done when is `director`'s; what came of it is
//! counted by `ledger` from the files that are read here.

mod beside;
mod broker;
mod clock;
mod files;
mod pool;
mod senders;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use lockstep_client::{Client, GroupDelivery, QueueAttributes, RedrivePolicy, RetryPolicy};

use crate::{
    dialogue::{CONVERSATIONS, Turn, dialogue, producer_of},
    ledger::Ledger,
    lesson::{Action, Facts, Scenario},
    mapper::{PACE, TOUCHED},
    producer::Noted,
};
use beside::Beside;
pub use beside::Read;
use broker::Broker;
pub use broker::Life as BrokerLife;
pub use clock::Speed;
use clock::Ticker;
use files::{Tail, append_to, last_lines};
use pool::Workers;
use senders::Sender;

/// The queue.
pub const QUEUE: &str = "conversations.fifo";
/// Where poisoned messages go.
const DEAD_LETTERS: &str = "conversations-dead.fifo";
/// Producers of a lab; each conversation belongs to one.
pub const PRODUCERS: usize = 2;
/// A message that nobody can process is tried so often; more than the workers that a class kills over one claim.
const MAX_RECEIVES: u32 = 8;
/// For how long a broker that is being started is asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a lab is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The command itself, which the children are lives of.
    pub program: PathBuf,
    /// Where everything lies.
    pub folder: PathBuf,
    /// The seed of the dialogue.
    pub seed: u64,
    /// How fast time goes and how long messages take.
    pub speed: Speed,
    /// So long a broker that was killed stays away, so that a class can see it.
    pub away: Duration,
}

/// A lab under way. Dropping it ends every process.
pub struct Stage {
    setup: Setup,
    scenario: Scenario,
    /// All messages in the order of the day.
    pub script: Vec<Turn>,
    /// The broker's address.
    pub endpoint: String,
    broker: Broker,
    clock: Ticker,
    senders: Vec<Sender>,
    workers: Workers,
    beside: Option<Beside>,
    logs: Vec<Tail>,
    touched: Tail,
    /// What is known from outside.
    pub ledger: Ledger,
    allowed: Vec<u64>,
    slow: u64,
    /// How many lost answers are known to belong to a message, by producer.
    credited: Vec<u64>,
    /// The broker is to be killed when so many lines are committed.
    kill_at: Option<u64>,
    /// The pool is to end once every message that may be sent was answered for.
    finishing: bool,
}

impl Stage {
    /// Starts everything: the broker, its queue, the pool, the producers, who may send nothing yet.
    ///
    /// # Errors
    /// A process or a file that cannot be had; a broker that does not come up.
    pub async fn start(setup: Setup, scenario: Scenario) -> anyhow::Result<Self> {
        for name in ["logs", "points", "data"] {
            std::fs::create_dir_all(setup.folder.join(name)).context("the lab's folder cannot be made")?;
        }
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free on loopback")?;
        let address = listener.local_addr()?;
        let endpoint = format!("http://{address}");
        let broker = Broker::start(&setup, listener)?;
        let client = Client::builder(endpoint.as_str())
            .retry(RetryPolicy { time_limit: PATIENCE, ..RetryPolicy::default() })
            .connect_lazy()?;
        let generation = queue(&client).await?;
        let clock = Ticker::start(&endpoint, setup.speed)?;
        let workers = Workers::start(&setup, &endpoint, generation, scenario.lease).await?;
        let script = dialogue(setup.seed);
        let mut senders = Vec::new();
        for place in 0..PRODUCERS {
            let own = script.iter().filter(|turn| producer_of(&turn.conversation, PRODUCERS) == place);
            let own: Vec<Turn> = own.cloned().collect();
            let waits = scenario.hole && place == 0;
            senders.push(Sender::start(&setup, place, address, (QUEUE, scenario.keys, waits), &own).await?);
        }
        let beside = match scenario.hole {
            true => Some(Beside::start(&setup, address, &client).await?),
            false => None,
        };
        let logs = senders.iter().map(|sender| Tail::new(sender.log.clone())).collect();
        let touched = Tail::new(setup.folder.join(TOUCHED));
        let ledger = Ledger::new(script.iter().cloned());
        let mut stage = Self {
            allowed: vec![0; PRODUCERS],
            slow: 1,
            credited: vec![0; PRODUCERS],
            kill_at: None,
            finishing: false,
            setup,
            scenario,
            script,
            endpoint,
            broker,
            clock,
            senders,
            workers,
            beside,
            logs,
            touched,
            ledger,
        };
        stage.set_pace().await?;
        Ok(stage)
    }

    /// Does something to the processes.
    ///
    /// # Errors
    /// A process that is not there any more, though it should be.
    pub async fn act(&mut self, action: &Action) -> anyhow::Result<()> {
        match action {
            Action::Send(more) => {
                for place in 0..PRODUCERS {
                    self.allow(place, *more).await?;
                }
            }
            Action::SendOne(place, more) => self.allow(*place, *more).await?,
            Action::SendRest => {
                for place in 0..PRODUCERS {
                    self.allow(place, u64::MAX).await?;
                }
            }
            Action::KillAt(point) => self.workers.arm(point.name(), "kill")?,
            Action::FreezeAt(point) => self.workers.arm(point.name(), "stop")?,
            Action::KillWorker(place) => self.workers.kill(*place),
            Action::FreezeWorker(place) => self.workers.freeze(*place),
            Action::Thaw => self.workers.thaw(),
            Action::KillBroker => self.broker.kill(),
            Action::KillBrokerAfter(more) => self.kill_at = Some(self.ledger.lines().len() as u64 + more),
            Action::FillDisk => self.broker.fill_disk(),
            Action::LoseAnswers(place, answers) => self.sender(*place)?.lose(*answers),
            Action::Poison(place) => self.sender(*place)?.order("poison").await?,
            Action::Slow(times) => {
                self.slow = (*times).clamp(1, 100);
                self.set_pace().await?;
            }
            Action::Advance(seconds) => self.clock.advance(Duration::from_secs(*seconds)).await?,
            Action::Again => {
                for sender in &mut self.senders {
                    sender.order("again").await?;
                }
            }
            Action::SendBeside(more) => self.beside()?.order(&format!("go {more}")).await?,
            Action::LoseBeside => self.beside()?.lose(),
            Action::AgainBeside => self.beside()?.order("again").await?,
            Action::Finish => self.finishing = true,
        }
        Ok(())
    }

    /// Sets how fast time goes; `None` stops it.
    ///
    /// # Errors
    /// A producer that has gone.
    pub async fn set_speed(&mut self, speed: Speed) -> anyhow::Result<()> {
        self.setup.speed = speed;
        self.clock.set(speed);
        self.set_pace().await
    }

    /// Reads what the processes wrote since the last time.
    ///
    /// # Errors
    /// A process that ended and should not have.
    pub async fn look(&mut self) -> anyhow::Result<Facts> {
        for ((log, sender), credited) in self.logs.iter_mut().zip(&self.senders).zip(&mut self.credited) {
            for noted in log.lines() {
                // A try without an answer whose answer was lost on the way: the broker had stored it.
                if let Noted::Unanswered { conversation, turn, .. } = &noted
                    && sender.lost() > *credited
                {
                    *credited += 1;
                    self.ledger.answer_lost(conversation, *turn);
                }
                self.ledger.noted(noted);
            }
        }
        for touched in self.touched.lines() {
            self.ledger.touched(touched);
        }
        if let Some(output) = self.workers.output() {
            self.ledger.read(&output);
        }
        if self.kill_at.take_if(|at| *at <= self.ledger.lines().len() as u64).is_some() {
            self.broker.kill();
        }
        for sender in &mut self.senders {
            sender.check()?;
        }
        self.broker.check().await?;
        self.workers.check().await?;
        let progress = self.workers.progress();
        let proof = self.ledger.proof(false);
        let life = self.broker.life();
        let allowed = self.allowed.iter().sum();
        if self.finishing && proof.accepted == allowed {
            // Said earlier, the pool could find the queue empty before a producer has sent its last message.
            self.workers.finish();
            self.finishing = false;
        }
        Ok(Facts {
            allowed,
            accepted: proof.accepted,
            committed: proof.committed,
            aside: proof.dead_lettered,
            turned_away: proof.turned_away,
            unanswered: proof.unanswered,
            worker_deaths: progress.worker_deaths,
            given_up: progress.given_up,
            refused: progress.refused.0,
            broker_lives: life.number,
            broker_serves: life.serves,
            struck: self.workers.struck(),
            drained: self.workers.has_drained(),
            beside: match &mut self.beside {
                Some(beside) => beside.look()?,
                None => (0, 0, 0),
            },
        })
    }

    /// What the consumer beside has read, in the order in which it did.
    #[must_use]
    pub fn read_beside(&self) -> Vec<Read> {
        self.beside.as_ref().map(Beside::read).unwrap_or_default()
    }

    /// The broker's present life.
    #[must_use]
    pub fn broker(&self) -> BrokerLife {
        self.broker.life()
    }

    /// What the pool says of itself.
    #[must_use]
    pub fn progress(&self) -> lockstep_emr_sim::pool::Progress {
        self.workers.progress()
    }

    /// The process ids of workers that stand still.
    #[must_use]
    pub fn frozen(&self) -> Vec<u32> {
        self.workers.frozen()
    }

    /// How far time has moved since the beginning, in milliseconds.
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        self.clock.elapsed()
    }

    /// How many answers were lost on the way to each producer.
    #[must_use]
    pub fn lost_answers(&self) -> Vec<u64> {
        self.senders.iter().map(Sender::lost).collect()
    }

    /// The scenario that it was set up for.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How it was set up, with the present speed.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Ends every process in good order.
    pub async fn end(self) {
        let Self { broker, senders, workers, beside, .. } = self;
        drop((senders, beside));
        workers.end().await;
        broker.end().await;
    }

    fn sender(&mut self, place: usize) -> anyhow::Result<&mut Sender> {
        self.senders.get_mut(place).with_context(|| format!("there is no producer {place}"))
    }

    fn beside(&mut self) -> anyhow::Result<&mut Beside> {
        self.beside.as_mut().context("this scenario has no queue beside")
    }

    async fn allow(&mut self, place: usize, more: u64) -> anyhow::Result<()> {
        let all = self.script.iter().filter(|turn| producer_of(&turn.conversation, PRODUCERS) == place).count() as u64;
        let more = more.min(all - self.allowed[place]);
        self.allowed[place] += more;
        self.sender(place)?.order(&format!("go {more}")).await
    }

    async fn set_pace(&mut self) -> anyhow::Result<()> {
        let Speed { times, message } = self.setup.speed;
        let message = u64::try_from(message.as_millis()).unwrap_or(u64::MAX);
        let pace = match times {
            0 => "pause".to_owned(),
            times => (message.saturating_mul(self.slow) / times).to_string(),
        };
        // Whoever looks sees all of it or nothing.
        let (draft, file) = (self.setup.folder.join("pace.new"), self.setup.folder.join(PACE));
        std::fs::write(&draft, pace).and_then(|()| std::fs::rename(draft, file)).context("the pace cannot be set")?;
        // A producer that is paused waits as long as a lesson lasts.
        let apart = (message / 2).checked_div(times).unwrap_or(86_400_000);
        for sender in &mut self.senders {
            sender.order(&format!("pace {apart}")).await?;
        }
        Ok(())
    }
}

/// Makes the queue; its generation.
async fn queue(client: &Client) -> anyhow::Result<u64> {
    let attributes = QueueAttributes { group_delivery: Some(GroupDelivery::Strict), ..QueueAttributes::default() };
    client.create_queue(DEAD_LETTERS, attributes.clone()).await?;
    let generation = client.create_queue(QUEUE, attributes).await?.queue_generation;
    let policy = RedrivePolicy::To { dead_letter_queue: DEAD_LETTERS.to_owned(), max_receive_count: MAX_RECEIVES };
    let attributes = QueueAttributes { redrive_policy: Some(policy), ..QueueAttributes::default() };
    client.set_queue_attributes(QUEUE, attributes).await?;
    Ok(generation)
}

/// A command of ours, as a child that ends with this process, without the settings of the outer one.
fn child(program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    // Ctrl-C on a terminal is for the lab; it ends its children in good order.
    command.kill_on_drop(true).process_group(0);
    command
}

/// The names of the conversations.
#[must_use]
pub fn conversations() -> &'static [&'static str] {
    &CONVERSATIONS
}
