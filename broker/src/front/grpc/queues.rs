//! The service `lockstep.v1.Queues`.

use lockstep_engine::{
    command::{CreateQueue, DeleteQueue, PurgeQueue, SetQueueAttributes, TagQueue, UntagQueue},
    words::{QueueName, TagKey},
};
use lockstep_proto::v1::{self, queues_server::Queues};
use tonic::{Request, Response, Status};

use super::{
    Services,
    errors::{invalid_status, status},
    input, output,
};
use crate::{
    failure::{Failure, Invalid},
    limits,
};

impl Services {
    /// The status of a failure that names no message.
    pub(super) fn refuse(&self, failure: &Failure) -> Status {
        status(failure, &self.handle, None)
    }
}

pub(super) type Answered<T> = Result<Response<T>, Status>;

/// A request's fields, parsed; or the status of the one that means nothing.
pub(super) fn parsed<T>(parsed: Result<T, Invalid>) -> Result<T, Status> {
    parsed.map_err(|invalid| invalid_status(&invalid))
}

#[tonic::async_trait]
impl Queues for Services {
    async fn create_queue(&self, request: Request<v1::CreateQueueRequest>) -> Answered<v1::CreateQueueResponse> {
        let v1::CreateQueueRequest { queue, attributes, tags } = request.into_inner();
        let name = parsed(QueueName::parse(&queue).map_err(Invalid::from))?;
        let attributes = parsed(input::attributes(attributes))?;
        let tags = parsed(input::tags(&tags))?;
        let created = self.handle.create_queue(CreateQueue { name, attributes, tags }).await;
        let created = created.map_err(|failure| self.refuse(&failure))?;
        let (queue_generation, created) = (created.generation.0, created.created);
        Ok(Response::new(v1::CreateQueueResponse { queue_generation, created }))
    }

    async fn describe_queue(&self, request: Request<v1::DescribeQueueRequest>) -> Answered<v1::DescribeQueueResponse> {
        let queue = parsed(input::queue(&request.into_inner().queue, None))?;
        let view = self.handle.describe_queue(queue).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::DescribeQueueResponse { queue: Some(output::queue(&view)) }))
    }

    async fn list_queues(&self, request: Request<v1::ListQueuesRequest>) -> Answered<v1::ListQueuesResponse> {
        let v1::ListQueuesRequest { prefix, max_results, after } = request.into_inner();
        let max = parsed(input::count("max_results", max_results, limits::PAGE, limits::PAGE, "L13"))? as usize;
        let views = self.handle.list_queues(prefix, after, max).await.map_err(|failure| self.refuse(&failure))?;
        let next = views.last().filter(|_| views.len() == max).map(|view| view.name.to_string()).unwrap_or_default();
        let queues = views.iter().map(output::queue).collect();
        Ok(Response::new(v1::ListQueuesResponse { queues, next }))
    }

    async fn set_queue_attributes(
        &self,
        request: Request<v1::SetQueueAttributesRequest>,
    ) -> Answered<v1::SetQueueAttributesResponse> {
        let v1::SetQueueAttributesRequest { queue, attributes } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let changes = parsed(input::attributes(attributes))?;
        let changed = self.handle.set_queue_attributes(SetQueueAttributes { queue, changes }).await;
        changed.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::SetQueueAttributesResponse {}))
    }

    async fn purge_queue(&self, request: Request<v1::PurgeQueueRequest>) -> Answered<v1::PurgeQueueResponse> {
        let v1::PurgeQueueRequest { queue, queue_generation } = request.into_inner();
        let queue = parsed(input::queue(&queue, queue_generation))?;
        let purged = self.handle.purge_queue(PurgeQueue { queue }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::PurgeQueueResponse { purged }))
    }

    async fn delete_queue(&self, request: Request<v1::DeleteQueueRequest>) -> Answered<v1::DeleteQueueResponse> {
        let v1::DeleteQueueRequest { queue, queue_generation } = request.into_inner();
        let queue = parsed(input::queue(&queue, queue_generation))?;
        self.handle.delete_queue(DeleteQueue { queue }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::DeleteQueueResponse {}))
    }

    async fn tag_queue(&self, request: Request<v1::TagQueueRequest>) -> Answered<v1::TagQueueResponse> {
        let v1::TagQueueRequest { queue, tags } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        parsed(input::tag_count("tags", tags.len()))?;
        let tags = parsed(input::tags(&tags))?;
        self.handle.tag_queue(TagQueue { queue, tags }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::TagQueueResponse {}))
    }

    async fn untag_queue(&self, request: Request<v1::UntagQueueRequest>) -> Answered<v1::UntagQueueResponse> {
        let v1::UntagQueueRequest { queue, keys } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        parsed(input::tag_count("keys", keys.len()))?;
        let keys = keys.iter().map(|key| TagKey::parse(key).map_err(Invalid::from)).collect::<Result<_, _>>();
        let keys = parsed(keys)?;
        self.handle.untag_queue(UntagQueue { queue, keys }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::UntagQueueResponse {}))
    }

    async fn list_queue_tags(&self, request: Request<v1::ListQueueTagsRequest>) -> Answered<v1::ListQueueTagsResponse> {
        let queue = parsed(input::queue(&request.into_inner().queue, None))?;
        let tags = self.handle.queue_tags(queue).await.map_err(|failure| self.refuse(&failure))?;
        let tags = tags.iter().map(|(key, value)| v1::Tag { key: key.to_string(), value: value.to_string() });
        Ok(Response::new(v1::ListQueueTagsResponse { tags: tags.collect() }))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answered<v1::ExplainResponse> {
        self.explained(request.into_inner()).await.map(Response::new)
    }
}
