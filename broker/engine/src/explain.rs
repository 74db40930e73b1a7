//! Why a queue, a group or a message delivers nothing now, or that it would (B4): pure reads. A new way to hold a
//! message adds its reason here; sentences, ids and pages are the shell's.

use std::collections::BTreeMap;

use crate::{
    Engine, State,
    command::QueueRef,
    limits,
    reply::Rejected,
    state::{
        message::{Hold, Message},
        queue::Queue,
    },
    words::{ClaimNumber, Epoch, GroupId, Label, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A message group.
    Group(GroupId),
    /// A message by its number.
    Message(SequenceNumber),
    /// The message of a receipt, and whether the receipt still holds it.
    Receipt(Receipt),
}

/// Why nothing is delivered, or that something would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The next receive that comes to it delivers it.
    Available,
    /// The queue holds no message.
    Empty,
    /// No message of that group is there; groups without messages are not remembered.
    NoSuchGroup,
    /// The message was deleted, committed, purged, or its retention ended.
    MessageGone,
    /// That number has not been given out.
    MessageNotSent,
    /// A receiver holds the message, or the group's first one.
    InFlight,
    /// An earlier message of its group is in flight.
    BehindInFlight,
    /// A reader's claim holds the message, or the group's first one.
    Claimed,
    /// A reader's claim holds an earlier message of its group.
    BehindClaim,
    /// The message, or the first one of its group, is not visible yet.
    Delayed,
    /// It is free, but as many messages are in flight as a queue may have.
    InFlightCap,
}

impl Reason {
    /// The number of the rule that keeps it so.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Available => "O1",
            Self::Empty | Self::NoSuchGroup => "R1",
            Self::MessageGone | Self::MessageNotSent => "S12",
            Self::InFlight | Self::BehindInFlight => "O3",
            Self::Claimed | Self::BehindClaim => "B6",
            Self::Delayed => "O7",
            Self::InFlightCap => "L10",
        }
    }

    /// Whether something holds back a message that is there.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        match self {
            Self::InFlight
            | Self::BehindInFlight
            | Self::Claimed
            | Self::BehindClaim
            | Self::Delayed
            | Self::InFlightCap => true,
            Self::Available | Self::Empty | Self::NoSuchGroup | Self::MessageGone | Self::MessageNotSent => false,
        }
    }
}

/// Who holds a message, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub enum Holder {
    /// A receive; the broker knows no more of it than its grant.
    Receiver { epoch: Epoch, since: Timestamp, until: Timestamp },
    /// Nobody, but its delay has not elapsed since it was sent.
    Delay { since: Timestamp, until: Timestamp },
    /// A reader's claim. Without a limit it does not lapse by time.
    Claim {
        reader: Label,
        instance: Label,
        number: ClaimNumber,
        epoch: Epoch,
        worker: Option<Label>,
        since: Timestamp,
        lapses_at: Option<Timestamp>,
    },
}

impl Holder {
    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Receiver { since, .. } | Self::Delay { since, .. } | Self::Claim { since, .. } => *since,
        }
    }
}

/// A message that is held, and thereby holds back those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct Blocking {
    pub sequence: SequenceNumber,
    pub receives: u32,
    pub holder: Holder,
}

/// A group or a message explained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct Explanation {
    pub generation: QueueGeneration,
    /// The instant that it speaks of.
    pub at: Timestamp,
    pub reason: Reason,
    pub group: Option<GroupId>,
    /// The message that was asked about, or the group's first.
    pub message: Option<SequenceNumber>,
    pub sent_at: Option<Timestamp>,
    /// How many messages of its group are before the message; of the group: how many it has.
    pub count: u64,
    /// What holds it back; of a group that would deliver: what holds back the rest of it.
    pub blocking: Option<Blocking>,
    /// Whether the receipt that was asked about still holds its message (R3).
    pub receipt_holds: Option<bool>,
}

/// Some groups of a queue, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedGroups {
    /// The queue.
    pub generation: QueueGeneration,
    /// The instant that it speaks of.
    pub at: Timestamp,
    /// How many of them for each reason.
    pub counts: BTreeMap<Reason, u64>,
    /// Those that something holds back.
    pub blocked: Vec<Explanation>,
    /// Where to go on, when there are more.
    pub next: Option<GroupId>,
}

impl Engine {
    /// Explains a group or a message.
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`], [`Rejected::ReceiptForeign`].
    pub fn explain(&self, queue: &QueueRef, subject: &Subject, now: Timestamp) -> Result<Explanation, Rejected> {
        let (state, queue) = (self.state(), self.state().find(queue)?);
        match subject {
            Subject::Group(group) => Ok(state.explain_group(queue, group, now)),
            Subject::Message(sequence) => Ok(state.explain_message(queue, *sequence, now)),
            Subject::Receipt(receipt) if receipt.generation != queue.generation => Err(Rejected::ReceiptForeign),
            Subject::Receipt(receipt) => {
                let lease = queue.messages.get(&receipt.sequence).and_then(Message::lease);
                let holds = lease.is_some_and(|lease| lease.epoch == receipt.epoch);
                let explained = state.explain_message(queue, receipt.sequence, now);
                Ok(Explanation { receipt_holds: Some(holds), ..explained })
            }
        }
    }

    /// Explains at most `max` groups after `after`.
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn explain_groups(
        &self,
        queue: &QueueRef,
        after: Option<&GroupId>,
        max: usize,
        now: Timestamp,
    ) -> Result<ExplainedGroups, Rejected> {
        use std::ops::Bound::{Excluded, Unbounded};
        let (state, queue) = (self.state(), self.state().find(queue)?);
        let from = after.map_or(Unbounded, Excluded);
        let mut page = ExplainedGroups {
            generation: queue.generation,
            at: now,
            counts: BTreeMap::new(),
            blocked: Vec::new(),
            next: None,
        };
        let mut groups = queue.groups.range::<GroupId, _>((from, Unbounded)).map(|(id, _)| id).peekable();
        for id in groups.by_ref().take(max) {
            let explained = state.explain_group(queue, id, now);
            *page.counts.entry(explained.reason).or_default() += 1;
            page.next = Some(id.clone());
            if explained.reason.is_blocked() {
                page.blocked.push(explained);
            }
        }
        page.next = page.next.filter(|_| groups.peek().is_some());
        Ok(page)
    }

    /// The numbers of a queue's messages after one, at most `max`; the shell looks for a message id among them (H9).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn sequences(
        &self,
        queue: &QueueRef,
        after: SequenceNumber,
        max: usize,
    ) -> Result<(QueueGeneration, Vec<SequenceNumber>), Rejected> {
        let queue = self.state().find(queue)?;
        Ok((queue.generation, queue.messages.range(after.next()..).take(max).map(|(number, _)| *number).collect()))
    }
}

impl State {
    fn explain_group(&self, queue: &Queue, id: &GroupId, now: Timestamp) -> Explanation {
        let nothing = unexplained(queue, Reason::NoSuchGroup, now);
        let Some(group) = queue.groups.get(id) else { return Explanation { group: Some(id.clone()), ..nothing } };
        let head = group.messages.front().map(|head| (*head, &queue.messages[head]));
        // Beyond the most that one receive takes, what holds back the rest is no news.
        let most = limits::RECEIVE_MESSAGES as usize + 1;
        let blocking = group.messages.iter().take(most).find_map(|sequence| self.held(queue, *sequence));
        let reason = match head {
            Some((_, head)) => reason_of(head.hold, queue),
            None => Reason::NoSuchGroup,
        };
        Explanation {
            reason,
            group: Some(id.clone()),
            message: head.map(|(sequence, _)| sequence),
            sent_at: head.map(|(_, message)| message.sent_at),
            count: group.messages.len() as u64,
            blocking,
            ..nothing
        }
    }

    fn explain_message(&self, queue: &Queue, sequence: SequenceNumber, now: Timestamp) -> Explanation {
        let known = sequence > SequenceNumber(0) && sequence <= queue.last_sequence;
        let absent = if known { Reason::MessageGone } else { Reason::MessageNotSent };
        let nothing = Explanation { message: Some(sequence), ..unexplained(queue, absent, now) };
        let Some(message) = queue.messages.get(&sequence) else { return nothing };
        let group = queue.groups.get(&message.group).map(|group| &group.messages);
        let earlier = || group.into_iter().flatten().take_while(|other| **other < sequence);
        let ahead = earlier().find_map(|earlier| self.held(queue, *earlier));
        let (reason, blocking) = match (message.hold, ahead) {
            (Hold::Delayed(_) | Hold::Leased(_) | Hold::Claimed(..), _) => {
                (reason_of(message.hold, queue), self.held(queue, sequence))
            }
            (Hold::Free, Some(ahead)) => (behind(&ahead.holder), Some(ahead)),
            (Hold::Free, None) => (reason_of(message.hold, queue), None),
        };
        Explanation {
            reason,
            group: Some(message.group.clone()),
            sent_at: Some(message.sent_at),
            count: earlier().count() as u64,
            blocking,
            ..nothing
        }
    }

    /// A held message and its holder.
    fn held(&self, queue: &Queue, sequence: SequenceNumber) -> Option<Blocking> {
        let message = queue.messages.get(&sequence)?;
        let holder = match message.hold {
            Hold::Free => return None,
            Hold::Delayed(until) => Holder::Delay { since: message.sent_at, until },
            Hold::Leased(lease) => Holder::Receiver {
                epoch: lease.epoch,
                since: self.wall(lease.received_at),
                until: self.wall(lease.visible_at),
            },
            Hold::Claimed(reader, number) => {
                let (name, reader) = queue.reader_by_id(reader)?;
                let claim = reader.open.get(&number)?;
                Holder::Claim {
                    reader: name.clone(),
                    instance: reader.instance.clone(),
                    number,
                    epoch: claim.epoch,
                    worker: claim.worker.clone(),
                    since: claim.opened_at,
                    lapses_at: claim.lapses_at.map(|at| self.wall(at)),
                }
            }
        };
        Some(Blocking { sequence, receives: message.receives, holder })
    }
}

fn unexplained(queue: &Queue, reason: Reason, now: Timestamp) -> Explanation {
    Explanation {
        generation: queue.generation,
        at: now,
        reason,
        group: None,
        message: None,
        sent_at: None,
        count: 0,
        blocking: None,
        receipt_holds: None,
    }
}

/// The reason of a message that no earlier one holds back.
fn reason_of(hold: Hold, queue: &Queue) -> Reason {
    match hold {
        Hold::Free if queue.in_flight >= limits::IN_FLIGHT => Reason::InFlightCap,
        Hold::Free => Reason::Available,
        Hold::Leased(_) => Reason::InFlight,
        Hold::Delayed(_) => Reason::Delayed,
        Hold::Claimed(..) => Reason::Claimed,
    }
}

fn behind(holder: &Holder) -> Reason {
    match holder {
        Holder::Receiver { .. } => Reason::BehindInFlight,
        Holder::Delay { .. } => Reason::Delayed,
        Holder::Claim { .. } => Reason::BehindClaim,
    }
}
