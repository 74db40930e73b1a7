//! Questions as calls of the broker's handle, and its answers as plain numbers. What the network does to them is not
//! known here, nor what they should be.

use bytes::Bytes;
use lockstep_broker::{Failure, Handle, NewCommit, NewMessage, NewOutput, NewSession, NewTarget, NewValue};
use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{
        Abandon, ChangeVisibility, Claim, Delete, GroupOutcome, OpenProducer, OpenReader, Park, PurgeQueue, QueueRef,
        ReaderRef, Receive, Rest, SetQueueAttributes, StartMoveTask, TakeClaim, Unpark,
    },
    reply,
    words::{
        AttemptId, ClaimNumber, ContentDigest, DeduplicationId, Epoch, GroupId, Label, QueueGeneration, QueueName,
        Receipt, SendNumber, SequenceNumber, ValueKey,
    },
};

use crate::history::{self, Accepted, Answer, Ask, Claimed, Delivered, Entry, ReaderAt, STRANGE, Seen};

/// The name of a queue by its index.
pub(crate) fn queue_name(queue: usize) -> QueueName {
    QueueName::parse(&format!("q{queue}.fifo")).expect("a letter, a number and the suffix are a name")
}

fn queue_ref(queue: usize) -> QueueRef {
    QueueRef { name: queue_name(queue), generation: None }
}

fn label(kind: &str, number: u64) -> Label {
    Label::parse(&format!("{kind}{number}")).expect("a word and a number are a label")
}

fn group(number: u64) -> GroupId {
    GroupId::parse(&format!("g{number}")).expect("a letter and a number are a group")
}

fn number(text: &str, prefix: &str) -> u64 {
    text.strip_prefix(prefix).and_then(|digits| digits.parse().ok()).unwrap_or(STRANGE)
}

/// The bytes of a body: most are short, some are not.
fn body(number: u64) -> Bytes {
    let filler = if number.is_multiple_of(97) { 6_000 } else { usize::try_from(number * 37 % 90).expect("below 90") };
    format!("m{number}.{}", "x".repeat(filler)).into()
}

fn body_number(bytes: &Bytes) -> u64 {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let found = number(text.split('.').next().unwrap_or_default(), "m");
    if found != STRANGE && body(found) == *bytes { found } else { STRANGE }
}

fn message(entry: &Entry) -> NewMessage {
    let id = |id| DeduplicationId::parse(&format!("d{id}")).expect("a letter and a number are an id");
    NewMessage {
        group: group(entry.group),
        deduplication_id: entry.id.map(id),
        body: body(entry.body),
        delay: None,
        attributes: Default::default(),
        trace_header: String::new(),
        sender_id: String::new(),
    }
}

fn reader(at: ReaderAt) -> ReaderRef {
    let (queue, name) = (queue_ref(at.queue), label("reader", at.reader));
    ReaderRef { queue, name, generation: Some(Epoch(at.generation)) }
}

fn receipt(queue: usize, (sequence, epoch): history::Receipt) -> Receipt {
    // Queues are created in the order of their indices, and stay.
    let generation = QueueGeneration(queue as u64 + 1);
    Receipt { generation, sequence: SequenceNumber(sequence), epoch: Epoch(epoch) }
}

/// A dead letter's identity, as queues are counted here.
fn origin(origin: Option<&reply::Origin>) -> Option<(usize, u64)> {
    origin.map(|origin| (usize::try_from(origin.generation.0).map_or(usize::MAX, |it| it - 1), origin.sequence.0))
}

fn refusal(rejected: &Rejected) -> String {
    first_word(&format!("{rejected:?}"))
}

fn first_word(text: &str) -> String {
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

fn outcomes<T, U>(all: Vec<Result<T, Rejected>>, of: impl Fn(T) -> U) -> Vec<Result<U, String>> {
    all.into_iter().map(|one| one.map(&of).map_err(|rejected| refusal(&rejected))).collect()
}

fn accepted(accepted: reply::Accepted) -> Accepted {
    Accepted { sequence: accepted.sequence.0, duplicate: accepted.duplicate }
}

fn answer_of(result: Result<Answer, Failure>) -> Answer {
    match result {
        Ok(answer) => answer,
        Err(Failure::Rejected(rejected)) => Answer::Refused(refusal(&rejected)),
        Err(Failure::Unavailable(_)) => Answer::Unavailable,
        // Nothing was decided.
        Err(failure) => Answer::Refused(first_word(&format!("{failure:?}"))),
    }
}

/// Asks the broker.
pub(crate) async fn perform(handle: Handle, ask: Ask) -> Answer {
    answer_of(match ask {
        Ask::Claim { .. } | Ask::Take { .. } | Ask::Read { .. } | Ask::Abandon { .. } | Ask::Open { .. } => {
            of_readers(&handle, ask).await
        }
        Ask::Delay { .. } | Ask::Move { .. } | Ask::Park { .. } | Ask::Unpark { .. } | Ask::Purge { .. } => {
            of_queues(&handle, ask).await
        }
        Ask::Commit { .. } | Ask::Finish { .. } | Ask::Values { .. } => commit(&handle, ask).await,
        ask => of_messages(&handle, ask).await,
    })
}

async fn of_messages(handle: &Handle, ask: Ask) -> Result<Answer, Failure> {
    Ok(match ask {
        Ask::Send { queue, entries } => {
            let messages = entries.iter().map(message).collect();
            Answer::Sent(outcomes(handle.send(queue_ref(queue), messages).await?, accepted))
        }
        Ask::OpenProducer { queue, producer, instance } => {
            let (producer, instance) = (label("producer", producer), label("instance", instance));
            let opened = handle.open_producer(OpenProducer { queue: queue_ref(queue), producer, instance }).await?;
            Answer::Producer { epoch: opened.epoch.0, last: opened.last.0 }
        }
        Ask::Numbered { queue, producer, epoch, first, entries } => {
            let messages = entries.iter().map(message).collect();
            let (producer, epoch, first) = (label("producer", producer), Epoch(epoch), SendNumber(first));
            let session = NewSession { producer, epoch, first };
            Answer::Sent(outcomes(handle.send_numbered(queue_ref(queue), session, messages).await?, accepted))
        }
        Ask::Receive { queue, max, visibility, wait, attempt } => {
            let id = |number| AttemptId::parse(&format!("a{number}")).expect("a letter and a number are an id");
            let attempt = attempt.map(|number| handle.attempt_key(&id(number)));
            let command = Receive { queue: queue_ref(queue), max_messages: max, visibility, attempt };
            let deliveries = handle.receive(command, Some(wait)).await?;
            Answer::Received(deliveries.iter().map(|delivery| delivered(handle, delivery)).collect())
        }
        Ask::Delete { queue, receipts } => {
            let receipts = receipts.into_iter().map(|each| receipt(queue, each)).collect();
            let deleted = handle.delete(Delete { queue: queue_ref(queue), receipts }).await?;
            Answer::Deleted(outcomes(deleted, |deleted| deleted.already_gone))
        }
        Ask::Change { queue, entries } => {
            let entries = entries.into_iter().map(|(each, timeout)| (receipt(queue, each), timeout)).collect();
            let changed = handle.change_visibility(ChangeVisibility { queue: queue_ref(queue), entries }).await?;
            Answer::Changed(outcomes(changed, |visible_at| visible_at.0))
        }
        Ask::Peek { queue } => {
            let peeked = handle.peek(queue_ref(queue), None, SequenceNumber(0), 1_000, 0).await?;
            let seen = peeked.iter().map(|peeked| Seen {
                sequence: peeked.peeked.sequence.0,
                group: number(peeked.peeked.group.as_str(), "g"),
                body: body_number(&peeked.body),
                sent_at: peeked.peeked.sent_at.0,
                origin: origin(peeked.peeked.origin.as_ref()),
            });
            Answer::Peeked(seen.collect())
        }
        Ask::Count { queue } => {
            let view = handle.describe_queue(queue_ref(queue)).await?;
            Answer::Counted(view.available + view.in_flight + view.claimed + view.delayed)
        }
        ask => unreachable!("{ask:?} is asked elsewhere"),
    })
}

async fn of_queues(handle: &Handle, ask: Ask) -> Result<Answer, Failure> {
    Ok(match ask {
        Ask::Delay { queue, delay } => {
            let changes = AttributeChanges { delay: Some(delay), ..AttributeChanges::default() };
            handle.set_queue_attributes(SetQueueAttributes { queue: queue_ref(queue), changes }).await?;
            Answer::Done
        }
        Ask::Move { queue, to, rate } => {
            let command = StartMoveTask { source: queue_ref(queue), destination: to.map(queue_name), rate };
            Answer::Moving(handle.start_move_task(command).await?.task.0)
        }
        Ask::Park { queue, group: parked } => {
            handle.park(Park { queue: queue_ref(queue), group: group(parked) }).await?;
            Answer::Done
        }
        Ask::Unpark { queue, group: parked } => {
            handle.unpark(Unpark { queue: queue_ref(queue), group: parked.map(group) }).await?;
            Answer::Done
        }
        Ask::Purge { queue } => Answer::Purged(handle.purge_queue(PurgeQueue { queue: queue_ref(queue) }).await?),
        ask => unreachable!("{ask:?} is asked elsewhere"),
    })
}

fn delivered(handle: &Handle, delivery: &lockstep_broker::Delivery) -> Delivered {
    let it = &delivery.delivered;
    let sealed = Receipt { generation: it.generation, sequence: it.sequence, epoch: it.epoch };
    let opened = handle.receipt(&delivery.receipt_handle);
    Delivered {
        seen: Seen {
            sequence: it.sequence.0,
            group: number(it.group.as_str(), "g"),
            // A handle that does not stand for its delivery makes the delivery worthless (H9).
            body: if opened == Ok(sealed) { body_number(&delivery.body) } else { STRANGE },
            sent_at: it.sent_at.0,
            origin: origin(it.origin.as_ref()),
        },
        epoch: it.epoch.0,
        visible_at: it.visible_at.0,
        receives: it.receives,
    }
}

async fn of_readers(handle: &Handle, ask: Ask) -> Result<Answer, Failure> {
    Ok(match ask {
        Ask::Open { queue, reader, instance, limit: claim_limit } => {
            let queue = queue_ref(queue);
            let command = OpenReader {
                queue,
                reader: label("reader", reader),
                instance: label("instance", instance),
                claim_limit,
            };
            let opened = handle.open_reader(command).await?;
            Answer::Opened {
                generation: opened.generation.0,
                open: opened.open.iter().map(|claim| (claim.number.0, claim.epoch.0)).collect(),
                last_number: opened.last_number.0,
            }
        }
        Ask::Claim { reader: at, number, max, wait } => {
            let (max_messages, max_bytes, at_least) = (max, 1 << 20, 1);
            let command = Claim { reader: reader(at), number: ClaimNumber(number), max_messages, max_bytes, at_least };
            Answer::Claimed(match handle.claim(command, wait, 0).await? {
                reply::Claimed::Open(claim) => Claimed::Open { epoch: claim.epoch.0 },
                reply::Claimed::Empty => Claimed::Empty,
                reply::Claimed::Committed(commit) => Claimed::Committed { commit: commit.0 },
                reply::Claimed::Burnt => Claimed::Burnt,
            })
        }
        Ask::Take { reader: at, number, worker, failed } => {
            let (number, worker) = (ClaimNumber(number), label("worker", worker));
            let command = TakeClaim { reader: reader(at), number, worker, previous_failed: failed };
            Answer::Taken { epoch: handle.take_claim(command).await?.epoch.0 }
        }
        Ask::Read { reader: at, number, epoch } => {
            let mut pages = handle.read_claim(reader(at), ClaimNumber(number), Epoch(epoch), 0, 1).await?;
            let (mut values, mut messages) = (Vec::new(), Vec::new());
            while let Some((more_values, more_messages)) = pages.next().await? {
                let value = |value: &lockstep_broker::ReadValue| {
                    let group = value.group.as_ref().map_or(STRANGE, |group| self::number(group.as_str(), "g"));
                    (group, folded(&value.value))
                };
                values.extend(more_values.iter().map(value));
                messages.extend(more_messages.iter().map(|claimed| Seen {
                    sequence: claimed.claimed.sequence.0,
                    group: self::number(claimed.claimed.group.as_str(), "g"),
                    body: body_number(&claimed.body),
                    sent_at: claimed.claimed.sent_at.0,
                    origin: origin(claimed.claimed.origin.as_ref()),
                }));
            }
            Answer::Contents { values, messages }
        }
        Ask::Abandon { reader: at, number } => {
            let command = Abandon { reader: reader(at), number: Some(ClaimNumber(number)) };
            Answer::Abandoned(handle.abandon(command).await?.into_iter().map(|number| number.0).collect())
        }
        ask => unreachable!("{ask:?} is asked elsewhere"),
    })
}

fn state_key() -> ValueKey {
    ValueKey::parse("state").expect("a word is a key")
}

/// A group's value: the numbers of the messages in it.
fn folded(bytes: &Bytes) -> Vec<u64> {
    let text = std::str::from_utf8(bytes).unwrap_or("?");
    text.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(STRANGE)).collect()
}

async fn commit(handle: &Handle, ask: Ask) -> Result<Answer, Failure> {
    let outputs_of = |outputs: &[(usize, Entry)]| {
        outputs.iter().map(|(queue, entry)| NewOutput { queue: queue_name(*queue), message: message(entry) }).collect()
    };
    let (queue, id, target, values, outputs) = match ask {
        Ask::Values { reader: at, group: of } => {
            let values = handle.read_values(reader(at), Some(group(of)), String::new(), String::new(), 10).await?;
            return Ok(Answer::Values(values.iter().map(|value| folded(&value.value)).collect()));
        }
        Ask::Commit { reader: at, number, epoch, id, outcomes, values, outputs } => {
            let record = id.is_multiple_of(2).then(|| Bytes::from(format!("record of {id}")));
            let (number, epoch) = (ClaimNumber(number), Epoch(epoch));
            let value = |(of, value): (u64, Vec<u64>)| {
                let text = value.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                NewValue { group: Some(group(of)), key: state_key(), value: Some(text.into()) }
            };
            let rest = |rest| match rest {
                history::Rest::Back => Rest::GivenBack,
                history::Rest::Dead => Rest::HeadDeadLettered,
                history::Rest::Parked => Rest::Parked,
            };
            let outcome = |it: history::Outcome| GroupOutcome {
                group: group(it.group),
                done_through: it.through.map(SequenceNumber),
                rest: rest(it.rest),
            };
            let outcomes = outcomes.into_iter().map(outcome).collect();
            let target = NewTarget::Claim { reader: reader(at), number, epoch, record, outcomes };
            (at.queue, id, target, values.into_iter().map(value).collect(), outputs_of(&outputs))
        }
        Ask::Finish { queue, id, receipts, outputs } => {
            let receipts = receipts.into_iter().map(|each| receipt(queue, each)).collect();
            (queue, id, NewTarget::Deliveries(receipts), Vec::new(), outputs_of(&outputs))
        }
        ask => unreachable!("{ask:?} is asked elsewhere"),
    };
    let digest = ContentDigest(u128::from(id).to_be_bytes());
    let commit = NewCommit { queue: queue_ref(queue), id: label("commit", id), digest, target, values, outputs };
    let committed = handle.commit(commit).await?;
    Ok(Answer::Committed {
        commit: committed.commit.map(|number| number.0),
        outputs: committed.outputs.into_iter().map(accepted).collect(),
        repeated: committed.repeated,
    })
}
