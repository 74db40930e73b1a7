//! What the ring of facts remembers and forgets.

use super::*;

fn fact(frame: u64, sequence: u64) -> Fact {
    Fact {
        frame,
        at: Timestamp(frame),
        kind: FactKind::Sent,
        queue: QueueGeneration(1),
        sequence: Some(SequenceNumber(sequence)),
        group: None,
        who: Party::None,
        until: None,
    }
}

/// A ring of so many facts, two in each frame from `first` on.
fn ring(first: u64, frames: u64) -> Recent {
    let recent = Recent::new(Ring::after(first - 1));
    for frame in first..first + frames {
        recent.note(frame, &mut vec![fact(frame, 2 * frame), fact(frame, 2 * frame + 1)]);
    }
    recent
}

fn numbers(read: &Read) -> Vec<u64> {
    read.facts.iter().map(|fact| fact.sequence.expect("a message").0).collect()
}

#[test]
fn who_comes_back_gets_what_came_after_its_frame_once() {
    let recent = ring(11, 3);
    let begin = recent.begin(Some(11));
    assert_eq!(begin.gap, None);
    let read = recent.read(begin.place, 3, |_| true);
    assert_eq!((numbers(&read), read.more, read.through), (vec![24, 25, 26], 1, 13));
    assert!(recent.read(read.place, 10, |_| true).facts.is_empty());
    recent.note(14, &mut vec![fact(14, 28)]);
    assert_eq!(numbers(&recent.read(read.place, 10, |_| true)), [28]);
    assert_eq!(recent.begin(None).place, read.place + 1, "what comes now");
}

#[test]
fn what_is_forgotten_is_a_gap_and_no_silence() {
    let recent = ring(11, 2);
    assert_eq!(recent.begin(Some(10)).gap, None);
    let begin = recent.begin(Some(7));
    assert_eq!((begin.gap, recent.read(begin.place, 9, |_| true).facts.len()), (Some((7, 10)), 4));
    let foreign = recent.begin(Some(99));
    assert_eq!((foreign.gap, recent.read(foreign.place, 9, |_| true).facts.len()), (Some((99, 12)), 0));
}

#[test]
fn a_frame_that_is_not_told_ends_what_is_remembered_and_who_read_hears_of_it() {
    let recent = ring(11, 2);
    let begin = recent.begin(Some(11));
    recent.skip(13);
    recent.note(14, &mut vec![fact(14, 28)]);
    let read = recent.read(begin.place, 9, |_| true);
    assert_eq!((numbers(&read), read.lost, read.through), (vec![28], Some(13), 14));
    assert_eq!(recent.begin(Some(12)).gap, Some((12, 13)));
    assert_eq!(recent.begin(Some(13)).gap, None);
}

#[test]
fn it_holds_so_many_and_a_slow_reader_is_told() {
    let most = limits::RECENT_FACTS as u64;
    let recent = ring(1, 2);
    let begin = recent.begin(Some(0));
    let mut many: Vec<Fact> = (0..most - 2).map(|n| fact(3, 100 + n)).collect();
    recent.note(3, &mut many);
    let read = recent.read(begin.place, 1, |_| true);
    assert_eq!((numbers(&read), read.lost), (vec![4], Some(1)), "the first frame's facts are gone, and no others");
    assert_eq!(recent.begin(Some(0)).gap, Some((0, 1)));
}
