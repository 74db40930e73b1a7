//! The model of move tasks. What a task moved in a turn is the engine's choice, and judged: oldest first, nothing that
//! somebody holds or that is parked, to the right queue, never faster than the rate, and nothing movable left behind what
//! it has looked at (Q6, Q7, L13).

use lockstep_engine::{
    Engine, Event, Rejected,
    command::{CancelMoveTask, QueueRef, StartMoveTask},
    event::{Destination, MoveTask, MoveTaskEnd, MoveTaskFact},
    limits,
    reply::MoveTaskStarted,
    words::{GroupId, QueueGeneration, SequenceNumber, TaskNumber, Timestamp},
};

use super::{Hold, Message, Model, Queue, Turn, ensure};

impl Model {
    pub(crate) fn start_move(&mut self, command: &StartMoveTask, turn: &Turn) -> Result<MoveTaskStarted, Rejected> {
        let place = self.find(&command.source)?;
        if self.sources_of(&self.queues[place].name).is_empty() {
            return Err(Rejected::NotADeadLetterQueue);
        }
        let mut destination = None;
        if let Some(name) = &command.destination {
            if *name == command.source.name {
                return Err(Rejected::MoveDestinationIsSource);
            }
            if name.is_fifo() != command.source.name.is_fifo() {
                return Err(Rejected::MoveDestinationKind);
            }
            let found = self.queues.iter().find(|queue| queue.name == *name);
            let found = found.ok_or_else(|| Rejected::MoveDestinationNotFound { name: name.clone() })?;
            destination = Some(Destination { generation: QueueGeneration(found.generation), name: name.clone() });
        }
        if command.rate == 0 || command.rate > 500 {
            return Err(Rejected::MoveRateInvalid);
        }
        let queue = &mut self.queues[place];
        if queue.tasks.iter().any(MoveTask::is_running) {
            return Err(Rejected::MoveTaskRunning);
        }
        let number = TaskNumber(queue.tasks.last().map_or(1, |task| task.number.0 + 1));
        queue.tasks.push(MoveTask {
            number,
            destination,
            rate: command.rate,
            through: SequenceNumber(queue.last_sequence),
            looked_through: SequenceNumber(0),
            started_at: Timestamp(turn.now),
            next_at: Timestamp(turn.now),
            to_move: queue.messages.len() as u64,
            moved: 0,
            passed_over: 0,
            ended: None,
        });
        Ok(MoveTaskStarted { queue: QueueGeneration(queue.generation), task: number })
    }

    pub(crate) fn cancel_move(&mut self, command: &CancelMoveTask, turn: &Turn) -> Result<u64, Rejected> {
        let queue = self.queues.iter_mut().find(|queue| queue.generation == command.queue.0);
        let mut kept = queue.into_iter().flat_map(|queue| queue.tasks.iter_mut().rev().take(10));
        let task = kept.find(|task| task.number == command.task).ok_or(Rejected::MoveTaskNotFound)?;
        if !task.is_running() {
            return Err(Rejected::MoveTaskEnded);
        }
        task.ended = Some((Timestamp(turn.now), MoveTaskEnd::Cancelled));
        Ok(task.moved)
    }

    /// Judges what the tasks did by themselves in a turn, and does it here too.
    pub(crate) fn redrive(&mut self, events: &[Event], turn: &Turn) -> Result<(), String> {
        for event in events {
            let Event::MoveTask { queue, task, fact } = event else {
                return Err(format!("{event:?} of a move task"));
            };
            let place = self.queues.iter().position(|known| known.generation == queue.0).ok_or("a task of no queue")?;
            let running = self.queues[place].tasks.last().filter(|last| last.number == *task && last.is_running());
            ensure!(running.is_some_and(|task| task.started_at.0 <= turn.now), "{event:?} without a running task");
            self.redrive_one(place, fact, turn).map_err(|what| format!("{event:?}: {what}"))?;
        }
        Ok(())
    }

    fn redrive_one(&mut self, place: usize, fact: &MoveTaskFact, turn: &Turn) -> Result<(), String> {
        let task = self.queues[place].tasks.last().expect("seen above").clone();
        let gone = |to: &Destination| self.queues.iter().all(|queue| queue.generation != to.generation.0);
        let gone = task.destination.as_ref().is_some_and(gone);
        let too_long = turn.now >= task.started_at.0 + limits::MOVE_TASK;
        let mut after = task.clone();
        match fact {
            MoveTaskFact::Started(_) => return Err("it starts by itself".to_owned()),
            MoveTaskFact::Moved { to, at, messages } => {
                ensure!(!gone && !too_long && at.0 == turn.now, "not now");
                ensure!(turn.for_sends >= limits::MESSAGE_OVERHEAD, "no space is left (H5)");
                ensure!(task.next_at.0 <= turn.now && messages.len() <= task.rate as usize, "faster than its rate");
                ensure!(messages.is_sorted(), "not oldest first");
                for (sequence, placed) in messages {
                    ensure!(*sequence > task.looked_through && *sequence <= task.through, "{sequence} is not its");
                    self.move_back(place, &task, (*sequence, *to, *placed), turn)?;
                }
                after.moved += messages.len() as u64;
                let (age, rate) = (turn.now - task.started_at.0, u64::from(task.rate));
                ensure!(after.moved <= (age * rate).div_ceil(1_000) + rate, "faster than its rate in all");
            }
            MoveTaskFact::Advanced { looked_through, passed_over, next_at } => {
                let left: Vec<_> = self.queues[place]
                    .messages
                    .iter()
                    .filter(|message| message.sequence > task.looked_through.0 && message.sequence <= looked_through.0)
                    .collect();
                let movable = left.iter().find(|message| self.way_back(place, &task, message).is_some());
                ensure!(movable.is_none(), "{movable:?} was passed over");
                ensure!(*passed_over == task.passed_over + left.len() as u64, "{} were passed over", left.len());
                let waits = turn.for_sends < limits::MESSAGE_OVERHEAD;
                ensure!(!waits || next_at.0 == turn.now + limits::TICK, "it looks for space again at {next_at}");
                ensure!(waits || next_at.0 <= turn.now + 1_000, "slower than its rate");
                after.looked_through = *looked_through;
                after.passed_over = *passed_over;
                after.next_at = *next_at;
            }
            MoveTaskFact::Ended { at, end } => {
                let left = self.queues[place].messages.iter();
                let left = left.filter(|message| message.sequence > task.looked_through.0);
                let fits = match end {
                    MoveTaskEnd::Completed => left.into_iter().all(|message| message.sequence > task.through.0),
                    MoveTaskEnd::Cancelled => false,
                    MoveTaskEnd::DestinationGone => gone,
                    MoveTaskEnd::TooLong => too_long,
                };
                ensure!(fits && at.0 == turn.now, "it should not have ended like this");
                after.ended = Some((*at, *end));
            }
        }
        *self.queues[place].tasks.last_mut().expect("seen above") = after;
        Ok(())
    }

    /// Where a message goes, if it may.
    fn way_back(&self, place: usize, task: &MoveTask, message: &Message) -> Option<usize> {
        let queue = &self.queues[place];
        let held = |other: &&Message| {
            other.group == message.group && matches!(other.hold, Hold::Leased { .. } | Hold::Claimed { .. })
        };
        if message.hold != Hold::Free || queue.messages.iter().any(|other| held(&other)) {
            return None;
        }
        if queue.is_parked(&message.group) {
            return None;
        }
        match (&task.destination, &message.origin) {
            (Some(to), _) => self.queues.iter().position(|queue| queue.generation == to.generation.0),
            (None, Some(origin)) => self.queues.iter().position(|queue| queue.name == origin.source),
            (None, None) => None,
        }
    }

    fn move_back(
        &mut self,
        place: usize,
        task: &MoveTask,
        (sequence, to, placed): (SequenceNumber, QueueGeneration, SequenceNumber),
        turn: &Turn,
    ) -> Result<(), String> {
        let stamp = self.stamp(turn.now);
        let message = self.queues[place].message(sequence.0).ok_or("a message that is not there")?.clone();
        let target = self.way_back(place, task, &message).ok_or_else(|| format!("{message:?} may not go"))?;
        ensure!(self.queues[target].generation == to.0, "{sequence} went elsewhere");
        let source = &mut self.queues[place];
        source.messages.retain(|other| other.sequence != sequence.0);
        source.refresh(stamp);
        let target = &mut self.queues[target];
        target.last_sequence += 1;
        ensure!(target.last_sequence == placed.0, "{sequence} got number {placed}");
        // A new message (Q7).
        let group = if target.name.is_fifo() { message.group.clone() } else { GroupId::alone(placed) };
        target.messages.push(Message {
            sequence: placed.0,
            group,
            sent_at: turn.now,
            first_received_at: None,
            receives: 0,
            hold: Hold::Free,
            origin: None,
            ..message
        });
        target.refresh(stamp);
        Ok(())
    }

    pub(super) fn compare_tasks(&self, engine: &Engine, queue: &Queue, name: &QueueRef) -> Result<(), String> {
        let seen = engine.move_tasks(name, usize::MAX).map_err(|rejected| rejected.to_string())?;
        let kept: Vec<_> = queue.tasks.iter().rev().take(10).cloned().collect();
        ensure!(seen == kept, "move tasks {seen:?}, the model has {kept:?}");
        Ok(())
    }
}
