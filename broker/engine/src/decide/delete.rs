//! Deleting received messages, judged as a set (R3, R4, and the strict discipline's order).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Event, State,
    command::{Command, Context, Decision, Delete},
    reply::{Deleted, Rejected},
    state::{groups::Place, queue::Queue},
    words::{Receipt, SequenceNumber},
};

/// What a receipt stands for now.
pub(super) enum Holding {
    /// Its lease lives, or the queue is standard and the message there.
    Held,
    /// The message is gone.
    Gone,
}

/// Finds what a receipt stands for: its own lease, or nothing any more (R3, R4, B2). A standard queue's receipt stands
/// for its message as long as that is there, whoever holds it (R3).
pub(super) fn holding(queue: &Queue, receipt: &Receipt) -> Result<Holding, Rejected> {
    if receipt.generation != queue.generation || receipt.sequence > queue.last_sequence {
        return Err(Rejected::ReceiptForeign);
    }
    let Some(message) = queue.messages.get(receipt.sequence) else { return Ok(Holding::Gone) };
    match message.lease() {
        Some(lease) if lease.epoch == receipt.epoch => Ok(Holding::Held),
        Some(_) | None if !queue.is_fifo() => Ok(Holding::Held),
        Some(_) | None => Err(Rejected::ReceiptExpired),
    }
}

/// For each group of the held messages that shall go: the first message that shall stay. On a strict queue none
/// behind it may go, because that would leave a hole.
pub(super) fn first_kept(queue: &Queue, wanted: &BTreeSet<SequenceNumber>) -> BTreeMap<Place, Option<SequenceNumber>> {
    let mut kept = BTreeMap::new();
    if queue.is_strict() {
        for message in wanted.iter().filter_map(|sequence| queue.messages.get(*sequence)) {
            kept.entry(message.group).or_insert_with(|| {
                let messages = &queue.groups.at(message.group).messages;
                messages.iter().find(|sequence| !wanted.contains(sequence)).copied()
            });
        }
    }
    kept
}

/// The message that is in the way of deleting `sequence`, if any.
pub(super) fn in_the_way(
    queue: &Queue,
    kept: &BTreeMap<Place, Option<SequenceNumber>>,
    sequence: SequenceNumber,
) -> Option<SequenceNumber> {
    let group = queue.messages.get(sequence)?.group;
    kept.get(&group).copied().flatten().filter(|first| *first < sequence)
}

impl Command for Delete {
    /// One outcome for each receipt, in their order.
    type Reply = Vec<Result<Deleted, Rejected>>;

    fn decide(&self, state: &State, _context: &Context) -> Decision<Self::Reply> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        let holdings: Vec<_> = self.receipts.iter().map(|receipt| holding(queue, receipt)).collect();
        let held = self.receipts.iter().zip(&holdings).filter(|(_, holding)| matches!(holding, Ok(Holding::Held)));
        let wanted: BTreeSet<SequenceNumber> = held.map(|(receipt, _)| receipt.sequence).collect();
        let kept = first_kept(queue, &wanted);
        let blocking = |sequence| in_the_way(queue, &kept, sequence);
        let outcomes = self.receipts.iter().zip(holdings).map(|(receipt, holding)| match holding? {
            Holding::Gone => Ok(Deleted { already_gone: true }),
            Holding::Held => match blocking(receipt.sequence) {
                Some(blocking) => Err(Rejected::EarlierInFlight { blocking }),
                None => Ok(Deleted { already_gone: false }),
            },
        });
        let reply = outcomes.collect();
        let messages: Vec<_> = wanted.iter().copied().filter(|sequence| blocking(*sequence).is_none()).collect();
        let events = match messages.as_slice() {
            [] => Vec::new(),
            [_, ..] => vec![Event::MessagesDeleted { queue: queue.generation, messages }],
        };
        Decision::new(events, reply)
    }
}
