//! What the console sees beside what every front does: windows of a queue, queues with their counts, and the newest durable
//! facts. Looks are held like all reads (H4), and short however many groups there are.

use lockstep_engine::{
    command::QueueRef,
    explain::{Explanation, Reason},
    view::QueueView,
    window::{Pane, Window},
    words::{QueueGeneration, SequenceNumber, Timestamp},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Handle, Wanted};
use crate::{
    failure::Failure,
    limits,
    metrics::Counts,
    recent::{Begin, Fact, FactKind, Party, Read},
};

/// Something that was looked at, and when.
#[derive(Clone, Debug)]
pub(crate) struct Look<T> {
    /// What was there.
    pub(crate) seen: T,
    /// It knows of everything up to this frame, which is durable.
    pub(crate) frame: u64,
    /// The instant it speaks of.
    pub(crate) now: Timestamp,
}

/// A queue and what was counted of it since the broker started.
pub(crate) type QueueCounts = (QueueView, Counts);

/// Which message's life is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LifeOf {
    /// By its number.
    Number(SequenceNumber),
    /// By its id (H9).
    Id(Uuid),
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) sequence: SequenceNumber,
    pub(crate) id: Uuid,
    /// What holds it now, or that it is gone.
    pub(crate) explanation: Explanation,
    /// What happened to it, as far as that is remembered.
    pub(crate) facts: Vec<Fact>,
    /// Nothing that happened to it is forgotten.
    pub(crate) is_complete: bool,
}

impl Handle {
    /// Looks at a part of a queue; a search takes several short looks, and gives up after [`limits::FIND_LOOKS`].
    ///
    /// # Errors
    /// The queue is not there, or was made anew.
    pub(crate) async fn window(&self, queue: QueueRef, pane: Pane) -> Result<Look<Window>, Failure> {
        let wanted = pane.lanes;
        let mut pane = Pane { scan: limits::EXPLAIN_SCAN, ..pane };
        let mut whole = self.look(queue.clone(), pane.clone()).await?;
        for _ in 1..limits::FIND_LOOKS {
            let missing = wanted.saturating_sub(whole.seen.lanes.len());
            let Some(next) = whole.seen.next.take_if(|_| pane.find.is_some() && missing > 0) else { break };
            (pane.after, pane.lanes) = (Some(next), missing);
            let queue = QueueRef { generation: Some(whole.seen.view.generation), ..queue.clone() };
            let Look { seen, .. } = self.look(queue, pane.clone()).await?;
            whole.seen.lanes.extend(seen.lanes);
            whole.seen.next = seen.next;
        }
        Ok(whole)
    }

    async fn look(&self, queue: QueueRef, pane: Pane) -> Result<Look<Window>, Failure> {
        self.read_in(move |engine, context| {
            // The frame in the making may be seen in part; all before it are seen whole.
            Ok(Look { seen: engine.window(&queue, &pane)?, frame: context.frame - 1, now: context.now })
        })
        .await
    }

    /// Queues by name, at most `max`, after the name `after`, with their counts.
    ///
    /// # Errors
    /// Only those of every method.
    pub(crate) async fn counted_queues(
        &self,
        prefix: String,
        after: String,
        max: usize,
    ) -> Result<Look<Vec<QueueCounts>>, Failure> {
        let look = self.read_in(move |engine, context| {
            Ok(Look { seen: engine.queues(&prefix, &after, max), frame: context.frame - 1, now: context.now })
        });
        let Look { seen, frame, now } = look.await?;
        let seen = seen.into_iter().map(|view| self.with_counts(view)).collect();
        Ok(Look { seen, frame, now })
    }

    /// A queue with its counts.
    pub(crate) fn with_counts(&self, view: QueueView) -> QueueCounts {
        let counts = self.metrics.of_queue(view.generation);
        (view, counts)
    }

    /// The newest frame that is durable.
    pub(crate) fn newest_frame(&self) -> u64 {
        self.recent.newest()
    }

    /// Ends a wait at each durable frame.
    pub(crate) fn watch_frames(&self) -> watch::Receiver<()> {
        self.recent.watch()
    }

    /// Where a reader of facts begins: with what comes now, or behind a frame.
    pub(crate) fn begin_facts(&self, after: Option<u64>) -> Begin {
        self.recent.begin(after)
    }

    /// The facts from a place on that are wanted, at most `max` of them.
    pub(crate) fn read_facts(&self, place: u64, max: usize, wanted: impl FnMut(&Fact) -> bool) -> Read {
        self.recent.read(place, max, wanted)
    }

    /// What is known of a message, also of one that is gone while what happened to it is remembered.
    ///
    /// # Errors
    /// The queue is not there; the number was not given out; the id is none of its messages', nor of one remembered.
    pub(crate) async fn life(&self, queue: QueueRef, of: LifeOf) -> Result<Life, Failure> {
        let wanted = match of {
            LifeOf::Number(sequence) => Wanted::Message(sequence),
            LifeOf::Id(id) => match self.remembered(&queue, id).await? {
                Some(sequence) => Wanted::Message(sequence),
                None => Wanted::Id(id),
            },
        };
        let explanation = self.explain(queue, wanted).await?;
        let (generation, sequence) = (explanation.generation, explanation.message.unwrap_or_default());
        let sent_to = explanation.origin.as_ref().map_or((generation, sequence), |it| (it.generation, it.sequence));
        let facts = self.recent.life(generation, sequence);
        let begins = facts.first().is_some_and(begins_life);
        let is_complete = begins || explanation.reason == Reason::MessageNotSent;
        Ok(Life { sequence, id: self.message_id(sent_to.0, sent_to.1), explanation, facts, is_complete })
    }

    /// The number of a message that was sent not long ago, by its id.
    async fn remembered(&self, queue: &QueueRef, id: Uuid) -> Result<Option<SequenceNumber>, Failure> {
        let generation: QueueGeneration = self.describe_queue(queue.clone()).await?.generation;
        let sent = self.recent.sent(generation);
        Ok(sent.into_iter().find(|sequence| self.message_id(generation, *sequence) == id))
    }
}

/// Whether nothing can have happened to a message, in its queue, before a fact.
fn begins_life(fact: &Fact) -> bool {
    fact.kind == FactKind::Sent || matches!(fact.who, Party::From(..))
}
