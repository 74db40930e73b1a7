//! A broker in memory with the rules of B1, B6 and B9 that the pool leans on, and seeded loss of answers: a call may fail
//! before or after it took effect. No journal, no network; crashes of the broker are not modelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_emr_sim::identity::Identity;
use lockstep_emr_sim::port::{
    ClaimCommit, ClaimContents, ClaimLimits, Claimed, ClaimedMessage, GroupOutcome, OpenClaim, OpenedReader, Port,
    PortError, QueueState, ReaderCommit, ReaderRef, ReaderState, Reason, Rest, StoredValue, ValuesPage,
};
use lockstep_emr_sim::record;
use tokio::sync::Notify;

pub(crate) type Key = (Option<String>, String);

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) group: String,
    pub(crate) body: Vec<u8>,
    pub(crate) receives: u32,
    pub(crate) dead_lettered: bool,
    claim: Option<u64>,
    pub(crate) done: bool,
}

struct Claim {
    epoch: u64,
    worker: String,
    messages: Vec<usize>,
}

enum Ended {
    Committed { commit: u64, content: ClaimCommit },
    Burnt,
}

#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) generation: u64,
    pub(crate) instance: String,
    open: BTreeMap<u64, Claim>,
    ended: BTreeMap<u64, Ended>,
    last_number: u64,
    pub(crate) commits: u64,
    pub(crate) values: BTreeMap<Key, Vec<u8>>,
}

pub(crate) struct State {
    pub(crate) queue_generation: u64,
    pub(crate) messages: Vec<Message>,
    pub(crate) reader: Option<Reader>,
    last_epoch: u64,
    reader_commits: BTreeMap<String, ReaderCommit>,
    pub(crate) parked: BTreeSet<String>,
    pub(crate) max_receive_count: Option<u32>,
    losses: Option<(fastrand::Rng, f64)>,
    pub(crate) down: bool,
    /// Another consumer holds the queue's messages until the queue was described so often.
    pub(crate) held_for: u32,
}

#[derive(Clone)]
pub(crate) struct FakeBroker {
    pub(crate) state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

pub(crate) fn refuse<T>(reason: Reason) -> Result<T, PortError> {
    Err(PortError::Refused { reason, message: format!("{reason:?}") })
}

impl FakeBroker {
    pub(crate) fn new() -> Self {
        let state = State {
            queue_generation: 1,
            messages: Vec::new(),
            reader: None,
            last_epoch: 0,
            reader_commits: BTreeMap::new(),
            parked: BTreeSet::new(),
            max_receive_count: None,
            losses: None,
            down: false,
            held_for: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(Notify::new()) }
    }

    pub(crate) fn with_losses(self, seed: u64, share: f64) -> Self {
        self.state.lock().unwrap().losses = Some((fastrand::Rng::with_seed(seed), share));
        self
    }

    pub(crate) fn send(&self, group: &str, body: &[u8]) {
        let message = Message {
            group: group.into(),
            body: body.to_vec(),
            receives: 0,
            dead_lettered: false,
            claim: None,
            done: false,
        };
        self.state.lock().unwrap().messages.push(message);
        self.changed.notify_waiters();
    }

    pub(crate) fn open_numbers(&self) -> Vec<u64> {
        self.state.lock().unwrap().reader.as_ref().unwrap().open.keys().copied().collect()
    }

    /// Gives an open claim back, by the operator's word.
    pub(crate) fn burn(&self, number: u64) {
        let mut state = self.state.lock().unwrap();
        let reader = state.reader.as_mut().unwrap();
        let claim = reader.open.remove(&number).unwrap();
        reader.ended.insert(number, Ended::Burnt);
        for message in claim.messages {
            state.messages[message].claim = None;
        }
        self.changed.notify_waiters();
    }

    /// One call: lost on the way there, or on the way back, or neither.
    fn call<T>(&self, work: impl FnOnce(&mut State) -> Result<T, PortError>) -> Result<T, PortError> {
        let mut state = self.state.lock().unwrap();
        if state.down {
            return Err(PortError::Unavailable("the broker is down".into()));
        }
        state.maybe_lose("lost on the way there")?;
        let answer = work(&mut state);
        state.maybe_lose("lost on the way back")?;
        answer
    }
}

impl State {
    fn maybe_lose(&mut self, why: &str) -> Result<(), PortError> {
        let lost = self.losses.as_mut().is_some_and(|(random, share)| random.f64() < *share);
        if lost { Err(PortError::Unavailable(why.into())) } else { Ok(()) }
    }

    fn epoch(&mut self) -> u64 {
        self.last_epoch += 1;
        self.last_epoch
    }

    fn checked(&mut self, caller: &ReaderRef) -> Result<&mut Reader, PortError> {
        let reader = self.found(caller)?;
        if reader.generation == caller.reader_generation { Ok(reader) } else { refuse(Reason::ReaderFenced) }
    }

    fn found(&mut self, caller: &ReaderRef) -> Result<&mut Reader, PortError> {
        if self.queue_generation != caller.queue_generation {
            return refuse(Reason::QueueGenerationChanged);
        }
        self.reader.as_mut().map_or_else(|| refuse(Reason::ReaderGone), Ok)
    }

    fn open_claims(&self) -> Vec<OpenClaim> {
        let open = self.reader.iter().flat_map(|reader| &reader.open);
        open.map(|(number, claim)| shown(*number, claim)).collect()
    }

    /// Prefixes of free groups.
    fn choose(&self, limits: ClaimLimits) -> Vec<usize> {
        let held = |group: &str| self.messages.iter().any(|message| message.claim.is_some() && message.group == group);
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        if self.held_for > 0 {
            return chosen;
        }
        for (place, message) in self.messages.iter().enumerate() {
            if message.done || held(&message.group) || self.parked.contains(&message.group) {
                continue;
            }
            bytes += message.body.len() as u64;
            if chosen.len() as u32 >= limits.max_messages || (bytes > limits.max_bytes && !chosen.is_empty()) {
                break;
            }
            chosen.push(place);
        }
        chosen
    }

    fn claim(&mut self, caller: &ReaderRef, number: u64, limits: ClaimLimits) -> Result<Claimed, PortError> {
        let reader = self.checked(caller)?;
        if let Some(claim) = reader.open.get(&number) {
            return Ok(Claimed::Open(shown(number, claim)));
        }
        match reader.ended.get(&number) {
            Some(Ended::Committed { .. }) => return Ok(Claimed::Committed),
            Some(Ended::Burnt) => return Ok(Claimed::Burnt),
            None => {}
        }
        assert_eq!(number, reader.last_number + 1, "a claim's number is the next one, or one given out");
        assert!(reader.open.len() < 64, "too many open claims");
        let messages = self.choose(limits);
        if messages.is_empty() {
            return Ok(Claimed::Empty);
        }
        let epoch = self.epoch();
        for message in &messages {
            self.messages[*message].claim = Some(number);
            self.messages[*message].receives += 1;
        }
        let claim = Claim { epoch, worker: String::new(), messages };
        let answer = Claimed::Open(shown(number, &claim));
        let reader = self.checked(caller)?;
        reader.last_number = number;
        reader.open.insert(number, claim);
        Ok(answer)
    }

    fn commit(&mut self, caller: &ReaderRef, commit: &ClaimCommit) -> Result<u64, PortError> {
        let reader = self.found(caller)?;
        match reader.ended.get(&commit.number) {
            Some(Ended::Committed { commit: number, content }) if content == commit => return Ok(*number),
            Some(Ended::Committed { .. }) => return refuse(Reason::CommitConflict),
            Some(Ended::Burnt) => return refuse(Reason::ClaimBurnt),
            None => {}
        }
        let reader = self.checked(caller)?;
        match reader.open.get(&commit.number) {
            None => return refuse(Reason::ClaimNotOpen),
            Some(claim) if claim.epoch != commit.epoch => return refuse(Reason::ClaimFenced),
            Some(_) => {}
        }
        let claim = reader.open.remove(&commit.number).unwrap();
        reader.commits += 1;
        let number = reader.commits;
        assert!(commit.commit_id.len() <= 80);
        let bytes: usize = commit.values.iter().map(|value| value.value.as_ref().map_or(0, Vec::len)).sum();
        assert!(bytes <= 768 * 1024, "a Commit is at most 1 MiB");
        for change in &commit.values {
            let key = (Some(change.group.clone()), change.key.clone());
            match &change.value {
                Some(value) => {
                    assert!(value.len() <= 64 * 1024, "a value is at most 64 KiB");
                    reader.values.insert(key, value.clone());
                }
                None => drop(reader.values.remove(&key)),
            }
        }
        reader.values.insert((None, record::key(number)), commit.record.clone());
        reader.ended.insert(commit.number, Ended::Committed { commit: number, content: commit.clone() });
        let groups: Vec<_> = claim.messages.iter().map(|message| self.messages[*message].group.clone()).collect();
        assert!(commit.values.iter().all(|change| groups.contains(&change.group)), "a value outside the claim");
        assert!(commit.outcomes.iter().all(|outcome| groups.contains(&outcome.group)), "an outcome outside the claim");
        let mut letters = BTreeSet::new();
        for message in claim.messages {
            self.messages[message].claim = None;
            self.messages[message].done = true;
            let of_group = |outcome: &&GroupOutcome| outcome.group == self.messages[message].group;
            let Some(outcome) = commit.outcomes.iter().find(of_group) else { continue };
            if outcome.done_through.is_some_and(|last| (message as u64) < last) {
                continue;
            }
            match outcome.rest {
                Rest::DeadLetterHead if letters.insert(outcome.group.clone()) => {
                    assert!(self.max_receive_count.is_some(), "there is a dead-letter queue");
                    self.messages[message].dead_lettered = true;
                }
                Rest::DeadLetterHead => self.messages[message].done = false,
                Rest::Park => {
                    self.messages[message].done = false;
                    self.parked.insert(outcome.group.clone());
                }
            }
        }
        Ok(number)
    }
}

fn shown(number: u64, claim: &Claim) -> OpenClaim {
    OpenClaim { number, epoch: claim.epoch, messages: claim.messages.len() as u64 }
}

impl Port for FakeBroker {
    async fn open_reader(&self, _: &str, generation: u64, _: &str, instance: &str) -> Result<OpenedReader, PortError> {
        self.call(|state| {
            if generation != state.queue_generation {
                return refuse(Reason::QueueGenerationChanged);
            }
            let same = state.reader.as_ref().is_some_and(|reader| reader.instance == instance);
            if !same {
                let generation = state.epoch();
                let numbers: Vec<_> = state.open_claims().iter().map(|claim| claim.number).collect();
                let epochs: Vec<_> = numbers.iter().map(|_| state.epoch()).collect();
                let reader = state.reader.get_or_insert_default();
                (reader.generation, reader.instance) = (generation, instance.to_owned());
                for (claim, epoch) in reader.open.values_mut().zip(epochs) {
                    (claim.epoch, claim.worker) = (epoch, String::new());
                }
            }
            let open_claims = state.open_claims();
            let reader = state.reader.as_ref().unwrap();
            let journal_id = "3a7e3fd2-0000-4000-8000-000000000001".to_owned();
            Ok(OpenedReader {
                identity: Identity { journal_id, queue_generation: generation, reader_id: 1 },
                reader_generation: reader.generation,
                open_claims,
                last_number: reader.last_number,
                commits: reader.commits,
            })
        })
    }

    async fn claim(&self, reader: &ReaderRef, number: u64, limits: ClaimLimits) -> Result<Claimed, PortError> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(limits.wait_seconds.into());
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let answer = self.call(|state| state.claim(reader, number, limits));
            if answer != Ok(Claimed::Empty) || tokio::time::timeout_at(deadline, changed).await.is_err() {
                return answer;
            }
        }
    }

    async fn take_claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        worker: &str,
        previous_failed: bool,
    ) -> Result<OpenClaim, PortError> {
        self.call(|state| {
            let reader_now = state.checked(reader)?;
            match (reader_now.open.get(&number), reader_now.ended.get(&number)) {
                (Some(claim), _) if claim.worker == worker => return Ok(shown(number, claim)),
                (Some(_), _) => {}
                (None, Some(Ended::Burnt)) => return refuse(Reason::ClaimBurnt),
                (None, _) => return refuse(Reason::ClaimNotOpen),
            }
            let epoch = state.epoch();
            let claim = state.checked(reader)?.open.get_mut(&number).unwrap();
            let failed = previous_failed && !claim.worker.is_empty();
            (claim.epoch, claim.worker) = (epoch, worker.to_owned());
            let (answer, messages) = (shown(number, claim), claim.messages.clone());
            for message in messages {
                state.messages[message].receives += u32::from(failed);
            }
            Ok(answer)
        })
    }

    async fn read_claim(&self, reader: &ReaderRef, number: u64, epoch: u64) -> Result<ClaimContents, PortError> {
        self.call(|state| {
            let found = state.found(reader)?;
            let messages = match found.open.get(&number) {
                Some(claim) if claim.epoch == epoch => claim.messages.clone(),
                Some(_) => return refuse(Reason::ClaimFenced),
                None => return refuse(Reason::ClaimNotOpen),
            };
            let values = found.values.clone();
            let claimed = messages.iter().map(|place| ClaimedMessage {
                message_id: format!("m-{place}"),
                group: state.messages[*place].group.clone(),
                sequence_number: *place as u64 + 1,
                body: state.messages[*place].body.clone(),
            });
            let messages: Vec<_> = claimed.collect();
            let values = values.into_iter().filter_map(|((group, key), value)| {
                let group = group.filter(|group| messages.iter().any(|message| message.group == *group))?;
                Some(StoredValue { group, key, value })
            });
            Ok(ClaimContents { values: values.collect(), messages })
        })
    }

    async fn commit_claim(&self, reader: &ReaderRef, commit: &ClaimCommit) -> Result<u64, PortError> {
        let answer = self.call(|state| state.commit(reader, commit));
        self.changed.notify_waiters();
        answer
    }

    async fn commit_reader(&self, reader: &ReaderRef, commit: &ReaderCommit) -> Result<(), PortError> {
        self.call(|state| {
            match state.reader_commits.get(&commit.commit_id) {
                Some(past) if past == commit => return Ok(()),
                Some(_) => return refuse(Reason::CommitConflict),
                None => {}
            }
            let now = state.checked(reader)?;
            for (key, value) in &commit.values {
                match value {
                    Some(value) => drop(now.values.insert((None, key.clone()), value.clone())),
                    None => drop(now.values.remove(&(None, key.clone()))),
                }
            }
            state.reader_commits.insert(commit.commit_id.clone(), commit.clone());
            Ok(())
        })
    }

    async fn read_values(&self, reader: &ReaderRef, prefix: &str, after: &str) -> Result<ValuesPage, PortError> {
        self.call(|state| {
            let values = &state.found(reader)?.values;
            let own = values
                .iter()
                .filter(|((group, key), _)| group.is_none() && key.starts_with(prefix) && key.as_str() > after);
            // Small pages, so that paging is exercised.
            let mut values: Vec<_> = own.map(|((_, key), value)| (key.clone(), value.clone())).take(4).collect();
            let more = values.len() > 3;
            values.truncate(3);
            let next = values.last().filter(|_| more).map(|(key, _)| key.clone());
            Ok(ValuesPage { values, next })
        })
    }

    async fn abandon(&self, reader: &ReaderRef) -> Result<(), PortError> {
        self.call(|state| state.checked(reader).map(drop))?;
        self.open_numbers().into_iter().for_each(|number| self.burn(number));
        Ok(())
    }

    async fn describe_reader(&self, reader: &ReaderRef) -> Result<ReaderState, PortError> {
        self.call(|state| {
            let open_claims = state.open_claims();
            let found = state.found(reader)?;
            Ok(ReaderState {
                reader_generation: found.generation,
                open_claims,
                last_number: found.last_number,
                commits: found.commits,
            })
        })
    }

    async fn describe_queue(&self, _: &ReaderRef) -> Result<QueueState, PortError> {
        self.call(|state| {
            state.held_for = state.held_for.saturating_sub(1);
            let messages = state.messages.iter().filter(|message| !message.done).count() as u64;
            let parked = |message: &&Message| !message.done && state.parked.contains(&message.group);
            let parked = state.messages.iter().filter(parked).count() as u64;
            let max_receive_count = state.max_receive_count;
            Ok(QueueState { queue_generation: state.queue_generation, messages, parked, max_receive_count })
        })
    }
}
