//! A producer's session (B3): every message has a number before its first try, and keeps it, so that no repeat is ever
//! stored twice, however late it comes. One call is unanswered at a time; what a call holds is decided here.

use lockstep_proto::v1;
use tonic::Response;

use crate::{
    Client, Error,
    calls::same_length,
    message::{Message, Sent, send_result},
    producer::entry_size,
    retry::{self, Limit, Repeat, Start},
};

/// The most entries of a call (H1).
const MAX_ENTRIES: usize = 1_000;
/// The most bytes of bodies and ids of a call (H1).
const MAX_BYTES: usize = 1024 * 1024;

/// Sends to one queue under the dense numbers of a named producer. See
/// [`ProducerBuilder::session`](crate::ProducerBuilder::session).
///
/// There is no window in which a message must be sent again: a number that was used is recognised for ever. A message
/// needs no deduplication id; one that is named holds as well, within its window.
#[derive(Debug)]
pub struct Session {
    client: Client,
    queue: String,
    generation: u64,
    name: String,
    epoch: u64,
    next: u64,
    /// Messages from `next` on whose outcome is unknown.
    unanswered: Vec<v1::SendEntry>,
}

impl Session {
    pub(crate) async fn open(
        client: Client,
        queue: String,
        queue_generation: Option<u64>,
        name: String,
        instance: String,
    ) -> Result<Self, Error> {
        let request =
            v1::OpenProducerRequest { queue: queue.clone(), producer: name.clone(), instance, queue_generation };
        let opened = client.open_producer(request).await?;
        let v1::OpenProducerResponse { queue_generation: generation, epoch, last_number } = opened;
        Ok(Session { client, queue, generation, name, epoch, next: last_number + 1, unanswered: Vec::new() })
    }

    /// The highest number that was used, accepted or refused, as far as this session knows: right after its opening,
    /// where the producer stopped. The message sent next gets the number after it.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.next - 1
    }

    /// The epoch of this instance: another instance of the same name gets a higher one, and fences this one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sends a message and waits for its outcome; as [`Session::send_batch`].
    ///
    /// # Errors
    /// See [`Session::send_batch`].
    pub async fn send(&mut self, message: Message) -> Result<Sent, Error> {
        let mut outcomes = self.send_batch(vec![message]).await;
        outcomes.pop().expect("one message has one outcome")
    }

    /// Sends messages in order, in as few calls as the limits allow, and answers one outcome for each. They are tried
    /// within the client's time limit.
    ///
    /// A refused message has used its number, but for `STORAGE_FULL` and a call that was turned away as a whole; it
    /// does not stop those behind it, except for the later ones of its group in the same call (H1). After
    /// [`Error::Unavailable`] the outcome of the rest is unknown: nothing more is sent until [`Session::resume`] has
    /// settled it. Dropping the future of a send is the same.
    pub async fn send_batch(&mut self, messages: Vec<Message>) -> Vec<Result<Sent, Error>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        if !self.unanswered.is_empty() {
            outcomes.resize_with(messages.len(), || Err(unsettled()));
            return outcomes;
        }
        let mut rest = messages.into_iter().map(|message| message.into_entry(|_| String::new())).peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            while let Some(entry) = rest.next_if(|entry| {
                bytes += entry_size(entry);
                self.unanswered.is_empty() || (self.unanswered.len() < MAX_ENTRIES && bytes <= MAX_BYTES)
            }) {
                self.unanswered.push(entry);
            }
            outcomes.extend(self.settle().await);
            if !self.unanswered.is_empty() {
                // What was not tried stays unsent.
                outcomes.extend(rest.by_ref().map(|_| Err(unsettled())));
            }
        }
        outcomes
    }

    /// Sends what is unanswered again, under the numbers that it has: one outcome for each, in order; none when
    /// everything is settled.
    pub async fn resume(&mut self) -> Vec<Result<Sent, Error>> {
        if self.unanswered.is_empty() { Vec::new() } else { self.settle().await }
    }

    /// How many messages have an unknown outcome.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Tries the unanswered messages until their outcome is known, or the time is over.
    async fn settle(&mut self) -> Vec<Result<Sent, Error>> {
        let client = &self.client;
        let session = v1::SendSession { producer: self.name.clone(), epoch: self.epoch, first_number: self.next };
        let request = v1::SendBatchRequest {
            queue: self.queue.clone(),
            queue_generation: Some(self.generation),
            entries: self.unanswered.clone(),
            session: Some(session),
        };
        let call = || {
            let (mut rpc, request) = (client.messages(), request.clone());
            async move { rpc.send_batch(request).await }
        };
        let policy = client.retry_policy();
        let limit = if policy.time_limit.is_zero() { Limit::Once } else { Limit::Total(policy.time_limit) };
        let answer = retry::run(policy, Repeat::Always, Start::now(), limit, call).await.map(Response::into_inner);
        let answer = answer.map_err(|gave_up| client.error(gave_up)).and_then(|answer| {
            same_length(answer.results.len(), self.unanswered.len())?;
            Ok(answer.results)
        });
        match answer {
            Ok(results) => {
                let outcomes: Vec<_> = results.into_iter().map(send_result).collect();
                self.unanswered.clear();
                let used =
                    outcomes.iter().take_while(|outcome| !outcome.as_ref().is_err_and(leaves_its_number)).count();
                self.next += used as u64;
                outcomes
            }
            Err(error) => {
                let outcomes = vec![Err(error.clone()); self.unanswered.len()];
                if !error.is_retryable() {
                    // Refused as a whole: no number was used.
                    self.unanswered.clear();
                }
                outcomes
            }
        }
    }
}

/// A refusal of one entry after which its number, and every later one of the call, is free still.
fn leaves_its_number(error: &Error) -> bool {
    matches!(error.reason(), Some("STORAGE_FULL" | "SEND_NUMBER_INVALID"))
}

fn unsettled() -> Error {
    let message = "earlier messages of the session have an unknown outcome; settle them first, nothing was sent (B3)";
    Error::Unavailable { message: message.to_owned() }
}
