//! The order of sending: a line for each group, and which messages may go into the next block. Plain state under the
//! producer's lock; it sends nothing, waits for nothing and reads no clock.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use lockstep_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    Error,
    error::EARLIER_REJECTED,
    message::{Sent, entry_size},
    retry::Start,
};

/// The most entries of a block (H1).
pub(super) const MAX_BATCH_ENTRIES: usize = 1_000;
/// The most bytes of bodies and ids of a block (H1).
pub(super) const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// A message in line, and who waits for its outcome.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) wire: v1::SendEntry,
    /// When its first try began; unset until then.
    pub(super) first_try: Option<Start>,
    /// A block that held it was turned away as a whole: it goes alone, so that it answers only for itself.
    alone: bool,
    ticket: u64,
    answer: oneshot::Sender<Result<Sent, Error>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Entry {
    pub(super) fn new(
        wire: v1::SendEntry,
        answer: oneshot::Sender<Result<Sent, Error>>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Entry { wire, first_try: None, alone: false, ticket: 0, answer, _room: room }
    }

    fn answer(self, outcome: Result<Sent, Error>) {
        // Nobody may be waiting any more; the message's fate is the same.
        let _ = self.answer.send(outcome);
    }
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Entry>,
    /// A block with messages of this group is unanswered.
    under_way: bool,
    stopped: bool,
}

/// The lines of all groups.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: HashMap<Arc<str>, Lane>,
    /// Groups that wait and may go, by the ticket of their first message: the oldest goes first, whatever its group.
    ready: BTreeMap<u64, Arc<str>>,
    next_ticket: u64,
    blocks: usize,
    max_blocks: usize,
    /// Somebody carries blocks to the broker, and looks here again when told.
    driven: bool,
}

impl Lanes {
    pub(super) fn new(max_blocks: usize) -> Self {
        Lanes { lanes: HashMap::new(), ready: BTreeMap::new(), next_ticket: 0, blocks: 0, max_blocks, driven: false }
    }

    /// Puts a message at the end of its group's line, or turns it away when the group is stopped.
    pub(super) fn push(&mut self, mut entry: Entry) {
        entry.ticket = self.next_ticket;
        self.next_ticket += 1;
        let group = entry.wire.message_group_id.as_str();
        if !self.lanes.contains_key(group) {
            self.lanes.insert(group.into(), Lane::default());
        }
        let (name, _) = self.lanes.get_key_value(group).expect("it was just put there");
        let name = name.clone();
        let lane = self.lanes.get_mut(&name).expect("it was just found");
        if lane.stopped {
            return entry.answer(Err(earlier_rejected(&name)));
        }
        if lane.waiting.is_empty() && !lane.under_way {
            self.ready.insert(entry.ticket, name);
        }
        lane.waiting.push_back(entry);
    }

    /// The messages of the next block, oldest first and no group's line skipped: as many as fit. `None` when nothing
    /// may go now. Its groups wait until [`Lanes::answered`].
    pub(super) fn next_block(&mut self) -> Option<Vec<Entry>> {
        if self.blocks >= self.max_blocks {
            return None;
        }
        let (mut block, mut bytes) = (Vec::new(), 0);
        while let Some(first) = self.ready.first_entry() {
            let lane = self.lanes.get_mut(first.get()).expect("a ready group has a lane");
            let next = lane.waiting.front().expect("a ready group has a message");
            bytes += entry_size(&next.wire);
            // A message over the limit goes by itself, for the broker to judge.
            let fits = block.len() < MAX_BATCH_ENTRIES && bytes <= MAX_BATCH_BYTES && !next.alone;
            if !block.is_empty() && !fits {
                break;
            }
            let name = first.remove();
            let entry = lane.waiting.pop_front().expect("it was just looked at");
            lane.under_way = true;
            let alone = entry.alone;
            block.push(entry);
            if alone {
                break;
            }
            if let Some(next) = lane.waiting.front() {
                self.ready.insert(next.ticket, name);
            }
        }
        if block.is_empty() {
            return None;
        }
        // What waits behind this block's messages must not go before they are answered.
        for entry in &block {
            let lane = self.lanes.get(entry.wire.message_group_id.as_str()).expect("a group under way has a lane");
            if let Some(next) = lane.waiting.front() {
                self.ready.remove(&next.ticket);
            }
        }
        self.blocks += 1;
        Some(block)
    }

    /// Whether the caller is to carry blocks to the broker from now on, until [`Lanes::rest`] lets it go.
    pub(super) fn drive(&mut self) -> bool {
        !std::mem::replace(&mut self.driven, true)
    }

    /// Lets go whoever carries blocks, if there is nothing to carry.
    pub(super) fn rest(&mut self) -> bool {
        self.driven = !self.ready.is_empty() || self.blocks > 0;
        !self.driven
    }

    /// Takes the outcomes of a block, one for each of its entries, in order.
    pub(super) fn answered(&mut self, block: Vec<Entry>, outcomes: Vec<Result<Sent, Error>>) {
        debug_assert_eq!(block.len(), outcomes.len(), "one outcome for each entry");
        self.blocks -= 1;
        let mut groups = Vec::new();
        for (entry, outcome) in block.into_iter().zip(outcomes) {
            let lane = self.lanes.get_mut(entry.wire.message_group_id.as_str()).expect("a group under way has a lane");
            if lane.under_way {
                lane.under_way = false;
                groups.push(entry.wire.message_group_id.clone());
            }
            lane.stopped |= outcome.is_err();
            entry.answer(outcome);
        }
        groups.iter().for_each(|group| self.settle(group));
    }

    /// A block was turned away as a whole, for a fault of one entry perhaps: all go back to the heads of their lines,
    /// and each goes alone.
    pub(super) fn turned_away(&mut self, block: Vec<Entry>) {
        self.blocks -= 1;
        let mut groups = Vec::new();
        for mut entry in block.into_iter().rev() {
            entry.alone = true;
            let lane = self.lanes.get_mut(entry.wire.message_group_id.as_str()).expect("a group under way has a lane");
            if lane.under_way {
                lane.under_way = false;
                groups.push(entry.wire.message_group_id.clone());
            }
            lane.waiting.push_front(entry);
        }
        groups.iter().for_each(|group| self.settle(group));
    }

    /// After an answer: what waits behind a stop is turned away, what may go is ready, what is empty is forgotten.
    fn settle(&mut self, group: &str) {
        let (name, _) = self.lanes.get_key_value(group).expect("an answered group has a lane");
        let name = name.clone();
        let lane = self.lanes.get_mut(&name).expect("it was just found");
        if lane.stopped {
            lane.waiting.drain(..).for_each(|entry| entry.answer(Err(earlier_rejected(&name))));
        } else if let Some(next) = lane.waiting.front() {
            self.ready.insert(next.ticket, name);
        } else {
            self.lanes.remove(&name);
        }
    }

    /// Opens a stopped line; false when it was not stopped.
    pub(super) fn resume(&mut self, group: &str) -> bool {
        // A stopped line is empty and has no block under way, so forgetting it is opening it.
        let stopped = self.lanes.get(group).is_some_and(|lane| lane.stopped);
        if stopped {
            self.lanes.remove(group);
        }
        stopped
    }

    pub(super) fn stopped(&self) -> Vec<String> {
        self.lanes.iter().filter(|(_, lane)| lane.stopped).map(|(name, _)| name.to_string()).collect()
    }
}

/// The same name that the broker gives to the later entries of a batch (H1).
fn earlier_rejected(group: &str) -> Error {
    Error::Refused {
        code: None,
        reason: EARLIER_REJECTED.to_owned(),
        message: format!("an earlier message of group {group} was not accepted; it was not sent"),
        rule: "H1".to_owned(),
    }
}

#[cfg(test)]
mod tests;
