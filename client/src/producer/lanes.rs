//! The order of sending: a line for each group, and which messages may go into the next block. Plain state under the
//! producer's lock; it sends nothing, waits for nothing and reads no clock.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use lockstep_proto::v1;

use super::ticket::Promise;
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
/// So many lines with nothing to remember are kept, because most groups come again.
const MAX_IDLE: usize = 4_096;
/// An idle line keeps room for so many messages.
const IDLE_ROOM: usize = 8;

/// A message in line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) wire: v1::SendEntry,
    pub(super) place: Place,
}

/// What is known of a message beside what is sent.
#[derive(Debug)]
pub(super) struct Place {
    /// When its first try began; unset until then.
    pub(super) first_try: Option<Start>,
    /// A block that held it was turned away as a whole: it goes alone, so that it answers only for itself.
    alone: bool,
    ticket: u64,
    lane: usize,
    /// Its share of the producer's room.
    room: usize,
    promise: Promise,
}

impl Entry {
    pub(super) fn new(wire: v1::SendEntry, promise: Promise, room: usize) -> Self {
        Entry { wire, place: Place { first_try: None, alone: false, ticket: 0, lane: 0, room, promise } }
    }
}

/// A block: what is sent, and in the same order what is known of it.
pub(super) type Block = (Vec<v1::SendEntry>, Vec<Place>);

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Entry>,
    /// The unanswered block with messages of this group; 0: none.
    block: u64,
    stopped: bool,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.block == 0 && !self.stopped
    }
}

/// The lines of all groups.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// Where each group's line is. Only ever asked for one group: its order decides nothing.
    names: HashMap<String, usize>,
    /// Lines of no group.
    free: Vec<usize>,
    idle: usize,
    /// Groups that wait, by the ticket of their first message: the oldest goes first, whatever its group. What names
    /// another message than its line's first, or a line under way, is left over and counts nothing.
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    next_ticket: u64,
    last_block: u64,
    blocks: usize,
    max_blocks: usize,
    /// Room of answered messages that was not given back yet.
    freed: usize,
    /// Somebody carries blocks to the broker, and looks here again when told.
    driven: bool,
}

impl Lanes {
    pub(super) fn new(max_blocks: usize) -> Self {
        Lanes {
            lanes: Vec::new(),
            names: HashMap::new(),
            free: Vec::new(),
            idle: 0,
            ready: BinaryHeap::new(),
            next_ticket: 0,
            last_block: 0,
            blocks: 0,
            max_blocks,
            freed: 0,
            driven: false,
        }
    }

    /// Puts a message at the end of its group's line, or turns it away when the group is stopped.
    pub(super) fn push(&mut self, mut entry: Entry) {
        let index = self.lane(&entry.wire.message_group_id);
        let lane = &mut self.lanes[index];
        if lane.stopped {
            self.freed += turn_away(entry);
            return;
        }
        (entry.place.ticket, entry.place.lane) = (self.next_ticket, index);
        self.next_ticket += 1;
        if lane.is_idle() {
            self.idle -= 1;
        }
        if lane.waiting.is_empty() && lane.block == 0 {
            self.ready.push(Reverse((entry.place.ticket, index)));
        }
        lane.waiting.push_back(entry);
    }

    /// The line of a group, made when it is new.
    fn lane(&mut self, group: &str) -> usize {
        if let Some(index) = self.names.get(group) {
            return *index;
        }
        if self.idle >= MAX_IDLE {
            self.forget_idle();
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        });
        self.names.insert(group.to_owned(), index);
        self.idle += 1;
        index
    }

    fn forget_idle(&mut self) {
        let (lanes, free) = (&self.lanes, &mut self.free);
        self.names.retain(|_, index| {
            let idle = lanes[*index].is_idle();
            if idle {
                free.push(*index);
            }
            !idle
        });
        self.idle = 0;
    }

    /// The messages of the next block, oldest first and no group's line skipped: as many as fit. `None` when nothing
    /// may go now. Its groups wait until [`Lanes::answered`].
    pub(super) fn next_block(&mut self) -> Option<Block> {
        if self.blocks >= self.max_blocks {
            return None;
        }
        let number = self.last_block + 1;
        let (mut wires, mut places, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(Reverse((ticket, index))) = self.ready.peek().copied() {
            let lane = &mut self.lanes[index];
            let may_go = lane.block == 0 || lane.block == number;
            let Some(next) = lane.waiting.front().filter(|next| may_go && next.place.ticket == ticket) else {
                self.ready.pop();
                continue;
            };
            bytes += entry_size(&next.wire);
            // A message over the limit goes by itself, for the broker to judge.
            let fits = places.len() < MAX_BATCH_ENTRIES && bytes <= MAX_BATCH_BYTES && !next.place.alone;
            if !places.is_empty() && !fits {
                break;
            }
            let Entry { wire, place } = lane.waiting.pop_front().expect("it was just looked at");
            lane.block = number;
            let alone = place.alone;
            if places.is_empty() {
                let likely = if alone { 1 } else { self.ready.len().min(MAX_BATCH_ENTRIES) };
                (wires, places) = (Vec::with_capacity(likely), Vec::with_capacity(likely));
            }
            wires.push(wire);
            places.push(place);
            self.ready.pop();
            if alone {
                break;
            }
            if let Some(next) = lane.waiting.front() {
                self.ready.push(Reverse((next.place.ticket, index)));
            }
        }
        if places.is_empty() {
            return None;
        }
        self.last_block = number;
        self.blocks += 1;
        Some((wires, places))
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

    /// The room that answered messages gave back since it was last asked.
    pub(super) fn freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    /// Takes the outcomes of a block, one for each of its entries, in order.
    pub(super) fn answered(&mut self, block: Vec<Place>, outcomes: Vec<Result<Sent, Error>>) {
        debug_assert_eq!(block.len(), outcomes.len(), "one outcome for each entry");
        self.blocks -= 1;
        let mut answered = Vec::new();
        for (place, outcome) in block.iter().zip(&outcomes) {
            let lane = &mut self.lanes[place.lane];
            if std::mem::take(&mut lane.block) != 0 {
                answered.push(place.lane);
            }
            lane.stopped |= outcome.is_err();
            self.freed += place.room;
        }
        Promise::tell_all(block.into_iter().map(|place| place.promise).zip(outcomes));
        answered.into_iter().for_each(|lane| self.settle(lane));
    }

    /// A block was turned away as a whole, for a fault of one entry perhaps: all go back to the heads of their lines,
    /// and each goes alone.
    pub(super) fn turned_away(&mut self, wires: Vec<v1::SendEntry>, places: Vec<Place>) {
        self.blocks -= 1;
        let mut answered = Vec::new();
        for (wire, mut place) in wires.into_iter().zip(places).rev() {
            place.alone = true;
            let index = place.lane;
            let lane = &mut self.lanes[index];
            if std::mem::take(&mut lane.block) != 0 {
                answered.push(index);
            }
            lane.waiting.push_front(Entry { wire, place });
        }
        answered.into_iter().for_each(|lane| self.settle(lane));
    }

    /// After an answer: what waits behind a stop is turned away, what may go is ready, what is empty is idle.
    fn settle(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if lane.stopped {
            self.freed += std::mem::take(&mut lane.waiting).into_iter().map(turn_away).sum::<usize>();
        } else if let Some(next) = lane.waiting.front() {
            self.ready.push(Reverse((next.place.ticket, index)));
        } else {
            lane.waiting.shrink_to(IDLE_ROOM);
            self.idle += 1;
        }
    }

    /// Opens a stopped line; false when it was not stopped.
    pub(super) fn resume(&mut self, group: &str) -> bool {
        let Some(lane) = self.names.get(group).map(|index| &mut self.lanes[*index]) else { return false };
        let stopped = std::mem::take(&mut lane.stopped);
        // A stopped line is empty and has no block under way.
        self.idle += usize::from(stopped);
        stopped
    }

    pub(super) fn stopped(&self) -> Vec<String> {
        self.names.iter().filter(|(_, index)| self.lanes[**index].stopped).map(|(name, _)| name.clone()).collect()
    }
}

/// Answers a message behind a stop; the room that it had.
fn turn_away(Entry { wire, place }: Entry) -> usize {
    place.promise.tell(Err(earlier_rejected(&wire.message_group_id)));
    place.room
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
