//! The service `lockstep.v1.Producers`.

use lockstep_engine::{
    command::{ForgetProducer, OpenProducer},
    words::{Epoch, Label},
};
use lockstep_proto::v1::{self, producers_server::Producers};
use tonic::{Request, Response};

use super::{
    Services, input, output,
    queues::{Answered, parsed},
};
use crate::{failure::Invalid, limits};

fn label(text: &str) -> Result<Label, Invalid> {
    Label::parse(text).map_err(|error| Invalid::new("NAME_INVALID", "B3", error.to_string()))
}

#[tonic::async_trait]
impl Producers for Services {
    async fn open_producer(&self, request: Request<v1::OpenProducerRequest>) -> Answered<v1::OpenProducerResponse> {
        let v1::OpenProducerRequest { queue, producer, instance, queue_generation } = request.into_inner();
        let queue = parsed(input::queue(&queue, queue_generation))?;
        let (producer, instance) = (parsed(label(&producer))?, parsed(label(&instance))?);
        let opened = self.handle.open_producer(OpenProducer { queue, producer, instance }).await;
        let opened = opened.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::OpenProducerResponse {
            queue_generation: opened.queue.0,
            epoch: opened.epoch.0,
            last_number: opened.last.0,
        }))
    }

    async fn list_producers(&self, request: Request<v1::ListProducersRequest>) -> Answered<v1::ListProducersResponse> {
        let v1::ListProducersRequest { queue, max_results, after } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let max = parsed(input::count("max_results", max_results, limits::PAGE, limits::PAGE, "L13"))? as usize;
        let views = self.handle.producers(queue, after, max).await.map_err(|failure| self.refuse(&failure))?;
        let next = views.last().filter(|_| views.len() == max).map(|view| view.name.to_string()).unwrap_or_default();
        let producers = views.iter().map(output::producer).collect();
        Ok(Response::new(v1::ListProducersResponse { producers, next }))
    }

    async fn forget_producer(
        &self,
        request: Request<v1::ForgetProducerRequest>,
    ) -> Answered<v1::ForgetProducerResponse> {
        let v1::ForgetProducerRequest { queue, producer, epoch } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let (producer, epoch) = (parsed(label(&producer))?, epoch.map(Epoch));
        let forgotten = self.handle.forget_producer(ForgetProducer { queue, producer, epoch }).await;
        forgotten.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::ForgetProducerResponse {}))
    }
}
