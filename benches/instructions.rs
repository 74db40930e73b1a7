//! How many instructions each part executes that a message passes: repeatable to the last one, however busy the machine
//! is. Needs valgrind, and the runner of the version in Cargo.lock: `cargo install gungraun-runner --version 0.20.0`;
//! then `cargo bench --bench instructions`. Appends wait for a disk and are only timed (`pieces`).

#![allow(missing_docs, reason = "the macros make public items")]

mod parts;

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use lockstep_engine::{Event, words::QueueName};
use parts::Lives;

fn warm() -> Lives {
    let mut lives = Lives::new();
    (0..100).for_each(|_| lives.live());
    lives
}

fn events() -> Vec<Event> {
    Lives::new().send()
}

fn encoded() -> bytes::Bytes {
    parts::encode(&events())
}

fn grpc() -> (QueueName, bytes::Bytes) {
    (parts::queue_name(), parts::grpc_request())
}

fn sqs() -> (QueueName, Vec<u8>) {
    (parts::queue_name(), parts::sqs_request())
}

#[library_benchmark(setup = warm)]
fn engine_100_lives(mut lives: Lives) -> Lives {
    lives.live();
    lives
}

#[library_benchmark(setup = events)]
fn encode_100_sends(events: Vec<Event>) -> (Vec<Event>, bytes::Bytes) {
    let bytes = parts::encode(&events);
    (events, bytes)
}

#[library_benchmark(setup = encoded)]
fn decode_100_sends(bytes: bytes::Bytes) -> Vec<Event> {
    black_box(parts::decode(&bytes))
}

#[library_benchmark(setup = grpc)]
fn parse_grpc((queue, request): (QueueName, bytes::Bytes)) -> lockstep_broker::NewMessage {
    parts::parse_grpc(&queue, &request)
}

#[library_benchmark(setup = sqs)]
fn parse_sqs((queue, request): (QueueName, Vec<u8>)) -> lockstep_broker::NewMessage {
    parts::parse_sqs(&queue, &request)
}

library_benchmark_group!(
    name = parts_of_a_message;
    benchmarks = engine_100_lives, encode_100_sends, decode_100_sends, parse_grpc, parse_sqs
);
main!(library_benchmark_groups = parts_of_a_message);
