//! Why a queue, a group or a message delivers nothing now, or that it would (B4): pure reads. A new way to hold a
//! message adds its reason here; sentences, ids and pages are the shell's.

use std::collections::BTreeMap;

use crate::{
    Engine, State,
    command::QueueRef,
    limits,
    reply::{Origin, Rejected},
    state::{
        message::{Hold, Message},
        queue::Queue,
    },
    words::{ClaimNumber, Epoch, GroupId, Label, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};

/// Where a message was sent: what its id is made of (H9).
pub type SentTo = (QueueGeneration, SequenceNumber);

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
    /// It is free, but its group is parked until somebody unparks it.
    Parked,
    /// It was received as often as its queue allows: the next receive moves it to the dead-letter queue.
    DeadLetterDue,
    /// The same, but the dead-letter queue is gone: it stays deliverable.
    DeadLetterQueueGone,
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
            Self::Parked => "B7",
            Self::DeadLetterDue => "Q2",
            Self::DeadLetterQueueGone => "H10",
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
            | Self::InFlightCap
            | Self::Parked => true,
            Self::Available
            | Self::Empty
            | Self::NoSuchGroup
            | Self::MessageGone
            | Self::MessageNotSent
            | Self::DeadLetterDue
            | Self::DeadLetterQueueGone => false,
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

    /// Until when; a claim without a limit does not end by time.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Receiver { until, .. } | Self::Delay { until, .. } => Some(*until),
            Self::Claim { lapses_at, .. } => *lapses_at,
        }
    }
}

/// A message that is held, and thereby holds back those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct Blocking {
    pub sequence: SequenceNumber,
    /// Set where it is a dead letter (H9).
    pub origin: Option<Origin>,
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
    /// Set where the message is a dead letter (H9).
    pub origin: Option<Origin>,
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
            Subject::Group(_) if !queue.is_fifo() => Err(Rejected::NotFifo),
            Subject::Group(group) => Ok(state.explain_group(queue, group, now)),
            Subject::Message(sequence) => Ok(state.explain_message(queue, *sequence, now)),
            Subject::Receipt(receipt) if receipt.generation != queue.generation => Err(Rejected::ReceiptForeign),
            Subject::Receipt(receipt) => {
                let lease = queue.messages.get(receipt.sequence).and_then(Message::lease);
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
        let (state, queue) = (self.state(), self.state().find(queue)?);
        let mut page = ExplainedGroups {
            generation: queue.generation,
            at: now,
            counts: BTreeMap::new(),
            blocked: Vec::new(),
            next: None,
        };
        let mut groups = queue.groups.ids_after(after).peekable();
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

    /// The numbers of a queue's messages after one, at most `max`, each with where it was sent; the shell looks for a
    /// message id among them (H9).
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn sequences(
        &self,
        queue: &QueueRef,
        after: SequenceNumber,
        max: usize,
    ) -> Result<Vec<(SequenceNumber, SentTo)>, Rejected> {
        let queue = self.state().find(queue)?;
        let with_identity = |(number, message): (SequenceNumber, &Message)| {
            let origin = message.origin.as_deref();
            (number, origin.map_or((queue.generation, number), |origin| (origin.generation, origin.sequence)))
        };
        Ok(queue.messages.range(after.next()..).take(max).map(with_identity).collect())
    }
}

impl State {
    fn explain_group(&self, queue: &Queue, id: &GroupId, now: Timestamp) -> Explanation {
        let nothing = unexplained(queue, Reason::NoSuchGroup, now);
        let Some(group) = queue.groups.get(id) else { return Explanation { group: Some(id.clone()), ..nothing } };
        let head = group.messages.front().map(|head| (*head, &queue.messages[*head]));
        // Beyond the most that one receive takes, what holds back the rest is no news.
        let most = limits::RECEIVE_MESSAGES as usize + 1;
        let blocking = group.messages.iter().take(most).find_map(|sequence| self.held(queue, *sequence));
        let reason = match head {
            Some((_, head)) => self.reason_of(head, queue),
            None => Reason::NoSuchGroup,
        };
        Explanation {
            reason,
            group: Some(id.clone()),
            message: head.map(|(sequence, _)| sequence),
            sent_at: head.map(|(_, message)| message.sent_at),
            origin: head.and_then(|(_, message)| message.origin()),
            count: group.messages.len() as u64,
            blocking,
            ..nothing
        }
    }

    fn explain_message(&self, queue: &Queue, sequence: SequenceNumber, now: Timestamp) -> Explanation {
        let known = sequence > SequenceNumber(0) && sequence <= queue.last_sequence;
        let absent = if known { Reason::MessageGone } else { Reason::MessageNotSent };
        let nothing = Explanation { message: Some(sequence), ..unexplained(queue, absent, now) };
        let Some(message) = queue.messages.get(sequence) else { return nothing };
        let group = &queue.groups.at(message.group).messages;
        let earlier = || group.iter().take_while(|other| **other < sequence);
        let ahead = earlier().find_map(|earlier| self.held(queue, *earlier));
        let (reason, blocking) = match (message.hold, ahead) {
            (Hold::Delayed(_) | Hold::Leased(_) | Hold::Claimed(..), _) => {
                (self.reason_of(message, queue), self.held(queue, sequence))
            }
            (Hold::Free, Some(_)) if queue.is_parked(message) => (Reason::Parked, None),
            (Hold::Free, Some(ahead)) => (behind(&ahead.holder), Some(ahead)),
            (Hold::Free, None) => (self.reason_of(message, queue), None),
        };
        Explanation {
            reason,
            group: Some(queue.group_of(message).clone()),
            sent_at: Some(message.sent_at),
            origin: message.origin(),
            count: earlier().count() as u64,
            blocking,
            ..nothing
        }
    }

    /// The reason of a message that no earlier one holds back.
    pub(crate) fn reason_of(&self, message: &Message, queue: &Queue) -> Reason {
        let policy = queue.attributes.redrive.as_ref();
        let policy = policy.filter(|policy| message.receives >= policy.max_receives);
        match (message.hold, policy) {
            (Hold::Leased(_), _) => Reason::InFlight,
            (Hold::Claimed(..), _) => Reason::Claimed,
            (Hold::Delayed(_), _) => Reason::Delayed,
            (Hold::Free, _) if queue.is_parked(message) => Reason::Parked,
            (Hold::Free, _) if queue.in_flight >= limits::IN_FLIGHT => Reason::InFlightCap,
            (Hold::Free, Some(policy)) if self.names.contains_key(&policy.dead_letter_queue) => Reason::DeadLetterDue,
            (Hold::Free, Some(_)) => Reason::DeadLetterQueueGone,
            (Hold::Free, None) => Reason::Available,
        }
    }

    /// A held message and its holder.
    pub(crate) fn held(&self, queue: &Queue, sequence: SequenceNumber) -> Option<Blocking> {
        let message = queue.messages.get(sequence)?;
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
        Some(Blocking { sequence, origin: message.origin(), receives: message.receives, holder })
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
        origin: None,
        count: 0,
        blocking: None,
        receipt_holds: None,
    }
}

fn behind(holder: &Holder) -> Reason {
    match holder {
        Holder::Receiver { .. } => Reason::BehindInFlight,
        Holder::Delay { .. } => Reason::Delayed,
        Holder::Claim { .. } => Reason::BehindClaim,
    }
}
