//! The stories of checkpoints and of the release of frames (H6), also of those that are interrupted or damaged.

use bytes::Bytes;

use super::failures::refusal;
use super::{Subject, append, assert_holds, assert_holds_after, at, open, sample, write};
use crate::checkpoint::MAX_SLICE_BYTES;
use crate::error::{AppendError, ReadError};
use crate::faulty::{Fault, FaultyJournal, TornAppend};
use crate::frame::{Frame, FrameNumber, KeptFrame};
use crate::journal::{BodyReader, Journal};

/// Slices with a salt, of several chunks, one empty, the last one short.
fn slices(salt: u64) -> Vec<Bytes> {
    let filled = |bytes| sample(salt, 1, bytes).bodies[0].clone();
    vec![filled(MAX_SLICE_BYTES), Bytes::new(), filled(200_000), filled(7)]
}

/// Stores all slices; the last one makes the checkpoint whole unless it is to stay unfinished.
fn checkpoint<J: Journal>(journal: &mut J, covers: u64, slices: &[Bytes], whole: bool) {
    for (slice, left) in slices.iter().zip((0..slices.len()).rev()) {
        let before = journal.checkpointed();
        journal.checkpoint(FrameNumber(covers), slice, whole && left == 0).expect("the slice is stored");
        let now = if whole && left == 0 { Some(FrameNumber(covers)) } else { before };
        assert_eq!(journal.checkpointed(), now);
    }
}

fn frames(numbers: std::ops::RangeInclusive<u64>) -> Vec<Frame> {
    numbers.map(|number| sample(number, 3, 100)).collect()
}

fn kept<J: Journal>(journal: &J) -> Vec<u64> {
    journal.kept().map(|kept| kept.expect("its header is whole").number.0).collect()
}

fn numbers(frames: impl IntoIterator<Item = u64>) -> Vec<FrameNumber> {
    frames.into_iter().map(FrameNumber).collect()
}

/// A start gets the checkpoint and what follows it; what it covers is kept for its bodies. After a crash and after a
/// clean end, and the journal goes on.
pub fn a_checkpoint_comes_back<S: Subject>(subject: &S) {
    write(subject, 9);
    let mut journal = open(subject);
    checkpoint(&mut journal, 6, &slices(1), true);
    append(&mut journal, 10, &sample(10, 3, 100));
    for part in 0..3 {
        assert_holds_after(&journal, 6, &slices(1), &frames(7..=10));
        assert_eq!(kept(&journal), [1, 2, 3, 4, 5, 6]);
        let KeptFrame { bodies, bytes, .. } = journal.kept().next().expect("one").expect("it is whole");
        assert!(bodies == 3 && (300..600).contains(&bytes), "{bodies} bodies, {bytes} bytes");
        assert_eq!(journal.reader().read(at(2, 1)).expect("it is kept"), sample(2, 3, 100).bodies[1]);
        if part == 0 {
            drop(journal);
        } else {
            journal.close().expect("it closes");
        }
        journal = open(subject);
    }
    append(&mut journal, 11, &sample(11, 3, 100));
    checkpoint(&mut journal, 11, &[Bytes::new()], true);
    assert_holds_after(&journal, 11, &[Bytes::new()], &[]);
    drop(journal);
    assert_holds_after(&open(subject), 11, &[Bytes::new()], &[]);
}

/// A crash between two slices: the checkpoint never was. Its frame may be covered by another one later.
pub fn an_unfinished_checkpoint_is_discarded<S: Subject>(subject: &S) {
    write(subject, 4);
    for closed in [false, true] {
        let mut journal = open(subject);
        checkpoint(&mut journal, 3, &slices(1), false);
        assert_holds(&journal, &frames(1..=4));
        assert!(kept(&journal).is_empty());
        if closed { journal.close().expect("it closes") } else { drop(journal) }
    }
    let mut journal = open(subject);
    assert_holds(&journal, &frames(1..=4));
    checkpoint(&mut journal, 3, &slices(2)[2..], true);
    drop(journal);
    assert_holds_after(&open(subject), 3, &slices(2)[2..], &frames(4..=4));
}

/// While a checkpoint is written, appends go on between its slices, and the one before is what a start gets.
pub fn the_checkpoint_before_counts_until_the_last_slice<S: Subject>(subject: &S) {
    write(subject, 5);
    let mut journal = open(subject);
    checkpoint(&mut journal, 2, &slices(1), true);
    checkpoint(&mut journal, 5, &slices(2)[..1], false);
    append(&mut journal, 6, &sample(6, 3, 100));
    assert_holds_after(&journal, 2, &slices(1), &frames(3..=6));
    drop(journal);
    let mut journal = open(subject);
    assert_holds_after(&journal, 2, &slices(1), &frames(3..=6));
    checkpoint(&mut journal, 5, &slices(3)[..2], false);
    journal.append(FrameNumber(7), &sample(7, 3, 100), &numbers([1])).expect("it is covered by the one before");
    checkpoint(&mut journal, 5, &slices(3)[2..], true);
    assert_holds_after(&journal, 5, &slices(3), &frames(6..=7));
    drop(journal);
    let journal = open(subject);
    assert_holds_after(&journal, 5, &slices(3), &frames(6..=7));
    let kept = kept(&journal);
    assert!(kept.ends_with(&[2, 3, 4, 5]), "{kept:?}");
}

/// A released frame is missing for readers and not kept; to release it again is no mistake, since a start may have found
/// it again.
pub fn released_frames_are_gone<S: Subject>(subject: &S) {
    write(subject, 6);
    let mut journal = open(subject);
    checkpoint(&mut journal, 5, &slices(1), true);
    let reader = journal.reader();
    journal.append(FrameNumber(7), &sample(7, 3, 100), &numbers([1, 2, 4])).expect("they may go");
    assert_eq!(kept(&journal), [3, 5]);
    for number in [1, 2, 4] {
        let read = reader.read(at(number, 0));
        assert!(matches!(read, Err(ReadError::Missing { .. })), "{read:?}");
    }
    for number in [3, 5, 6, 7] {
        assert_eq!(reader.read(at(number, 2)).expect("it is kept"), sample(number, 3, 100).bodies[2]);
    }
    drop(journal);
    let mut journal = open(subject);
    let found = kept(&journal);
    assert!(found.contains(&3) && found.contains(&5), "{found:?}");
    journal.append(FrameNumber(8), &sample(8, 3, 100), &numbers([1, 2, 3, 4])).expect("named again");
    assert_eq!(kept(&journal), [5]);
    assert_holds_after(&journal, 5, &slices(1), &frames(6..=8));
}

/// The covered frame itself may go: what follows hangs on the checkpoint.
pub fn every_frame_may_be_released<S: Subject>(subject: &S) {
    write(subject, 5);
    let mut journal = open(subject);
    checkpoint(&mut journal, 5, &slices(1), true);
    journal.append(FrameNumber(6), &sample(6, 3, 100), &numbers(1..=5)).expect("all of them may go");
    assert!(kept(&journal).is_empty());
    for _ in 0..2 {
        assert_holds_after(&journal, 5, &slices(1), &frames(6..=6));
        drop(journal);
        journal = open(subject);
    }
    checkpoint(&mut journal, 6, &slices(2), true);
    drop(journal);
    let mut journal = open(subject);
    append(&mut journal, 7, &sample(7, 3, 100));
    assert_holds_after(&journal, 6, &slices(2), &frames(7..=7));
}

/// With checkpoints and releases the stored bytes stay bounded, however much is written.
pub fn release_gives_bytes_back<S: Subject>(subject: &S) {
    let mut journal = open(subject);
    let mut held = Vec::new();
    for number in 1..=120 {
        journal.append(FrameNumber(number), &sample(number, 1, 1 << 20), &held).expect("it is appended");
        held.clear();
        if number % 4 == 0 {
            checkpoint(&mut journal, number, &[Bytes::from_static(b"state")], true);
            held = numbers(number - 3..=number);
        }
    }
    let stored = journal.stored_bytes();
    assert!(stored < (8 << 20) + S::SLACK, "{stored} bytes are stored where at most 8 frames of 1 MiB are held");
}

/// A damaged slice of the whole checkpoint refuses the start and is named.
pub fn a_damaged_slice_refuses_with_its_place<S: Subject>(_: &S) {
    for (slice, from_end, name) in [(0, 40, "slice 0"), (2, 0, "slice 2"), (3, 30, "slice 3")] {
        let subject = S::fresh();
        write(&subject, 3);
        let mut journal = open(&subject);
        checkpoint(&mut journal, 2, &slices(1), true);
        journal.append(FrameNumber(4), &sample(4, 3, 100), &numbers([1, 2])).expect("they may go");
        journal.close().expect("it closes");
        subject.damage_slice(FrameNumber(2), slice, from_end);
        let (_, text) = refusal(&subject);
        assert!(text.contains("checkpoint of frame 2") && text.contains(name), "{text}");
    }
}

/// A frame that is gone after the checkpoint refuses the start and is named, the first one after it, too.
pub fn a_gap_after_the_checkpoint_refuses<S: Subject>(_: &S) {
    for lost in [3, 4, 5] {
        let subject = S::fresh();
        write(&subject, 5);
        let mut journal = open(&subject);
        checkpoint(&mut journal, 2, &slices(1), true);
        journal.close().expect("it closes");
        subject.lose(FrameNumber(lost));
        let (frame, text) = refusal(&subject);
        assert!(frame == Some(FrameNumber(lost)) || text.contains("acknowledged"), "{text}");
    }
}

/// A torn frame behind a checkpoint is cut, also where the covered frame was the last one.
pub fn a_torn_end_after_a_checkpoint_is_cut<S: Subject>(_: &S) {
    for covers in [2, 3] {
        let subject = S::fresh();
        write(&subject, 3);
        let mut journal = open(&subject);
        checkpoint(&mut journal, covers, &slices(1), true);
        assert!(matches!(journal.append_torn(FrameNumber(4), &sample(4, 2, 5_000)), Err(AppendError::Failed(_))));
        drop(journal);
        let mut journal = open(&subject);
        assert_holds_after(&journal, covers, &slices(1), &frames(covers + 1..=3));
        append(&mut journal, 4, &sample(4, 3, 100));
        drop(journal);
        assert_holds_after(&open(&subject), covers, &slices(1), &frames(covers + 1..=4));
    }
}

/// Who breaks the order of checkpoints and releases is stopped: nothing more is taken, and nothing of it is found later.
pub fn what_breaks_the_order_of_checkpoints_fails_for_good<S: Subject>(_: &S) {
    type Breach<J> = fn(&mut J) -> Result<(), AppendError>;
    let breaches: [(&str, Breach<S::Journal>); 6] = [
        ("beyond the end", |journal| journal.checkpoint(FrameNumber(6), b"", true)),
        ("behind the one before", |journal| journal.checkpoint(FrameNumber(2), b"", true)),
        ("the same again", |journal| journal.checkpoint(FrameNumber(3), b"", true)),
        ("two at once", |journal| {
            journal.checkpoint(FrameNumber(4), b"", false).expect("it begins");
            journal.checkpoint(FrameNumber(5), b"", true)
        }),
        ("too large", |journal| journal.checkpoint(FrameNumber(4), &vec![0; MAX_SLICE_BYTES + 1], true)),
        ("not covered", |journal| journal.append(FrameNumber(6), &sample(6, 3, 100), &numbers([3, 4]))),
    ];
    for (name, breach) in breaches {
        let subject = S::fresh();
        write(&subject, 5);
        let mut journal = open(&subject);
        checkpoint(&mut journal, 3, &slices(1), true);
        assert!(matches!(breach(&mut journal), Err(AppendError::Failed(_))), "{name}");
        assert!(matches!(journal.checkpoint(FrameNumber(4), b"", true), Err(AppendError::Failed(_))), "{name}");
        let appended = journal.append(FrameNumber(6), &sample(6, 3, 100), &[]);
        assert!(matches!(appended, Err(AppendError::Failed(_))), "{name}");
        drop(journal);
        assert_holds_after(&open(&subject), 3, &slices(1), &frames(4..=5));
    }
}

/// After a slice that failed nothing more is taken; the next start finds the checkpoint or not, as the fault left it.
pub fn a_failed_slice_ends_everything<S: Subject>(_: &S) {
    for (fault, whole) in [(Fault::Lost, false), (Fault::Torn, false), (Fault::Stored, true)] {
        let subject = S::fresh();
        let mut journal = FaultyJournal::new(open(&subject), 4, fault);
        append(&mut journal, 1, &sample(1, 3, 100));
        append(&mut journal, 2, &sample(2, 3, 100));
        checkpoint(&mut journal, 1, &slices(1)[..1], false);
        for _ in 0..2 {
            let failed = journal.checkpoint(FrameNumber(1), b"end", true);
            assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
        }
        assert!(matches!(journal.append(FrameNumber(3), &sample(3, 3, 100), &[]), Err(AppendError::Failed(_))));
        drop(journal);
        if whole {
            let slices = [slices(1)[0].clone(), Bytes::from_static(b"end")];
            assert_holds_after(&open(&subject), 1, &slices, &frames(2..=2));
        } else {
            assert_holds(&open(&subject), &frames(1..=2));
        }
    }
}
