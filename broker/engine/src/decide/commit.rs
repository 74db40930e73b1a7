//! Commit: all or nothing, in one journal entry (B1). Checked in the contract's order: queue generation, already
//! committed, reader generation, epoch, holes, then what it stores and sends.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Event, State,
    command::{Command, Commit, CommitTarget, Context, Decision, GroupOutcome, ReaderRef, ValueChange},
    decide::{
        delete::{Holding, first_kept, holding, in_the_way},
        outcomes,
        readers::still_open,
        send::Sending,
    },
    event::ValueChanged,
    limits,
    reply::{Accepted, Committed, Rejected},
    state::{
        queue::Queue,
        reader::{OpenedClaim, Outcome, PastCommit, Reader},
    },
    words::{
        BodyRef, ClaimNumber, CommitNumber, ContentDigest, Epoch, GroupId, Label, Receipt, SequenceNumber, ValueKey,
    },
};

impl Command for Commit {
    type Reply = Committed;

    fn decide(&self, state: &State, context: &Context) -> Decision<Committed> {
        let decided = match &self.target {
            CommitTarget::Claim { reader, number, epoch, record, outcomes } => {
                self.finish_claim(state, context, reader, (*number, *epoch), *record, outcomes)
            }
            CommitTarget::Deliveries(receipts) => self.finish_deliveries(state, context, receipts),
            CommitTarget::Reader(reader) => self.change_values(state, context, reader),
        };
        decided.unwrap_or_else(|rejected| Decision::unchanged(Err(rejected)))
    }
}

type Decided = Result<Decision<Committed>, Rejected>;

impl Commit {
    fn finish_claim(
        &self,
        state: &State,
        context: &Context,
        caller: &ReaderRef,
        (number, epoch): (ClaimNumber, Epoch),
        record: Option<u32>,
        outcomes: &[GroupOutcome],
    ) -> Decided {
        state.find_strict(&self.queue)?;
        let (queue, reader) = state.find_reader(caller)?;
        if let Some(done) = self.done_claim(reader, number)? {
            return Ok(Decision::unchanged(Ok(done)));
        }
        reader.fence(caller)?;
        let claim = still_open(reader, number)?;
        if claim.epoch != epoch {
            return Err(Rejected::ClaimFenced { given: epoch, current: claim.epoch });
        }
        self.check_values(queue, reader, Some(claim), record)?;
        let mut sending = Sending::new(state, context);
        let outputs = self.send_outputs(&mut sending)?;
        let mut values = self.place_values(&mut sending, context, record)?;
        let commit = reader.commits.next();
        if let Some(size) = record {
            let body = self.outputs.len() + self.values.iter().filter(|value| value.size.is_some()).count();
            values.push(published(commit, BodyRef { position: sending.place(index(body)), size }));
        }
        let outcomes = outcomes::judge(state, context, queue, claim, outcomes, &sending.events)?;
        let mut events = sending.events;
        events.push(Event::ClaimCommitted {
            queue: queue.generation,
            reader: reader.id,
            number,
            id: self.id.clone(),
            digest: self.digest,
            commit,
            outputs: outputs.clone(),
            values,
            outcomes: Box::new(outcomes),
        });
        let reply = Committed { commit: Some(commit), outputs, repeated: false };
        Ok(Decision { events, bodies: sending.bodies, reply: Ok(reply) })
    }

    /// The answer of an earlier commit of this number, if there was one (B1).
    fn done_claim(&self, reader: &Reader, number: ClaimNumber) -> Result<Option<Committed>, Rejected> {
        match reader.ended.get(&number) {
            Some(Outcome::Committed { id, digest, commit, outputs }) => {
                self.same(id, *digest)?;
                Ok(Some(Committed { commit: Some(*commit), outputs: outputs.clone(), repeated: true }))
            }
            Some(Outcome::Burnt) => Err(Rejected::ClaimBurnt),
            None if reader.has_ended(number) => Err(Rejected::OutcomeForgotten),
            None => Ok(None),
        }
    }

    fn same(&self, id: &Label, digest: ContentDigest) -> Result<(), Rejected> {
        if *id == self.id && digest == self.digest { Ok(()) } else { Err(Rejected::CommitConflict) }
    }

    fn finish_deliveries(&self, state: &State, context: &Context, receipts: &[Receipt]) -> Decided {
        let queue = state.find_strict(&self.queue)?;
        if let Some(done) = self.done_before(queue)? {
            return Ok(Decision::unchanged(Ok(done)));
        }
        let messages = held(queue, receipts)?;
        if let Some(value) = self.values.first() {
            return Err(Rejected::ValueOutsideClaim { key: value.key.as_str().to_owned() });
        }
        let mut sending = Sending::new(state, context);
        let outputs = self.send_outputs(&mut sending)?;
        let mut events = sending.events;
        events.push(Event::DeliveriesCommitted {
            queue: queue.generation,
            id: self.id.clone(),
            digest: self.digest,
            messages,
            outputs: outputs.clone(),
        });
        let reply = Committed { commit: None, outputs, repeated: false };
        Ok(Decision { events, bodies: sending.bodies, reply: Ok(reply) })
    }

    fn change_values(&self, state: &State, context: &Context, caller: &ReaderRef) -> Decided {
        state.find_strict(&self.queue)?;
        let (queue, reader) = state.find_reader(caller)?;
        if let Some(done) = self.done_before(queue)? {
            return Ok(Decision::unchanged(Ok(done)));
        }
        reader.fence(caller)?;
        self.check_values(queue, reader, None, None)?;
        let mut sending = Sending::new(state, context);
        let outputs = self.send_outputs(&mut sending)?;
        let values = self.place_values(&mut sending, context, None)?;
        let mut events = sending.events;
        events.push(Event::ValuesCommitted {
            queue: queue.generation,
            reader: reader.id,
            id: self.id.clone(),
            digest: self.digest,
            outputs: outputs.clone(),
            values,
        });
        let reply = Committed { commit: None, outputs, repeated: false };
        Ok(Decision { events, bodies: sending.bodies, reply: Ok(reply) })
    }

    fn done_before(&self, queue: &Queue) -> Result<Option<Committed>, Rejected> {
        let Some(PastCommit { digest, outputs }) = queue.commits.get(&self.id) else { return Ok(None) };
        self.same(&self.id, *digest)?;
        Ok(Some(Committed { commit: None, outputs: outputs.clone(), repeated: true }))
    }

    /// Values belong to groups of the claim, or to the reader where there is none; none is too long, all fit.
    fn check_values(
        &self,
        queue: &Queue,
        reader: &Reader,
        claim: Option<&OpenedClaim>,
        record: Option<u32>,
    ) -> Result<(), Rejected> {
        let claimed = claim.map(|claim| groups_of(queue, claim));
        let mut after: BTreeMap<_, Option<u32>> = BTreeMap::new();
        for ValueChange { group, key, size } in &self.values {
            let belongs = match (&claimed, group) {
                (Some(groups), Some(group)) => groups.contains(group),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !belongs {
                return Err(Rejected::ValueOutsideClaim { key: key.as_str().to_owned() });
            }
            if size.is_some_and(|size| size > limits::VALUE_BYTES) {
                return Err(Rejected::ValueTooLong { key: key.as_str().to_owned() });
            }
            after.insert((group.clone(), key.clone()), *size);
        }
        if record.is_some_and(|size| size > limits::VALUE_BYTES) {
            return Err(Rejected::ValueTooLong { key: "published".to_owned() });
        }
        let freed: u64 =
            after.keys().filter_map(|place| reader.values.get(place)).map(|body| u64::from(body.size)).sum();
        let added: u64 = after.values().copied().flatten().chain(record).map(u64::from).sum();
        let total = reader.value_bytes - freed + added;
        if added > freed && total > limits::READER_BYTES { Err(Rejected::ReaderFull) } else { Ok(()) }
    }

    fn send_outputs(&self, sending: &mut Sending<'_>) -> Result<Vec<Accepted>, Rejected> {
        let mut accepted = Vec::with_capacity(self.outputs.len());
        for (output, index) in self.outputs.iter().zip(0..) {
            let state = sending.state();
            let target = state.names.get(&output.queue).and_then(|generation| state.queues.get(generation));
            let sent = match target {
                Some(queue) => sending.send(queue, &output.entry, index),
                None => Err(Rejected::QueueNotFound),
            };
            accepted.push(sent.map_err(|reason| Rejected::OutputRefused { index, reason: Box::new(reason) })?);
        }
        Ok(accepted)
    }

    /// Gives the values their places; with the record they must fit in the space that commits keep (H5).
    fn place_values(
        &self,
        sending: &mut Sending<'_>,
        context: &Context,
        record: Option<u32>,
    ) -> Result<Vec<ValueChanged>, Rejected> {
        let stored: u64 = self.values.iter().filter_map(|value| value.size).chain(record).map(u64::from).sum();
        if stored > context.space.for_finishes {
            return Err(Rejected::StorageFull);
        }
        let mut body = self.outputs.len();
        let placed = self.values.iter().map(|ValueChange { group, key, size }| {
            let place = size.map(|size| {
                let position = sending.place(index(body));
                body += 1;
                BodyRef { position, size }
            });
            ValueChanged { group: group.clone(), key: key.clone(), body: place }
        });
        Ok(placed.collect())
    }
}

fn index(body: usize) -> u32 {
    u32::try_from(body).expect("a commit holds far fewer bodies than 2^32")
}

fn published(commit: CommitNumber, body: BodyRef) -> ValueChanged {
    let key = ValueKey::parse(&format!("published/{:020}", commit.0)).expect("a fixed prefix and 20 digits are a key");
    ValueChanged { group: None, key, body: Some(body) }
}

fn groups_of<'a>(queue: &'a Queue, claim: &OpenedClaim) -> BTreeSet<&'a GroupId> {
    claim
        .messages
        .iter()
        .filter_map(|sequence| queue.messages.get(*sequence))
        .map(|message| queue.group_of(message))
        .collect()
}

/// The messages of receipts that all live and leave no hole.
fn held(queue: &Queue, receipts: &[Receipt]) -> Result<Vec<SequenceNumber>, Rejected> {
    let mut wanted = BTreeSet::new();
    for receipt in receipts {
        match holding(queue, receipt)? {
            Holding::Held => wanted.insert(receipt.sequence),
            Holding::Gone => return Err(Rejected::MessageNotInFlight),
        };
    }
    let kept = first_kept(queue, &wanted);
    match wanted.iter().find_map(|sequence| in_the_way(queue, &kept, *sequence)) {
        Some(blocking) => Err(Rejected::EarlierInFlight { blocking }),
        None => Ok(wanted.into_iter().collect()),
    }
}
