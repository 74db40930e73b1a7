//! What somebody who watches a queue sees of it (B4): some groups in order, of each its first messages and who holds them.
//! A look costs what it shows, however many groups and messages there are. Sentences and pages are the shell's.

use crate::{
    Engine, State,
    command::QueueRef,
    explain::{Holder, Reason, SentTo},
    reply::Rejected,
    state::{
        message::{Hold, Message},
        queue::Queue,
    },
    view::QueueView,
    words::{GroupId, QueueGeneration, SequenceNumber, Timestamp},
};

/// Which part of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pane {
    /// The groups behind this one, by name; of a standard queue the messages behind this number.
    pub after: Option<GroupId>,
    /// Only groups whose id has this text in it.
    pub find: Option<String>,
    /// Most groups.
    pub lanes: usize,
    /// Most messages of each.
    pub messages: usize,
    /// Most groups that are looked at.
    pub scan: usize,
}

/// A part of a queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The queue.
    pub view: QueueView,
    /// Its groups in the order of their names; of a standard queue its messages in theirs, each a lane of its own (B5).
    pub lanes: Vec<Lane>,
    /// The last group that was looked at, if there are more behind it.
    pub next: Option<GroupId>,
}

/// A group, as far as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its id; of a standard queue the message's number.
    pub group: GroupId,
    /// How many messages it has in all.
    pub depth: u64,
    /// Whether its first message could be delivered, or why not.
    pub reason: Reason,
    /// Until when its first message is held or delayed, where that is known.
    pub until: Option<Timestamp>,
    /// Its first messages, in order.
    pub messages: Vec<Seen>,
}

/// A message of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub sequence: SequenceNumber,
    /// Where it was sent: what its id is made of (H9).
    pub sent_to: SentTo,
    /// Receives so far.
    pub receives: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Its size by L2.
    pub size: u32,
    /// Who holds it; nobody: it is visible.
    pub holder: Option<Holder>,
    /// An earlier message of its group is held (O3).
    pub is_behind: bool,
    /// Its group delivers nothing (B7).
    pub is_parked: bool,
    /// It came here as a dead letter (Q2).
    pub is_dead_letter: bool,
}

impl Engine {
    /// Looks at a part of a queue.
    ///
    /// # Errors
    /// [`Rejected::QueueNotFound`], [`Rejected::QueueGenerationChanged`].
    pub fn window(&self, queue: &QueueRef, pane: &Pane) -> Result<Window, Rejected> {
        let (state, view) = (self.state(), self.describe(queue)?);
        let queue = state.find(queue)?;
        let (lanes, next) =
            if queue.is_fifo() { state.lanes(queue, pane) } else { state.lanes_of_standard(queue, pane) };
        Ok(Window { view, lanes, next })
    }

    /// The group of a message that is there.
    #[must_use]
    pub fn group_of(&self, queue: QueueGeneration, sequence: SequenceNumber) -> Option<GroupId> {
        let queue = self.state().queues.get(&queue)?;
        queue.messages.get(sequence).map(|message| queue.group_of(message).clone())
    }
}

impl State {
    fn lanes(&self, queue: &Queue, pane: &Pane) -> (Vec<Lane>, Option<GroupId>) {
        let mut groups = queue.groups.ids_after(pane.after.as_ref()).peekable();
        let (mut lanes, mut last) = (Vec::new(), None);
        for id in groups.by_ref().take(pane.scan) {
            last = Some(id);
            if pane.find.as_ref().is_some_and(|text| !id.as_str().contains(text)) {
                continue;
            }
            lanes.extend(queue.groups.get(id).map(|group| {
                let sequences = group.messages.iter().copied();
                self.lane(queue, id.clone(), group.messages.len() as u64, sequences.take(pane.messages))
            }));
            if lanes.len() >= pane.lanes {
                break;
            }
        }
        let next = last.filter(|_| groups.peek().is_some()).cloned();
        (lanes, next)
    }

    fn lanes_of_standard(&self, queue: &Queue, pane: &Pane) -> (Vec<Lane>, Option<GroupId>) {
        let after = pane.after.as_ref().and_then(|after| after.as_str().parse().ok()).unwrap_or(0);
        let mut sequences = queue.messages.range(SequenceNumber(after).next()..).map(|(sequence, _)| sequence);
        let alone = |sequence| self.lane(queue, GroupId::alone(sequence), 1, std::iter::once(sequence));
        let lanes: Vec<Lane> = sequences.by_ref().take(pane.lanes).map(alone).collect();
        let next = lanes.last().map(|lane| lane.group.clone()).filter(|_| sequences.next().is_some());
        (lanes, next)
    }

    fn lane(&self, queue: &Queue, group: GroupId, depth: u64, sequences: impl Iterator<Item = SequenceNumber>) -> Lane {
        let mut held_before = false;
        let mut seen = |sequence: SequenceNumber| {
            let message = queue.messages.get(sequence)?;
            let holder = self.held(queue, sequence).map(|held| held.holder);
            let is_behind = held_before && holder.is_none();
            held_before |= holder.is_some();
            Some(see(queue, sequence, message, holder, is_behind))
        };
        let messages: Vec<Seen> = sequences.filter_map(&mut seen).collect();
        let head = messages.first().and_then(|first| queue.messages.get(first.sequence));
        Lane {
            group,
            depth,
            reason: head.map_or(Reason::NoSuchGroup, |head| self.reason_of(head, queue)),
            until: messages.first().and_then(|first| first.holder.as_ref()).and_then(Holder::until),
            messages,
        }
    }
}

fn see(queue: &Queue, sequence: SequenceNumber, message: &Message, holder: Option<Holder>, is_behind: bool) -> Seen {
    let origin = message.origin.as_deref();
    Seen {
        sequence,
        sent_to: origin.map_or((queue.generation, sequence), |origin| (origin.generation, origin.sequence)),
        receives: message.receives,
        sent_at: message.sent_at,
        size: message.body.size,
        is_behind,
        is_parked: message.hold == Hold::Free && queue.is_parked(message),
        is_dead_letter: origin.is_some(),
        holder,
    }
}
