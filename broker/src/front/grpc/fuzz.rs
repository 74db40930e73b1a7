//! Requests that no client of ours sent, over a real socket: each is answered or refused by a rule, what was accepted is
//! within the limits, and the broker serves on. Valid requests are in `valid`, raw calls in `wire`, the limits in `look`.

mod look;
mod valid;
mod wire;

use std::{collections::BTreeSet, time::Duration};

use lockstep_fuzz::{Try, changed, changed_fields, one, tries};
use lockstep_proto::v1::{self, messages_client::MessagesClient, queues_client::QueuesClient};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use self::{
    valid::{Valid, entry, known, valid},
    wire::{Served, framed, serve},
};

/// Requests of one try: so many to the same broker, which gets ever more to know.
const A_TRY: usize = 200;
/// A request that waits this long is a poll: under a clock that stands still it would wait for ever.
const PATIENCE: Duration = Duration::from_millis(100);

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Carried,
    Refused,
    /// The bytes are no request: they came to no rule.
    NoRequest,
}

/// A refusal is final and says by which rule.
fn judged(path: &str, body: &[u8], status: &Status) -> Answer {
    if status.code() == Code::Ok {
        return Answer::Carried;
    }
    let info = status.get_error_details().error_info().cloned();
    let Some(info) = info else {
        let codes = [Code::Internal, Code::OutOfRange, Code::Unimplemented];
        assert!(codes.contains(&status.code()), "{path}: {status:?} to {body:?}");
        return Answer::NoRequest;
    };
    let again = [Code::Unavailable, Code::Unknown, Code::Internal, Code::DataLoss].contains(&status.code());
    let rule = info.metadata.get("rule").is_some_and(|rule| !rule.is_empty());
    assert!(rule && !again && !info.reason.is_empty(), "{path}: {status:?} to {body:?}");
    Answer::Refused
}

/// A method, and a request of it, or of another one, that was changed in what it says, in its bytes, or in its frames.
fn spoilt(chance: &mut Try, valid: &[Valid]) -> (&'static str, Vec<u8>) {
    let (path, own) = one(chance, valid);
    let mut requests = vec![own; 4];
    requests.push(&one(chance, valid).1);
    let message = |chance: &mut Try| match chance.u8(..8) {
        0..5 => changed_fields(chance, &requests),
        _ => changed(chance, &requests),
    };
    let messages: Vec<_> = if path.ends_with("Produce") || path.ends_with("Consume") {
        (0..chance.usize(..4)).map(|_| message(chance)).chain([own.clone()]).rev().collect()
    } else {
        vec![message(chance)]
    };
    let body = framed(messages.iter().map(Vec::as_slice));
    (path, if chance.u8(..8) == 0 { changed(chance, &[body]) } else { body })
}

/// A broker that drains ends when it is empty: it must not be, and must take sends again.
async fn undrained(served: &mut Served, number: usize, path: &str, body: Vec<u8>) -> Result<Status, ()> {
    let drains = path == "Admin/Drain";
    if drains {
        one_more(&served.channel, &format!("kept-{number}")).await;
    }
    let status = timeout(PATIENCE, served.post(path, body)).await.map_err(drop);
    if drains {
        let cancel = v1::DrainRequest { cancel: true, wait_seconds: 0 }.encode_to_vec();
        let status = served.post("Admin/Drain", framed([cancel.as_slice()])).await;
        assert_eq!(status.code(), Code::Ok);
    }
    status
}

/// Sends a message to a queue of its own.
async fn one_more(channel: &Channel, id: &str) -> String {
    let queue = "kept.fifo".to_owned();
    let create = v1::CreateQueueRequest { queue: queue.clone(), ..<_>::default() };
    QueuesClient::new(channel.clone()).create_queue(create).await.expect("created");
    let send = v1::SendRequest { queue: queue.clone(), entry: Some(entry(id)), ..<_>::default() };
    MessagesClient::new(channel.clone()).send(send).await.expect("sent");
    queue
}

/// What any client wants of a broker.
async fn healthy(channel: &Channel) {
    let queue = one_more(channel, "healthy").await;
    let mut messages = MessagesClient::new(channel.clone());
    let receive = v1::ReceiveRequest { queue: queue.clone(), max_messages: 1, ..<_>::default() };
    let received = messages.receive(receive).await.expect("received").into_inner().deliveries;
    let receipt_handle = received.into_iter().next().expect("a message").receipt_handle;
    messages.delete(v1::DeleteRequest { queue, receipt_handle }).await.expect("deleted");
}

#[tokio::test]
async fn every_method_has_a_valid_request_and_it_is_understood() {
    let mut served = serve().await;
    let valid = valid(&known(&served.channel).await);
    let methods: BTreeSet<_> = crate::operations().iter().map(|it| format!("{}/{}", it.service, it.name)).collect();
    let asked: BTreeSet<_> = valid.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(asked, methods, "a method that is new has a place in `valid`");
    for (path, bytes) in valid {
        let body = framed([bytes.as_slice()]);
        let status = served.post(path, body.clone()).await;
        assert_ne!(judged(path, &body, &status), Answer::NoRequest, "{path}: {status:?}");
        assert_ne!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
    }
    served.end().await;
}

#[tokio::test]
async fn any_text_and_bytes_are_answered_or_refused_by_a_rule_and_the_broker_serves_on() {
    let mut came = BTreeSet::new();
    for mut chance in tries(8) {
        let mut served = serve().await;
        let valid = valid(&known(&served.channel).await);
        for number in 0..A_TRY {
            let (path, body) = spoilt(&mut chance, &valid);
            if let Ok(status) = undrained(&mut served, number, path, body.clone()).await {
                came.insert(judged(path, &body, &status));
            }
        }
        look::within_the_limits(&served.channel).await;
        healthy(&served.channel).await;
        served.end().await;
    }
    assert_eq!(came.len(), 3, "{came:?}: some of each came");
}

#[tokio::test]
async fn a_length_that_lies_takes_no_room() {
    let mut served = serve().await;
    for length in [4 << 20, (4 << 20) + 1, 1 << 30, u32::MAX] {
        let mut body = vec![0];
        body.extend(length.to_be_bytes());
        body.extend(b"x");
        for path in ["Messages/Send", "Messages/Produce", "Readers/Commit", "Admin/Drain", "Clock/Now"] {
            let status = served.post(path, body.clone()).await;
            assert_ne!(judged(path, &body, &status), Answer::Carried, "{path}: {status:?}");
        }
    }
    healthy(&served.channel).await;
    served.end().await;
}
