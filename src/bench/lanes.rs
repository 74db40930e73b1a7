//! Sending in calls: so many lanes as calls may be unanswered, each with one call at a time. Which messages it has is
//! decided in `line`.

use std::sync::{Arc, Mutex, MutexGuard};

use lockstep_client::{Client, Producer, v1};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    body,
    deck::{Deck, Drawn},
    http::Connection,
    line::Line,
    pace::Ticks,
    plan::Protocol,
    record::Recorder,
    run::Run,
    source,
};

/// What the lanes of a producer share.
struct Shared {
    run: Arc<Run>,
    line: Mutex<Line>,
    /// Groups became free.
    freed: Notify,
    ticks: Option<tokio::sync::Mutex<Ticks>>,
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("nobody panics with the line")
    }
}

/// How a lane makes its calls.
enum Caller {
    Calls(Client),
    Blocks(Producer),
    Sqs(Connection),
}

/// Sends what a producer has to send; what it recorded, and the deck it sent from.
pub(super) async fn send(run: Arc<Run>, deck: Deck, ticks: Option<Ticks>) -> anyhow::Result<(Recorder, Deck)> {
    let client = run.client().await?;
    let in_flight = run.plan.in_flight;
    let producer = client.producer(run.queue.as_str()).max_blocks_in_flight(in_flight as usize);
    let producer = producer.buffer_bytes(1 << 30).build();
    let line = Line::new(deck, Recorder::new(run.window), ticks.is_some());
    let ticks = ticks.map(tokio::sync::Mutex::new);
    let shared = Arc::new(Shared { run: Arc::clone(&run), line: Mutex::new(line), freed: Notify::new(), ticks });
    let mut lanes = JoinSet::new();
    for lane in 0..in_flight {
        let caller = match run.plan.protocol {
            Protocol::Stream => Caller::Blocks(producer.clone()),
            Protocol::Grpc => Caller::Calls(client.clone()),
            Protocol::Sqs => Caller::Sqs(Connection::open(run.address()).await?),
        };
        lanes.spawn(drive(Arc::clone(&shared), lane, caller));
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    let shared = Arc::into_inner(shared).expect("all lanes have ended");
    let line = shared.line.into_inner().expect("nobody panics with the line");
    Ok((line.recorder, line.deck))
}

async fn drive(shared: Arc<Shared>, lane: u32, mut caller: Caller) -> anyhow::Result<()> {
    let (run, mut call) = (Arc::clone(&shared.run), Vec::new());
    loop {
        let mut freed = std::pin::pin!(shared.freed.notified());
        freed.as_mut().enable();
        let ended = {
            let (now, mut line) = (run.now(), shared.line());
            line.ended |= now >= run.window.until;
            line.take(lane, run.plan.batch as usize, now, &mut call);
            line.ended
        };
        if !call.is_empty() {
            caller.call(&run, &call).await?;
            shared.line().answered(&mut call, run.now());
            shared.freed.notify_waiters();
        } else if ended {
            // What waits for a group is taken by whoever has that group.
            return Ok(());
        } else if let Some(ticks) = &shared.ticks {
            let mut times = Vec::new();
            ticks.lock().await.recv_many(&mut times, run.plan.batch as usize).await;
            let mut line = shared.line();
            line.ended |= times.is_empty();
            line.offered.get_or_insert_default().extend(times);
        } else {
            freed.await;
        }
    }
}

impl Caller {
    async fn call(&mut self, run: &Run, call: &[Drawn]) -> anyhow::Result<()> {
        match self {
            Self::Calls(client) => calls(client, run, call).await,
            Self::Blocks(producer) => {
                let messages = call.iter().map(|drawn| source::message(run, drawn)).collect();
                producer.send_batch(messages).await.into_iter().try_for_each(|outcome| run.accepted(outcome))
            }
            Self::Sqs(connection) => sqs(connection, run, call).await,
        }
    }
}

async fn calls(client: &Client, run: &Run, call: &[Drawn]) -> anyhow::Result<()> {
    let entry = |drawn: &Drawn| v1::SendEntry {
        message_group_id: run.name(drawn),
        message_deduplication_id: body::id(&drawn.body).to_owned(),
        body: drawn.body.clone(),
        ..v1::SendEntry::default()
    };
    let queue = run.queue.clone();
    if run.plan.batch == 1 {
        let entry = call.first().map(entry);
        let request = v1::SendRequest { queue, queue_generation: None, entry, session: None };
        return run.accepted(client.send(request).await);
    }
    let entries = call.iter().map(entry).collect();
    let request = v1::SendBatchRequest { queue, queue_generation: None, entries, session: None };
    client.send_batch(request).await?.into_iter().try_for_each(|outcome| run.accepted(outcome))
}

async fn sqs(connection: &mut Connection, run: &Run, call: &[Drawn]) -> anyhow::Result<()> {
    let batch = run.plan.batch > 1;
    let text = connection.request();
    text.push_str("{\"QueueUrl\":\"http://localhost/000000000000/");
    text.push_str(&run.queue);
    text.push_str(if batch { "\",\"Entries\":[" } else { "\"" });
    for (index, drawn) in call.iter().enumerate() {
        text.push_str(match (batch, index) {
            (false, _) => ",",
            (true, 0) => "{\"Id\":\"",
            (true, _) => ",{\"Id\":\"",
        });
        if batch {
            text.push_str(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][index]);
            text.push_str("\",");
        }
        // Neither bodies nor names have anything to escape.
        text.push_str("\"MessageBody\":\"");
        text.push_str(body::text(&drawn.body));
        text.push_str("\",\"MessageGroupId\":\"");
        text.push_str(&run.names[drawn.group as usize]);
        text.push_str("\",\"MessageDeduplicationId\":\"");
        text.push_str(body::id(&drawn.body));
        text.push_str(if batch { "\"}" } else { "\"" });
    }
    text.push_str(if batch { "]}" } else { "}" });
    let answer = connection.call(if batch { "SendMessageBatch" } else { "SendMessage" }).await?;
    anyhow::ensure!(!batch || !answer.contains("\"Failed\":[{"), "the broker refused messages: {answer}");
    // This wire does not say which message is a duplicate: the ledger shows it as lost.
    Ok(())
}
