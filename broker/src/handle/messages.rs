//! Sending, receiving and finishing messages, as fronts see it: bytes and texts on one side, the engine's words on
//! the other.

use std::collections::BTreeSet;

use bytes::Bytes;
use lockstep_engine::{
    Rejected,
    command::{ChangeVisibility, Command, Delete, QueueRef, Receive, SendEntry},
    reply::{Accepted, Deleted, Delivered, Origin},
    view::{ClaimedMessage, PeekedMessage},
    words::{
        BodyOwner, BodyRef, ContentDigest, DeduplicationId, DeduplicationKey, Epoch, GroupId, Label, QueueGeneration,
        Receipt, SendNumber, SequenceNumber, Timestamp,
    },
};
use lockstep_proto::storage::StoredMessage;
use uuid::Uuid;

use super::{
    Handle, MessageAttributes,
    pending::prepare_send,
    places::{Wanted, stored_message},
};
use crate::{codec, failure::Failure, identity, poll::Peek, request::CommandRequest};

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its group; for a standard queue it may be [`GroupId::none`] (S12).
    pub group: GroupId,
    /// Its deduplication id; absent: the SHA-256 of the body, where the queue allows it (S2, S3). Not for a standard
    /// queue (B5).
    pub deduplication_id: Option<DeduplicationId>,
    /// Its body.
    pub body: Bytes,
    /// Its own delay in milliseconds; not on a FIFO queue (S10).
    pub delay: Option<u64>,
    /// Its attributes; they count in its size (L2, L7).
    pub attributes: MessageAttributes,
    /// The system attribute `AWSTraceHeader`; it does not count (L2, R8). Empty: none.
    pub trace_header: String,
    /// The system attribute `SenderId`, where the front knows who sends; it does not count (L2, R8). Empty: nobody said.
    pub sender_id: String,
}

impl NewMessage {
    /// The entry that the engine judges, the bytes that are stored, and what both count in a frame. A standard queue
    /// keeps the group with the body: it is delivered, and nothing else (S12).
    pub(super) fn prepare(mut self, fifo: bool) -> (SendEntry, Bytes, u64) {
        if !fifo {
            let (explicit_id, unused) = (self.deduplication_id.is_some(), DeduplicationKey([0; 16]));
            let group = self.group.to_string();
            return self.with_keys(explicit_id, (unused, unused), "", group);
        }
        let explicit_id = self.deduplication_id.is_some();
        let id = self.deduplication_id.take().unwrap_or_else(|| identity::content_id(&self.body));
        let keys = identity::deduplication_keys(&self.group, &id);
        self.with_keys(explicit_id, keys, id.as_str(), String::new())
    }

    /// The same of a numbered message (B3).
    pub(super) fn prepare_numbered(
        self,
        producer: &Label,
        epoch: Epoch,
        number: SendNumber,
    ) -> (SendEntry, Bytes, u64) {
        if self.deduplication_id.is_some() {
            return self.prepare(true);
        }
        let key = identity::numbered_key(producer, epoch, number);
        self.with_keys(true, (key, key), &identity::numbered_id(producer, epoch, number), String::new())
    }

    /// What a repeat of its number must have again (B3).
    pub(super) fn digest(&self) -> ContentDigest {
        let parts = self.attributes.iter().map(|it| [it.name.as_bytes(), it.data_type.as_bytes(), it.value.as_bytes()]);
        identity::message_digest(&self.group, self.deduplication_id.as_ref(), &self.body, self.delay, parts)
    }

    fn with_keys(
        self,
        explicit_id: bool,
        (queue_key, group_key): (DeduplicationKey, DeduplicationKey),
        id: &str,
        message_group_id: String,
    ) -> (SendEntry, Bytes, u64) {
        let size = u32::try_from(self.body.len() + self.attributes.size()).unwrap_or(u32::MAX);
        let stored = codec::encode_message(&StoredMessage {
            body: self.body,
            message_deduplication_id: id.to_owned(),
            attributes: self.attributes.stored(),
            aws_trace_header: self.trace_header,
            message_group_id,
            sender_id: self.sender_id,
        });
        let bytes = stored.len() as u64 + self.group.as_str().len() as u64;
        (SendEntry { group: self.group, explicit_id, queue_key, group_key, size, delay: self.delay }, stored, bytes)
    }
}

/// The numbers of messages that are sent within a producer's session (B3).
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The producer's name.
    pub producer: Label,
    /// The epoch that opening it gave.
    pub epoch: Epoch,
    /// The number of the first message.
    pub first: SendNumber,
}

/// A delivered message with its body.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What the engine says.
    pub delivered: Delivered,
    /// Its group and its number, if it is of a FIFO queue; of a standard queue the group that it was given (S12).
    pub place: (String, Option<SequenceNumber>),
    /// The message's id (H9).
    pub message_id: Uuid,
    /// Its deduplication id.
    pub deduplication_id: String,
    /// Its body.
    pub body: Bytes,
    /// Its attributes (L7).
    pub attributes: MessageAttributes,
    /// Its trace header; empty: none (R8).
    pub trace_header: String,
    /// Who sent it; empty: nobody said (R8).
    pub sender_id: String,
    /// The sealed receipt.
    pub receipt_handle: String,
}

/// A message that was looked at, with its body.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// What the engine says.
    pub peeked: PeekedMessage,
    /// Its group; in a standard queue the one that it was given, which may be empty (S12).
    pub group: String,
    /// The message's id (H9).
    pub message_id: Uuid,
    /// Its deduplication id.
    pub deduplication_id: String,
    /// Its body.
    pub body: Bytes,
    /// Its attributes (L7).
    pub attributes: MessageAttributes,
    /// Its trace header; empty: none (R8).
    pub trace_header: String,
}

/// A message of a claim with its body.
#[derive(Clone, Debug)]
pub struct ClaimedBody {
    /// What the engine says.
    pub claimed: ClaimedMessage,
    /// The message's id (H9).
    pub message_id: Uuid,
    /// Its deduplication id.
    pub deduplication_id: String,
    /// Its body.
    pub body: Bytes,
    /// Its attributes (L7).
    pub attributes: MessageAttributes,
    /// Its trace header; empty: none (R8).
    pub trace_header: String,
}

impl Handle {
    /// Sends messages in order; one outcome for each (S9). A rejected one rejects the later ones of its group (H1).
    ///
    /// # Errors
    /// The queue, or this generation of it, is not there; [`Failure::Draining`].
    pub async fn send(
        &self,
        queue: QueueRef,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Accepted, Rejected>>, Failure> {
        let (send, bodies, bytes) = prepare_send(queue, None, messages);
        self.admitted(send, bodies, bytes).await
    }

    /// Sends messages in order under the numbers of a producer's session (B3); one outcome for each. What was used
    /// before is answered as it was; a message without a deduplication id is known by its number alone.
    ///
    /// # Errors
    /// The queue or the session is not there, the epoch is fenced, a gap, a number used for another content: nothing
    /// was stored.
    pub async fn send_numbered(
        &self,
        queue: QueueRef,
        session: NewSession,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Accepted, Rejected>>, Failure> {
        let (send, bodies, bytes) = prepare_send(queue, Some(session), messages);
        self.admitted(send, bodies, bytes).await
    }

    /// A send, unless the broker drains.
    pub(super) async fn admitted<C>(&self, command: C, bodies: Vec<Bytes>, bytes: u64) -> Result<C::Reply, Failure>
    where
        C: Command + Send + 'static,
        C::Reply: Send + 'static,
    {
        let share = Some(self.share(bytes)?);
        let answered = {
            let _open = self.drain.admit()?;
            self.put(|answer| Box::new(CommandRequest { command, bodies, bytes, answer, _share: share }))?
        };
        answered.await.unwrap_or_else(|_| Err(self.unavailable()))
    }

    /// Takes messages; waits so many milliseconds for the first, or as long as the queue says (O1, R1, R2).
    ///
    /// # Errors
    /// The queue is not there, or went; [`Failure::Damaged`] when nothing but messages with damaged bodies is there.
    pub async fn receive(&self, command: Receive, wait: Option<u64>) -> Result<Vec<Delivery>, Failure> {
        let fifo = command.queue.name.is_fifo();
        let delivered = self.poll(command, wait).await?;
        let wanted = delivered.iter().map(|it| wanted(it.generation, it.sequence, it.body)).collect();
        let mut stopped = Stopped::default();
        let mut deliveries = Vec::with_capacity(delivered.len());
        for (delivered, found) in delivered.into_iter().zip(self.fetch(wanted).await?) {
            // A message that ended since is delivered to nobody.
            let Some(found) = found else { continue };
            let (group, sequence) = (&delivered.group, delivered.sequence);
            let Some(stored) = stopped.judge(group, sequence, stored_message(found)) else { continue };
            let names =
                self.names(delivered.generation, sequence, delivered.origin.as_ref(), stored.message_deduplication_id);
            let place = match fifo {
                true => (delivered.group.to_string(), Some(sequence)),
                false => (stored.message_group_id, None),
            };
            deliveries.push(Delivery {
                place,
                message_id: names.0,
                deduplication_id: names.1,
                body: stored.body,
                attributes: MessageAttributes::read(stored.attributes),
                trace_header: stored.aws_trace_header,
                sender_id: stored.sender_id,
                receipt_handle: self.receipts.seal(receipt_of(&delivered)),
                delivered,
            });
        }
        stopped.unless_any(deliveries)
    }

    /// Deletes received messages, judged as a set; one outcome for each receipt.
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn delete(&self, command: Delete) -> Result<Vec<Result<Deleted, Rejected>>, Failure> {
        self.command(command).await
    }

    /// Changes how long received messages stay hidden; one outcome, the new instant, for each (R5, R6).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn change_visibility(
        &self,
        command: ChangeVisibility,
    ) -> Result<Vec<Result<Timestamp, Rejected>>, Failure> {
        self.command(command).await
    }

    /// Looks at messages after a number without taking them; waits so many milliseconds for the first.
    ///
    /// # Errors
    /// The queue is not there, or went; [`Failure::Damaged`] when nothing but messages with damaged bodies is there.
    pub async fn peek(
        &self,
        queue: QueueRef,
        group: Option<GroupId>,
        after: SequenceNumber,
        max: usize,
        wait: u64,
    ) -> Result<Vec<Peeked>, Failure> {
        let (fifo, max_bytes) = (queue.name.is_fifo(), crate::limits::ANSWER_BYTES);
        let peeked = self.poll(Peek { queue, group, after, max, max_bytes }, Some(wait)).await?;
        let wanted = peeked.iter().map(|it| wanted(it.generation, it.sequence, it.body)).collect();
        let mut first_damage = None;
        let mut messages = Vec::with_capacity(peeked.len());
        for (peeked, found) in peeked.into_iter().zip(self.fetch(wanted).await?) {
            let Some(found) = found else { continue };
            match stored_message(found) {
                Ok(stored) => {
                    let (given, origin) = (stored.message_deduplication_id, peeked.origin.as_ref());
                    let names = self.names(peeked.generation, peeked.sequence, origin, given);
                    messages.push(Peeked {
                        group: if fifo { peeked.group.to_string() } else { stored.message_group_id },
                        message_id: names.0,
                        deduplication_id: names.1,
                        body: stored.body,
                        attributes: MessageAttributes::read(stored.attributes),
                        trace_header: stored.aws_trace_header,
                        peeked,
                    });
                }
                Err(fault) => {
                    first_damage.get_or_insert(damaged(peeked.sequence, fault));
                }
            }
        }
        match first_damage {
            Some(damage) if messages.is_empty() => Err(damage),
            Some(_) | None => Ok(messages),
        }
    }

    /// A message's id and its deduplication id. A dead letter keeps the id it was sent under (H9), and its deduplication
    /// id is that id, so that no key of the queue it went to can be meant (Q3).
    fn names(
        &self,
        generation: QueueGeneration,
        sequence: SequenceNumber,
        origin: Option<&Origin>,
        given: String,
    ) -> (Uuid, String) {
        match origin {
            Some(origin) => {
                let id = self.message_id(origin.generation, origin.sequence);
                (id, id.to_string())
            }
            None => (self.message_id(generation, sequence), given),
        }
    }

    /// The messages of a part of a claim with their bodies.
    pub(super) async fn claimed_bodies(
        &self,
        generation: QueueGeneration,
        claimed: Vec<ClaimedMessage>,
    ) -> Result<Vec<ClaimedBody>, Failure> {
        let wanted = claimed.iter().map(|it| wanted(generation, it.sequence, it.body)).collect();
        let with_body = |(claimed, found): (ClaimedMessage, Option<_>)| {
            // A claimed message ends with its claim, and not before.
            let found = found.ok_or(Failure::Rejected(Rejected::ClaimNotOpen))?;
            let stored = stored_message(found).map_err(|fault| damaged(claimed.sequence, fault))?;
            let (given, origin) = (stored.message_deduplication_id, claimed.origin.as_ref());
            let names = self.names(generation, claimed.sequence, origin, given);
            Ok(ClaimedBody {
                message_id: names.0,
                deduplication_id: names.1,
                attributes: MessageAttributes::read(stored.attributes),
                trace_header: stored.aws_trace_header,
                body: stored.body,
                claimed,
            })
        };
        claimed.into_iter().zip(self.fetch(wanted).await?).map(with_body).collect()
    }
}

pub(super) fn wanted(queue: QueueGeneration, sequence: SequenceNumber, body: BodyRef) -> Wanted {
    Wanted { queue, owner: BodyOwner::Message(sequence), body }
}

fn receipt_of(delivered: &Delivered) -> Receipt {
    Receipt { generation: delivered.generation, sequence: delivered.sequence, epoch: delivered.epoch }
}

/// A failure that is logged where it is found: an operator must hear of it even if the caller does not say.
pub(super) fn damaged(sequence: SequenceNumber, fault: String) -> Failure {
    tracing::error!(%sequence, %fault, "a stored body cannot be read (H6)");
    Failure::Damaged { sequence, fault }
}

/// Groups that a damaged body stops: nothing behind it may overtake it (H6). The other groups flow.
#[derive(Default)]
struct Stopped {
    groups: BTreeSet<GroupId>,
    first: Option<Failure>,
}

impl Stopped {
    fn judge<T>(&mut self, group: &GroupId, sequence: SequenceNumber, body: Result<T, String>) -> Option<T> {
        match body {
            Ok(_) if self.groups.contains(group) => None,
            Ok(body) => Some(body),
            Err(fault) => {
                self.groups.insert(group.clone());
                self.first.get_or_insert(damaged(sequence, fault));
                None
            }
        }
    }

    fn unless_any<T>(self, found: Vec<T>) -> Result<Vec<T>, Failure> {
        match self.first {
            Some(failure) if found.is_empty() => Err(failure),
            Some(_) | None => Ok(found),
        }
    }
}
