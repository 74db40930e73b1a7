//! The client of a Lockstep broker: messages of a group arrive in order, none lost, none twice.
//!
//! ```
//! use lockstep_client::{Client, Message, QueueAttributes};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let settings = lockstep_broker::BrokerSettings::new(lockstep_broker::JournalChoice::Memory);
//! # let broker = lockstep_broker::Broker::start(&settings)?;
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let endpoint = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(broker.serve(listener, std::future::pending()));
//! let client = Client::connect(endpoint).await?;
//! client.create_queue("orders.fifo", QueueAttributes::default()).await?;
//!
//! // The key is fixed before the first try, so a lost answer never stores a message twice.
//! let producer = client.producer("orders.fifo").build();
//! for body in ["created", "paid", "shipped"] {
//!     let message = Message::new("order-17", body).deduplication_id(format!("order-17-{body}"));
//!     let sent = producer.send(message).await?;
//!     println!("{} has number {}", sent.message_id, sent.sequence_number);
//! }
//!
//! // A group's messages come in order, to one consumer at a time.
//! let mut consumer = client.consumer("orders.fifo").build();
//! for expected in ["created", "paid", "shipped"] {
//!     let delivery = consumer.next().await?;
//!     assert_eq!(delivery.body, expected);
//!     delivery.delete().await?; // done: it is never delivered again
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Producer`] sends in order and without duplicates, [`Session`] numbers what it sends; [`Consumer`] receives by asking,
//! [`ConsumeStream`] as messages come, [`Delivery`] finishes; [`BatchReader`] claims batches whose output must be exactly once. The methods of [`Client`] are the plain calls
//! beneath them. [`Error`] says what is known about a call that failed, which decides what may be done next.
//!
//! Rules such as (S6) or (H11) are those of `docs/guarantees.md`.
//!
//! This file is the map of the crate; code lives in its modules.

mod attributes;
mod calls;
mod claim;
mod client;
mod commit;
mod consume_stream;
mod consumer;
mod delivery;
mod error;
mod fence;
mod message;
mod numbered;
mod open;
mod outcomes;
mod produce_stream;
mod producer;
mod reader;
mod retry;
mod security;
mod session;
mod wire;

pub use lockstep_proto::v1::{
    ClaimedMessage, MessageMoveTask, MoveTaskStatus, OpenClaim, ParkedGroup, PeekedMessage, ProducerDescription,
    QueueDescription, ReaderDescription, StoredValue,
};
pub use lockstep_proto::{emr, v1};
pub use tonic::Code;

pub use attributes::{DeduplicationScope, GroupDelivery, QueueAttributes, RedriveAllowPolicy, RedrivePolicy};
pub use calls::{Attached, Backup, ClaimAnswer, Committed, CreatedQueue, OpenedReader, QueuePage, ReaderPage};
pub use claim::{ClaimContents, ClaimItem, ClaimOptions, ClaimStream, Shard};
pub use client::{Client, ClientBuilder};
pub use commit::{Commit, ValuesCommit};
pub use consume_stream::{ConsumeStream, Deleting};
pub use consumer::{Consumer, ConsumerBuilder};
pub use delivery::{Deleted, Delivery};
pub use error::{EARLIER_REJECTED, Error};
pub use fence::{AppliedEffect, FenceError, FencedFile, Judgement, Mark, judge};
pub use message::{Message, Sent, content_id};
pub use numbered::Sending;
pub use open::OpenReader;
pub use producer::{Producer, ProducerBuilder, Ticket};
pub use reader::BatchReader;
pub use retry::RetryPolicy;
pub use session::Session;
