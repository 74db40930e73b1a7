//! Explain, as fronts see it (B4): many groups, and the search for a message id, take several short looks instead of
//! one that holds everybody up.

use std::collections::BTreeMap;

use lockstep_engine::{
    command::QueueRef,
    explain::{Explanation, Reason, Subject},
    view::QueueView,
    words::{GroupId, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};
use uuid::Uuid;

use super::Handle;
use crate::{
    failure::{Failure, Invalid},
    limits,
};

/// What is asked about, beside a whole queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A message group.
    Group(GroupId),
    /// A message by its number.
    Message(SequenceNumber),
    /// A message by its id (H9).
    Id(Uuid),
    /// The message of a receipt.
    Receipt(Receipt),
}

/// A whole queue explained.
#[derive(Clone, Debug)]
pub struct ExplainedQueue {
    /// Its counts.
    pub view: QueueView,
    /// The instant of the first look.
    pub at: Timestamp,
    /// How many groups for each reason.
    pub counts: BTreeMap<Reason, u64>,
    /// The group whose first message is held for longest.
    pub longest: Option<Explanation>,
    /// Held groups by name.
    pub held: Vec<Explanation>,
    /// Where the list goes on.
    pub next: Option<GroupId>,
}

impl Handle {
    /// Explains a group or a message.
    ///
    /// # Errors
    /// The queue is not there; a message id is none of its messages'.
    pub async fn explain(&self, queue: QueueRef, wanted: Wanted) -> Result<Explanation, Failure> {
        let subject = match wanted {
            Wanted::Group(group) => Subject::Group(group),
            Wanted::Message(sequence) => Subject::Message(sequence),
            Wanted::Receipt(receipt) => Subject::Receipt(receipt),
            Wanted::Id(id) => Subject::Message(self.find_message(&queue, id).await?),
        };
        self.read(move |engine, now| Ok(engine.explain(&queue, &subject, now)?)).await
    }

    /// Explains a whole queue; lists at most `max` of the held groups after `after`.
    ///
    /// # Errors
    /// The queue is not there, or was made anew meanwhile.
    pub async fn explain_queue(
        &self,
        queue: QueueRef,
        after: Option<GroupId>,
        max: usize,
    ) -> Result<ExplainedQueue, Failure> {
        let view = self.describe_queue(queue).await?;
        let queue = QueueRef { name: view.name.clone(), generation: Some(view.generation) };
        let (mut counts, mut longest, mut held) = (BTreeMap::new(), None::<Explanation>, Vec::new());
        let (mut at, mut from, mut next) = (None, None, None);
        loop {
            let (reference, begin) = (queue.clone(), from.take());
            let look = move |engine: &lockstep_engine::Engine, now| {
                Ok(engine.explain_groups(&reference, begin.as_ref(), limits::EXPLAIN_SCAN, now)?)
            };
            let page = self.read(look).await?;
            at.get_or_insert(page.at);
            for (reason, groups) in page.counts {
                *counts.entry(reason).or_default() += groups;
            }
            for group in page.blocked {
                if longest.as_ref().is_none_or(|longest| since(&group) < since(longest)) {
                    longest = Some(group.clone());
                }
                if group.group > after {
                    match held.len() < max {
                        true => held.push(group),
                        false => next = held.last().and_then(|last: &Explanation| last.group.clone()),
                    }
                }
            }
            from = page.next;
            if from.is_none() {
                let at = at.unwrap_or_default();
                return Ok(ExplainedQueue { view, at, counts, longest, held, next });
            }
        }
    }

    /// The number of the message with that id. The id is a hash (H9), so that it is looked for.
    async fn find_message(&self, queue: &QueueRef, id: Uuid) -> Result<SequenceNumber, Failure> {
        let mut after = SequenceNumber(0);
        loop {
            let queue = queue.clone();
            let look =
                move |engine: &lockstep_engine::Engine, _| Ok(engine.sequences(&queue, after, limits::EXPLAIN_SCAN)?);
            let numbers = self.read(look).await?;
            let is_it = |sent: &(QueueGeneration, SequenceNumber)| self.message_id(sent.0, sent.1) == id;
            if let Some((found, _)) = numbers.iter().find(|(_, sent)| is_it(sent)) {
                return Ok(*found);
            }
            after = match numbers.last() {
                Some((last, _)) => *last,
                None => return Err(Invalid::new("MESSAGE_NOT_FOUND", "B4", gone(id)).into()),
            };
        }
    }
}

/// Since when a group is held back; one that only the cap holds back (L10) is held by nobody.
fn since(group: &Explanation) -> Timestamp {
    group.blocking.as_ref().map_or(Timestamp(u64::MAX), |blocking| blocking.holder.since())
}

fn gone(id: Uuid) -> String {
    format!(
        "no message of the queue has the id {id}: it was deleted or is of another queue; ask by its sequence number, \
         which tells the two apart (B4)"
    )
}
