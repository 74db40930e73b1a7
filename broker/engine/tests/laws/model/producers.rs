//! The model of producer sessions (B3): every number that was ever used is remembered, with its outcome.

use lockstep_engine::{
    Engine, Rejected,
    command::{ForgetProducer, OpenProducer, QueueRef, Send, SendSession},
    limits,
    reply::{Accepted, ProducerOpened},
    words::{ContentDigest, Epoch, GroupId, Label, QueueGeneration, SendNumber},
};

use super::{Model, Queue, Turn, ensure};

#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) name: Label,
    pub(crate) epoch: u64,
    instance: Label,
    opened_at: u64,
    /// Number n is at n - 1.
    pub(crate) used: Vec<(ContentDigest, Result<Accepted, Rejected>)>,
}

impl Producer {
    fn last(&self) -> SendNumber {
        SendNumber(self.used.len() as u64)
    }
}

fn place_of(number: u64) -> usize {
    usize::try_from(number - 1).expect("few numbers")
}

type Outcomes = Result<Vec<Result<Accepted, Rejected>>, Rejected>;

impl Model {
    pub(crate) fn open_producer(&mut self, command: &OpenProducer, now: u64) -> Result<ProducerOpened, Rejected> {
        let place = self.find(&command.queue)?;
        let queue = &mut self.queues[place];
        if !queue.is_fifo() {
            return Err(Rejected::NotFifo);
        }
        let known = queue.producers.iter().position(|known| known.name == command.producer);
        let known = match known {
            Some(known) => known,
            None if queue.producers.len() == limits::PRODUCERS => return Err(Rejected::TooManyProducers),
            None => {
                let (name, instance) = (command.producer.clone(), command.instance.clone());
                queue.producers.push(Producer { name, epoch: 0, instance, opened_at: now, used: Vec::new() });
                queue.producers.len() - 1
            }
        };
        let producer = &mut queue.producers[known];
        if producer.epoch == 0 || producer.instance != command.instance {
            queue.last_epoch += 1;
            producer.epoch = queue.last_epoch;
            producer.instance = command.instance.clone();
            producer.opened_at = now;
        }
        let (queue, last) = (QueueGeneration(queue.generation), producer.last());
        Ok(ProducerOpened { queue, epoch: Epoch(producer.epoch), last })
    }

    pub(crate) fn forget_producer(&mut self, command: &ForgetProducer) -> Result<(), Rejected> {
        let place = self.find(&command.queue)?;
        let producers = &mut self.queues[place].producers;
        let known = producers.iter().position(|known| known.name == command.producer);
        let known = known.ok_or(Rejected::ProducerNotFound)?;
        let current = Epoch(producers[known].epoch);
        match command.epoch {
            Some(given) if given != current => Err(Rejected::ProducerFenced { given, current }),
            Some(_) | None => {
                producers.remove(known);
                Ok(())
            }
        }
    }

    /// All or nothing of what can be said about the numbers, then one entry after the other.
    pub(super) fn send_numbered(
        &mut self,
        place: usize,
        command: &Send,
        session: &SendSession,
        turn: &mut Turn,
    ) -> Outcomes {
        let producers = &self.queues[place].producers;
        let of = producers.iter().position(|known| known.name == session.producer);
        let of = of.ok_or(Rejected::ProducerNotFound)?;
        let (current, before) = (Epoch(producers[of].epoch), producers[of].last());
        if session.epoch != current {
            return Err(Rejected::ProducerFenced { given: session.epoch, current });
        }
        if session.first > before.next() {
            return Err(Rejected::SendNumberInvalid { given: session.first, next: before.next() });
        }
        let kept = |number: u64| number + limits::KEPT_NUMBERS as u64 > before.0;
        for (number, digest) in (session.first.0..=before.0).zip(&session.digests) {
            if kept(number) && producers[of].used[place_of(number)].0 != *digest {
                return Err(Rejected::SendNumberConflict { number: SendNumber(number) });
            }
        }
        let mut stopped: Vec<GroupId> = Vec::new();
        let mut outcomes = Vec::new();
        for (index, (entry, number)) in command.entries.iter().zip(session.first.0..).enumerate() {
            let last = self.queues[place].producers[of].last();
            let outcome = if number <= before.0 {
                match self.queues[place].producers[of].used[place_of(number)].1.clone() {
                    _ if !kept(number) => Err(Rejected::AlreadyAccepted),
                    Ok(accepted) => Ok(Accepted { duplicate: true, ..accepted }),
                    Err(rejected) => Err(rejected),
                }
            } else if number != last.0 + 1 {
                Err(Rejected::SendNumberInvalid { given: SendNumber(number), next: last.next() })
            } else {
                let outcome = if stopped.contains(&entry.group) {
                    Err(Rejected::EarlierRejected)
                } else {
                    self.send_one(place, entry, index, turn)
                };
                if outcome != Err(Rejected::StorageFull) {
                    let digest = session.digests[index];
                    self.queues[place].producers[of].used.push((digest, outcome.clone()));
                }
                outcome
            };
            if outcome.as_ref().is_err_and(|rejected| *rejected != Rejected::AlreadyAccepted) {
                stopped.push(entry.group.clone());
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

/// Compares the sessions of a queue.
pub(super) fn compare(engine: &Engine, queue: &Queue, reference: &QueueRef) -> Result<(), String> {
    let seen = engine.producers(reference, "", usize::MAX).map_err(|rejected| rejected.to_string())?;
    let mut known: Vec<&Producer> = queue.producers.iter().collect();
    known.sort_by(|left, right| left.name.cmp(&right.name));
    ensure!(seen.len() == known.len(), "{} producers, the model has {}", seen.len(), known.len());
    for (seen, known) in seen.iter().zip(known) {
        let same = seen.name == known.name
            && seen.epoch.0 == known.epoch
            && seen.instance == known.instance
            && seen.opened_at.0 == known.opened_at
            && seen.last == known.last();
        ensure!(same, "{seen:?} is not {known:?}");
    }
    Ok(())
}
