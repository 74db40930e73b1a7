//! ListDeadLetterSourceQueues, and the tasks that bring dead letters back (Q5, Q6, Q7, L13).

use lockstep_engine::{
    command::{QueueRef, StartMoveTask},
    event::{MoveTask as Task, MoveTaskEnd},
    limits as engine_limits,
    words::{QueueGeneration, QueueName},
};

use super::{Answered, plain, queues, ranged, required};
use crate::{
    failure::Failure,
    front::sqs::{
        Services,
        addresses::name_of_arn,
        caller::Caller,
        errors::{Code, SqsError, no_resource},
        model::{
            Text,
            moves::{
                CancelMessageMoveTask, CancelMessageMoveTaskAnswer, ListDeadLetterSourceQueues,
                ListDeadLetterSourceQueuesAnswer, ListMessageMoveTasks, ListMessageMoveTasksAnswer, MoveTask,
                StartMessageMoveTask, StartMessageMoveTaskAnswer,
            },
        },
    },
    handle::{MoveTaskName, move_task_failure},
};

pub(super) async fn list_dead_letter_source_queues(
    services: &Services,
    caller: &Caller,
    request: ListDeadLetterSourceQueues<'_>,
) -> Answered<ListDeadLetterSourceQueuesAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let (max, paged) = queues::page(request.max_results)?;
    let after = queues::after(request.next_token.as_ref())?;
    let mut names = services.handle.dead_letter_sources(queue, after, max + 1).await.map_err(|it| plain(&it))?;
    let next_token = queues::next(&mut names, max, paged);
    let queue_urls = names.iter().map(|name| caller.queue_url(name, None)).collect();
    Ok(ListDeadLetterSourceQueuesAnswer { queue_urls, next_token })
}

/// The queue that an ARN names.
fn named(arn: &str, parameter: &str) -> Answered<QueueName> {
    if !arn.starts_with("arn:") || arn.split(':').count() != 6 {
        let text = format!(
            "You must use this format to specify the {parameter}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        );
        return Err(SqsError::new(Code::InvalidParameterValue, text));
    }
    name_of_arn(arn).ok_or_else(|| no_resource(parameter))
}

fn source(arn: &Option<Text<'_>>) -> Answered<QueueRef> {
    Ok(QueueRef { name: named(required(arn, "SourceArn")?, "SourceArn")?, generation: None })
}

/// A source that is not there is a resource that is not found, not a queue (Q6).
fn of_source(failure: &Failure) -> SqsError {
    let error = plain(failure);
    if error.code == Code::QueueDoesNotExist { no_resource("SourceArn") } else { error }
}

pub(super) async fn start_message_move_task(
    services: &Services,
    _caller: &Caller,
    request: StartMessageMoveTask<'_>,
) -> Answered<StartMessageMoveTaskAnswer> {
    let source = source(&request.source_arn)?;
    let destination = request.destination_arn.as_deref().map(|arn| named(arn, "DestinationArn")).transpose()?;
    let (name, reason) = ("MaxNumberOfMessagesPerSecond", "Must be between 1 and 500, if provided.");
    let rate = ranged(request.max_number_of_messages_per_second, 1, engine_limits::MOVE_RATE.into(), name, reason)?;
    let rate = rate.map_or(engine_limits::MOVE_RATE, |rate| u32::try_from(rate).expect("at most 500"));
    let started = services.handle.start_move_task(StartMoveTask { source, destination, rate }).await;
    let started = started.map_err(|it| of_source(&it))?;
    let task_handle = MoveTaskName { queue: started.queue, task: started.task }.to_string();
    Ok(StartMessageMoveTaskAnswer { task_handle })
}

pub(super) async fn cancel_message_move_task(
    services: &Services,
    _caller: &Caller,
    request: CancelMessageMoveTask<'_>,
) -> Answered<CancelMessageMoveTaskAnswer> {
    let name = MoveTaskName::parse(required(&request.task_handle, "TaskHandle")?)
        .ok_or_else(|| SqsError::new(Code::InvalidParameterValue, "Value for parameter TaskHandle is invalid."))?;
    let moved = services.handle.cancel_move_task(name.into()).await.map_err(|it| plain(&it))?;
    Ok(CancelMessageMoveTaskAnswer { approximate_number_of_messages_moved: moved })
}

pub(super) async fn list_message_move_tasks(
    services: &Services,
    caller: &Caller,
    request: ListMessageMoveTasks<'_>,
) -> Answered<ListMessageMoveTasksAnswer> {
    let queue = source(&request.source_arn)?;
    let reason = "Must be between 1 and 10, if provided.";
    let max = ranged(request.max_results, 1, 10, "MaxResults", reason)?.unwrap_or(1);
    let source_arn = caller.arn(&queue.name);
    let max = usize::try_from(max).expect("at most 10");
    let (generation, tasks) = services.handle.move_tasks(queue, max).await.map_err(|it| of_source(&it))?;
    let results = tasks.into_iter().map(|task| shown(caller, &source_arn, generation, task)).collect();
    Ok(ListMessageMoveTasksAnswer { results })
}

fn shown(caller: &Caller, source_arn: &str, queue: QueueGeneration, task: Task) -> MoveTask {
    let status = match task.ended {
        None => "RUNNING",
        Some((_, MoveTaskEnd::Completed)) => "COMPLETED",
        Some((_, MoveTaskEnd::Cancelled)) => "CANCELLED",
        Some((_, MoveTaskEnd::DestinationGone | MoveTaskEnd::TooLong)) => "FAILED",
    };
    let name = MoveTaskName { queue, task: task.number };
    MoveTask {
        task_handle: task.is_running().then(|| name.to_string()),
        status,
        source_arn: source_arn.to_owned(),
        failure_reason: move_task_failure(&task),
        destination_arn: task.destination.map(|to| caller.arn(&to.name)),
        max_number_of_messages_per_second: task.rate,
        approximate_number_of_messages_moved: task.moved,
        approximate_number_of_messages_to_move: task.to_move,
        started_timestamp: task.started_at.0,
    }
}
