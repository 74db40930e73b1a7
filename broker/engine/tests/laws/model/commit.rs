//! The model of Commit: tried on a copy, so that it is all or nothing by construction (B1).

use lockstep_engine::{
    Rejected,
    command::{Commit, CommitTarget, GroupOutcome, ReaderRef},
    limits,
    reply::{Accepted, Committed},
    words::{BodyRef, CommitNumber, ContentDigest, Epoch, GroupId, Label, SequenceNumber, ValueKey},
};

use super::{Model, Queue, Turn, messages::Worth, readers::End};

/// A commit of deliveries or of reader-wide values that is remembered.
#[derive(Clone, Debug)]
pub(crate) struct PastCommit {
    pub(crate) id: Label,
    pub(crate) digest: ContentDigest,
    pub(crate) outputs: Vec<Accepted>,
}

type Answer = Result<Committed, Rejected>;

impl Model {
    pub(crate) fn commit(&mut self, command: &Commit, turn: &mut Turn) -> Answer {
        let mut tried = self.clone();
        let answer = match &command.target {
            CommitTarget::Claim { reader, number, epoch, record, outcomes } => {
                tried.commit_claim(command, turn, reader, (number.0, *epoch), (*record, outcomes))
            }
            CommitTarget::Deliveries(_) => tried.commit_deliveries(command, turn),
            CommitTarget::Reader(reader) => tried.commit_values(command, turn, reader),
        };
        match &answer {
            Ok(_) => *self = tried,
            Err(_) => turn.bodies.clear(),
        }
        answer
    }

    fn commit_claim(
        &mut self,
        command: &Commit,
        turn: &mut Turn,
        caller: &ReaderRef,
        (number, epoch): (u64, Epoch),
        (record, outcomes): (Option<u32>, &[GroupOutcome]),
    ) -> Answer {
        let for_sends = turn.for_sends;
        self.find_strict(&command.queue)?;
        let (place, reader) = self.find_reader(caller)?;
        let known = &self.queues[place].readers[reader];
        match known.claim(number).and_then(|claim| claim.end.as_ref()) {
            Some(_) if known.forgotten(number) => return Err(Rejected::OutcomeForgotten),
            Some(End::Burnt) => return Err(Rejected::ClaimBurnt),
            Some(End::Committed { id, digest, .. }) if *id != command.id || *digest != command.digest => {
                return Err(Rejected::CommitConflict);
            }
            Some(End::Committed { commit, outputs, .. }) => {
                return Ok(Committed { commit: Some(*commit), outputs: outputs.clone(), repeated: true });
            }
            None => {}
        }
        known.fence(caller)?;
        let claim = known.still_open(number)?;
        if Epoch(claim.epoch) != epoch {
            return Err(Rejected::ClaimFenced { given: epoch, current: Epoch(claim.epoch) });
        }
        let messages = claim.messages.clone();
        let queue = &self.queues[place];
        let groups: Vec<GroupId> =
            messages.iter().filter_map(|sequence| queue.message(*sequence)).map(|m| m.group.clone()).collect();
        check_values(command, |group| group.is_some_and(|group| groups.contains(group)))?;
        if record.is_some_and(|size| size > limits::VALUE_BYTES) {
            return Err(Rejected::ValueTooLong { key: "published".to_owned() });
        }
        let outputs = self.send_outputs(command, turn)?;
        let mut values = place_values(command, turn, record)?;
        let commit = CommitNumber(self.queues[place].readers[reader].commits + 1);
        if let Some(size) = record {
            let body = turn.store(command.outputs.len() + stored(command), size);
            let key = ValueKey::parse(&format!("published/{:020}", commit.0)).expect("a key");
            values.push(((None, key), Some(body)));
        }
        self.finish(place, &messages, outcomes, (turn, for_sends))?;
        let queue = &mut self.queues[place];
        let reader = &mut queue.readers[reader];
        reader.commits = commit.0;
        put(&mut reader.values, values);
        let claim = reader.claims.iter_mut().find(|claim| claim.number == number).expect("found above");
        claim.end =
            Some(End::Committed { id: command.id.clone(), digest: command.digest, commit, outputs: outputs.clone() });
        Ok(Committed { commit: Some(commit), outputs, repeated: false })
    }

    fn commit_deliveries(&mut self, command: &Commit, turn: &mut Turn) -> Answer {
        let CommitTarget::Deliveries(receipts) = &command.target else { return Err(Rejected::ClaimNotOpen) };
        let place = self.find_strict(&command.queue)?;
        if let Some(done) = self.queues[place].done_before(command)? {
            return Ok(done);
        }
        let queue = &self.queues[place];
        let mut wanted = Vec::new();
        for receipt in receipts {
            match queue.worth(receipt)? {
                Worth::Held => wanted.push(receipt.sequence.0),
                Worth::Gone => return Err(Rejected::MessageNotInFlight),
            }
        }
        wanted.sort_unstable();
        if let Some(blocking) = wanted.iter().find_map(|sequence| queue.hole(*sequence, &wanted)) {
            return Err(Rejected::EarlierInFlight { blocking: SequenceNumber(blocking) });
        }
        check_values(command, |_| false)?;
        let outputs = self.send_outputs(command, turn)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        queue.messages.retain(|message| !wanted.contains(&message.sequence));
        queue.refresh(stamp);
        queue.remember(command, &outputs);
        Ok(Committed { commit: None, outputs, repeated: false })
    }

    fn commit_values(&mut self, command: &Commit, turn: &mut Turn, caller: &ReaderRef) -> Answer {
        self.find_strict(&command.queue)?;
        let (place, reader) = self.find_reader(caller)?;
        if let Some(done) = self.queues[place].done_before(command)? {
            return Ok(done);
        }
        self.queues[place].readers[reader].fence(caller)?;
        check_values(command, |group| group.is_none())?;
        let outputs = self.send_outputs(command, turn)?;
        let values = place_values(command, turn, None)?;
        let queue = &mut self.queues[place];
        put(&mut queue.readers[reader].values, values);
        queue.remember(command, &outputs);
        Ok(Committed { commit: None, outputs, repeated: false })
    }

    /// A refused output is named.
    fn send_outputs(&mut self, command: &Commit, turn: &mut Turn) -> Result<Vec<Accepted>, Rejected> {
        let mut accepted = Vec::new();
        for (index, output) in command.outputs.iter().enumerate() {
            let place = self.queues.iter().position(|queue| queue.name == output.queue);
            let sent = place.ok_or(Rejected::QueueNotFound);
            let sent = sent.and_then(|place| self.send_one(place, &output.entry, index, turn));
            let index = u32::try_from(index).expect("few outputs");
            accepted.push(sent.map_err(|reason| Rejected::OutputRefused { index, reason: Box::new(reason) })?);
        }
        Ok(accepted)
    }
}

impl Queue {
    fn done_before(&self, command: &Commit) -> Result<Option<Committed>, Rejected> {
        match self.commits.iter().find(|past| past.id == command.id) {
            None => Ok(None),
            Some(past) if past.digest != command.digest => Err(Rejected::CommitConflict),
            Some(past) => Ok(Some(Committed { commit: None, outputs: past.outputs.clone(), repeated: true })),
        }
    }

    fn remember(&mut self, command: &Commit, outputs: &[Accepted]) {
        let past = PastCommit { id: command.id.clone(), digest: command.digest, outputs: outputs.to_vec() };
        self.commits.push(past);
        if self.commits.len() as u64 > limits::KEPT_OUTCOMES {
            self.commits.remove(0);
        }
    }
}

type Place = (Option<GroupId>, ValueKey);

/// How many of the command's bodies are values.
fn stored(command: &Commit) -> usize {
    command.values.iter().filter(|value| value.size.is_some()).count()
}

fn check_values(command: &Commit, belongs: impl Fn(Option<&GroupId>) -> bool) -> Result<(), Rejected> {
    for value in &command.values {
        let key = || value.key.as_str().to_owned();
        if !belongs(value.group.as_ref()) {
            return Err(Rejected::ValueOutsideClaim { key: key() });
        }
        if value.size.is_some_and(|size| size > limits::VALUE_BYTES) {
            return Err(Rejected::ValueTooLong { key: key() });
        }
    }
    Ok(())
}

/// Gives each stored value its place; all of them, and the record, must fit in the space for finishes (H5).
fn place_values(
    command: &Commit,
    turn: &mut Turn,
    record: Option<u32>,
) -> Result<Vec<(Place, Option<BodyRef>)>, Rejected> {
    let sizes = command.values.iter().filter_map(|value| value.size).chain(record);
    if sizes.map(u64::from).sum::<u64>() > turn.for_finishes {
        return Err(Rejected::StorageFull);
    }
    let mut body = command.outputs.len();
    let mut placed = Vec::new();
    for value in &command.values {
        let stored = value.size.map(|size| turn.store(body, size));
        body += usize::from(value.size.is_some());
        placed.push(((value.group.clone(), value.key.clone()), stored));
    }
    Ok(placed)
}

fn put(values: &mut Vec<(Place, BodyRef)>, changes: Vec<(Place, Option<BodyRef>)>) {
    for (place, body) in changes {
        values.retain(|(known, _)| *known != place);
        values.extend(body.map(|body| (place, body)));
    }
}
