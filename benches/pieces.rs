//! The time that each part takes which a message passes, for 100 messages at once, or one where the name says so:
//! `cargo bench --bench pieces`. What is read on this page in milliseconds is a disk's sync; the rest is CPU.

#![allow(missing_docs, reason = "the macros make public items")]

mod parts;

use criterion::{Criterion, criterion_group, criterion_main};
use parts::Lives;

fn engine(criterion: &mut Criterion) {
    let mut lives = Lives::new();
    criterion.bench_function("engine: 100 sent, received, deleted", |bencher| bencher.iter(|| lives.live()));
}

fn codec(criterion: &mut Criterion) {
    let events = Lives::new().send();
    criterion.bench_function("codec: 100 sends encoded", |bencher| bencher.iter(|| parts::encode(&events)));
    let bytes = parts::encode(&events);
    criterion.bench_function("codec: 100 sends decoded", |bencher| bencher.iter(|| parts::decode(&bytes)));
}

fn journal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut segments = parts::segments(folder.path());
    criterion.bench_function("segments: a frame of 100", |bencher| bencher.iter(|| segments.append()));
    let mut sled = parts::sled(folder.path());
    criterion.bench_function("sled: a frame of 100", |bencher| bencher.iter(|| sled.append()));
}

fn fronts(criterion: &mut Criterion) {
    let (queue, request) = (parts::queue_name(), parts::grpc_request());
    criterion
        .bench_function("gRPC: one message parsed", |bencher| bencher.iter(|| parts::parse_grpc(&queue, &request)));
    let request = parts::sqs_request();
    criterion.bench_function("SQS: one message parsed", |bencher| bencher.iter(|| parts::parse_sqs(&queue, &request)));
}

criterion_group!(benches, engine, codec, journal, fronts);
criterion_main!(benches);
