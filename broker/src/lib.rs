//! The shell around the engine: it gives the pure state machine a clock, a journal, callers and doors. A front sees
//! the [`Handle`] and nothing else; the engine decides; the sequencer makes one frame of many callers' events; the
//! journal's thread makes it durable before anybody hears of it. No rule of delivery lives in this crate.

mod bodies;
mod clock;
pub mod codec;
mod facts;
mod failure;
mod faults;
mod follower;
mod front;
mod handle;
pub mod identity;
mod journey;
pub mod limits;
mod metrics;
pub mod parsing;
mod poll;
mod receipts;
mod recent;
mod recovery;
mod request;
mod scrub;
mod sentences;
mod sequencer;
pub mod simulation;
mod space;
mod start;
pub mod tools;
mod turn;
mod waiting;
mod writer;

pub use clock::ManualClock;
pub use failure::{Failure, Invalid};
pub use faults::{CallFault, CrashPoint, FaultAction, FaultRule, Faults, Operation, Trigger, operations};
pub use front::{
    access::{Right, Tokens},
    port::{Guest, Security},
    sqs::{Account, Credentials, SqsSettings},
    tls::{Tls, TlsError, TlsFiles},
    web::{ConsoleMode, ConsoleSettings},
};
pub use handle::{
    AttributeValue, ClaimPages, ClaimedBody, Delivery, ExplainedQueue, Handle, MessageAttribute, MessageAttributes,
    NewCommit, NewMessage, NewOutput, NewSession, NewTarget, NewValue, Outcomes, Peeked, Pending, ReadValue, Wanted,
    is_wanted,
};
pub use journey::Arrival;
pub use lockstep_engine::{GroupDelivery, words::Timestamp};
pub use lockstep_journal::{OpenError, StoreKind};
pub use receipts::{GarbageHandle, ReceiptKeyError, Receipts};
pub use recovery::RecoveryError;
pub use space::Reserves;
pub use start::{Broker, BrokerSettings, ClockChoice, ClockError, JournalChoice, ServeError, StartError};
