//! Readers, their claims and stored values, and the commits that are remembered (B1, B6).

use std::collections::{BTreeMap, VecDeque};

use crate::{
    limits,
    reply::Accepted,
    words::{
        ActiveTime, BodyRef, ClaimNumber, CommitNumber, ContentDigest, Epoch, GroupId, Label, ReaderId, SequenceNumber,
        Timestamp, ValueKey,
    },
};

/// Whose value, and its key: the reader's own come first.
pub(crate) type ValuePlace = (Option<GroupId>, ValueKey);

/// A named consumer of batch claims.
#[derive(Debug, PartialEq)]
pub(crate) struct Reader {
    pub(crate) id: ReaderId,
    pub(crate) generation: Epoch,
    pub(crate) instance: Label,
    pub(crate) claim_limit: Option<u64>,
    /// The highest number given out.
    pub(crate) last_number: ClaimNumber,
    /// The highest number up to which all are committed or burnt (`last committed`).
    pub(crate) last_ended: ClaimNumber,
    pub(crate) commits: CommitNumber,
    pub(crate) open: BTreeMap<ClaimNumber, OpenedClaim>,
    pub(crate) ended: BTreeMap<ClaimNumber, Outcome>,
    pub(crate) values: BTreeMap<ValuePlace, BodyRef>,
    pub(crate) value_bytes: u64,
}

/// A claim that is neither committed nor burnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedClaim {
    pub(crate) epoch: Epoch,
    pub(crate) worker: Option<Label>,
    pub(crate) opened_at: Timestamp,
    pub(crate) lapses_at: Option<ActiveTime>,
    /// In sequence order.
    pub(crate) messages: Vec<SequenceNumber>,
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed { id: Label, digest: ContentDigest, commit: CommitNumber, outputs: Vec<Accepted> },
    Burnt,
}

impl Reader {
    pub(crate) fn new(id: ReaderId, generation: Epoch, instance: Label, claim_limit: Option<u64>) -> Self {
        Self {
            id,
            generation,
            instance,
            claim_limit,
            last_number: ClaimNumber(0),
            last_ended: ClaimNumber(0),
            commits: CommitNumber(0),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            values: BTreeMap::new(),
            value_bytes: 0,
        }
    }

    /// Remembers how a number ended, and forgets what B1 lets go.
    pub(crate) fn end(&mut self, number: ClaimNumber, outcome: Outcome) {
        self.ended.insert(number, outcome);
        while self.last_ended < self.last_number && !self.open.contains_key(&self.last_ended.next()) {
            self.last_ended = self.last_ended.next();
        }
        let keep_from = ClaimNumber(self.last_ended.0.saturating_sub(limits::KEPT_OUTCOMES) + 1);
        while let Some(entry) = self.ended.first_entry()
            && *entry.key() < keep_from
        {
            entry.remove();
        }
    }

    /// Whether a number is at or below `last committed`; numbers begin with 1.
    pub(crate) fn has_ended(&self, number: ClaimNumber) -> bool {
        number > ClaimNumber(0) && number <= self.last_ended
    }

    /// Stores or removes a value.
    pub(crate) fn put(&mut self, place: ValuePlace, body: Option<BodyRef>) {
        let before = match body {
            Some(body) => {
                self.value_bytes += u64::from(body.size);
                self.values.insert(place, body)
            }
            None => self.values.remove(&place),
        };
        self.value_bytes -= before.map_or(0, |body| u64::from(body.size));
    }
}

/// A commit of deliveries or of reader-wide values that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PastCommit {
    pub(crate) digest: ContentDigest,
    pub(crate) outputs: Vec<Accepted>,
}

/// The newest such commits of a queue, by id.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct PastCommits {
    by_id: BTreeMap<Label, PastCommit>,
    order: VecDeque<Label>,
}

impl PastCommits {
    pub(crate) fn insert(&mut self, id: Label, commit: PastCommit) {
        self.order.push_back(id.clone());
        self.by_id.insert(id, commit);
        if self.order.len() as u64 > limits::KEPT_OUTCOMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, id: &Label) -> Option<&PastCommit> {
        self.by_id.get(id)
    }

    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&Label, &PastCommit)> {
        self.order.iter().filter_map(|id| self.by_id.get_key_value(id))
    }
}
