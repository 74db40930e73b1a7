//! The gRPC door: `lockstep.v1`, health and reflection. It converts and checks what is asked; no rule of delivery is
//! decided here.

mod admin;
mod backup;
mod clock;
mod consume;
mod dead_letters;
mod errors;
mod explain;
mod guard;
mod input;
mod messages;
mod output;
mod produce;
mod producers;
mod queues;
mod readers;
mod redrive;
mod streams;
mod strikes;

use lockstep_engine::words::QueueName;
use lockstep_proto::{
    DESCRIPTORS,
    v1::{
        SendEntry, admin_server::AdminServer, clock_server::ClockServer, dead_letters_server::DeadLettersServer,
        groups_server::GroupsServer, messages_server::MessagesServer, producers_server::ProducersServer,
        queues_server::QueuesServer, readers_server::ReadersServer,
    },
};
use tokio::sync::watch;
use tonic::{server::NamedService, service::Routes};
use tonic_health::ServingStatus;

use self::guard::Gate;
use crate::{
    Invalid,
    faults::Faults,
    front::door::Door,
    handle::{Handle, NewMessage},
    limits,
};

/// A message as a caller gave it.
pub(crate) fn sent_message(queue: &QueueName, entry: SendEntry) -> Result<NewMessage, Invalid> {
    input::message(queue, Some(entry))
}

/// The services of the door: a handle and conversions.
#[derive(Clone, Debug)]
struct Services {
    handle: Handle,
    door: watch::Receiver<Door>,
    faults: Option<Faults>,
}

/// The services, with health and reflection.
pub(super) async fn routes(handle: Handle, faults: Option<Faults>, door: watch::Receiver<Door>) -> Routes {
    let gate = Gate { handle: handle.clone(), faults: faults.clone() };
    let services = Services { handle, door, faults };
    let (health, health_service) = tonic_health::server::health_reporter();
    let names = vec![
        "",
        <QueuesServer<Services> as NamedService>::NAME,
        <MessagesServer<Services> as NamedService>::NAME,
        <ProducersServer<Services> as NamedService>::NAME,
        <ReadersServer<Services> as NamedService>::NAME,
        <DeadLettersServer<Services> as NamedService>::NAME,
        <ClockServer<Services> as NamedService>::NAME,
        <GroupsServer<Services> as NamedService>::NAME,
        <AdminServer<Services> as NamedService>::NAME,
    ];
    admin::set_health(&health, &names, false).await;
    if gate.faults.is_some() {
        // Whoever wonders can ask.
        health.set_service_status("lockstep.faults", ServingStatus::Serving).await;
    }
    tokio::spawn(admin::keep_health(health, names, services.handle.watch_drain()));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled with this program");
    let most = limits::GRPC_MESSAGE_BYTES;
    Routes::new(health_service)
        .add_service(reflection)
        .add_service(AdminServer::new(services.clone()))
        .add_service(gate.guard(QueuesServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(MessagesServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(DeadLettersServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(GroupsServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(ReadersServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(ProducersServer::new(services.clone()).max_decoding_message_size(most)))
        .add_service(gate.guard(ClockServer::new(services)))
}

#[cfg(test)]
mod fuzz;
