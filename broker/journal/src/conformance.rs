//! The stories that every journal must live through, whatever it is made of. A new implementation says how it is opened
//! and how its stored bytes are spoiled ([`Subject`]), and calls [`crate::conformance_suite`] in a test file.
//!
//! Stories of one implementation only (sled's dangers, kill -9) do not belong here. The functions panic where a story
//! does not hold, as tests do.

mod checkpoints;
mod failures;

use bytes::Bytes;

use crate::error::{AppendError, OpenError, ReadError};
use crate::faulty::TornAppend;
use crate::frame::{Frame, FrameNumber, Position, Replayed, ReplayedFrame};
use crate::journal::{BodyReader, Journal};

pub use checkpoints::{
    a_checkpoint_comes_back, a_damaged_slice_refuses_with_its_place, a_failed_slice_ends_everything,
    a_gap_after_the_checkpoint_refuses, a_torn_end_after_a_checkpoint_is_cut, an_unfinished_checkpoint_is_discarded,
    every_frame_may_be_released, release_gives_bytes_back, released_frames_are_gone,
    the_checkpoint_before_counts_until_the_last_slice, what_breaks_the_order_of_checkpoints_fails_for_good,
};
pub use failures::{
    a_damaged_body_hurts_only_itself, a_damaged_header_refuses_with_its_place, a_failed_append_ends_all_appends,
    a_frame_too_large_fails_for_good, a_gap_refuses_with_its_place, a_lost_end_refuses_the_start,
    a_release_without_a_checkpoint_fails_for_good, a_torn_end_is_cut_and_the_journal_goes_on,
    damaged_events_refuse_with_their_place,
};

/// A place for one journal, and how to open and to spoil what is stored there.
pub trait Subject {
    /// The journal under test.
    type Journal: Journal + TornAppend;

    /// How many bytes the journal may occupy beside what it must hold, once there was traffic after a release.
    const SLACK: u64;

    /// A place where nothing is stored yet; it goes when the value is dropped.
    fn fresh() -> Self;

    /// Opens the journal that is stored there.
    ///
    /// # Errors
    /// What the journal's own `open` says.
    fn open(&self) -> Result<Self::Journal, OpenError>;

    /// Changes one stored byte of a frame while no journal is open: the `from_end`-th from the end of the encoded
    /// frame, where 0 is its last byte.
    fn damage(&self, frame: FrameNumber, from_end: usize);

    /// The same for a slice, from 0, of the whole checkpoint that covers `covers`.
    fn damage_slice(&self, covers: FrameNumber, slice: u32, from_end: usize);

    /// Removes a whole frame from the store while no journal is open.
    fn lose(&self, frame: FrameNumber);
}

/// Declares one test for each story, for the given [`Subject`].
#[macro_export]
macro_rules! conformance_suite {
    ($subject:ty) => {
        $crate::conformance_suite!($subject:
            what_was_appended_comes_back, what_was_appended_comes_back_after_close, a_drop_without_close_loses_nothing,
            the_identity_stays, another_number_is_fenced, bodies_are_read_by_their_place, large_frames_come_back,
            empty_frames_and_bodies_come_back, a_frame_too_large_fails_for_good,
            a_release_without_a_checkpoint_fails_for_good,
            readers_work_beside_appends, a_second_owner_is_refused, a_damaged_body_hurts_only_itself,
            damaged_events_refuse_with_their_place, a_damaged_header_refuses_with_its_place,
            a_gap_refuses_with_its_place, a_lost_end_refuses_the_start, a_torn_end_is_cut_and_the_journal_goes_on,
            a_failed_append_ends_all_appends, the_stored_bytes_grow_with_what_is_stored, a_checkpoint_comes_back,
            an_unfinished_checkpoint_is_discarded, the_checkpoint_before_counts_until_the_last_slice,
            released_frames_are_gone, every_frame_may_be_released, release_gives_bytes_back,
            a_damaged_slice_refuses_with_its_place, a_gap_after_the_checkpoint_refuses,
            a_torn_end_after_a_checkpoint_is_cut, what_breaks_the_order_of_checkpoints_fails_for_good,
            a_failed_slice_ends_everything,
        );
    };
    ($subject:ty: $($story:ident),+ $(,)?) => {
        $(#[test]
        fn $story() {
            $crate::conformance::$story(&<$subject as $crate::conformance::Subject>::fresh());
        })+
    };
}

/// A frame whose every byte follows from its number, with `bodies` bodies of `bytes` bytes each.
#[must_use]
pub fn sample(number: u64, bodies: usize, bytes: usize) -> Frame {
    let fill = |salt: u64, length: usize| -> Bytes {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect()
    };
    Frame {
        events: Bytes::from(format!("events of frame {number}")),
        bodies: (0..bodies).map(|index| fill(index as u64 + 1, bytes)).collect(),
    }
}

fn open<S: Subject>(subject: &S) -> S::Journal {
    subject.open().expect("the journal opens")
}

fn append<J: Journal>(journal: &mut J, number: u64, frame: &Frame) {
    journal.append(FrameNumber(number), frame, &[]).expect("the frame is appended");
    assert_eq!(journal.last(), Some(FrameNumber(number)));
}

fn write<S: Subject>(subject: &S, frames: u64) {
    let mut journal = open(subject);
    for number in 1..=frames {
        append(&mut journal, number, &sample(number, 3, 100));
    }
    journal.close().expect("the journal closes");
}

/// Checks that `journal` holds exactly `frames`, numbered from 1, with all their bodies, and no checkpoint.
///
/// # Panics
/// If it does not.
pub fn assert_holds<J: Journal>(journal: &J, frames: &[Frame]) {
    assert_holds_after(journal, 0, &[], frames);
}

/// Checks that a start from `journal` gets the slices of a checkpoint that covers frame `covers` (0: there is none), then
/// exactly `frames`, numbered from the next one, with all their bodies.
///
/// # Panics
/// If it does not.
pub fn assert_holds_after<J: Journal>(journal: &J, covers: u64, slices: &[Bytes], frames: &[Frame]) {
    assert_eq!(journal.checkpointed().map_or(0, |covers| covers.0), covers);
    let (found, replayed) = replayed(journal);
    assert!(found == slices, "the slices of the checkpoint of frame {covers}");
    assert_eq!(replayed.len(), frames.len());
    assert_eq!(journal.last().map_or(0, |last| last.0), covers + frames.len() as u64);
    let reader = journal.reader();
    for ((frame, replayed), number) in frames.iter().zip(replayed).zip(covers + 1..) {
        assert_eq!(replayed.number, FrameNumber(number));
        assert_eq!(replayed.events, frame.events);
        assert_eq!(replayed.bodies as usize, frame.bodies.len());
        for (body, index) in frame.bodies.iter().zip(0..) {
            assert!(reader.read(at(number, index)).expect("the body is read") == *body, "frame {number} body {index}");
        }
    }
}

/// All that a start gets: the slices, then the frames.
fn replayed<J: Journal>(journal: &J) -> (Vec<Bytes>, Vec<ReplayedFrame>) {
    let (mut slices, mut frames) = (Vec::new(), Vec::new());
    for replayed in journal.replay() {
        match replayed.expect("it replays") {
            Replayed::Slice(slice) => {
                assert!(frames.is_empty(), "a slice after a frame");
                slices.push(slice);
            }
            Replayed::Frame(frame) => frames.push(frame),
        }
    }
    (slices, frames)
}

fn at(frame: u64, index: u32) -> Position {
    Position { frame: FrameNumber(frame), index }
}

/// Frames come back from the open journal, in order, with their bodies.
pub fn what_was_appended_comes_back<S: Subject>(subject: &S) {
    let mut journal = open(subject);
    assert_holds(&journal, &[]);
    let frames: Vec<Frame> = (1..=20).map(|number| sample(number, 4, 50)).collect();
    for (frame, number) in frames.iter().zip(1..) {
        append(&mut journal, number, frame);
    }
    assert_holds(&journal, &frames);
}

/// They come back after a clean end, twice, and the journal goes on.
pub fn what_was_appended_comes_back_after_close<S: Subject>(subject: &S) {
    let frames: Vec<Frame> = (1..=9).map(|number| sample(number, 2, 300)).collect();
    for part in 0..3_u64 {
        let mut journal = open(subject);
        for number in part * 3 + 1..=part * 3 + 3 {
            append(&mut journal, number, &frames[usize::try_from(number).expect("small") - 1]);
        }
        journal.close().expect("the journal closes");
    }
    let journal = open(subject);
    assert_holds(&journal, &frames);
}

/// They come back after an end without a close, as a crash is.
pub fn a_drop_without_close_loses_nothing<S: Subject>(subject: &S) {
    let frames: Vec<Frame> = (1..=6).map(|number| sample(number, 2, 300)).collect();
    for (frame, number) in frames.iter().zip(1..) {
        append(&mut open(subject), number, frame);
    }
    assert_holds(&open(subject), &frames);
}

/// The identity is drawn once, and differs from journal to journal.
pub fn the_identity_stays<S: Subject>(subject: &S) {
    let journal = open(subject);
    let identity = journal.identity();
    journal.close().expect("the journal closes");
    assert_eq!(open(subject).identity(), identity);
    assert_ne!(open(&S::fresh()).identity(), identity);
    assert_eq!(identity.to_string().len(), 36);
}

/// Only the next number is taken; a fenced append changes nothing, and the right one may follow.
pub fn another_number_is_fenced<S: Subject>(subject: &S) {
    let mut journal = open(subject);
    let frame = sample(1, 1, 10);
    for (expected, wrong) in [(1, [0, 2, u64::MAX]), (2, [0, 1, 3])] {
        for given in wrong.map(FrameNumber) {
            let expected = FrameNumber(expected);
            assert_eq!(journal.append(given, &frame, &[]), Err(AppendError::Fenced { expected, given }));
        }
        append(&mut journal, expected, &frame);
    }
    assert_holds(&journal, &[frame.clone(), frame]);
}

/// A body is found by (frame, index); where none is, the answer names the place.
pub fn bodies_are_read_by_their_place<S: Subject>(subject: &S) {
    write(subject, 3);
    let journal = open(subject);
    let reader = journal.reader();
    assert_eq!(reader.read(at(2, 1)).expect("it is there"), sample(2, 3, 100).bodies[1]);
    for (position, named) in [(at(2, 3), "frame 2, body 3"), (at(4, 0), "frame 4, body 0"), (at(0, 0), "frame 0")] {
        let error = reader.read(position).expect_err("nothing is there");
        assert!(matches!(error, ReadError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    journal.close().expect("the journal closes although a reader lives");
    let closed = reader.read(at(2, 1));
    assert!(matches!(closed, Err(ReadError::Closed { .. })), "{closed:?}");
}

/// Frames up to the limits: 2 MiB, one body of 1 MiB, 1,000 small bodies, a table longer than one chunk.
pub fn large_frames_come_back<S: Subject>(subject: &S) {
    let frames = [
        sample(1, 2, 1 << 20),
        sample(2, 1, 1 << 20),
        sample(3, 1_000, 200),
        sample(4, 10_000, 5),
        Frame { events: sample(5, 1, 1 << 20).bodies[0].clone(), bodies: vec![Bytes::from_static(b"small")] },
        sample(6, 16, 65_536),
    ];
    let mut journal = open(subject);
    for (frame, number) in frames.iter().zip(1..) {
        append(&mut journal, number, frame);
    }
    assert_holds(&journal, &frames);
    drop(journal);
    assert_holds(&open(subject), &frames);
}

/// Nothing is too little: no events, no bodies, empty bodies.
pub fn empty_frames_and_bodies_come_back<S: Subject>(subject: &S) {
    let frames = [Frame::default(), sample(2, 3, 0), Frame { events: Bytes::new(), ..sample(3, 2, 1) }];
    let mut journal = open(subject);
    for (frame, number) in frames.iter().zip(1..) {
        append(&mut journal, number, frame);
    }
    journal.close().expect("the journal closes");
    assert_holds(&open(subject), &frames);
}

/// A reader in another thread sees each frame as soon as its append returned.
pub fn readers_work_beside_appends<S: Subject>(subject: &S) {
    let mut journal = open(subject);
    let reader = journal.reader();
    let (acknowledged, frames) = std::sync::mpsc::channel::<u64>();
    let reading = std::thread::spawn(move || {
        for number in frames {
            let body = reader.read(at(number, 1)).expect("it is readable once acknowledged");
            assert_eq!(body, sample(number, 2, 1_000).bodies[1]);
        }
    });
    for number in 1..=50 {
        append(&mut journal, number, &sample(number, 2, 1_000));
        acknowledged.send(number).expect("the reader lives");
    }
    drop(acknowledged);
    reading.join().expect("every body was read");
}

/// A journal has one owner at a time.
pub fn a_second_owner_is_refused<S: Subject>(subject: &S) {
    let first = open(subject);
    assert!(matches!(subject.open(), Err(OpenError::InUse { .. })));
    drop(first);
    drop(open(subject));
}

/// What is stored is never reported as less than what was appended.
pub fn the_stored_bytes_grow_with_what_is_stored<S: Subject>(subject: &S) {
    let mut journal = open(subject);
    let before = journal.stored_bytes();
    for number in 1..=8 {
        append(&mut journal, number, &sample(number, 1, 1 << 20));
    }
    assert!(journal.stored_bytes() >= before + (8 << 20), "{} then {}", before, journal.stored_bytes());
}
