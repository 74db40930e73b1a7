//! `lockstep send`: one message from the command line, or one a line from stdin or a file.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use lockstep_client::{Client, Error, Message, Producer, Sent, Session, v1};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use crate::{
    cli::Global,
    connect::connect,
    exit::{Found, Usage},
    output::{Output, say},
    pipeline::input::{self, GroupBy, IdBy, Mapping},
};

/// Lines that are read and not sent yet.
const MAX_WAITING: usize = 250;

const EXAMPLES: &str = "Examples:
  lockstep send orders.fifo --group customer-7 'one message'
  lockstep send orders.fifo --group a --attribute tenant=blue --attribute weight:Number=7 'with attributes'
  seq 100 | lockstep send orders.fifo --group numbers
  lockstep send chats.fifo --group-by conversation_id --id-by conversation_id,turn --input day.jsonl
  lockstep send orders.fifo --group a --producer billing < lines   each line numbered, 1, 2, 3, …
With --producer a message has the next number of that session (B3): a try that got no answer is repeated under its number,
however late, and another sender of the same name is fenced. The ids of messages are then optional and not made up.
Without it, an id that is not given is the SHA-256 of the body (S3): the same line twice is one message.";

/// Flags of `send`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SendArgs {
    /// The queue.
    queue: String,
    /// The message; without it every line of stdin is one.
    body: Option<String>,
    /// Every line of this file is a message.
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    input: Option<PathBuf>,
    /// The message group of all messages (L5); only a standard queue does without.
    #[arg(long, conflicts_with = "group_by")]
    group: Option<String>,
    /// The deduplication id of the one message (L5).
    #[arg(long, requires = "body")]
    id: Option<String>,
    /// An attribute of every message, up to 10: NAME=VALUE, or NAME:TYPE=VALUE with String, Number or Binary (L7).
    #[arg(long, value_name = "NAME[:TYPE]=VALUE", value_parser = attribute)]
    attribute: Vec<v1::MessageAttribute>,
    /// Hide the messages so long, 0 to 900 seconds; on a standard queue alone, a FIFO queue's delay is its own (S10).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=900))]
    delay: Option<u32>,
    /// Lines are JSON objects; this field is the message group.
    #[arg(long, value_name = "FIELD")]
    group_by: Option<GroupBy>,
    /// Lines are JSON objects; these fields, joined with `/`, are the deduplication id.
    #[arg(long, value_name = "FIELDS|content", conflicts_with = "id")]
    id_by: Option<IdBy>,
    /// Send within the session of this producer, from the number after its last on: 1 to 80 of A-Z a-z 0-9 _ - (B3).
    #[arg(long, value_name = "NAME")]
    producer: Option<String>,
}

/// How messages go out.
enum Sender {
    /// Under their deduplication ids.
    Keyed(Producer),
    /// Under the numbers of a session (B3).
    Numbered(Box<Session>),
}

impl Sender {
    async fn new(args: &SendArgs, client: &Client, patience: Duration) -> Result<Self, Error> {
        let producer = client.producer(args.queue.as_str()).give_up_after(patience);
        let Some(name) = &args.producer else { return Ok(Sender::Keyed(producer.build())) };
        // Each run is an instance of its own: what a former one left unanswered is either stored or not, and the
        // broker says where it stopped.
        let session = producer.session(name, format!("{:032x}", fastrand::u128(..))).await?;
        say(&format!("{name} stopped at number {}", session.last_number()));
        Ok(Sender::Numbered(Box::new(session)))
    }

    async fn send_batch(&mut self, messages: Vec<Message>) -> Vec<Result<Sent, Error>> {
        match self {
            Sender::Keyed(producer) => producer.send_batch(messages).await,
            Sender::Numbered(session) => session.send_batch(messages).await,
        }
    }
}

/// Sends and tells what became of each message.
pub(crate) async fn run(args: SendArgs, global: &Global) -> anyhow::Result<()> {
    if args.is_fifo() && args.group.is_none() && args.group_by.is_none() {
        return Err(Usage("a FIFO queue needs a message group: give --group, or --group-by (S1)".to_owned()).into());
    }
    let client = connect(global).await?;
    // The producer's own limit is the deduplication window (H11); a person at a terminal has less patience. It gives
    // a send a second at least: of no time at all nothing could come back.
    let patience = Duration::from_secs(global.patience.max(1));
    let mut sender = Sender::new(&args, &client, patience).await?;
    let output = global.output();
    if let Some(body) = &args.body {
        let mut message = args.message(body.as_bytes()).map_err(Usage)?;
        if let Some(id) = &args.id {
            message = message.deduplication_id(id);
        }
        let outcomes = sender.send_batch(vec![message]).await;
        for outcome in outcomes {
            show(output, &outcome?)?;
        }
        return Ok(());
    }
    send_lines(args, sender, output).await
}

impl SendArgs {
    fn message(&self, line: &[u8]) -> Result<Message, String> {
        let message = self.addressed(line)?;
        let message = self.attribute.iter().cloned().fold(message, Message::attribute);
        Ok(match self.delay {
            Some(seconds) => message.delay(Duration::from_secs(seconds.into())),
            None => message,
        })
    }

    fn is_fifo(&self) -> bool {
        self.queue.ends_with(".fifo")
    }

    /// A message with its group, and for a FIFO queue its id.
    fn addressed(&self, line: &[u8]) -> Result<Message, String> {
        if self.group_by.is_some() || self.id_by.is_some() {
            let mapping = Mapping {
                group_by: self.group_by.clone().unwrap_or(GroupBy::None),
                id_by: self.id_by.clone().unwrap_or(IdBy::Content),
            };
            let message = mapping.message(line)?;
            let group = self.group.clone().unwrap_or(message.group);
            let sent = Message::new(group, message.body);
            return Ok(if self.names_ids() { sent.deduplication_id(message.id) } else { sent });
        }
        let body = input::body(line)?.to_owned();
        let id = self.names_ids().then(|| lockstep_client::content_id(body.as_bytes()));
        let message = Message::new(self.group.clone().unwrap_or_default(), body);
        Ok(match id {
            Some(id) => message.deduplication_id(id),
            None => message,
        })
    }

    /// In a session a number is key enough, unless ids were asked for: the same line twice is two messages. A standard
    /// queue takes no deduplication id (B5).
    fn names_ids(&self) -> bool {
        self.is_fifo() && (self.producer.is_none() || self.id_by.is_some())
    }
}

/// `NAME=VALUE` or `NAME:TYPE=VALUE`; a Binary's value is the bytes of its text.
fn attribute(text: &str) -> Result<v1::MessageAttribute, String> {
    use v1::message_attribute::Value;
    let (name, value) = text.split_once('=').ok_or("an attribute is NAME=VALUE or NAME:TYPE=VALUE")?;
    let (name, data_type) = name.split_once(':').unwrap_or((name, "String"));
    let value = if data_type.split('.').next() == Some("Binary") {
        Value::BinaryValue(value.as_bytes().to_vec().into())
    } else {
        Value::StringValue(value.to_owned())
    };
    Ok(v1::MessageAttribute { name: name.to_owned(), data_type: data_type.to_owned(), value: Some(value) })
}

/// Lines go out as they come, running ahead of their answers; a bad line ends it, and so does an interrupt: what was sent
/// before is still answered and said.
async fn send_lines(args: SendArgs, sender: Sender, output: Output) -> anyhow::Result<()> {
    let source = args.input.as_ref().map_or("stdin".to_owned(), |path| path.display().to_string());
    let lines = lines(args.input.as_deref())?;
    let (messages_in, messages) = mpsc::channel(MAX_WAITING);
    let reading = tokio::spawn(read(args, source, lines, messages_in));
    let mut told = Told { output, sent: 0, failed: None };
    let interrupted = {
        let stop = reading.abort_handle();
        let interrupted = tokio::spawn(async move {
            let heard = tokio::signal::ctrl_c().await.is_ok();
            stop.abort();
            heard
        });
        let stop = || reading.abort();
        match sender {
            Sender::Keyed(producer) => {
                let mut outcomes = producer.send_all(ReceiverStream::new(messages));
                while let Some(outcome) = outcomes.next().await {
                    told.outcome(outcome, stop)?;
                }
            }
            Sender::Numbered(mut session) => {
                let mut outcomes = session.send_all(ReceiverStream::new(messages));
                while let Some(outcome) = outcomes.next().await {
                    told.outcome(outcome, stop)?;
                }
            }
        }
        interrupted.abort();
        interrupted.await.unwrap_or(false)
    };
    let sent = told.sent;
    if let Some(error) = told.failed {
        return Err(anyhow::Error::new(error).context(format!("{sent} messages were sent")));
    }
    match reading.await {
        Ok(None) if !interrupted => Ok(()),
        Ok(Some(bad)) => Err(Found(format!("{bad}; {sent} messages were sent before it")).into()),
        Ok(None) | Err(_) => Err(Found(format!("interrupted; {sent} messages were sent")).into()),
    }
}

type Line = std::io::Result<Vec<u8>>;

/// Blocking reads have a thread of their own; it ends with the process.
fn lines(input: Option<&Path>) -> anyhow::Result<mpsc::Receiver<Line>> {
    let (lines_in, lines) = mpsc::channel(MAX_WAITING);
    let mut source: Box<dyn BufRead + Send> = match input {
        None => Box::new(BufReader::new(std::io::stdin())),
        Some(path) => {
            let cannot = |error| Usage(format!("cannot read {}: {error}", path.display()));
            Box::new(BufReader::new(File::open(path).map_err(cannot)?))
        }
    };
    std::thread::spawn(move || {
        let mut line = Vec::new();
        loop {
            let read = match input::read_line(source.as_mut(), &mut line, |_| ()) {
                Ok(true) => Ok(line.clone()),
                Ok(false) => return,
                Err(error) => Err(error),
            };
            let broken = read.is_err();
            if lines_in.blocking_send(read).is_err() || broken {
                return;
            }
        }
    });
    Ok(lines)
}

/// Makes messages of lines; what is wrong with the one that cannot be.
async fn read(
    args: SendArgs,
    source: String,
    mut lines: mpsc::Receiver<Line>,
    messages: mpsc::Sender<Message>,
) -> Option<String> {
    let mut number = 0_u64;
    while let Some(line) = lines.recv().await {
        number += 1;
        match line.map_err(|error| error.to_string()).and_then(|line| args.message(&line)) {
            Ok(message) => messages.send(message).await.ok()?,
            Err(what) => return Some(format!("{source}, line {number}: {what}")),
        }
    }
    None
}

/// What became of the lines so far.
struct Told {
    output: Output,
    sent: u64,
    failed: Option<Error>,
}

impl Told {
    /// Shows what is stored, also behind a failure in another group; no more is sent after one.
    fn outcome(&mut self, outcome: Result<Sent, Error>, stop: impl FnOnce()) -> anyhow::Result<()> {
        match outcome {
            Ok(accepted) => {
                self.sent += 1;
                show(self.output, &accepted)
            }
            Err(error) => {
                stop();
                _ = self.failed.get_or_insert(error);
                Ok(())
            }
        }
    }
}

fn show(output: Output, sent: &Sent) -> anyhow::Result<()> {
    let shown = serde_json::json!({
        "message_id": sent.message_id, "sequence_number": sent.sequence_number, "duplicate": sent.duplicate
    });
    output.result(&shown, || {
        let duplicate = if sent.duplicate { " (a duplicate: nothing new was stored)" } else { "" };
        let number = if sent.sequence_number == 0 { String::new() } else { format!("#{} ", sent.sequence_number) };
        format!("{number}{}{duplicate}", sent.message_id)
    })
}
