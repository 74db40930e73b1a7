//! The model of readers and their claims (B6).

use lockstep_engine::{
    Engine, Rejected,
    command::{Abandon, Claim, DropReader, OpenReader, QueueRef, ReaderRef, TakeClaim},
    limits,
    reply::{Accepted, Claimed, OpenClaim, ReaderOpened},
    view::StoredValue,
    words::{
        BodyRef, ClaimNumber, CommitNumber, ContentDigest, Epoch, GroupId, Label, QueueGeneration, ReaderId, Timestamp,
        ValueKey,
    },
};

use super::{Hold, Model, Queue, Stamp, Turn, ensure};

#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) name: Label,
    pub(crate) id: u64,
    pub(crate) generation: u64,
    pub(crate) instance: Label,
    pub(crate) claim_limit: Option<u64>,
    pub(crate) commits: u64,
    /// Every number ever given out, in order.
    pub(crate) claims: Vec<ClaimState>,
    pub(crate) values: Vec<((Option<GroupId>, ValueKey), BodyRef)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClaimState {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) worker: Option<Label>,
    pub(crate) opened_at: u64,
    pub(crate) lapses_at: Option<u64>,
    pub(crate) messages: Vec<u64>,
    pub(crate) end: Option<End>,
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Burnt,
    Committed { id: Label, digest: ContentDigest, commit: CommitNumber, outputs: Vec<Accepted> },
}

impl ClaimState {
    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

impl Reader {
    /// The highest number up to which all are committed or burnt.
    pub(crate) fn last_committed(&self) -> u64 {
        self.claims.iter().take_while(|claim| !claim.is_open()).count() as u64
    }

    pub(crate) fn claim(&self, number: u64) -> Option<&ClaimState> {
        self.claims.iter().find(|claim| claim.number == number)
    }

    /// B1: the outcome is not kept any more.
    pub(crate) fn forgotten(&self, number: u64) -> bool {
        number + limits::KEPT_OUTCOMES <= self.last_committed()
    }

    pub(crate) fn fence(&self, caller: &ReaderRef) -> Result<(), Rejected> {
        let current = Epoch(self.generation);
        match caller.generation {
            Some(given) if given != current => Err(Rejected::ReaderFenced { given, current }),
            Some(_) | None => Ok(()),
        }
    }

    /// The open claim of a number, or how it ended.
    pub(crate) fn still_open(&self, number: u64) -> Result<&ClaimState, Rejected> {
        let claim = self.claim(number).ok_or(Rejected::ClaimNotOpen)?;
        match &claim.end {
            None => Ok(claim),
            Some(End::Burnt) if !self.forgotten(number) => Err(Rejected::ClaimBurnt),
            Some(End::Burnt | End::Committed { .. }) => Err(Rejected::ClaimNotOpen),
        }
    }
}

impl Queue {
    pub(crate) fn reader(&self, name: &Label) -> Result<usize, Rejected> {
        self.readers.iter().position(|reader| reader.name == *name).ok_or(Rejected::ReaderNotFound)
    }

    fn seen(&self, claim: &ClaimState) -> OpenClaim {
        let messages: Vec<_> = claim.messages.iter().filter_map(|sequence| self.message(*sequence)).collect();
        let mut groups: Vec<_> = messages.iter().map(|message| &message.group).collect();
        groups.sort();
        groups.dedup();
        let count = |n: usize| u32::try_from(n).expect("few messages");
        OpenClaim {
            number: ClaimNumber(claim.number),
            epoch: Epoch(claim.epoch),
            worker: claim.worker.clone(),
            messages: count(messages.len()),
            groups: count(groups.len()),
            bytes: messages.iter().map(|message| u64::from(message.body.size)).sum(),
            opened_at: Timestamp(claim.opened_at),
        }
    }

    /// A number is burnt; its messages go back in order, their receives counted.
    pub(crate) fn burn(&mut self, reader: u64, number: u64) {
        let reader = self.readers.iter_mut().find(|known| known.id == reader).expect("a claim has a reader");
        let claim = reader.claims.iter_mut().find(|claim| claim.number == number).expect("an open claim");
        claim.end = Some(End::Burnt);
        let messages = claim.messages.clone();
        for message in self.messages.iter_mut().filter(|message| messages.contains(&message.sequence)) {
            message.hold = Hold::Free;
        }
    }

    fn drop_reader(&mut self, place: usize, stamp: Stamp) {
        let reader = self.readers.remove(place);
        for message in &mut self.messages {
            if matches!(message.hold, Hold::Claimed { reader: holder, .. } if holder == reader.id) {
                message.hold = Hold::Free;
            }
        }
        self.refresh(stamp);
    }
}

impl Model {
    pub(crate) fn find_reader(&self, reader: &ReaderRef) -> Result<(usize, usize), Rejected> {
        let place = self.find_strict(&reader.queue)?;
        Ok((place, self.queues[place].reader(&reader.name)?))
    }

    fn find_fenced(&self, caller: &ReaderRef) -> Result<(usize, usize), Rejected> {
        let (place, reader) = self.find_reader(caller)?;
        self.queues[place].readers[reader].fence(caller)?;
        Ok((place, reader))
    }

    pub(crate) fn open_reader(&mut self, command: &OpenReader) -> Result<ReaderOpened, Rejected> {
        let place = self.find_strict(&command.queue)?;
        let queue = &mut self.queues[place];
        let known = match queue.reader(&command.reader) {
            Ok(known) => known,
            Err(_) => {
                queue.last_reader += 1;
                queue.last_epoch += 1;
                queue.readers.push(Reader {
                    name: command.reader.clone(),
                    id: queue.last_reader,
                    generation: queue.last_epoch,
                    instance: command.instance.clone(),
                    claim_limit: command.claim_limit,
                    commits: 0,
                    claims: Vec::new(),
                    values: Vec::new(),
                });
                queue.readers.len() - 1
            }
        };
        let reader = &mut queue.readers[known];
        if reader.instance != command.instance {
            queue.last_epoch += 1;
            reader.generation = queue.last_epoch;
            reader.instance = command.instance.clone();
            reader.claim_limit = command.claim_limit;
            for claim in reader.claims.iter_mut().filter(|claim| claim.is_open()) {
                queue.last_epoch += 1;
                claim.epoch = queue.last_epoch;
                claim.worker = None;
            }
        }
        let (queue, reader) = (&self.queues[place], &self.queues[place].readers[known]);
        Ok(ReaderOpened {
            queue: QueueGeneration(queue.generation),
            id: ReaderId(reader.id),
            generation: Epoch(reader.generation),
            open: reader.claims.iter().filter(|claim| claim.is_open()).map(|claim| queue.seen(claim)).collect(),
            last_committed: ClaimNumber(reader.last_committed()),
            last_number: ClaimNumber(reader.claims.len() as u64),
            commits: CommitNumber(reader.commits),
        })
    }

    /// Predicts the answer; of a new claim it judges the messages that the engine gave it.
    pub(crate) fn claim(
        &mut self,
        command: &Claim,
        turn: &Turn,
        given: &Result<Claimed, Rejected>,
        engine: &Engine,
    ) -> Result<(), String> {
        let expected = match self.find_fenced(&command.reader) {
            Ok((place, reader)) => self.claim_known(place, reader, command),
            Err(rejected) => Some(Err(rejected)),
        };
        if let Some(expected) = expected {
            ensure!(*given == expected, "{given:?}, the model answers {expected:?}");
            return Ok(());
        }
        let (place, reader) = self.find_fenced(&command.reader).expect("checked above");
        let stamp = self.stamp(turn.now);
        let active = self.active(turn.now);
        let at_least = u64::from(command.at_least.clamp(1, command.max_messages));
        let queue = &self.queues[place];
        let opened = match given {
            Ok(Claimed::Open(opened)) => opened,
            Ok(Claimed::Empty) => {
                let runs = queue.free_since.iter().map(|(group, _)| queue.leading_run(group).len() as u64);
                let possible = runs.sum::<u64>().min(command.max_messages.into());
                ensure!(possible < at_least, "nothing claimed, {possible} were free");
                return Ok(());
            }
            Ok(Claimed::Committed(_) | Claimed::Burnt) | Err(_) => return Err(format!("{given:?} to a new number")),
        };
        let contents = engine
            .claim_contents(&command.reader, command.number, opened.epoch, 0, 1)
            .map_err(|rejected| format!("its contents: {rejected}"))?;
        ensure!(contents.messages.is_sorted_by_key(|message| message.sequence), "a claim out of order");
        let letter = contents.messages.iter().find(|message| self.is_letter(place, message.sequence.0, turn));
        ensure!(letter.is_none(), "claimed instead of dead-lettered: {letter:?}");
        let queue = &mut self.queues[place];
        let mut chosen: Vec<(GroupId, Vec<u64>)> = Vec::new();
        for message in &contents.messages {
            match chosen.iter_mut().find(|(group, _)| *group == message.group) {
                Some((_, sequences)) => sequences.push(message.sequence.0),
                None => chosen.push((message.group.clone(), vec![message.sequence.0])),
            }
        }
        // The order of the choice: by the age of the groups, the one that was cut last of its equals.
        chosen.sort_by_key(|(group, sequences)| {
            let since = queue.free_since.iter().find(|(known, _)| known == group).map(|(_, since)| *since);
            (since, queue.leading_run(group).len() > sequences.len())
        });
        ensure!(!chosen.is_empty(), "an empty claim took a number");
        ensure!(contents.messages.len() as u64 >= at_least, "fewer than asked for at least");
        queue.judge_choice(&chosen, command.max_messages.into(), command.max_bytes)?;
        queue.last_epoch += 1;
        let holder = &mut queue.readers[reader];
        let claim = ClaimState {
            number: command.number.0,
            epoch: queue.last_epoch,
            worker: None,
            opened_at: turn.now,
            lapses_at: holder.claim_limit.map(|limit| active + limit),
            messages: contents.messages.iter().map(|message| message.sequence.0).collect(),
            end: None,
        };
        for message in queue.messages.iter_mut().filter(|message| claim.messages.contains(&message.sequence)) {
            message.hold = Hold::Claimed { reader: holder.id, number: claim.number };
            message.receives += 1;
            message.first_received_at.get_or_insert(turn.now);
        }
        let expected = queue.seen(&claim);
        ensure!(*opened == expected, "{opened:?}, the model expects {expected:?}");
        queue.readers[reader].claims.push(claim);
        queue.refresh(stamp);
        Ok(())
    }

    /// The answer where no new claim is opened.
    fn claim_known(&self, place: usize, reader: usize, command: &Claim) -> Option<Result<Claimed, Rejected>> {
        let (queue, reader) = (&self.queues[place], &self.queues[place].readers[reader]);
        let next = reader.claims.len() as u64 + 1;
        match reader.claim(command.number.0) {
            Some(claim) => match &claim.end {
                None => Some(Ok(Claimed::Open(queue.seen(claim)))),
                Some(_) if reader.forgotten(claim.number) => Some(Err(Rejected::OutcomeForgotten)),
                Some(End::Burnt) => Some(Ok(Claimed::Burnt)),
                Some(End::Committed { commit, .. }) => Some(Ok(Claimed::Committed(*commit))),
            },
            None if command.number.0 != next => Some(Err(Rejected::ClaimNumberInvalid { next: ClaimNumber(next) })),
            None if reader.claims.iter().filter(|claim| claim.is_open()).count() >= limits::OPEN_CLAIMS => {
                Some(Err(Rejected::TooManyOpenClaims))
            }
            None => None,
        }
    }

    pub(crate) fn take_claim(&mut self, command: &TakeClaim) -> Result<OpenClaim, Rejected> {
        let (place, reader) = self.find_fenced(&command.reader)?;
        let queue = &mut self.queues[place];
        let claim = queue.readers[reader].still_open(command.number.0)?.clone();
        let taken = if claim.worker.as_ref() == Some(&command.worker) {
            claim
        } else {
            queue.last_epoch += 1;
            if command.previous_failed && claim.worker.is_some() {
                for message in queue.messages.iter_mut().filter(|m| claim.messages.contains(&m.sequence)) {
                    message.receives += 1;
                }
            }
            ClaimState { epoch: queue.last_epoch, worker: Some(command.worker.clone()), ..claim }
        };
        let known = queue.readers[reader].claims.iter_mut().find(|known| known.number == taken.number);
        *known.expect("found above") = taken.clone();
        Ok(queue.seen(&taken))
    }

    pub(crate) fn abandon(&mut self, command: &Abandon, turn: &Turn) -> Result<Vec<ClaimNumber>, Rejected> {
        let (place, reader) = self.find_fenced(&command.reader)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        let reader = &queue.readers[reader];
        let numbers: Vec<u64> = match command.number {
            None => reader.claims.iter().filter(|claim| claim.is_open()).map(|claim| claim.number).collect(),
            Some(number) => match reader.still_open(number.0) {
                Ok(claim) => vec![claim.number],
                Err(Rejected::ClaimBurnt) => return Ok(vec![number]),
                Err(rejected) => return Err(rejected),
            },
        };
        let id = reader.id;
        for number in &numbers {
            queue.burn(id, *number);
        }
        queue.refresh(stamp);
        Ok(numbers.into_iter().map(ClaimNumber).collect())
    }

    pub(crate) fn drop_reader(&mut self, command: &DropReader, turn: &Turn) -> Result<(), Rejected> {
        let place = self.find_strict(&command.queue)?;
        let stamp = self.stamp(turn.now);
        let queue = &mut self.queues[place];
        let reader = queue.reader(&command.reader)?;
        if command.id.is_some_and(|id| id.0 != queue.readers[reader].id) {
            return Err(Rejected::ReaderNotFound);
        }
        queue.drop_reader(reader, stamp);
        Ok(())
    }

    /// Readers, claims with their contents, and values, as they are seen from outside.
    pub(crate) fn compare_readers(&self, engine: &Engine, queue: &Queue, name: &QueueRef) -> Result<(), String> {
        if !queue.is_strict() {
            ensure!(engine.readers(name, "", 9) == Err(Rejected::NotStrict), "a prefix queue lists readers");
            return Ok(());
        }
        let mut seen = engine.readers(name, "", usize::MAX).map_err(|rejected| rejected.to_string())?;
        seen.sort_by_key(|reader| reader.id);
        ensure!(seen.len() == queue.readers.len(), "{} readers", seen.len());
        for (seen, reader) in seen.iter().zip(&queue.readers) {
            let open: Vec<_> = reader.claims.iter().filter(|claim| claim.is_open()).collect();
            let same = seen.id.0 == reader.id
                && seen.name == reader.name
                && seen.generation.0 == reader.generation
                && seen.instance == reader.instance
                && seen.claim_limit == reader.claim_limit
                && seen.last_committed.0 == reader.last_committed()
                && seen.last_number.0 == reader.claims.len() as u64
                && seen.commits.0 == reader.commits
                && seen.values == reader.values.len() as u64
                && seen.open.iter().eq(&open.iter().map(|claim| queue.seen(claim)).collect::<Vec<_>>());
            ensure!(same, "{seen:?} is not {reader:?}");
            let caller = ReaderRef { queue: name.clone(), name: reader.name.clone(), generation: None };
            for claim in open {
                let contents = engine
                    .claim_contents(&caller, ClaimNumber(claim.number), Epoch(claim.epoch), 0, 1)
                    .map_err(|rejected| rejected.to_string())?;
                let sequences: Vec<u64> = contents.messages.iter().map(|message| message.sequence.0).collect();
                ensure!(sequences == claim.messages, "claim {} holds {sequences:?}", claim.number);
                let groups: Vec<_> = contents.messages.iter().map(|message| Some(&message.group)).collect();
                let values = reader.values.iter().filter(|((group, _), _)| groups.contains(&group.as_ref()));
                ensure!(same_values(&contents.values, values), "claim {} shows other values", claim.number);
            }
            let own = engine.values(&caller, None, "", "", usize::MAX, u64::MAX).map_err(|e| e.to_string())?;
            let values = reader.values.iter().filter(|((group, _), _)| group.is_none());
            ensure!(same_values(&own, values), "the reader's own values are {own:?}");
        }
        Ok(())
    }
}

fn same_values<'a>(
    seen: &[StoredValue],
    expected: impl Iterator<Item = &'a ((Option<GroupId>, ValueKey), BodyRef)>,
) -> bool {
    let mut expected: Vec<_> = expected.collect();
    expected.sort_by(|(one, _), (other, _)| one.cmp(other));
    let seen: Vec<_> = seen.iter().map(|value| ((value.group.clone(), value.key.clone()), value.body)).collect();
    seen.iter().eq(expected)
}
