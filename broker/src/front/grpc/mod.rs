//! The gRPC door: `lockstep.v1`, health and reflection on one listening socket. It converts and checks what is asked;
//! no rule of delivery is decided here.

mod dead_letters;
mod door;
mod errors;
mod explain;
mod input;
mod messages;
mod output;
mod queues;
mod readers;

use std::time::Duration;

use lockstep_proto::{
    DESCRIPTORS,
    v1::{
        dead_letters_server::DeadLettersServer, messages_server::MessagesServer, queues_server::QueuesServer,
        readers_server::ReadersServer,
    },
};
use tokio::{net::TcpListener, sync::watch};
use tonic::transport::Server;

pub(crate) use door::Door;

use crate::{handle::Handle, limits};

/// The services of the door: a handle and conversions.
#[derive(Clone, Debug)]
struct Services {
    handle: Handle,
}

/// Serves until the door closes and the open calls have ended.
pub(crate) async fn serve(
    handle: Handle,
    listener: TcpListener,
    door: watch::Receiver<Door>,
) -> Result<(), tonic::transport::Error> {
    let services = Services { handle };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<QueuesServer<Services>>().await;
    health.set_serving::<MessagesServer<Services>>().await;
    health.set_serving::<ReadersServer<Services>>().await;
    health.set_serving::<DeadLettersServer<Services>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled with this program");
    let most = limits::GRPC_MESSAGE_BYTES;
    let mut closing = door.clone();
    let closing = async move {
        // An owner that is gone wants the door closed too.
        let _ = closing.wait_for(|door| *door >= Door::Closing).await;
    };
    Server::builder()
        .max_concurrent_streams(limits::GRPC_STREAMS)
        .http2_keepalive_interval(Some(Duration::from_millis(limits::GRPC_KEEPALIVE)))
        .http2_keepalive_timeout(Some(Duration::from_millis(limits::GRPC_KEEPALIVE_TIMEOUT)))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(QueuesServer::new(services.clone()).max_decoding_message_size(most))
        .add_service(MessagesServer::new(services.clone()).max_decoding_message_size(most))
        .add_service(DeadLettersServer::new(services.clone()).max_decoding_message_size(most))
        .add_service(ReadersServer::new(services).max_decoding_message_size(most))
        .serve_with_incoming_shutdown(door::connections(listener, door), closing)
        .await
}
