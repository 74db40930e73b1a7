//! One seeded run: engine, model and ledger side by side, every law looked at after every command.

use std::fmt::Debug;

use lockstep_engine::{
    Engine, Event,
    command::{Command, Context, Decision, Space},
    words::{Receipt, Timestamp},
};

use crate::{
    explained,
    ledger::Ledger,
    model::{Model, Turn, ensure},
    workload::{Step, Workload},
};

/// Later than any deadline of the workload can be early.
const START: u64 = 1_000_000_000;
/// How often a whole replay is compared.
const REPLAY_EVERY: usize = 100;
/// How often everything is explained.
const EXPLAIN_EVERY: usize = 5;

pub(crate) struct Run {
    engine: Engine,
    model: Model,
    ledger: Ledger,
    workload: Workload,
    journal: Vec<Event>,
    now: u64,
    frame: u64,
    space: (u64, u64),
    /// How many commands succeeded: a run that only meets refusals proves little.
    succeeded: u64,
}

impl Run {
    /// Runs a seed; the events it came to.
    ///
    /// # Panics
    /// At the first broken law, with the seed, the step and what led to it.
    pub(crate) fn of(seed: u64, steps: usize) -> Vec<Event> {
        let mut run = Self {
            engine: Engine::new(),
            model: Model { journalled: 0, ..Model::default() },
            ledger: Ledger::default(),
            workload: Workload::new(seed),
            journal: Vec::new(),
            now: START,
            frame: 0,
            space: (u64::MAX, u64::MAX),
            succeeded: 0,
        };
        let mut latest = Vec::new();
        for number in 0..steps {
            run.now += run.workload.pause(run.now, &run.model);
            run.space = run.workload.space();
            let step = run.workload.next(&run.model);
            latest.push(format!("at {}: {step:?}", run.now - START));
            if let Err(what) = run.step(&step).and_then(|()| run.laws(number)) {
                let led = latest[latest.len().saturating_sub(6)..].join("\n  ");
                panic!("seed {seed}, step {number}: {what}\n  {led}");
            }
        }
        assert!(run.succeeded * 3 > steps as u64, "seed {seed}: only {} of {steps} succeeded", run.succeeded);
        run.journal
    }

    /// What holds after every command.
    fn laws(&mut self, number: usize) -> Result<(), String> {
        self.engine.check().map_err(|what| format!("invariant: {what}"))?;
        self.model.compare(&self.engine)?;
        if number.is_multiple_of(EXPLAIN_EVERY) {
            explained::compare(&self.model, &self.engine, self.now)?;
        }
        if number.is_multiple_of(REPLAY_EVERY) {
            self.ledger.balance(&self.engine)?;
            ensure!(replayed(&self.journal) == self.engine, "live is not replayed");
            ensure!(replayed(self.engine.distilled()) == self.engine, "live is not replayed(distilled)");
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.frame += 1;
        self.model.step += 1;
        if let Step::Restart { downtime, clock_behind, from_checkpoint } = step {
            return self.restart(*downtime, *clock_behind, *from_checkpoint);
        }
        let written = self.journal.len();
        self.settle()?;
        self.decide(step)?;
        let events = self.journal.len() > written;
        if (events || self.engine.tick_due(Timestamp(self.now)))
            && let Some(tick) = self.engine.tick(Timestamp(self.now))
        {
            self.evolve(vec![tick])?;
            self.model.journalled = self.now;
        }
        Ok(())
    }

    /// H3: complete before any command; H2: what is due is due at its deadline, not before.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            let settlement = self.engine.settle(Timestamp(self.now));
            self.evolve(settlement.events)?;
            if settlement.complete {
                self.model.settle(self.now);
                self.redrive()?;
                let (now, next) = (Timestamp(self.now), self.engine.next_deadline());
                let calm = self.engine.tick_due(now) || next.is_none_or(|next| next > now);
                ensure!(calm, "all is settled, and yet a turn is wanted at {next:?}");
                return self.model.compare(&self.engine).map_err(|what| format!("settled: {what}"));
            }
        }
        Err("settling does not end".to_owned())
    }

    /// What move tasks do by themselves: turn by turn, until none is due.
    fn redrive(&mut self) -> Result<(), String> {
        let space = Space { for_sends: self.space.0, for_finishes: self.space.1 };
        for _ in 0..100 {
            let events = self.engine.redrive(Timestamp(self.now), space);
            if events.is_empty() {
                return Ok(());
            }
            self.evolve(events.clone())?;
            self.model.redrive(&events, &self.turn())?;
        }
        Err("the move tasks do not rest".to_owned())
    }

    fn turn(&self) -> Turn {
        let (for_sends, for_finishes) = self.space;
        Turn { now: self.now, frame: self.frame, for_sends, for_finishes, bodies: Vec::new() }
    }

    fn decide(&mut self, step: &Step) -> Result<(), String> {
        let mut turn = self.turn();
        match step {
            Step::Create(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.create(command))
            }
            Step::Set(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.set(command))
            }
            Step::Purge(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.purge(command, self.now))
            }
            Step::DeleteQueue(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.delete_queue(command, self.now))
            }
            Step::Send(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.send(command, &mut turn))?;
                same(&given.bodies, &turn.bodies)
            }
            Step::CreateSqs(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.create_sqs(command, self.now))
            }
            Step::PurgeSqs(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.purge_sqs(command, self.now))
            }
            Step::ReplacePolicy(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.replace_policy(command))
            }
            Step::SendSeparately(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.send_separately(command, &mut turn))?;
                same(&given.bodies, &turn.bodies)
            }
            Step::Receive(command) => {
                let given = self.apply(command)?;
                let delivered = given.reply.iter().flatten();
                let receipts =
                    delivered.map(|m| Receipt { generation: m.generation, sequence: m.sequence, epoch: m.epoch });
                self.workload.receipts.extend(receipts);
                let keep_from = self.workload.receipts.len().saturating_sub(100);
                self.workload.receipts.drain(..keep_from);
                self.model.dead_letter(&given.events, &turn, &command.queue)?;
                self.model.receive(command, &turn, &given.reply)
            }
            Step::Tag(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.tag(command))
            }
            Step::Untag(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.untag(command))
            }
            Step::Park(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.park(command, &turn))
            }
            Step::Unpark(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.unpark(command, &turn))
            }
            Step::StartMove(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.start_move(command, &turn))
            }
            Step::CancelMove(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.cancel_move(command, &turn))
            }
            Step::Delete(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.delete(command, &turn))
            }
            Step::ChangeVisibility(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.change_visibility(command, &turn))
            }
            Step::OpenProducer(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.open_producer(command, self.now))
            }
            Step::ForgetProducer(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.forget_producer(command))
            }
            Step::OpenReader(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.open_reader(command))
            }
            Step::Claim(command) => {
                let given = self.apply(command)?;
                self.model.dead_letter(&given.events, &turn, &command.reader.queue)?;
                self.model.claim(command, &turn, &given.reply, &self.engine)
            }
            Step::TakeClaim(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.take_claim(command))
            }
            Step::Abandon(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.abandon(command, &turn))
            }
            Step::DropReader(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.drop_reader(command, &turn))
            }
            Step::Commit(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.commit(command, &mut turn))?;
                same(&given.bodies, &turn.bodies)
            }
            Step::MoveBodies(command) => {
                let given = self.apply(command)?;
                same(&given.reply, &self.model.move_bodies(command, &mut turn))?;
                same(&given.bodies, &turn.bodies)
            }
            Step::Restart { .. } | Step::Wait => {
                self.succeeded += 1;
                Ok(())
            }
        }
    }

    fn apply<C: Command>(&mut self, command: &C) -> Result<Decision<C::Reply>, String> {
        let space = Space { for_sends: self.space.0, for_finishes: self.space.1 };
        let context = Context { now: Timestamp(self.now), frame: self.frame, next_body: 0, space };
        let decision = self.engine.decide(command, &context);
        ensure!(decision.reply.is_ok() || decision.events.is_empty(), "a refused command has events");
        self.succeeded += u64::from(decision.reply.is_ok());
        self.evolve(decision.events.clone())?;
        Ok(decision)
    }

    fn evolve(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            self.engine.evolve(&event);
            self.ledger.enter(&event)?;
            self.journal.push(event);
        }
        Ok(())
    }

    /// The state is built again from the journal or from a checkpoint; downtime counts against no lease and no key.
    fn restart(&mut self, downtime: u64, clock_behind: u64, from_checkpoint: bool) -> Result<(), String> {
        let again = if from_checkpoint { replayed(self.engine.distilled()) } else { replayed(&self.journal) };
        ensure!(again == self.engine, "the restarted engine differs");
        self.engine = again;
        if self.journal.is_empty() {
            return Ok(());
        }
        let wall = (self.now + downtime).saturating_sub(clock_behind);
        let resumed = self.engine.resume(Timestamp(wall));
        let at = wall.max(self.model.journalled);
        let gap = at - self.model.journalled;
        same(&resumed, &Event::Resumed { at: Timestamp(at), gap })?;
        self.evolve(vec![resumed])?;
        self.now = at;
        self.model.journalled = at;
        self.model.downtime += gap;
        self.succeeded += 1;
        Ok(())
    }
}

/// A new engine with these events.
fn replayed<E: std::borrow::Borrow<Event>>(events: impl IntoIterator<Item = E>) -> Engine {
    let mut engine = Engine::new();
    events.into_iter().for_each(|event| engine.evolve(event.borrow()));
    engine
}

fn same<T: PartialEq + Debug>(given: &T, expected: &T) -> Result<(), String> {
    ensure!(given == expected, "{given:?}, the model answers {expected:?}");
    Ok(())
}
