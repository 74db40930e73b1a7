//! The stories of damage, torn ends and failed appends. Those in which all goes well stand in the module above.

use super::{Subject, append, assert_holds, at, open, sample, write};
use crate::error::{AppendError, OpenError, ReadError};
use crate::faulty::{Fault, FaultyJournal, TornAppend};
use crate::frame::{Frame, FrameNumber};
use crate::journal::{BodyReader, Journal};

/// The refusal of a start: of the opening, or else of the replay.
pub(super) fn refusal<S: Subject>(subject: &S) -> (Option<FrameNumber>, String) {
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

/// A frame that no checkpoint covers is never released.
pub fn a_release_without_a_checkpoint_fails_for_good<S: Subject>(subject: &S) {
    fails_for_good(subject, &sample(2, 1, 10), &[FrameNumber(1)]);
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
