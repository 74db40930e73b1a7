//! Move tasks, in both directions (Q6, Q7).

use lockstep_engine::{
    Event,
    event::{Destination, MoveTask, MoveTaskEnd, MoveTaskFact, Restored},
    words::{QueueGeneration, SequenceNumber, TaskNumber, Timestamp},
};
use lockstep_proto::storage::{self as wire, event::Fact};

use super::words::{self, Fault};

pub(super) fn fact(queue: QueueGeneration, task: TaskNumber, fact: &MoveTaskFact) -> Fact {
    let (queue, task_number) = (queue.0, task.0);
    match fact {
        MoveTaskFact::Started(task) => Fact::MoveTaskStarted(wire::MoveTaskStarted { queue, task: Some(write(task)) }),
        MoveTaskFact::Moved { to, at, messages } => Fact::MessagesMovedBack(wire::MessagesMovedBack {
            queue,
            task: task_number,
            to: to.0,
            at: at.0,
            sequence_steps: words::steps(messages.iter().map(|(from, _)| from.0)),
            placed_steps: words::steps(messages.iter().map(|(_, placed)| placed.0)),
        }),
        MoveTaskFact::Advanced { looked_through, passed_over, next_at } => {
            Fact::MoveTaskAdvanced(wire::MoveTaskAdvanced {
                queue,
                task: task_number,
                looked_through: looked_through.0,
                passed_over: *passed_over,
                next_at: next_at.0,
            })
        }
        MoveTaskFact::Ended { at, end } => {
            let end = write_end(*end).into();
            Fact::MoveTaskEnded(wire::MoveTaskEnded { queue, task: task_number, at: at.0, end })
        }
    }
}

pub(super) fn restored(queue: QueueGeneration, task: &MoveTask) -> Fact {
    Fact::RestoredMoveTask(wire::RestoredMoveTask { queue: queue.0, task: Some(write(task)) })
}

fn write(task: &MoveTask) -> wire::MoveTask {
    let destination = task.destination.as_ref();
    wire::MoveTask {
        number: task.number.0,
        destination: destination.map(|to| to.generation.0),
        destination_name: destination.map(|to| to.name.to_string()).unwrap_or_default(),
        rate: task.rate,
        through: task.through.0,
        looked_through: task.looked_through.0,
        started_at: task.started_at.0,
        next_at: task.next_at.0,
        to_move: task.to_move,
        moved: task.moved,
        passed_over: task.passed_over,
        end: task.ended.map_or(wire::MoveTaskEnd::Unspecified, |(_, end)| write_end(end)).into(),
        ended_at: task.ended.map_or(0, |(at, _)| at.0),
    }
}

fn write_end(end: MoveTaskEnd) -> wire::MoveTaskEnd {
    match end {
        MoveTaskEnd::Completed => wire::MoveTaskEnd::Completed,
        MoveTaskEnd::Cancelled => wire::MoveTaskEnd::Cancelled,
        MoveTaskEnd::DestinationGone => wire::MoveTaskEnd::DestinationGone,
        MoveTaskEnd::TooLong => wire::MoveTaskEnd::TooLong,
    }
}

fn event(queue: u64, task: TaskNumber, fact: MoveTaskFact) -> Event {
    Event::MoveTask { queue: QueueGeneration(queue), task, fact: Box::new(fact) }
}

pub(super) fn read_started(it: wire::MoveTaskStarted) -> Result<Event, Fault> {
    let task = read(it.task)?;
    Ok(event(it.queue, task.number, MoveTaskFact::Started(task)))
}

pub(super) fn read_moved(it: &wire::MessagesMovedBack) -> Result<Event, Fault> {
    if it.sequence_steps.len() != it.placed_steps.len() {
        return Err(format!("lists of {} and {}", it.sequence_steps.len(), it.placed_steps.len()));
    }
    let fact = MoveTaskFact::Moved {
        to: QueueGeneration(it.to),
        at: Timestamp(it.at),
        messages: words::sequences(&it.sequence_steps).into_iter().zip(words::sequences(&it.placed_steps)).collect(),
    };
    Ok(event(it.queue, TaskNumber(it.task), fact))
}

pub(super) fn read_advanced(it: &wire::MoveTaskAdvanced) -> Event {
    let (looked_through, next_at) = (SequenceNumber(it.looked_through), Timestamp(it.next_at));
    let fact = MoveTaskFact::Advanced { looked_through, passed_over: it.passed_over, next_at };
    event(it.queue, TaskNumber(it.task), fact)
}

pub(super) fn read_ended(it: &wire::MoveTaskEnded) -> Result<Event, Fault> {
    let end = read_end(it.end)?.ok_or("a move task ended without a reason")?;
    let fact = MoveTaskFact::Ended { at: Timestamp(it.at), end };
    Ok(event(it.queue, TaskNumber(it.task), fact))
}

pub(super) fn read_restored(it: wire::RestoredMoveTask) -> Result<Restored, Fault> {
    Ok(Restored::MoveTask { queue: QueueGeneration(it.queue), task: read(it.task)? })
}

fn read(task: Option<wire::MoveTask>) -> Result<MoveTask, Fault> {
    let it = task.ok_or("a move task is missing")?;
    let name = it.destination.map(|_| words::queue_name(&it.destination_name)).transpose()?;
    let destination = it.destination.zip(name);
    Ok(MoveTask {
        number: TaskNumber(it.number),
        destination: destination.map(|(to, name)| Destination { generation: QueueGeneration(to), name }),
        rate: it.rate,
        through: SequenceNumber(it.through),
        looked_through: SequenceNumber(it.looked_through),
        started_at: Timestamp(it.started_at),
        next_at: Timestamp(it.next_at),
        to_move: it.to_move,
        moved: it.moved,
        passed_over: it.passed_over,
        ended: read_end(it.end)?.map(|end| (Timestamp(it.ended_at), end)),
    })
}

/// `None`: the task runs.
fn read_end(end: i32) -> Result<Option<MoveTaskEnd>, Fault> {
    match wire::MoveTaskEnd::try_from(end) {
        Ok(wire::MoveTaskEnd::Unspecified) => Ok(None),
        Ok(wire::MoveTaskEnd::Completed) => Ok(Some(MoveTaskEnd::Completed)),
        Ok(wire::MoveTaskEnd::Cancelled) => Ok(Some(MoveTaskEnd::Cancelled)),
        Ok(wire::MoveTaskEnd::DestinationGone) => Ok(Some(MoveTaskEnd::DestinationGone)),
        Ok(wire::MoveTaskEnd::TooLong) => Ok(Some(MoveTaskEnd::TooLong)),
        Err(unknown) => Err(format!("unknown end of a move task: {unknown}")),
    }
}
