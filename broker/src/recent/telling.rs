//! Which facts an event tells. Exhaustive on purpose: a new event does not compile until it is said what people hear of it.

use std::collections::BTreeSet;

use lockstep_engine::{
    Engine, Event,
    event::{BurnCause, Letters, MoveTaskFact, ReturnCause},
    reply::Accepted,
    words::{ClaimNumber, QueueGeneration, ReaderId, SequenceNumber, Timestamp},
};

use super::{Fact, FactKind, Party};

/// What is the same for all facts of an event.
struct Teller<'a> {
    engine: &'a Engine,
    frame: u64,
    queue: QueueGeneration,
    facts: &'a mut Vec<Fact>,
}

/// Tells the facts of an event that is about to be evolved.
pub(crate) fn tell(event: &Event, engine: &Engine, frame: u64, facts: &mut Vec<Fact>) {
    let teller = of_queue(engine, frame, facts);
    match event {
        Event::MessageSent { queue, sequence, group, delayed_until, .. } => {
            let kinds = [Some((FactKind::Sent, None)), delayed_until.map(|until| (FactKind::Delayed, Some(until)))];
            let teller = teller(queue);
            for (kind, until) in kinds.into_iter().flatten() {
                let fact = teller.fact(kind);
                teller.facts.push(Fact { sequence: Some(*sequence), group: Some(group.clone()), until, ..fact });
            }
        }
        Event::DelaysElapsed { queue, messages } => teller(queue).all(FactKind::Elapsed, messages.iter().copied()),
        Event::MessagesReceived { queue, epoch, visible_at, messages, .. } => {
            let (who, until) = (Party::Receive(*epoch), Some(engine.wall(*visible_at)));
            let messages = messages.iter().map(|(sequence, _)| *sequence);
            teller(queue).held(FactKind::Leased, messages, &who, until);
        }
        Event::AttemptRepeated { queue, attempt, visible_at } => {
            let until = Some(engine.wall(*visible_at));
            let messages = engine.attempted(*queue, *attempt).into_iter();
            teller(queue).held(FactKind::Extended, messages, &Party::None, until);
        }
        Event::MessagesReturned { queue, cause, messages } => {
            let kind = match cause {
                ReturnCause::Lapsed => FactKind::Lapsed,
                ReturnCause::GivenBack => FactKind::Returned,
            };
            teller(queue).all(kind, messages.iter().map(|(sequence, _)| *sequence));
        }
        Event::MessagesDeleted { queue, messages } => teller(queue).all(FactKind::Deleted, messages.iter().copied()),
        Event::DeliveriesCommitted { queue, messages, .. } => {
            teller(queue).all(FactKind::Committed, messages.iter().copied());
        }
        Event::VisibilityChanged { queue, messages } => {
            let mut teller = teller(queue);
            for (sequence, visible_at) in messages {
                let until = Some(engine.wall(*visible_at));
                teller.held(FactKind::Extended, std::iter::once(*sequence), &Party::None, until);
            }
        }
        Event::MessagesExpired { queue, messages } => teller(queue).all(FactKind::Expired, messages.iter().copied()),
        Event::MessagesDeadLettered { queue, to, messages, .. } => {
            teller(queue).went(FactKind::DeadLettered, *to, messages);
        }
        Event::MoveTask { queue, fact, .. } => match &**fact {
            MoveTaskFact::Moved { to, messages, .. } => teller(queue).went(FactKind::Moved, *to, messages),
            MoveTaskFact::Started(_) | MoveTaskFact::Advanced { .. } | MoveTaskFact::Ended { .. } => {}
        },
        Event::ClaimOpened { queue, reader, number, lapses_at, messages, .. } => {
            let who = engine.reader_name(*queue, *reader).map_or(Party::None, |name| Party::Claim(name, *number));
            let until = lapses_at.map(|at| engine.wall(at));
            teller(queue).held(FactKind::Leased, messages.iter().map(|(sequence, _)| *sequence), &who, until);
        }
        Event::ClaimTaken { queue, number, worker, messages, .. } => {
            let who = Party::Worker(worker.clone(), *number);
            teller(queue).held(FactKind::Leased, messages.iter().map(|(sequence, _)| *sequence), &who, None);
        }
        Event::ClaimBurnt { queue, reader, number, cause } => {
            let kind = match cause {
                BurnCause::Abandoned => FactKind::Returned,
                BurnCause::Lapsed => FactKind::Lapsed,
            };
            teller(queue).all(kind, engine.claimed_messages(*queue, *reader, Some(*number)).into_iter());
        }
        Event::ReaderDropped { queue, reader } => {
            teller(queue).all(FactKind::Returned, engine.claimed_messages(*queue, *reader, None).into_iter());
        }
        Event::ClaimCommitted { queue, reader, number, outcomes, .. } => {
            let returned: Vec<SequenceNumber> = outcomes.returned.iter().map(|(sequence, _)| *sequence).collect();
            let mut teller = teller(queue);
            teller.committed((*reader, *number), &returned, outcomes.letters.as_ref());
            outcomes.parked.iter().for_each(|group| teller.group(FactKind::Parked, group));
        }
        Event::QueuePurged { queue, .. } => {
            let teller = teller(queue);
            let fact = teller.fact(FactKind::Purged);
            teller.facts.push(fact);
        }
        Event::GroupParked { queue, group, .. } => teller(queue).group(FactKind::Parked, group),
        Event::GroupsUnparked { queue, groups } => {
            let mut teller = teller(queue);
            groups.iter().for_each(|group| teller.group(FactKind::Unparked, group));
        }
        // Nothing happens to a message by these.
        Event::Ticked { .. }
        | Event::Resumed { .. }
        | Event::QueueCreated { .. }
        | Event::QueueChanged { .. }
        | Event::QueueTagged { .. }
        | Event::QueueDeleted { .. }
        | Event::ProducerOpened { .. }
        | Event::NumbersUsed { .. }
        | Event::ProducerForgotten { .. }
        | Event::AttemptNoted { .. }
        | Event::KeysForgotten { .. }
        | Event::ReaderOpened { .. }
        | Event::BodiesMoved { .. }
        | Event::ValuesCommitted { .. }
        | Event::Restored(_) => {}
    }
}

fn of_queue<'a>(
    engine: &'a Engine,
    frame: u64,
    facts: &'a mut Vec<Fact>,
) -> impl FnOnce(&QueueGeneration) -> Teller<'a> {
    move |queue| Teller { engine, frame, queue: *queue, facts }
}

/// Tells of a message that was sent again.
pub(crate) fn turned_away(accepted: &Accepted, engine: &Engine, frame: u64, facts: &mut Vec<Fact>) {
    let mut teller = Teller { engine, frame, queue: accepted.generation, facts };
    teller.all(FactKind::TurnedAway, std::iter::once(accepted.sequence));
}

impl Teller<'_> {
    /// One of the whole queue.
    fn fact(&self, kind: FactKind) -> Fact {
        let Self { engine, frame, queue, .. } = self;
        let at = engine.time();
        Fact { frame: *frame, at, kind, queue: *queue, sequence: None, group: None, who: Party::None, until: None }
    }

    fn all(&mut self, kind: FactKind, messages: impl Iterator<Item = SequenceNumber>) {
        self.held(kind, messages, &Party::None, None);
    }

    fn held(
        &mut self,
        kind: FactKind,
        messages: impl Iterator<Item = SequenceNumber>,
        who: &Party,
        until: Option<Timestamp>,
    ) {
        let fact = self.fact(kind);
        for sequence in messages {
            let group = self.engine.group_of(self.queue, sequence);
            self.facts.push(Fact { sequence: Some(sequence), group, who: who.clone(), until, ..fact.clone() });
        }
    }

    fn group(&mut self, kind: FactKind, group: &lockstep_engine::words::GroupId) {
        let fact = self.fact(kind);
        self.facts.push(Fact { group: Some(group.clone()), ..fact });
    }

    /// Messages left this queue for another: a fact in each. A group keeps its name.
    fn went(&mut self, kind: FactKind, to: QueueGeneration, messages: &[(SequenceNumber, SequenceNumber)]) {
        let fact = self.fact(kind);
        for (old, new) in messages {
            let group = self.engine.group_of(self.queue, *old);
            let (left, came) = (Party::To(to, *new), Party::From(self.queue, *old));
            self.facts.push(Fact { sequence: Some(*old), group: group.clone(), who: left, ..fact.clone() });
            let moved = Fact { queue: to, kind: FactKind::Moved, ..fact.clone() };
            self.facts.push(Fact { sequence: Some(*new), group, who: came, ..moved });
        }
    }

    /// A claim's messages: what went back and what is a dead letter is not done (B7).
    fn committed(
        &mut self,
        (reader, number): (ReaderId, ClaimNumber),
        returned: &[SequenceNumber],
        letters: Option<&Letters>,
    ) {
        let dead = letters.into_iter().flat_map(|letters| letters.messages.iter().map(|(old, _)| *old));
        let kept: BTreeSet<SequenceNumber> = returned.iter().copied().chain(dead).collect();
        let claimed = self.engine.claimed_messages(self.queue, reader, Some(number));
        let who = self.engine.reader_name(self.queue, reader).map_or(Party::None, |name| Party::Claim(name, number));
        let done = claimed.into_iter().filter(|sequence| !kept.contains(sequence));
        self.held(FactKind::Committed, done, &who, None);
        self.all(FactKind::Returned, returned.iter().copied());
        if let Some(letters) = letters {
            self.went(FactKind::DeadLettered, letters.to, &letters.messages);
        }
    }
}
