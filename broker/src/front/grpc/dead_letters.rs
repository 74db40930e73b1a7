//! The service `lockstep.v1.DeadLetters` (Q1 to Q7).

use lockstep_proto::v1::{self, dead_letters_server::DeadLetters};
use tonic::{Request, Response};

use super::{
    Services, input,
    queues::{Answered, parsed},
};
use crate::limits;

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
}
