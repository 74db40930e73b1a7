//! The groups of a queue that have messages, and whose turn it is. A message names its group by its place here, so that
//! what happens to a message compares no texts; the text is looked for once, when the message is sent.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::index::Index;
use crate::words::{GroupId, SequenceNumber};

/// Where a group lies as long as it has messages. Another group may have it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

/// A message group that has messages.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// Its messages, in order.
    pub(crate) messages: VecDeque<SequenceNumber>,
    /// Its turn, while its head is free and it is not parked.
    pub(crate) turn: Option<u64>,
    /// How many of them are in flight.
    pub(crate) in_flight: u32,
    /// Whether it delivers nothing (B7).
    pub(crate) parked: bool,
}

/// Groups by place, by id and by turn.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: Vec<Option<Group>>,
    vacant: Vec<Place>,
    /// Places by the hash of the id.
    found: Index,
    /// Places in the order of the ids, for those who list groups.
    named: BTreeMap<GroupId, Place>,
    /// Groups that are not parked and whose head is free, by the turn in which they became so (O2).
    free: BTreeMap<u64, Place>,
}

impl PartialEq for Groups {
    /// By the groups; where they lie does not count, and their turns are their own.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter()) && self.free.keys().eq(other.free.keys())
    }
}

impl Groups {
    /// Where a group lies.
    pub(crate) fn place(&self, id: &GroupId) -> Option<Place> {
        self.found.find(hash(id), |place| self.is_at(place, id)).map(Place)
    }

    fn is_at(&self, place: u32, id: &GroupId) -> bool {
        self.places[place as usize].as_ref().is_some_and(|group| group.id == *id)
    }

    /// Where a group lies; it is made if it is not there.
    pub(crate) fn place_of(&mut self, id: &GroupId, is_parked: impl FnOnce() -> bool) -> Place {
        if let Some(place) = self.place(id) {
            return place;
        }
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            Place(u32::try_from(self.places.len() - 1).expect("there are far fewer than 2^32 groups"))
        });
        let group = Group { id: id.clone(), messages: VecDeque::new(), turn: None, in_flight: 0, parked: is_parked() };
        self.found.put(hash(id), place.0, |_| false);
        self.named.insert(id.clone(), place);
        self.places[place.0 as usize] = Some(group);
        place
    }

    /// Forgets a group without messages.
    pub(super) fn remove(&mut self, place: Place) {
        let Some(group) = self.places[place.0 as usize].take() else { return };
        self.found.remove(hash(&group.id), place.0);
        self.named.remove(&group.id);
        if let Some(turn) = group.turn {
            self.free.remove(&turn);
        }
        self.vacant.push(place);
    }

    pub(crate) fn get(&self, id: &GroupId) -> Option<&Group> {
        self.place(id).map(|place| self.at(place))
    }

    /// The group of a message.
    ///
    /// # Panics
    /// Never: a group stays at its place as long as it has messages.
    pub(crate) fn at(&self, place: Place) -> &Group {
        self.places[place.0 as usize].as_ref().expect("a message's group is at its place")
    }

    pub(super) fn at_mut(&mut self, place: Place) -> &mut Group {
        self.places[place.0 as usize].as_mut().expect("a message's group is at its place")
    }

    /// Gives a group this turn, in place of the one it has.
    pub(crate) fn set_turn(&mut self, place: Place, turn: Option<u64>) {
        let before = std::mem::replace(&mut self.at_mut(place).turn, turn);
        if let Some(before) = before {
            self.free.remove(&before);
        }
        if let Some(turn) = turn {
            self.free.insert(turn, place);
        }
    }

    /// The groups whose head is free, by their turns.
    pub(crate) fn by_turn(&self) -> impl ExactSizeIterator<Item = (u64, Place)> {
        self.free.iter().map(|(turn, place)| (*turn, *place))
    }

    /// The latest turn that a group has.
    pub(crate) fn last_turn(&self) -> Option<u64> {
        self.free.last_key_value().map(|(turn, _)| *turn)
    }

    /// How many have a free head.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// In the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.named.values().map(|place| self.at(*place))
    }

    /// The ids behind one, in order.
    pub(crate) fn ids_after(&self, after: Option<&GroupId>) -> impl Iterator<Item = &GroupId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.named.range::<GroupId, _>((from, Unbounded)).map(|(id, _)| id)
    }
}

/// The same for the same text, and hard to make alike on purpose.
fn hash(id: &GroupId) -> u32 {
    let mut hasher = DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).expect("a half")
}
