//! Queues, lanes and facts as the page gets them. Sequence numbers and frames are texts, because JavaScript's numbers end
//! at 2^53; instants are milliseconds of Unix time. What is absent is left out of lanes, dots and facts: they are many.

use lockstep_engine::{
    explain::{Holder, Reason},
    window::{Lane as SeenLane, Seen, Window},
};
use serde::Serialize;

use crate::handle::{Fact, FactKind, Handle, Kind, Look, Party, QueueCounts};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Queue {
    pub(super) name: String,
    fifo: bool,
    messages: u64,
    /// Neither held nor delayed (O8).
    waiting: u64,
    /// Held by receives and by claims.
    in_flight: u64,
    delayed: u64,
    groups: u64,
    /// Groups whose first message cannot be delivered now.
    groups_held: u64,
    /// Groups that are parked (B7), also those without messages.
    parked: u64,
    /// When the oldest message was sent.
    oldest: Option<u64>,
    sent: u64,
    received: u64,
    deleted: u64,
    turned_away: u64,
    dead_lettered: u64,
    keys: u64,
    dead_letter_queue: Option<String>,
    visibility: u64,
}

pub(super) fn queue((view, counts): &QueueCounts) -> Queue {
    Queue {
        name: view.name.to_string(),
        fifo: view.name.is_fifo(),
        messages: view.available + view.in_flight + view.claimed + view.delayed,
        waiting: view.available,
        in_flight: view.in_flight + view.claimed,
        delayed: view.delayed,
        groups: view.groups,
        groups_held: view.groups - view.free_groups,
        parked: view.parked_groups,
        oldest: view.oldest_sent_at.map(|at| at.0),
        sent: counts.of(Kind::Sent),
        received: counts.of(Kind::Received) + counts.of(Kind::Claimed),
        deleted: counts.of(Kind::Deleted),
        turned_away: counts.of(Kind::Deduplicated),
        dead_lettered: counts.of(Kind::DeadLettered),
        keys: view.deduplication_keys,
        dead_letter_queue: view.attributes.redrive.as_ref().map(|policy| policy.dead_letter_queue.to_string()),
        visibility: view.attributes.visibility,
    }
}

/// A window, whole.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    frame: String,
    now: u64,
    resumed: bool,
    queue: Queue,
    first: Option<&'a str>,
    more: bool,
    lanes: Vec<Lane<'a>>,
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(handle: &Handle, look: &'a Look<Window>, resumed: bool) -> Self {
        let Look { seen, frame, now } = look;
        Self {
            frame: frame.to_string(),
            now: now.0,
            resumed,
            queue: queue(&handle.with_counts(seen.view.clone())),
            first: seen.lanes.first().map(|lane| lane.group.as_str()),
            more: seen.next.is_some(),
            lanes: seen.lanes.iter().map(|seen| lane(handle, seen)).collect(),
        }
    }
}

/// A group.
#[derive(Serialize)]
pub(super) struct Lane<'a> {
    group: &'a str,
    depth: u64,
    state: &'static str,
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    dots: Vec<Dot>,
}

/// A message.
#[derive(Serialize)]
pub(super) struct Dot {
    seq: String,
    id: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    receives: u32,
    sent: u64,
    bytes: u32,
}

pub(super) fn lane<'a>(handle: &Handle, seen: &'a SeenLane) -> Lane<'a> {
    Lane {
        group: seen.group.as_str(),
        depth: seen.depth,
        state: state(seen.reason),
        rule: seen.reason.rule(),
        until: seen.until.map(|until| until.0),
        dots: seen.messages.iter().map(|message| dot(handle, message)).collect(),
    }
}

fn dot(handle: &Handle, seen: &Seen) -> Dot {
    let state = match &seen.holder {
        Some(Holder::Receiver { .. } | Holder::Claim { .. }) => "in_flight",
        Some(Holder::Delay { .. }) => "delayed",
        None if seen.is_parked => "parked",
        None if seen.is_behind => "behind",
        None if seen.is_dead_letter => "dead_letter",
        None => "waiting",
    };
    let holder = seen.holder.as_ref();
    Dot {
        seq: seen.sequence.to_string(),
        id: handle.message_id(seen.sent_to.0, seen.sent_to.1).to_string(),
        state,
        until: holder.and_then(Holder::until).map(|until| until.0),
        since: holder.map(|holder| holder.since().0),
        holder: holder.and_then(self::holder),
        receives: seen.receives,
        sent: seen.sent_at.0,
        bytes: seen.size,
    }
}

/// Who holds a message; nobody holds one that is delayed.
pub(super) fn holder(holder: &Holder) -> Option<String> {
    match holder {
        Holder::Receiver { epoch, .. } => Some(format!("a receive, epoch {epoch}")),
        Holder::Delay { .. } => None,
        Holder::Claim { reader, number, worker: Some(worker), .. } => {
            Some(format!("worker {worker}, claim {number} of {reader}"))
        }
        Holder::Claim { reader, number, worker: None, .. } => Some(format!("claim {number} of {reader}")),
    }
}

/// A group's or a message's state in a word.
pub(super) const fn state(reason: Reason) -> &'static str {
    match reason {
        Reason::Available | Reason::DeadLetterDue | Reason::DeadLetterQueueGone => "free",
        Reason::Empty | Reason::NoSuchGroup => "empty",
        Reason::MessageGone => "gone",
        Reason::MessageNotSent => "not_sent",
        Reason::InFlight | Reason::Claimed | Reason::InFlightCap => "held",
        Reason::BehindInFlight | Reason::BehindClaim => "behind",
        Reason::Delayed => "delayed",
        Reason::Parked => "parked",
    }
}

/// Something that happened.
#[derive(Serialize)]
pub(super) struct ShownFact<'a> {
    frame: String,
    at: u64,
    kind: &'static str,
    queue: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

pub(super) fn fact<'a>(queue: &'a str, fact: &'a Fact) -> ShownFact<'a> {
    ShownFact {
        frame: fact.frame.to_string(),
        at: fact.at.0,
        kind: kind(fact.kind),
        queue,
        seq: fact.sequence.map(|sequence| sequence.to_string()),
        group: fact.group.as_ref().map(|group| group.as_str()),
        who: who(&fact.who),
        until: fact.until.map(|until| until.0),
    }
}

pub(super) const fn kind(kind: FactKind) -> &'static str {
    match kind {
        FactKind::Sent => "sent",
        FactKind::TurnedAway => "turned_away",
        FactKind::Delayed => "delayed",
        FactKind::Elapsed => "elapsed",
        FactKind::Leased => "leased",
        FactKind::Extended => "extended",
        FactKind::Returned => "returned",
        FactKind::Lapsed => "lapsed",
        FactKind::Deleted => "deleted",
        FactKind::Committed => "committed",
        FactKind::DeadLettered => "dead_lettered",
        FactKind::Moved => "moved",
        FactKind::Expired => "expired",
        FactKind::Purged => "purged",
        FactKind::Parked => "parked",
        FactKind::Unparked => "unparked",
    }
}

pub(super) fn who(party: &Party) -> Option<String> {
    match party {
        Party::None => None,
        Party::Receive(epoch) => Some(format!("a receive, epoch {epoch}")),
        Party::Claim(reader, number) => Some(format!("claim {number} of {reader}")),
        Party::Worker(worker, number) => Some(format!("worker {worker}, claim {number}")),
        Party::From(_, sequence) => Some(format!("from #{sequence} of another queue")),
        Party::To(_, sequence) => Some(format!("to #{sequence} of another queue")),
    }
}
