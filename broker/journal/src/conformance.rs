//! The stories that every journal must live through, whatever it is made of. A new implementation says how it is opened
//! and how its stored bytes are spoiled ([`Subject`]), and calls [`crate::conformance_suite`] in a test file.
//!
//! Stories of one implementation only (sled's dangers, kill -9) do not belong here. The functions panic where a story
//! does not hold, as tests do.

use bytes::Bytes;

use crate::error::{AppendError, OpenError, ReadError};
use crate::faulty::{Fault, FaultyJournal, TornAppend};
use crate::frame::{Frame, FrameNumber, Position, ReplayedFrame};
use crate::journal::{BodyReader, Journal};

/// A place for one journal, and how to open and to spoil what is stored there.
pub trait Subject {
    /// The journal under test.
    type Journal: Journal + TornAppend;

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
            empty_frames_and_bodies_come_back, a_frame_too_large_fails_for_good, a_release_fails_for_good,
            readers_work_beside_appends, a_second_owner_is_refused, a_damaged_body_hurts_only_itself,
            damaged_events_refuse_with_their_place, a_damaged_header_refuses_with_its_place,
            a_gap_refuses_with_its_place, a_lost_end_refuses_the_start, a_torn_end_is_cut_and_the_journal_goes_on,
            a_failed_append_ends_all_appends, the_stored_bytes_grow_with_what_is_stored,
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

/// Checks that `journal` holds exactly `frames`, numbered from 1, with all their bodies.
///
/// # Panics
/// If it does not.
pub fn assert_holds<J: Journal>(journal: &J, frames: &[Frame]) {
    let replayed: Vec<ReplayedFrame> = journal.replay().map(|frame| frame.expect("it replays")).collect();
    assert_eq!(replayed.len(), frames.len());
    assert_eq!(journal.last().map_or(0, |last| last.0), frames.len() as u64);
    let reader = journal.reader();
    for ((frame, replayed), number) in frames.iter().zip(replayed).zip(1..) {
        assert_eq!(replayed.number, FrameNumber(number));
        assert_eq!(replayed.events, frame.events);
        assert_eq!(replayed.bodies as usize, frame.bodies.len());
        for (body, index) in frame.bodies.iter().zip(0..) {
            assert!(reader.read(at(number, index)).expect("the body is read") == *body, "frame {number} body {index}");
        }
    }
}

fn at(frame: u64, index: u32) -> Position {
    Position { frame: FrameNumber(frame), index }
}

/// The refusal of a start: of the opening, or else of the replay.
fn refusal<S: Subject>(subject: &S) -> (Option<FrameNumber>, String) {
    let journal = match subject.open() {
        Ok(journal) => journal,
        Err(error) => {
            let text = error.to_string();
            let OpenError::Damaged { place, .. } = error else { panic!("not named as damage: {text}") };
            return (place.frame(), text);
        }
    };
    let mut replay = journal.replay();
    let error = replay.find_map(Result::err).expect("the damage is seen");
    assert!(replay.next().is_none(), "something was handed out after a doubt");
    let text = error.to_string();
    let (ReadError::Missing { place, .. } | ReadError::Damaged { place, .. }) = error else { panic!("{text}") };
    (place.frame(), text)
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

fn fails_for_good<S: Subject>(subject: &S, frame: &Frame, release: &[FrameNumber]) {
    let mut journal = open(subject);
    append(&mut journal, 1, &sample(1, 1, 10));
    for (frame, release) in [(frame, release), (&sample(2, 1, 10), &[])] {
        let failed = journal.append(FrameNumber(2), frame, release);
        assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
    }
    assert!(journal.close().is_err(), "a clean end after a failure");
    assert_holds(&open(subject), &[sample(1, 1, 10)]);
}

/// A frame above the limit is refused whole, and nothing follows it.
pub fn a_frame_too_large_fails_for_good<S: Subject>(subject: &S) {
    fails_for_good(subject, &sample(2, 3, 1 << 20), &[]);
}

/// Until checkpoints exist no frame can be released.
pub fn a_release_fails_for_good<S: Subject>(subject: &S) {
    fails_for_good(subject, &sample(2, 1, 10), &[FrameNumber(1)]);
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

/// A damaged body is named when it is read; the start and every other body are as before (H6).
pub fn a_damaged_body_hurts_only_itself<S: Subject>(subject: &S) {
    write(subject, 3);
    subject.damage(FrameNumber(2), 0);
    let journal = open(subject);
    assert_eq!(journal.replay().filter(Result::is_ok).count(), 3);
    let reader = journal.reader();
    let error = reader.read(at(2, 2)).expect_err("the last body is damaged");
    assert!(matches!(error, ReadError::Damaged { .. }) && error.to_string().contains("frame 2, body 2"), "{error}");
    assert_eq!(reader.read(at(2, 1)).expect("its neighbour is whole"), sample(2, 3, 100).bodies[1]);
}

/// Damaged events refuse the start and name the frame, in the middle and at the acknowledged end.
pub fn damaged_events_refuse_with_their_place<S: Subject>(subject: &S) {
    write(subject, 3);
    subject.damage(FrameNumber(2), 300);
    let (frame, text) = refusal(subject);
    assert_eq!(frame, Some(FrameNumber(2)), "{text}");
    let subject = S::fresh();
    write(&subject, 3);
    subject.damage(FrameNumber(3), 300);
    assert_eq!(refusal(&subject).0, Some(FrameNumber(3)));
}

/// A damaged header refuses the start and names the frame.
pub fn a_damaged_header_refuses_with_its_place<S: Subject>(subject: &S) {
    write(subject, 3);
    subject.damage(FrameNumber(1), 300 + "events of frame 1".len() + 10);
    let (frame, text) = refusal(subject);
    assert_eq!(frame, Some(FrameNumber(1)), "{text}");
    assert!(text.contains("header"), "{text}");
}

/// A frame that is gone in the middle refuses the start and is named.
pub fn a_gap_refuses_with_its_place<S: Subject>(subject: &S) {
    write(subject, 3);
    subject.lose(FrameNumber(2));
    let (frame, text) = refusal(subject);
    assert!(frame == Some(FrameNumber(2)) || text.contains("acknowledged"), "{text}");
}

/// An acknowledged frame that is gone at the end refuses the start (danger 12): the rest looks whole, only shorter.
pub fn a_lost_end_refuses_the_start<S: Subject>(subject: &S) {
    write(subject, 3);
    subject.lose(FrameNumber(3));
    let (frame, text) = refusal(subject);
    assert_eq!(frame, Some(FrameNumber(3)), "{text}");
}

/// A torn frame at the end that was never acknowledged is cut; its number is free again (H7).
pub fn a_torn_end_is_cut_and_the_journal_goes_on<S: Subject>(subject: &S) {
    for torn in [sample(3, 2, 100), sample(3, 2, 200_000)] {
        let subject_of_its_own = S::fresh();
        let subject = if torn.bodies[0].len() == 100 { subject } else { &subject_of_its_own };
        write(subject, 2);
        let mut journal = open(subject);
        assert!(matches!(journal.append_torn(FrameNumber(3), &torn), Err(AppendError::Failed(_))));
        drop(journal);
        let mut journal = open(subject);
        assert_eq!(journal.last(), Some(FrameNumber(2)));
        append(&mut journal, 3, &sample(3, 3, 100));
        drop(journal);
        let frames: Vec<Frame> = (1..=3).map(|number| sample(number, 3, 100)).collect();
        assert_holds(&open(subject), &frames);
    }
}

/// After a failed append no append is taken; the next start finds the frame or not, as the fault left it (H4).
pub fn a_failed_append_ends_all_appends<S: Subject>(_: &S) {
    for (fault, found) in [(Fault::Lost, 2), (Fault::Stored, 3), (Fault::Torn, 2)] {
        let subject = S::fresh();
        let inner = open(&subject);
        let mut journal = match fault {
            Fault::Torn => FaultyJournal::torn(inner, 3),
            Fault::Lost | Fault::Stored => FaultyJournal::new(inner, 3, fault),
        };
        append(&mut journal, 1, &sample(1, 3, 100));
        append(&mut journal, 2, &sample(2, 3, 100));
        for _ in 0..2 {
            let failed = journal.append(FrameNumber(3), &sample(3, 3, 100), &[]);
            assert!(matches!(failed, Err(AppendError::Failed(_))), "{failed:?}");
        }
        drop(journal);
        let frames: Vec<Frame> = (1..=found).map(|number| sample(number, 3, 100)).collect();
        assert_holds(&open(&subject), &frames);
    }
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
