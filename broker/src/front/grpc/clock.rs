//! The service `lockstep.v1.Clock`: time travel under a manual clock (H2).

use lockstep_proto::v1::{self, clock_server::Clock};
use tonic::{Request, Response};

use super::{
    Services, input,
    queues::{Answered, parsed},
};
use crate::{failure::Invalid, limits};

/// A way that time may go in one call.
fn journey(field: &str, milliseconds: u64) -> Result<u64, Invalid> {
    if milliseconds <= limits::LONGEST_JOURNEY {
        Ok(milliseconds)
    } else {
        Err(input::out_of_range(field, milliseconds, 0, limits::LONGEST_JOURNEY, "H2"))
    }
}

#[tonic::async_trait]
impl Clock for Services {
    async fn now(&self, _: Request<v1::ClockNowRequest>) -> Answered<v1::ClockNowResponse> {
        let now = self.handle.manual_now().await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::ClockNowResponse { now_unix_ms: now.0 }))
    }

    async fn freeze(&self, _: Request<v1::FreezeRequest>) -> Answered<v1::FreezeResponse> {
        // A manual clock never runs by itself: to find out where it stands is all there is to do.
        let now = self.handle.manual_now().await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::FreezeResponse { now_unix_ms: now.0 }))
    }

    async fn advance(&self, request: Request<v1::AdvanceRequest>) -> Answered<v1::AdvanceResponse> {
        let milliseconds = parsed(journey("milliseconds", request.into_inner().milliseconds))?;
        let arrival = self.handle.advance(milliseconds).await.map_err(|failure| self.refuse(&failure))?;
        let next_due_unix_ms = arrival.next_due.map(|due| due.0);
        Ok(Response::new(v1::AdvanceResponse { now_unix_ms: arrival.now.0, next_due_unix_ms }))
    }

    async fn run_until_idle(&self, request: Request<v1::RunUntilIdleRequest>) -> Answered<v1::RunUntilIdleResponse> {
        let v1::RunUntilIdleRequest { within_ms, at_most_ms } = request.into_inner();
        let within = parsed(journey("within_ms", within_ms.unwrap_or(limits::IDLE_WITHIN)))?;
        let at_most = parsed(journey("at_most_ms", at_most_ms.unwrap_or(limits::IDLE_AT_MOST)))?;
        let arrival = self.handle.run_until_idle(within, at_most).await.map_err(|failure| self.refuse(&failure))?;
        let horizon = arrival.now.0.saturating_add(within);
        Ok(Response::new(v1::RunUntilIdleResponse {
            now_unix_ms: arrival.now.0,
            next_due_unix_ms: arrival.next_due.map(|due| due.0),
            idle: arrival.next_due.is_none_or(|due| due.0 > horizon),
            stops: arrival.stops,
        }))
    }
}
