//! One waiting message and who holds it.

use super::groups::Place;
use crate::{
    reply::Origin,
    words::{ActiveTime, BodyRef, ClaimNumber, Epoch, ReaderId, Timestamp},
};

/// A message that is not deleted yet.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its group's place; which group that is says the group.
    pub(crate) group: Place,
    pub(crate) body: BodyRef,
    pub(crate) sent_at: Timestamp,
    pub(crate) first_received_at: Option<Timestamp>,
    pub(crate) receives: u32,
    pub(crate) hold: Hold,
    /// Set where it is a dead letter; a pointer, because few are.
    pub(crate) origin: Option<Box<Origin>>,
}

impl PartialEq for Message {
    /// But for its group's place, which follows from no fact: that its group is the same says the group, which names it.
    fn eq(&self, other: &Self) -> bool {
        let facts = |it: &Self| (it.body, it.sent_at, it.first_received_at, it.receives, it.hold);
        facts(self) == facts(other) && self.origin == other.origin
    }
}

/// A message that comes to a queue, before its group has a place.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) body: BodyRef,
    pub(crate) sent_at: Timestamp,
    pub(crate) first_received_at: Option<Timestamp>,
    pub(crate) receives: u32,
    pub(crate) hold: Hold,
    pub(crate) origin: Option<Box<Origin>>,
}

impl Arrival {
    /// One that was never received.
    pub(crate) const fn new(body: BodyRef, sent_at: Timestamp, hold: Hold) -> Self {
        Self { body, sent_at, first_received_at: None, receives: 0, hold, origin: None }
    }

    pub(super) fn into_group(self, group: Place) -> Message {
        let Self { body, sent_at, first_received_at, receives, hold, origin } = self;
        Message { group, body, sent_at, first_received_at, receives, hold, origin }
    }
}

/// Who holds a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody: it is visible.
    Free,
    /// Nobody, but it is not visible yet; only before the first receive (O7).
    Delayed(Timestamp),
    /// A receiver, until its lease ends.
    Leased(Lease),
    /// A claim, until it is committed or given back.
    Claimed(ReaderId, ClaimNumber),
}

/// A delivery's hold on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    pub(crate) received_at: ActiveTime,
    pub(crate) visible_at: ActiveTime,
}

impl Message {
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.origin.as_deref().cloned()
    }

    pub(crate) fn is_free(&self) -> bool {
        self.hold == Hold::Free
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        match self.hold {
            Hold::Leased(lease) => Some(lease),
            Hold::Free | Hold::Delayed(_) | Hold::Claimed(..) => None,
        }
    }

    /// When it becomes visible for the first time, while that is to come.
    pub(crate) fn delayed_until(&self) -> Option<Timestamp> {
        match self.hold {
            Hold::Delayed(until) => Some(until),
            Hold::Free | Hold::Leased(_) | Hold::Claimed(..) => None,
        }
    }

    pub(crate) fn is_claimed(&self) -> bool {
        matches!(self.hold, Hold::Claimed(..))
    }
}
