//! The deterministic state machine of the broker. Commands are judged against the state and become events; events
//! alone change the state; time and space are arguments. There is no async, no IO, no clock, no randomness and no
//! serialization in this crate, and it depends on no other crate of Lockstep.
//!
//! ```
//! use lockstep_engine::{Engine, command::{Context, CreateQueue, Space}, words::{QueueName, Timestamp}};
//!
//! let mut engine = Engine::new();
//! let context = Context { now: Timestamp(1), frame: 1, next_body: 0, space: Space::UNLIMITED };
//! let create = CreateQueue { name: QueueName::parse("orders.fifo")?, attributes: Default::default(), tags: Default::default() };
//! let decision = engine.decide(&create, &context);
//! decision.events.iter().for_each(|event| engine.evolve(event));
//! assert!(decision.reply.is_ok_and(|queue| queue.created));
//! # Ok::<(), lockstep_engine::words::WordError>(())
//! ```

mod attributes;
pub mod command;
mod decide;
mod distil;
mod engine;
pub mod event;
mod evolve;
pub mod explain;
pub mod figures;
mod invariants;
pub mod limits;
pub mod reply;
mod state;
mod told;
pub mod view;
pub mod window;
pub mod words;

pub use attributes::{
    AttributeChanges, Attributes, AwsAttributes, AwsChanges, Change, DeduplicationScope, GroupDelivery, RedriveAllow,
    RedriveChange, RedrivePolicy, ThroughputLimit,
};
pub use decide::due::Settlement;
pub use engine::Engine;
pub use event::Event;
pub use reply::Rejected;
pub use state::State;
