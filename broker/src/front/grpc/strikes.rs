//! The faults of a plan on streams whose requests are many: each request is a match. What strikes a request is decided
//! by the plan; here is what it means on a stream.

use tonic::{Code, Status};

use super::{Services, guard::injected_status};
use crate::faults::CallFault;

/// What is done to a request that is carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strike {
    /// It is carried out before, for nobody.
    pub(super) twice: bool,
    /// Its answer is lost.
    pub(super) answer: Option<Lost>,
    /// What it has delivered is given back first.
    pub(super) ends_leases: bool,
}

/// How an answer is lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lost {
    /// The stream ends in its place.
    Ends,
    /// Nothing comes in its place, nor after it.
    Silence,
}

impl Lost {
    /// What the stream ends with, if it ever ends.
    pub(super) async fn end(self) -> Status {
        match self {
            Lost::Ends => injected_status(Code::Unavailable, "the request was carried out, and its answer was dropped"),
            Lost::Silence => std::future::pending().await,
        }
    }
}

impl Services {
    /// What strikes the next request of a stream, once it may be carried out; an error, if it may not.
    pub(super) async fn strike(&self, operation: &str) -> Result<Strike, Status> {
        let mut strike = Strike::default();
        let Some(faults) = &self.faults else { return Ok(strike) };
        for fault in faults.on_call(operation) {
            match fault {
                CallFault::Unavailable => {
                    return Err(injected_status(Code::Unavailable, "the request was not carried out"));
                }
                CallFault::Throttle => {
                    let what = "the request was not carried out; ask later";
                    return Err(injected_status(Code::ResourceExhausted, what));
                }
                CallFault::Delay(time) => tokio::time::sleep(time).await,
                CallFault::DropAnswer => strike.answer = Some(Lost::Ends),
                CallFault::NeverAnswer => strike.answer = Some(Lost::Silence),
                CallFault::Repeat => strike.twice = true,
                CallFault::ExpireLease => strike.ends_leases = true,
            }
        }
        Ok(strike)
    }
}
