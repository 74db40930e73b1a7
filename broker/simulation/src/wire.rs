//! The wire between clients and broker: it turns questions into calls of the broker's handle and answers into plain
//! numbers, and it loses, delays, repeats and abandons them. What a call means is not known here.

use std::rc::Rc;

use bytes::Bytes;
use lockstep_broker::{Failure, Handle, NewCommit, NewMessage, NewOutput, NewTarget, NewValue};
use lockstep_engine::{
    Rejected,
    command::{
        Abandon, ChangeVisibility, Claim, Delete, OpenReader, PurgeQueue, QueueRef, ReaderRef, Receive, TakeClaim,
    },
    reply,
    words::{
        ClaimNumber, ContentDigest, DeduplicationId, Epoch, GroupId, Label, QueueGeneration, QueueName, Receipt,
        SequenceNumber, ValueKey,
    },
};

use crate::{
    history::{self, Accepted, Answer, Ask, Claimed, Delivered, Entry, ReaderAt, STRANGE, Seen, What},
    plan::Flaw,
    world::{Shared, sleep, within},
};

/// Asks over a bad network: the answer may be unknown although the broker gave one, or although it was never asked.
pub(crate) async fn ask(world: &Shared, ask: Ask) -> Answer {
    let (lost, late, delay) = {
        let mut world = world.borrow_mut();
        let weather = world.weather;
        let delay = if world.bad_luck(200) { world.rng.u64(..3_000) } else { 0 };
        (world.bad_luck(weather.lost_request), world.bad_luck(weather.late_duplicate), delay)
    };
    if delay > 0 {
        sleep(world, delay).await;
    }
    if late {
        repeat_later(world, ask.clone());
    }
    if lost {
        sleep(world, 500).await;
        return Answer::Unavailable;
    }
    let flaw = world.borrow().plan.flaw;
    if flaw == Some(Flaw::InventedAcceptance)
        && let Ask::Send { entries, .. } = &ask
        && world.borrow_mut().bad_luck(100)
    {
        let sequences = (0..).map(|index| Ok(Accepted { sequence: 1_000_000 + index, duplicate: false }));
        let answer = Answer::Sent(sequences.take(entries.len()).collect());
        let call = world.borrow_mut().asked(ask);
        world.borrow_mut().note(What::Answered(call, answer.clone()));
        return answer;
    }
    let answer = asked(world, ask, true).await;
    let lost = {
        let mut world = world.borrow_mut();
        let chances = world.weather.lost_answer;
        world.bad_luck(chances)
    };
    if lost {
        sleep(world, 500).await;
        return Answer::Unavailable;
    }
    answer
}

/// The same question once more, when nobody waits for it any more.
fn repeat_later(world: &Shared, ask: Ask) {
    let again = Rc::clone(world);
    let delay = match world.borrow_mut().rng.u32(..10) {
        0..5 => 100,
        5..8 => 20_000,
        _ => 400_000,
    };
    let delay = world.borrow_mut().rng.u64(..delay);
    let work = async move {
        sleep(&again, delay).await;
        if !again.borrow().closing {
            drop(asked(&again, ask, false).await);
        }
    };
    world.borrow_mut().wanted.push(Box::pin(work));
}

/// Puts a question before the broker and notes both.
async fn asked(world: &Shared, ask: Ask, may_leave: bool) -> Answer {
    let Some(handle) = world.borrow().handle() else { return Answer::Unavailable };
    let call = world.borrow_mut().asked(ask.clone());
    let patience = {
        let mut world = world.borrow_mut();
        let chances = if may_leave { world.weather.impatience } else { 0 };
        world.bad_luck(chances).then(|| world.rng.u64(..5_000))
    };
    let answer = match patience {
        Some(patience) => within(world, patience, perform(handle, ask)).await,
        None => Some(perform(handle, ask).await),
    };
    let mut world = world.borrow_mut();
    match answer {
        Some(answer) => {
            world.note(What::Answered(call, answer.clone()));
            if world.plan.flaw == Some(Flaw::DoubledDeliveries) && matches!(answer, Answer::Received(_)) {
                doubled(&mut world, &answer);
            }
            answer
        }
        None => {
            world.note(What::Left(call));
            Answer::Unavailable
        }
    }
}

/// The planted fault: what one client received another one receives, too, under an epoch of its own.
fn doubled(world: &mut crate::world::World, answer: &Answer) {
    let Answer::Received(delivered) = answer else { return };
    if delivered.is_empty() || !world.bad_luck(300) {
        return;
    }
    let call = world.asked(Ask::Receive { queue: 0, max: 10, visibility: None, wait: 0 });
    let again = delivered.iter().map(|delivery| Delivered { epoch: delivery.epoch + 1, ..*delivery }).collect();
    world.note(What::Answered(call, Answer::Received(again)));
}

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

async fn perform(handle: Handle, ask: Ask) -> Answer {
    answer_of(match ask {
        Ask::Claim { .. } | Ask::Take { .. } | Ask::Read { .. } | Ask::Abandon { .. } | Ask::Open { .. } => {
            of_readers(&handle, ask).await
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
        Ask::Receive { queue, max, visibility, wait } => {
            let command = Receive { queue: queue_ref(queue), max_messages: max, visibility, attempt: None };
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
        Ask::Purge { queue } => Answer::Purged(handle.purge_queue(PurgeQueue { queue: queue_ref(queue) }).await?),
        Ask::Peek { queue } => {
            let peeked = handle.peek(queue_ref(queue), None, SequenceNumber(0), 1_000, 0).await?;
            let seen = peeked.iter().map(|peeked| Seen {
                sequence: peeked.peeked.sequence.0,
                group: number(peeked.peeked.group.as_str(), "g"),
                body: body_number(&peeked.body),
                sent_at: peeked.peeked.sent_at.0,
            });
            Answer::Peeked(seen.collect())
        }
        Ask::Count { queue } => {
            let view = handle.describe_queue(queue_ref(queue)).await?;
            Answer::Counted(view.available + view.in_flight + view.claimed)
        }
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
        },
        epoch: it.epoch.0,
        visible_at: it.visible_at.0,
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
        Ask::Commit { reader: at, number, epoch, id, values, outputs } => {
            let record = id.is_multiple_of(2).then(|| Bytes::from(format!("record of {id}")));
            let (number, epoch) = (ClaimNumber(number), Epoch(epoch));
            let value = |(of, value): (u64, Vec<u64>)| {
                let text = value.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                NewValue { group: Some(group(of)), key: state_key(), value: Some(text.into()) }
            };
            let target = NewTarget::Claim { reader: reader(at), number, epoch, record, outcomes: Vec::new() };
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
