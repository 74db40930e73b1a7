//! Delivering and deleting, over the stream, in gRPC calls, and over the SQS wire, until everything is deleted.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use lockstep_client::{ConsumeStream, Consumer, Deleting, Delivery, Error};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{
    http::Connection,
    plan::{Protocol, Workload},
    record::{Latencies, Recorder},
    run::Run,
};

/// How long a receive waits for messages.
const WAIT: Duration = Duration::from_secs(1);

/// What consumers recorded.
#[derive(Clone, Debug)]
pub(super) struct Drained {
    /// From the asking for a delete to its answer.
    pub(super) deletes: Recorder,
    /// From when a message was to be sent to its delivery.
    pub(super) deliveries: Latencies,
}

impl Drained {
    pub(super) fn new(run: &Run) -> Self {
        Self { deletes: Recorder::new(run.window), deliveries: Latencies::default() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.deletes.add(&other.deletes);
        self.deliveries.add(&other.deliveries);
    }

    /// A message came.
    fn came(&mut self, run: &Run, now: u64, body: &[u8]) {
        let stamp = run.ledger.saw(body);
        if run.plan.workload == Workload::Both
            && self.deletes.measures(now)
            && let Some(stamp) = stamp
        {
            self.deliveries.record(now.saturating_sub(stamp.time));
        }
    }

    /// So many of them were deleted.
    fn deleted(&mut self, run: &Run, asked: u64, messages: usize) {
        let now = run.now();
        (0..messages).for_each(|_| self.deletes.done(now, asked));
        run.deleted(messages as u64);
    }
}

/// Consumes until all is over; what was recorded.
pub(super) async fn drain(run: Arc<Run>) -> anyhow::Result<Drained> {
    let mut tasks = JoinSet::new();
    for _ in 0..run.plan.consumers {
        let client = run.client().await?;
        let options = client
            .consumer(run.queue.as_str())
            .visibility_timeout(Duration::from_secs(super::run::HELD_SECONDS.into()));
        match run.plan.protocol {
            Protocol::Stream => {
                tasks.spawn(over_stream(
                    Arc::clone(&run),
                    options.max_messages(run.plan.in_flight.saturating_mul(run.plan.batch)).stream(),
                ));
            }
            Protocol::Grpc => {
                let consumer = options.max_messages(run.plan.batch).wait(WAIT).build();
                for _ in 0..run.plan.in_flight {
                    tasks.spawn(in_calls(Arc::clone(&run), consumer.clone()));
                }
            }
            Protocol::Sqs => {
                for _ in 0..run.plan.in_flight {
                    tasks.spawn(over_sqs(Arc::clone(&run), Connection::open(run.address()).await?));
                }
            }
        }
    }
    let mut sum = Drained::new(&run);
    while let Some(ended) = tasks.join_next().await {
        sum.add(&ended??);
    }
    Ok(sum)
}

async fn over_stream(run: Arc<Run>, mut stream: ConsumeStream) -> anyhow::Result<Drained> {
    let (mut over, mut drained) = (run.over(), Drained::new(&run));
    let mut deleting: VecDeque<(u64, Deleting)> = VecDeque::new();
    let batch = run.plan.batch as usize;
    while !run.is_over() {
        let came = tokio::select! {
            biased;
            came = stream.next() => Some(came),
            answer = async { (&mut deleting.front_mut().expect("it is not empty").1).await }, if !deleting.is_empty() => {
                deleted(answer)?;
                let (asked, _) = deleting.pop_front().expect("it was just answered");
                drained.deleted(&run, asked, 1);
                None
            }
            _ = over.changed() => break,
        };
        let (mut next, mut together) = (came, Vec::new());
        while let Some(delivery) = next {
            let delivery = delivery?;
            drained.came(&run, run.now(), &delivery.body);
            together.push(delivery);
            next = if together.len() < batch { stream.try_next() } else { None };
        }
        // Nothing is waited for here: the deletes of a batch travel together, and those of several batches are under way.
        let now = run.now();
        deleting.extend(together.iter().map(|delivery| (now, stream.start_delete(delivery))));
        while let Some((asked, some)) = deleting.front_mut()
            && let Some(answer) = some.try_answer()
        {
            deleted(answer)?;
            drained.deleted(&run, *asked, 1);
            deleting.pop_front();
        }
    }
    Ok(drained)
}

fn deleted(answer: Result<lockstep_client::Deleted, Error>) -> anyhow::Result<()> {
    anyhow::ensure!(!answer?.already_gone, "a delivered message was gone before it was deleted");
    Ok(())
}

async fn in_calls(run: Arc<Run>, consumer: Consumer) -> anyhow::Result<Drained> {
    let (mut over, mut drained) = (run.over(), Drained::new(&run));
    while !run.is_over() {
        let deliveries: Vec<Delivery> = tokio::select! {
            deliveries = consumer.receive() => deliveries?,
            _ = over.changed() => break,
        };
        let now = run.now();
        deliveries.iter().for_each(|delivery| drained.came(&run, now, &delivery.body));
        if let [delivery] = deliveries.as_slice() {
            deleted(delivery.delete().await)?;
        } else {
            for answer in consumer.delete_all(&deliveries).await {
                deleted(answer)?;
            }
        }
        drained.deleted(&run, now, deliveries.len());
    }
    Ok(drained)
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(rename = "Messages", borrow, default)]
    messages: Vec<ReceivedMessage<'a>>,
}

#[derive(Deserialize)]
struct ReceivedMessage<'a> {
    #[serde(rename = "Body", borrow)]
    body: Cow<'a, str>,
    #[serde(rename = "ReceiptHandle", borrow)]
    handle: Cow<'a, str>,
}

async fn over_sqs(run: Arc<Run>, mut connection: Connection) -> anyhow::Result<Drained> {
    let (mut over, mut drained) = (run.over(), Drained::new(&run));
    let mut handles: Vec<String> = Vec::new();
    let url = format!("{{\"QueueUrl\":\"http://localhost/000000000000/{}\"", run.queue);
    let receive = format!(
        "{url},\"MaxNumberOfMessages\":{},\"VisibilityTimeout\":{},\"WaitTimeSeconds\":{}}}",
        run.plan.batch,
        super::run::HELD_SECONDS,
        WAIT.as_secs()
    );
    while !run.is_over() {
        connection.request().push_str(&receive);
        let answer = tokio::select! {
            answer = connection.call("ReceiveMessage") => answer?,
            _ = over.changed() => break,
        };
        let now = run.now();
        let received: Received = serde_json::from_str(answer)?;
        handles.clear();
        for message in received.messages {
            drained.came(&run, now, message.body.as_bytes());
            handles.push(message.handle.into_owned());
        }
        let request = connection.request();
        request.push_str(&url);
        let operation = match handles.as_slice() {
            [] => continue,
            [handle] => {
                request.extend([",\"ReceiptHandle\":\"", handle, "\"}"]);
                "DeleteMessage"
            }
            several => {
                request.push_str(",\"Entries\":[");
                for (index, handle) in several.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    request.extend([comma, "{\"Id\":\"", &index.to_string(), "\",\"ReceiptHandle\":\"", handle, "\"}"]);
                }
                request.push_str("]}");
                "DeleteMessageBatch"
            }
        };
        let answer = connection.call(operation).await?;
        anyhow::ensure!(!answer.contains("\"Failed\":[{"), "the broker refused deletes: {answer}");
        drained.deleted(&run, now, handles.len());
    }
    Ok(drained)
}
