//! The service `lockstep.v1.Admin`, and what health says in drain mode.

use std::time::{Duration, UNIX_EPOCH};

use lockstep_proto::v1::{self, admin_server::Admin};
use tokio::sync::watch;
use tonic::{Request, Response};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    Services, input,
    queues::{Answered, parsed},
    streams::Responses,
};
use crate::handle::limited;

#[tonic::async_trait]
impl Admin for Services {
    type BackupStream = Responses<v1::BackupResponse>;

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answered<v1::StatusResponse> {
        let status = self.handle.status().await.map_err(|failure| self.refuse(&failure))?;
        let reading = self.handle.reading();
        let started = reading.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Response::new(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal_id: self.handle.identity().journal_id().to_string(),
            now_unix_ms: status.now.0,
            started_unix_ms: u64::try_from(started).unwrap_or_default(),
            draining: status.draining,
            queues: status.left.queues,
            messages: status.left.messages,
            journal_bytes: reading.journal_bytes,
            space_for_sends_bytes: limited(reading.space.for_sends),
            space_for_finishes_bytes: limited(reading.space.for_finishes),
        }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Answered<v1::DrainResponse> {
        let v1::DrainRequest { cancel, wait_seconds } = request.into_inner();
        let wait = parsed(input::wait(wait_seconds))?;
        self.handle.set_draining(!cancel);
        if !cancel {
            // Empty or not, the answer says.
            let _ = tokio::time::timeout(Duration::from_millis(wait), self.handle.drained()).await;
        }
        let status = self.handle.status().await.map_err(|failure| self.refuse(&failure))?;
        let (messages, queues_with_messages) = (status.left.messages, status.left.queues_with_messages);
        Ok(Response::new(v1::DrainResponse { draining: status.draining, messages, queues_with_messages }))
    }

    async fn backup(&self, _: Request<v1::BackupRequest>) -> Answered<Self::BackupStream> {
        self.take_backup()
    }
}

/// Says of every service whether it serves; the empty name stands for the broker.
pub(super) async fn set_health(health: &HealthReporter, services: &[&'static str], draining: bool) {
    let status = if draining { ServingStatus::NotServing } else { ServingStatus::Serving };
    for service in services {
        health.set_service_status(*service, status).await;
    }
}

/// Keeps health in step with drain mode: balancers send a draining broker nothing new.
pub(super) async fn keep_health(health: HealthReporter, services: Vec<&'static str>, mut drain: watch::Receiver<bool>) {
    while drain.changed().await.is_ok() {
        let draining = *drain.borrow_and_update();
        set_health(&health, &services, draining).await;
    }
}
