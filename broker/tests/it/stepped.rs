//! The broker without threads, as a simulation drives it: the same pieces, one step after the other.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use lockstep_broker::{
    BrokerSettings, Failure, JournalChoice, ManualClock, Receipts, StartError, simulation::SteppedBroker,
};
use lockstep_engine::words::Timestamp;
use lockstep_journal::{MemoryDisk, MemoryJournal};

use crate::support::{create, message, queue, receive};

fn start(disk: &MemoryDisk, clock: &ManualClock) -> Result<SteppedBroker<MemoryJournal>, StartError> {
    let journal = MemoryJournal::open(disk).expect("whole");
    SteppedBroker::start(journal, Receipts::from_key([7; 32]), clock, &BrokerSettings::new(JournalChoice::Memory))
}

/// Steps sequencer and writer until a call has its answer.
fn answer<T>(broker: &mut SteppedBroker<MemoryJournal>, call: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    let mut call = pin!(call);
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            return answer;
        }
        broker.poll_sequencer(&mut context);
        broker.write_one();
    }
}

#[test]
fn no_answer_leaves_before_its_frame_is_written_and_a_crash_before_leaves_it_unknown() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new(Timestamp(1_000)));
    let mut context = Context::from_waker(Waker::noop());
    let mut broker = start(&disk, &clock).expect("a new journal");
    let handle = broker.handle().clone();
    answer(&mut broker, create(&handle, "q.fifo"));
    let mut send = Box::pin(handle.send(queue("q.fifo"), vec![message("g", "1", "1")]));
    assert!(send.as_mut().poll(&mut context).is_pending());
    broker.poll_sequencer(&mut context);
    assert!(send.as_mut().poll(&mut context).is_pending() && broker.has_work_for_the_journal(), "H4");
    drop(broker);
    assert!(matches!(send.as_mut().poll(&mut context), Poll::Ready(Err(Failure::Unavailable(_)))));

    clock.advance(60_000);
    let mut broker = start(&disk, &clock).expect("recovered");
    assert_eq!(broker.gap(), 60_000, "downtime since the last journalled instant (H2)");
    let handle = broker.handle().clone();
    let nothing = answer(&mut broker, handle.receive(receive("q.fifo", 1), Some(0))).expect("the queue is there");
    assert!(nothing.is_empty(), "what was never written is not there");
    answer(&mut broker, handle.send(queue("q.fifo"), vec![message("g", "1", "1")])).expect("sent");
    broker.stop();
    while !broker.has_ended() {
        broker.poll_sequencer(&mut context);
        broker.write_one();
    }
}

#[test]
fn the_first_turn_is_journalled_with_its_own_time_even_if_it_comes_late() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::new(Timestamp(1_000)));
    let mut broker = start(&disk, &clock).expect("a new journal");
    let handle = broker.handle().clone();
    answer(&mut broker, create(&handle, "q.fifo"));
    drop(broker);
    let mut broker = start(&disk, &clock).expect("recovered");
    clock.advance(7_000);
    let handle = broker.handle().clone();
    answer(&mut broker, handle.send(queue("q.fifo"), vec![message("g", "1", "1")])).expect("sent");
    drop(broker);
    let broker = start(&disk, &clock).expect("recovered");
    assert_eq!(broker.gap(), 0, "those 7 s were no downtime (H2)");
}
