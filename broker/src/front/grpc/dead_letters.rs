//! The services `lockstep.v1.DeadLetters` (Q1 to Q7) and `lockstep.v1.Groups` (B7).

use lockstep_engine::{
    command::{Park, Unpark},
    words::GroupId,
};
use lockstep_proto::v1::{self, dead_letters_server::DeadLetters, groups_server::Groups};
use tonic::{Request, Response};

use super::{
    Services, input,
    queues::{Answered, parsed},
    redrive,
};
use crate::{failure::Invalid, handle::MoveTaskName, limits};

#[tonic::async_trait]
impl DeadLetters for Services {
    async fn list_dead_letter_source_queues(
        &self,
        request: Request<v1::ListDeadLetterSourceQueuesRequest>,
    ) -> Answered<v1::ListDeadLetterSourceQueuesResponse> {
        let v1::ListDeadLetterSourceQueuesRequest { queue, max_results, after } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let max = parsed(input::count("max_results", max_results, limits::PAGE, limits::PAGE, "L13"))? as usize;
        let names =
            self.handle.dead_letter_sources(queue, after, max).await.map_err(|failure| self.refuse(&failure))?;
        let queues: Vec<String> = names.iter().map(ToString::to_string).collect();
        let next = queues.last().filter(|_| queues.len() == max).cloned().unwrap_or_default();
        Ok(Response::new(v1::ListDeadLetterSourceQueuesResponse { queues, next }))
    }

    async fn start_message_move_task(
        &self,
        request: Request<v1::StartMessageMoveTaskRequest>,
    ) -> Answered<v1::StartMessageMoveTaskResponse> {
        let command = parsed(redrive::start(request.get_ref()))?;
        let started = self.handle.start_move_task(command).await.map_err(|failure| self.refuse(&failure))?;
        let task_handle = MoveTaskName { queue: started.queue, task: started.task }.to_string();
        Ok(Response::new(v1::StartMessageMoveTaskResponse { task_handle }))
    }

    async fn cancel_message_move_task(
        &self,
        request: Request<v1::CancelMessageMoveTaskRequest>,
    ) -> Answered<v1::CancelMessageMoveTaskResponse> {
        let command = parsed(redrive::cancel(request.get_ref()))?;
        let messages_moved = self.handle.cancel_move_task(command).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::CancelMessageMoveTaskResponse { messages_moved }))
    }

    async fn list_message_move_tasks(
        &self,
        request: Request<v1::ListMessageMoveTasksRequest>,
    ) -> Answered<v1::ListMessageMoveTasksResponse> {
        let v1::ListMessageMoveTasksRequest { source_queue, max_results } = request.into_inner();
        let queue = parsed(input::queue(&source_queue, None))?;
        let max = parsed(input::count("max_results", max_results, 1, redrive::LISTED, "L13"))? as usize;
        let (generation, tasks) = self.handle.move_tasks(queue, max).await.map_err(|failure| self.refuse(&failure))?;
        let tasks = tasks.into_iter().map(|task| redrive::task(generation, &source_queue, task)).collect();
        Ok(Response::new(v1::ListMessageMoveTasksResponse { tasks }))
    }
}

#[tonic::async_trait]
impl Groups for Services {
    async fn park(&self, request: Request<v1::ParkRequest>) -> Answered<v1::ParkResponse> {
        let v1::ParkRequest { queue, message_group_id } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let group = parsed(GroupId::parse(&message_group_id).map_err(Invalid::from))?;
        let parked = self.handle.park(Park { queue, group }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::ParkResponse { already_parked: !parked }))
    }

    async fn unpark(&self, request: Request<v1::UnparkRequest>) -> Answered<v1::UnparkResponse> {
        let v1::UnparkRequest { queue, message_group_id, all } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let group = parsed(input::optional_group(&message_group_id))?;
        if group.is_some() == all {
            let text = "name a group, or all of them (B7)";
            return parsed(Err(Invalid::new("FIELD_MISSING", "B7", text)));
        }
        let unparked = self.handle.unpark(Unpark { queue, group }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::UnparkResponse { groups: unparked.groups, more: unparked.more }))
    }

    async fn list_parked_groups(
        &self,
        request: Request<v1::ListParkedGroupsRequest>,
    ) -> Answered<v1::ListParkedGroupsResponse> {
        let v1::ListParkedGroupsRequest { queue, max_results, after } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let after = parsed(input::optional_group(&after))?;
        let max = parsed(input::count("max_results", max_results, limits::PAGE, limits::PAGE, "L13"))? as usize;
        let parked = self.handle.parked_groups(queue, after, max).await.map_err(|failure| self.refuse(&failure))?;
        let next = parked.last().filter(|_| parked.len() == max).map(|last| last.group.to_string());
        let groups = parked.into_iter().map(|parked| v1::ParkedGroup {
            message_group_id: parked.group.to_string(),
            parked_unix_ms: parked.since.0,
            messages: parked.messages,
            first_sequence_number: parked.first.unwrap_or_default().0,
        });
        let groups = groups.collect();
        Ok(Response::new(v1::ListParkedGroupsResponse { groups, next: next.unwrap_or_default() }))
    }
}
