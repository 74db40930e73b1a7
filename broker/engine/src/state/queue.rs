//! One queue: its messages, its groups and whose turn it is. The few primitive writes that `evolve` is made of live
//! here, so that counts, the free groups' order and the messages cannot come apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Attributes, GroupDelivery,
    state::{
        attempts::Attempts,
        groups::{Groups, Place},
        keys::Keys,
        message::{Arrival, Hold, Lease, Message},
        messages::Messages,
        producers::Producers,
        reader::{PastCommits, Reader},
        redrive::MoveTasks,
    },
    words::{ActiveTime, Epoch, GroupId, Label, QueueGeneration, QueueName, ReaderId, SequenceNumber, Tags, Timestamp},
};

/// A queue of one generation.
#[derive(Debug, PartialEq)]
pub(crate) struct Queue {
    pub(crate) generation: QueueGeneration,
    pub(crate) name: QueueName,
    pub(crate) attributes: Attributes,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    /// The newest purge (A3).
    pub(crate) purged_at: Option<Timestamp>,
    pub(crate) last_sequence: SequenceNumber,
    pub(crate) last_epoch: Epoch,
    pub(crate) last_reader: ReaderId,
    pub(crate) messages: Messages,
    /// The messages of a standard queue by the time of their sending, which a dead letter keeps there (Q3). Empty in a
    /// FIFO queue, whose sequence numbers rise with that time.
    pub(crate) by_age: BTreeSet<(Timestamp, SequenceNumber)>,
    pub(crate) groups: Groups,
    /// Groups that deliver nothing, and since when (B7). They need not have messages.
    pub(crate) parked: BTreeMap<GroupId, Timestamp>,
    pub(crate) next_turn: u64,
    pub(crate) in_flight: u64,
    /// Groups with a message in flight (A4).
    pub(crate) in_flight_groups: u64,
    pub(crate) claimed: u64,
    pub(crate) delayed: u64,
    pub(crate) bytes: u64,
    pub(crate) keys: Keys,
    pub(crate) producers: Producers,
    pub(crate) attempts: Attempts,
    pub(crate) readers: BTreeMap<Label, Reader>,
    pub(crate) commits: PastCommits,
    /// At most 50 (L12).
    pub(crate) tags: Tags,
    pub(crate) move_tasks: MoveTasks,
}

impl Queue {
    pub(crate) fn new(generation: QueueGeneration, name: QueueName, attributes: Attributes, at: Timestamp) -> Self {
        Self {
            generation,
            name,
            attributes,
            created_at: at,
            modified_at: at,
            purged_at: None,
            last_sequence: SequenceNumber(0),
            last_epoch: Epoch(0),
            last_reader: ReaderId(0),
            messages: Messages::default(),
            by_age: BTreeSet::new(),
            groups: Groups::default(),
            parked: BTreeMap::new(),
            next_turn: 0,
            in_flight: 0,
            in_flight_groups: 0,
            claimed: 0,
            delayed: 0,
            bytes: 0,
            keys: Keys::default(),
            producers: Producers::default(),
            attempts: Attempts::default(),
            readers: BTreeMap::new(),
            commits: PastCommits::default(),
            tags: Tags::default(),
            move_tasks: MoveTasks::default(),
        }
    }

    /// Whether something ends by itself here: retention, keys, a move task. Leases and delays have lists of their own.
    pub(crate) fn is_restless(&self) -> bool {
        self.messages.len() > 0 || self.oldest_key().is_some() || self.move_tasks.running().is_some()
    }

    /// When the oldest key or attempt expires; both are freed by one watermark.
    pub(crate) fn oldest_key(&self) -> Option<ActiveTime> {
        self.keys.expiry(0).into_iter().chain(self.attempts.oldest()).min()
    }

    /// Otherwise it is a standard queue: every message is a group of its own (B5).
    pub(crate) fn is_fifo(&self) -> bool {
        self.name.is_fifo()
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.is_fifo() && self.attributes.delivery == GroupDelivery::Strict
    }

    pub(crate) fn reader_by_id(&self, id: ReaderId) -> Option<(&Label, &Reader)> {
        self.readers.iter().find(|(_, reader)| reader.id == id)
    }

    pub(crate) fn reader_by_id_mut(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.readers.values_mut().find(|reader| reader.id == id)
    }

    /// The group of a message.
    pub(crate) fn group_of(&self, message: &Message) -> &GroupId {
        &self.groups.at(message.group).id
    }

    /// Whether a group delivers nothing (B7).
    pub(crate) fn is_parked(&self, message: &Message) -> bool {
        self.groups.at(message.group).parked
    }

    /// The leading free messages of a group: what may be delivered of it (O3).
    pub(crate) fn deliverable(&self, group: Place) -> impl Iterator<Item = (SequenceNumber, &Message)> {
        let sequences = &self.groups.at(group).messages;
        sequences
            .iter()
            .filter_map(|sequence| self.messages.get(*sequence).map(|message| (*sequence, message)))
            .take_while(|(_, message)| message.is_free())
    }

    /// The in-flight messages after `sequence` in its group that share its grant.
    pub(crate) fn later_in_grant(
        &self,
        sequence: SequenceNumber,
        message: &Message,
        lease: Lease,
    ) -> impl Iterator<Item = (SequenceNumber, &Message, Lease)> {
        let group = &self.groups.at(message.group).messages;
        let start = group.partition_point(|other| *other <= sequence);
        group.iter().skip(start).filter_map(move |later| {
            let message = self.messages.get(*later)?;
            let theirs = message.lease().filter(|theirs| theirs.epoch == lease.epoch)?;
            Some((*later, message, theirs))
        })
    }

    /// Appends a message to its group; in a standard queue it is one of its own (B5).
    pub(crate) fn push(&mut self, sequence: SequenceNumber, group: &GroupId, message: Arrival) {
        let alone;
        let group = if self.is_fifo() {
            group
        } else {
            self.by_age.insert((message.sent_at, sequence));
            alone = GroupId::alone(sequence);
            &alone
        };
        let parked = &self.parked;
        let place = self.groups.place_of(group, || parked.contains_key(group));
        let message = message.into_group(place);
        self.bytes += u64::from(message.body.size);
        self.groups.at_mut(place).messages.push_back(sequence);
        self.count(place, message.hold, true);
        let is_head = self.groups.at(place).messages.len() == 1;
        self.messages.insert(sequence, message);
        if is_head {
            self.refresh(place);
        }
    }

    /// Removes a message, which is given back as it was.
    pub(crate) fn remove(&mut self, sequence: SequenceNumber) -> Option<Message> {
        let message = self.messages.remove(sequence)?;
        self.bytes -= u64::from(message.body.size);
        if !self.is_fifo() {
            self.by_age.remove(&(message.sent_at, sequence));
        }
        self.count(message.group, message.hold, false);
        self.touch(message.hold);
        let group = self.groups.at_mut(message.group);
        if group.messages.front() == Some(&sequence) {
            group.messages.pop_front();
            self.refresh(message.group);
        } else if let Ok(index) = group.messages.binary_search(&sequence) {
            group.messages.remove(index);
        }
        Some(message)
    }

    /// Changes who holds a message; the hold it had.
    pub(crate) fn hold(&mut self, sequence: SequenceNumber, hold: Hold, receives: Option<u32>) -> Option<Hold> {
        let message = self.messages.get_mut(sequence)?;
        let before = std::mem::replace(&mut message.hold, hold);
        if let Some(receives) = receives {
            message.receives = receives;
        }
        if message.receives == 0 {
            message.first_received_at = None;
        }
        let group = message.group;
        self.touch(before);
        self.count(group, before, false);
        self.count(group, hold, true);
        if self.groups.at(group).messages.front() == Some(&sequence) {
            self.refresh(group);
        }
        Some(before)
    }

    /// Notes the first receive of a message.
    pub(crate) fn note_first_receive(&mut self, sequence: SequenceNumber, at: Timestamp) {
        if let Some(message) = self.messages.get_mut(sequence) {
            message.first_received_at.get_or_insert(at);
        }
    }

    /// Sets when a leased message becomes visible; the lease it had.
    pub(crate) fn set_visible_at(&mut self, sequence: SequenceNumber, visible_at: ActiveTime) -> Option<Lease> {
        match &mut self.messages.get_mut(sequence)?.hold {
            Hold::Leased(lease) => {
                let before = *lease;
                lease.visible_at = visible_at;
                Some(before)
            }
            Hold::Free | Hold::Delayed(_) | Hold::Claimed(..) => None,
        }
    }

    /// A hold that changes ends the attempt that it belongs to (R7).
    fn touch(&mut self, before: Hold) {
        match before {
            Hold::Leased(lease) => self.attempts.touch(lease.epoch),
            Hold::Free | Hold::Delayed(_) | Hold::Claimed(..) => {}
        }
    }

    fn count(&mut self, group: Place, hold: Hold, more: bool) {
        let counter = match hold {
            Hold::Free => return,
            Hold::Leased(_) => {
                self.count_in_group(group, more);
                &mut self.in_flight
            }
            Hold::Claimed(..) => &mut self.claimed,
            Hold::Delayed(_) => &mut self.delayed,
        };
        *counter = if more { *counter + 1 } else { *counter - 1 };
    }

    fn count_in_group(&mut self, group: Place, more: bool) {
        let group = self.groups.at_mut(group);
        let before = group.in_flight;
        group.in_flight = if more { before + 1 } else { before - 1 };
        match (before, group.in_flight) {
            (0, _) => self.in_flight_groups += 1,
            (_, 0) => self.in_flight_groups -= 1,
            (_, _) => {}
        }
    }

    /// Parks a group.
    pub(crate) fn park(&mut self, group: &GroupId, at: Timestamp) {
        self.parked.insert(group.clone(), at);
        self.set_parked(group, true);
    }

    /// Lets a group deliver again; since when it was parked.
    pub(crate) fn unpark(&mut self, group: &GroupId) -> Option<Timestamp> {
        let since = self.parked.remove(group)?;
        self.set_parked(group, false);
        Some(since)
    }

    /// Ends all parking: the queue is emptied.
    pub(crate) fn unpark_all(&mut self) {
        for group in std::mem::take(&mut self.parked).into_keys() {
            self.set_parked(&group, false);
        }
    }

    fn set_parked(&mut self, group: &GroupId, parked: bool) {
        if let Some(place) = self.groups.place(group) {
            self.groups.at_mut(place).parked = parked;
            self.refresh(place);
        }
    }

    /// Gives a group its turn when its head became free, takes the turn when it is held or parked, and forgets an empty
    /// group.
    fn refresh(&mut self, place: Place) {
        let group = self.groups.at(place);
        let Some(head) = group.messages.front() else { return self.groups.remove(place) };
        let is_free = !group.parked && self.messages.get(*head).is_some_and(Message::is_free);
        match (is_free, group.turn) {
            (true, None) => {
                self.groups.set_turn(place, Some(self.next_turn));
                self.next_turn += 1;
            }
            (false, Some(_)) => self.groups.set_turn(place, None),
            (true, Some(_)) | (false, None) => {}
        }
    }
}
