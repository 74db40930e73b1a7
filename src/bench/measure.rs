//! One run: a broker, a queue, what comes before the measured part, that part, and what comes after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use lockstep_client::{Client, QueueAttributes};
use tokio::task::JoinSet;

use super::{
    BenchArgs,
    broker::{Broker, Usage},
    deck::Deck,
    drain::{self, Drained},
    lanes, pace,
    plan::{Plan, Protocol, Workload},
    record::{Recorder, Window},
    report::Figures,
    run::Run,
    source,
    verify::{Ledger, Verdict},
};
use crate::{cli::Global, connect::connect};

/// Consumers that delete nothing for so long have got what there is.
const IDLE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a run gave.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) figures: Figures,
    pub(super) sent: Option<Recorder>,
    pub(super) drained: Option<Drained>,
}

/// Measures once; `number` makes runs differ.
pub(super) async fn measure(args: &BenchArgs, global: &Global, plan: &Plan, number: u64) -> anyhow::Result<Measured> {
    let Some(journal) = &plan.journal else { return on(global, plan, number, None).await };
    let broker = Broker::start(journal, args.directory.as_deref()).await?;
    let global = Global {
        endpoint: broker.endpoint.clone(),
        tls_ca: None,
        tls_cert: None,
        tls_key: None,
        token: None,
        ..global.clone()
    };
    let measured = on(&global, plan, number, broker.pid()).await;
    let measured = measured.with_context(|| match broker.last_words() {
        words if words.is_empty() => "the run broke off".to_owned(),
        words => format!("the run broke off; the broker's log says:\n{words}"),
    });
    broker.end().await?;
    measured
}

/// Measures on a broker that is there.
async fn on(global: &Global, plan: &Plan, number: u64, pid: Option<u32>) -> anyhow::Result<Measured> {
    let client = connect(global).await?;
    let queue = format!("bench-{:016x}.fifo", fastrand::u64(..));
    client.create_queue(&queue, QueueAttributes::default()).await?;
    let measured = Phases::new(global, plan, number, pid, &queue).all(&client).await;
    if pid.is_none() {
        client.delete_queue(&queue, None).await?;
    }
    measured
}

/// The parts of a run.
struct Phases<'a> {
    global: &'a Global,
    plan: &'a Plan,
    number: u64,
    pid: Option<u32>,
    queue: &'a str,
    began: Instant,
    names: Arc<[String]>,
    ledger: Arc<Ledger>,
    /// Messages that were accepted, by group.
    sent: Vec<u32>,
    called_duplicate: u64,
}

impl<'a> Phases<'a> {
    fn new(global: &'a Global, plan: &'a Plan, number: u64, pid: Option<u32>, queue: &'a str) -> Self {
        let names = (0..plan.groups).map(|group| format!("g{group}")).collect();
        let (ledger, sent) = (Arc::new(Ledger::new(plan.groups)), vec![0; plan.groups as usize]);
        Self { global, plan, number, pid, queue, began: Instant::now(), names, ledger, sent, called_duplicate: 0 }
    }

    fn phase(&self, plan: Plan, window: Window) -> Arc<Run> {
        Run::new(plan, self.global, self.began, window, self.queue, &self.names, &self.ledger)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn all(mut self, client: &Client) -> anyhow::Result<Measured> {
        if self.plan.workload == Workload::Drain {
            let run = self.phase(self.plan.filling(), Window { from: 0, until: u64::MAX });
            self.send(&run).await?;
        }
        let from = self.now() + nanoseconds(self.plan.warmup);
        let until = self.plan.duration.map_or(u64::MAX, |seconds| from + nanoseconds(seconds));
        let run = self.phase(self.plan.clone(), Window { from, until });
        let before = tokio::spawn(self.usage(from));
        let at_the_end = (until < u64::MAX).then(|| tokio::spawn(self.usage(until)));
        if self.plan.duration.is_none() {
            // Nothing is sent before it is known what was used up till then.
            while !before.is_finished() {
                tokio::task::yield_now().await;
            }
        }
        let (sent, drained) = self.measured(&run).await?;
        let before = before.await?;
        let after = match at_the_end {
            Some(usage) => usage.await?,
            None => self.usage(0).await,
        };
        let verified = if self.plan.verify { Some(self.verify(client, &run).await?) } else { None };
        let spent = [after[0].since(before[0]), after[1].since(before[1])];
        let figures = Figures::of(self.plan, sent.as_ref(), drained.as_ref(), spent, verified);
        Ok(Measured { figures, sent, drained })
    }

    /// What the broker and this process used up until then.
    fn usage(&self, at: u64) -> impl Future<Output = [Usage; 2]> + use<> {
        let early = Duration::from_nanos(at.saturating_sub(self.now()));
        let address = self.global.endpoint.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned());
        let pid = self.pid;
        async move {
            tokio::time::sleep(early).await;
            let broker = pid.map_or_else(Usage::default, Usage::of);
            let own = Usage::of(std::process::id());
            match address {
                Some(address) => [broker.with_figures(&address).await, own],
                None => [broker, own],
            }
        }
    }

    async fn measured(&mut self, run: &Arc<Run>) -> anyhow::Result<(Option<Recorder>, Option<Drained>)> {
        match self.plan.workload {
            Workload::Send => Ok((Some(self.send(run).await?), None)),
            Workload::Drain => {
                run.aim(self.total());
                Ok((None, Some(consume(run).await?)))
            }
            Workload::Both => {
                let mut consuming = JoinSet::new();
                consuming.spawn(drain::drain(Arc::clone(run)));
                let sent = tokio::select! {
                    sent = self.send(run) => sent?,
                    Some(ended) = consuming.join_next() => {
                        ended??;
                        anyhow::bail!("the consumers ended before the producers");
                    }
                };
                run.aim(self.total());
                Ok((Some(sent), Some(until_idle(run, consuming).await?)))
            }
        }
    }

    fn total(&self) -> u64 {
        self.sent.iter().copied().map(u64::from).sum()
    }

    /// Sends by all producers.
    async fn send(&mut self, run: &Arc<Run>) -> anyhow::Result<Recorder> {
        let mut ticks = run.plan.rate.map(|rate| pace::start(run, rate)).unwrap_or_default();
        ticks.reverse();
        let mut senders = JoinSet::new();
        for producer in 0..run.plan.producers {
            let deck = Deck::new(&run.plan, producer, self.number);
            let (run, ticks) = (Arc::clone(run), ticks.pop());
            if run.plan.protocol == Protocol::Stream && run.plan.batch == 1 {
                let name = format!("bench-{producer}");
                senders.spawn(source::send(run, name, deck, ticks));
            } else {
                senders.spawn(lanes::send(run, deck, ticks));
            }
        }
        let mut sum = Recorder::new(run.window);
        while let Some(ended) = senders.join_next().await {
            let (recorder, deck) = ended??;
            sum.add(&recorder);
            deck.made().for_each(|(group, made)| self.sent[group as usize] += made);
        }
        self.called_duplicate += run.called_duplicate.load(std::sync::atomic::Ordering::Acquire);
        Ok(sum)
    }

    /// Follows what was sent to its end, and judges.
    async fn verify(&self, client: &Client, measured: &Run) -> anyhow::Result<Verdict> {
        if self.plan.workload == Workload::Send {
            let run = self.phase(self.plan.emptying(), measured.window);
            run.aim(self.total());
            consume(&run).await?;
        }
        let queue = client.describe_queue(self.queue).await?;
        let left = queue.messages_available + queue.messages_in_flight + queue.messages_delayed;
        Ok(self.ledger.verdict(&self.sent, self.called_duplicate, left))
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_nanos()).unwrap_or(u64::MAX)
}

async fn consume(run: &Arc<Run>) -> anyhow::Result<Drained> {
    let mut consuming = JoinSet::new();
    consuming.spawn(drain::drain(Arc::clone(run)));
    until_idle(run, consuming).await
}

/// Waits for consumers, and ends them when nothing comes any more.
async fn until_idle(run: &Run, mut consuming: JoinSet<anyhow::Result<Drained>>) -> anyhow::Result<Drained> {
    let (mut seen, mut since) = (run.deletes(), Instant::now());
    loop {
        tokio::select! {
            ended = consuming.join_next() => return ended.context("the consumers are gone")??,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = run.deletes();
        if now > seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= IDLE {
            run.end();
        }
    }
}
