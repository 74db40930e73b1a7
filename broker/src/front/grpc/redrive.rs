//! Move tasks on the wire: requests to commands, tasks to messages (Q6, Q7).

use lockstep_engine::{
    command::{CancelMoveTask, StartMoveTask},
    event::{MoveTask, MoveTaskEnd},
    limits as engine_limits,
    words::{QueueGeneration, QueueName},
};
use lockstep_proto::v1;

use super::input::{self, Parsed};
use crate::{
    failure::Invalid,
    handle::{MoveTaskName, move_task_failure},
};

/// Most tasks of a list (L13).
pub(super) const LISTED: u32 = 10;

pub(super) fn start(request: &v1::StartMessageMoveTaskRequest) -> Parsed<StartMoveTask> {
    let destination = Some(&request.destination_queue).filter(|name| !name.is_empty());
    let (field, rate) = ("max_messages_per_second", request.max_messages_per_second);
    Ok(StartMoveTask {
        source: input::queue(&request.source_queue, None)?,
        destination: destination.map(|name| QueueName::parse(name)).transpose()?,
        rate: input::count(field, rate, engine_limits::MOVE_RATE, engine_limits::MOVE_RATE, "L13")?,
    })
}

pub(super) fn cancel(request: &v1::CancelMessageMoveTaskRequest) -> Parsed<CancelMoveTask> {
    MoveTaskName::parse(&request.task_handle).map(CancelMoveTask::from).ok_or_else(|| {
        let text = "the task handle is not one that StartMessageMoveTask gave (Q6)";
        Invalid::new("TASK_HANDLE_INVALID", "Q6", text)
    })
}

pub(super) fn task(queue: QueueGeneration, source: &str, task: MoveTask) -> v1::MessageMoveTask {
    let status = match task.ended {
        None => v1::MoveTaskStatus::Running,
        Some((_, MoveTaskEnd::Completed)) => v1::MoveTaskStatus::Completed,
        Some((_, MoveTaskEnd::Cancelled)) => v1::MoveTaskStatus::Cancelled,
        Some((_, MoveTaskEnd::DestinationGone | MoveTaskEnd::TooLong)) => v1::MoveTaskStatus::Failed,
    };
    let name = MoveTaskName { queue, task: task.number };
    let failure_reason = move_task_failure(&task).unwrap_or_default();
    v1::MessageMoveTask {
        task_handle: if task.is_running() { name.to_string() } else { String::new() },
        status: status.into(),
        source_queue: source.to_owned(),
        destination_queue: task.destination.map(|to| to.name.to_string()).unwrap_or_default(),
        max_messages_per_second: task.rate,
        started_unix_ms: task.started_at.0,
        ended_unix_ms: task.ended.map_or(0, |(at, _)| at.0),
        messages_to_move: task.to_move,
        messages_moved: task.moved,
        messages_passed_over: task.passed_over,
        failure_reason: failure_reason.to_owned(),
    }
}
