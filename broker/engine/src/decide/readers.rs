//! Readers and their claims (B6).

use crate::{
    Event, State,
    command::{Abandon, Claim, Command, Context, Decision, DropReader, OpenReader, TakeClaim},
    decide::{dead_letters::DeadLetters, receive::choose},
    event::{BurnCause, Counted},
    limits,
    reply::{Claimed, OpenClaim, ReaderOpened, Rejected},
    state::{
        queue::Queue,
        reader::{OpenedClaim, Outcome, Reader},
    },
    words::{ActiveTime, ClaimNumber, CommitNumber, Epoch, Label},
};

impl Command for OpenReader {
    type Reply = ReaderOpened;

    /// The same instance gets the same generation back; another one fences the older and every open claim's holder.
    fn decide(&self, state: &State, _context: &Context) -> Decision<ReaderOpened> {
        match state.find_strict(&self.queue) {
            Ok(queue) => match queue.readers.get(&self.reader) {
                Some(reader) => open_known(self, queue, reader),
                None => open_new(self, queue),
            },
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

fn open_known(command: &OpenReader, queue: &Queue, reader: &Reader) -> Decision<ReaderOpened> {
    if reader.instance == command.instance {
        return Decision::unchanged(Ok(opened(queue, reader, reader.generation, &[])));
    }
    let generation = queue.last_epoch.next();
    let epochs: Vec<_> =
        reader.open.keys().zip(generation.0 + 1..).map(|(number, epoch)| (*number, Epoch(epoch))).collect();
    let reply = opened(queue, reader, generation, &epochs);
    let event = Event::ReaderOpened {
        queue: queue.generation,
        reader: reader.id,
        name: command.reader.clone(),
        generation,
        instance: command.instance.clone(),
        claim_limit: command.claim_limit,
        epochs,
    };
    Decision::new(vec![event], reply)
}

fn open_new(command: &OpenReader, queue: &Queue) -> Decision<ReaderOpened> {
    if queue.readers.len() >= limits::READERS {
        return Decision::unchanged(Err(Rejected::TooManyReaders));
    }
    let (id, generation) = (queue.last_reader.next(), queue.last_epoch.next());
    let event = Event::ReaderOpened {
        queue: queue.generation,
        reader: id,
        name: command.reader.clone(),
        generation,
        instance: command.instance.clone(),
        claim_limit: command.claim_limit,
        epochs: Vec::new(),
    };
    let reply = ReaderOpened {
        queue: queue.generation,
        id,
        generation,
        open: Vec::new(),
        last_committed: ClaimNumber(0),
        last_number: ClaimNumber(0),
        commits: CommitNumber(0),
    };
    Decision::new(vec![event], reply)
}

fn opened(queue: &Queue, reader: &Reader, generation: Epoch, epochs: &[(ClaimNumber, Epoch)]) -> ReaderOpened {
    let raised = |number: &ClaimNumber| epochs.iter().find(|(raised, _)| raised == number).map(|(_, epoch)| *epoch);
    let open = reader.open.iter().map(|(number, claim)| {
        let seen = open_claim(queue, *number, claim);
        match raised(number) {
            Some(epoch) => OpenClaim { epoch, worker: None, ..seen },
            None => seen,
        }
    });
    ReaderOpened {
        queue: queue.generation,
        id: reader.id,
        generation,
        open: open.collect(),
        last_committed: reader.last_ended,
        last_number: reader.last_number,
        commits: reader.commits,
    }
}

/// An open claim as callers see it.
pub(crate) fn open_claim(queue: &Queue, number: ClaimNumber, claim: &OpenedClaim) -> OpenClaim {
    let messages = || claim.messages.iter().filter_map(|sequence| queue.messages.get(*sequence));
    let mut groups: Vec<_> = messages().map(|message| message.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let count = |n: usize| u32::try_from(n).expect("a claim has at most 10,000 messages");
    OpenClaim {
        number,
        epoch: claim.epoch,
        worker: claim.worker.clone(),
        messages: count(claim.messages.len()),
        groups: count(groups.len()),
        bytes: messages().map(|message| u64::from(message.body.size)).sum(),
        opened_at: claim.opened_at,
    }
}

impl Command for Claim {
    type Reply = Claimed;

    /// The same number gives the same messages; a new one takes prefixes of free groups and holds those groups.
    fn decide(&self, state: &State, context: &Context) -> Decision<Claimed> {
        let (queue, reader) = match state.find_reader(&self.reader).and_then(|found| {
            found.1.fence(&self.reader)?;
            Ok(found)
        }) {
            Ok(found) => found,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        if let Some(claim) = reader.open.get(&self.number) {
            return Decision::unchanged(Ok(Claimed::Open(open_claim(queue, self.number, claim))));
        }
        match reader.ended.get(&self.number) {
            Some(Outcome::Committed { commit, .. }) => return Decision::unchanged(Ok(Claimed::Committed(*commit))),
            Some(Outcome::Burnt) => return Decision::unchanged(Ok(Claimed::Burnt)),
            None => {}
        }
        if reader.has_ended(self.number) {
            return Decision::unchanged(Err(Rejected::OutcomeForgotten));
        }
        if self.number != reader.last_number.next() {
            return Decision::unchanged(Err(Rejected::ClaimNumberInvalid { next: reader.last_number.next() }));
        }
        if reader.open.len() >= limits::OPEN_CLAIMS {
            return Decision::unchanged(Err(Rejected::TooManyOpenClaims));
        }
        open(self, state, context, queue, reader)
    }

    fn found_nothing(reply: &Claimed) -> bool {
        matches!(reply, Claimed::Empty)
    }
}

fn open(command: &Claim, state: &State, context: &Context, queue: &Queue, reader: &Reader) -> Decision<Claimed> {
    let most = command.max_messages.clamp(1, limits::CLAIM_MESSAGES);
    let bytes = command.max_bytes.clamp(1, limits::CLAIM_BYTES);
    let mut letters = DeadLetters::of(state, queue, context);
    let chosen = choose(queue, &mut letters, most.into(), bytes, limits::CLAIM_GROUPS);
    let mut events: Vec<Event> = letters.into_event().into_iter().collect();
    let mut messages: Vec<_> =
        chosen.into_iter().flat_map(|(_, messages)| messages).map(|(sequence, _)| sequence).collect();
    if messages.len() < command.at_least.clamp(1, most) as usize {
        return Decision::new(events, Claimed::Empty);
    }
    messages.sort_unstable();
    let claim = OpenedClaim {
        epoch: queue.last_epoch.next(),
        worker: None,
        opened_at: context.now,
        lapses_at: reader.claim_limit.map(|limit| ActiveTime(state.active(context.now).0 + limit)),
        messages,
    };
    let reply = Claimed::Open(open_claim(queue, command.number, &claim));
    events.push(Event::ClaimOpened {
        queue: queue.generation,
        reader: reader.id,
        number: command.number,
        epoch: claim.epoch,
        at: context.now,
        lapses_at: claim.lapses_at,
        messages: counted_once_more(queue, &claim),
    });
    Decision::new(events, reply)
}

fn counted_once_more(queue: &Queue, claim: &OpenedClaim) -> Vec<Counted> {
    let counted = |sequence: &_| Some((*sequence, queue.messages.get(*sequence)?.receives + 1));
    claim.messages.iter().filter_map(counted).collect()
}

impl Command for TakeClaim {
    type Reply = OpenClaim;

    /// Fences only the holder before; the same worker repeating it gets the same epoch, uncounted.
    fn decide(&self, state: &State, _context: &Context) -> Decision<OpenClaim> {
        let (queue, reader, claim) = match state.find_reader(&self.reader).and_then(|(queue, reader)| {
            reader.fence(&self.reader)?;
            Ok((queue, reader, still_open(reader, self.number)?))
        }) {
            Ok(found) => found,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        if claim.worker.as_ref() == Some(&self.worker) {
            return Decision::unchanged(Ok(open_claim(queue, self.number, claim)));
        }
        let epoch = queue.last_epoch.next();
        let failed = self.previous_failed && claim.worker.is_some();
        let event = Event::ClaimTaken {
            queue: queue.generation,
            reader: reader.id,
            number: self.number,
            epoch,
            worker: self.worker.clone(),
            messages: if failed { counted_once_more(queue, claim) } else { Vec::new() },
        };
        let taken = OpenedClaim { epoch, worker: Some(self.worker.clone()), ..claim.clone() };
        Decision::new(vec![event], open_claim(queue, self.number, &taken))
    }
}

/// The open claim of a number, or how it ended.
pub(crate) fn still_open(reader: &Reader, number: ClaimNumber) -> Result<&OpenedClaim, Rejected> {
    match (reader.open.get(&number), reader.ended.get(&number)) {
        (Some(claim), _) => Ok(claim),
        (None, Some(Outcome::Burnt)) => Err(Rejected::ClaimBurnt),
        (None, Some(Outcome::Committed { .. }) | None) => Err(Rejected::ClaimNotOpen),
    }
}

impl Command for Abandon {
    /// The numbers that were burnt.
    type Reply = Vec<ClaimNumber>;

    fn decide(&self, state: &State, _context: &Context) -> Decision<Self::Reply> {
        match burn(self, state) {
            Ok((events, burnt)) => Decision::new(events, burnt),
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

fn burn(command: &Abandon, state: &State) -> Result<(Vec<Event>, Vec<ClaimNumber>), Rejected> {
    let (queue, reader) = state.find_reader(&command.reader)?;
    reader.fence(&command.reader)?;
    let numbers: Vec<_> = match command.number {
        Some(number) if reader.ended.get(&number) == Some(&Outcome::Burnt) => return Ok((Vec::new(), vec![number])),
        Some(number) => still_open(reader, number).map(|_| vec![number])?,
        None => reader.open.keys().copied().collect(),
    };
    let burnt = |number: &ClaimNumber| Event::ClaimBurnt {
        queue: queue.generation,
        reader: reader.id,
        number: *number,
        cause: BurnCause::Abandoned,
    };
    Ok((numbers.iter().map(burnt).collect(), numbers))
}

impl Command for DropReader {
    type Reply = ();

    fn decide(&self, state: &State, _context: &Context) -> Decision<()> {
        match dropped(self, state, &self.reader) {
            Ok(event) => Decision::new(vec![event], ()),
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

fn dropped(command: &DropReader, state: &State, name: &Label) -> Result<Event, Rejected> {
    let queue = state.find_strict(&command.queue)?;
    let reader = queue.readers.get(name).ok_or(Rejected::ReaderNotFound)?;
    match command.id {
        Some(id) if id != reader.id => Err(Rejected::ReaderNotFound),
        Some(_) | None => Ok(Event::ReaderDropped { queue: queue.generation, reader: reader.id }),
    }
}
