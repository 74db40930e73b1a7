//! Move tasks: who may start one, and what each does as time passes (Q6, Q7, L13).
//!
//! A task goes through its queue once, oldest first, up to the newest message that was there at its start. It moves what
//! could be delivered: a group of which somebody holds a message stays as a whole, so that its order is kept, and so does
//! a parked group. What it passes over stays; another task may fetch it later. A moved message is a new one, and no
//! deduplication key is asked: its own id may still be known at the destination, which would swallow it (Q3, Q7).

use std::collections::BTreeMap;

use crate::{
    Event, State,
    command::{CancelMoveTask, Command, Context, Decision, Space, StartMoveTask},
    event::{Destination, MoveTask, MoveTaskEnd, MoveTaskFact},
    limits,
    reply::{MoveTaskStarted, Rejected},
    state::{message::Message, queue::Queue},
    words::{QueueGeneration, SequenceNumber, Timestamp},
};

impl Command for StartMoveTask {
    type Reply = MoveTaskStarted;

    fn decide(&self, state: &State, context: &Context) -> Decision<MoveTaskStarted> {
        match state.start_of(self, context.now) {
            Ok((queue, task)) => {
                let number = task.number;
                let fact = MoveTaskFact::Started(task);
                let started = Event::MoveTask { queue, task: number, fact: Box::new(fact) };
                Decision::new(vec![started], MoveTaskStarted { queue, task: number })
            }
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

impl Command for CancelMoveTask {
    /// How many messages it had moved.
    type Reply = u64;

    fn decide(&self, state: &State, context: &Context) -> Decision<u64> {
        let task = state.queues.get(&self.queue).and_then(|queue| queue.move_tasks.get(self.task));
        match task {
            None => Decision::unchanged(Err(Rejected::MoveTaskNotFound)),
            Some(task) if !task.is_running() => Decision::unchanged(Err(Rejected::MoveTaskEnded)),
            Some(task) => {
                let fact = MoveTaskFact::Ended { at: context.now, end: MoveTaskEnd::Cancelled };
                Decision::new(
                    vec![Event::MoveTask { queue: self.queue, task: self.task, fact: Box::new(fact) }],
                    task.moved,
                )
            }
        }
    }
}

impl State {
    fn start_of(&self, command: &StartMoveTask, now: Timestamp) -> Result<(QueueGeneration, MoveTask), Rejected> {
        let queue = self.find(&command.source)?;
        let names = |other: &Queue| {
            other.attributes.redrive.as_ref().is_some_and(|policy| policy.dead_letter_queue == queue.name)
        };
        if !self.queues.values().any(names) {
            return Err(Rejected::NotADeadLetterQueue);
        }
        let destination = match &command.destination {
            None => None,
            Some(name) if *name == queue.name => return Err(Rejected::MoveDestinationIsSource),
            Some(name) if name.is_fifo() != queue.name.is_fifo() => return Err(Rejected::MoveDestinationKind),
            Some(name) => {
                let generation = self.names.get(name).copied();
                let generation = generation.ok_or_else(|| Rejected::MoveDestinationNotFound { name: name.clone() })?;
                Some(Destination { generation, name: name.clone() })
            }
        };
        if !(1..=limits::MOVE_RATE).contains(&command.rate) {
            return Err(Rejected::MoveRateInvalid);
        }
        if queue.move_tasks.running().is_some() {
            return Err(Rejected::MoveTaskRunning);
        }
        if self.queues.restless().filter(|queue| queue.move_tasks.running().is_some()).count() >= limits::MOVE_TASKS {
            return Err(Rejected::TooManyMoveTasks);
        }
        let task = MoveTask {
            number: queue.move_tasks.next_number(),
            destination,
            rate: command.rate,
            through: queue.last_sequence,
            looked_through: SequenceNumber(0),
            started_at: now,
            next_at: now,
            to_move: queue.messages.len() as u64,
            moved: 0,
            passed_over: 0,
            ended: None,
        };
        Ok((queue.generation, task))
    }

    /// What the move tasks do at `now`, those first that are due for longest; [`limits::SETTLED_IN_A_TURN`] messages are
    /// looked at (H3). Empty: none is due.
    pub(crate) fn redrive(&self, now: Timestamp, space: Space) -> Vec<Event> {
        let mut due: Vec<_> = self
            .queues
            .restless()
            .filter_map(|queue| Some((queue, queue.move_tasks.running().filter(|task| task.next_at <= now)?)))
            .collect();
        due.sort_by_key(|(queue, task)| (task.next_at, queue.generation));
        let mut step = Step { state: self, now, left: limits::SETTLED_IN_A_TURN, places: BTreeMap::new() };
        let (mut events, mut due) = (Vec::new(), due.into_iter());
        while step.left > 0
            && let Some((queue, task)) = due.next()
        {
            let facts = step.of(queue, task, space);
            let (queue, task) = (queue.generation, task.number);
            events.extend(facts.into_iter().map(|fact| Event::MoveTask { queue, task, fact: Box::new(fact) }));
        }
        events
    }

    /// When the next move task goes on.
    pub(crate) fn next_move(&self) -> Option<Timestamp> {
        self.queues.restless().filter_map(|queue| queue.move_tasks.due()).min()
    }
}

/// What several tasks do in one turn.
struct Step<'a> {
    state: &'a State,
    now: Timestamp,
    /// How many messages may still be looked at.
    left: usize,
    /// The newest place of each queue that something moves to.
    places: BTreeMap<QueueGeneration, SequenceNumber>,
}

impl Step<'_> {
    fn of(&mut self, queue: &Queue, task: &MoveTask, space: Space) -> Vec<MoveTaskFact> {
        let at = self.now;
        let gone = |to: &Destination| !self.state.queues.contains_key(&to.generation);
        if task.destination.as_ref().is_some_and(gone) {
            return vec![MoveTaskFact::Ended { at, end: MoveTaskEnd::DestinationGone }];
        }
        if at.0 >= task.started_at.0 + limits::MOVE_TASK {
            return vec![MoveTaskFact::Ended { at, end: MoveTaskEnd::TooLong }];
        }
        if space.for_sends < limits::MESSAGE_OVERHEAD {
            // A move takes no body along, but must not take the place of the reserves either (H5).
            let (looked_through, passed_over) = (task.looked_through, task.passed_over);
            return vec![MoveTaskFact::Advanced {
                looked_through,
                passed_over,
                next_at: Timestamp(at.0 + limits::TICK),
            }];
        }
        self.moves(queue, task)
    }

    fn moves(&mut self, queue: &Queue, task: &MoveTask) -> Vec<MoveTaskFact> {
        let mut moved: BTreeMap<QueueGeneration, Vec<(SequenceNumber, SequenceNumber)>> = BTreeMap::new();
        let (mut looked_through, mut passed_over, mut count) = (task.looked_through, task.passed_over, 0);
        let mut messages = queue.messages.range(looked_through.next()..).take_while(|(it, _)| *it <= task.through);
        let mut done = false;
        while self.left > 0 && count < task.rate {
            let Some((sequence, message)) = messages.next() else {
                done = true;
                break;
            };
            self.left -= 1;
            looked_through = sequence;
            let Some(to) = destination(self.state, queue, task, message) else {
                passed_over += 1;
                continue;
            };
            let last = self.places.entry(to.generation).or_insert(to.last_sequence);
            *last = last.next();
            moved.entry(to.generation).or_default().push((sequence, *last));
            count += 1;
        }
        done = done || messages.next().is_none();
        let at = self.now;
        let facts = moved.into_iter().map(|(to, messages)| MoveTaskFact::Moved { to, at, messages });
        let mut facts: Vec<_> = facts.collect();
        // Never faster than the rate: what was moved now takes up its share of the seconds to come.
        let next_at = Timestamp(at.0 + u64::from(count * 1_000).div_ceil(u64::from(task.rate)));
        facts.push(MoveTaskFact::Advanced { looked_through, passed_over, next_at });
        if done {
            facts.push(MoveTaskFact::Ended { at, end: MoveTaskEnd::Completed });
        }
        facts
    }
}

/// Where a message goes; `None`: it stays, because it cannot be delivered now, or was sent to the dead-letter queue
/// by hand, or its source queue is gone.
fn destination<'a>(state: &'a State, queue: &Queue, task: &MoveTask, message: &Message) -> Option<&'a Queue> {
    let group = queue.groups.at(message.group);
    let claimed = group.messages.front().and_then(|head| queue.messages.get(*head)).is_some_and(Message::is_claimed);
    let held = !message.is_free() || group.in_flight > 0 || claimed;
    if held || group.parked {
        return None;
    }
    let to = match (&task.destination, &message.origin) {
        (Some(to), _) => to.generation,
        (None, Some(origin)) => *state.names.get(&origin.source)?,
        (None, None) => return None,
    };
    state.queues.get(&to)
}
