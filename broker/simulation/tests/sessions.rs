//! Proves that the checker can fail about producer sessions, parked groups and claims that are finished in part: true
//! histories are broken in one place each, and every one must be reported.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutation looks for its own place")]

mod breaking;
#[path = "breaking/calls.rs"]
mod calls;

use breaking::broken;
use calls::{ask_of, insert};
use lockstep_simulation::history::{Accepted, Answer, Ask, Event, History, Refusal, What};

type Outcomes = Vec<Result<Accepted, Refusal>>;

/// The first numbered send that was accepted as new: place of the answer, question, outcomes.
fn numbered(history: &History) -> Option<(usize, Ask, Outcomes)> {
    history.events.iter().enumerate().find_map(|(place, event)| match &event.what {
        What::Answered(call, Answer::Sent(outcomes)) => {
            let ask = ask_of(history, *call);
            let new = outcomes.iter().all(|outcome| matches!(outcome, Ok(Accepted { duplicate: false, .. })));
            (new && matches!(ask, Ask::Numbered { .. })).then(|| (place, ask, outcomes.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_number_that_is_stored_twice_is_reported() {
    broken(1..400, &["B3"], |history| {
        let (place, ask, mut outcomes) = numbered(history)?;
        outcomes.iter_mut().flatten().for_each(|accepted| accepted.sequence += 1_000_000);
        insert(history, place, ask, Answer::Sent(outcomes));
        Some(())
    });
}

#[test]
fn a_number_that_is_accepted_for_another_content_is_reported() {
    broken(1..400, &["B3", "S6"], |history| {
        let (place, mut ask, mut outcomes) = numbered(history)?;
        outcomes.iter_mut().flatten().for_each(|accepted| accepted.duplicate = true);
        if let Ask::Numbered { entries, .. } = &mut ask {
            entries[0].body += 1_000_000;
        }
        insert(history, place, ask, Answer::Sent(outcomes));
        Some(())
    });
}

#[test]
fn a_gap_that_is_accepted_is_reported() {
    broken(1..400, &["B3"], |history| {
        let (place, mut ask, mut outcomes) = numbered(history)?;
        outcomes.iter_mut().flatten().for_each(|accepted| accepted.sequence += 1_000_000);
        if let Ask::Numbered { first, .. } = &mut ask {
            *first += 1_000;
        }
        insert(history, place, ask, Answer::Sent(outcomes));
        Some(())
    });
}

#[test]
fn a_fenced_producer_that_still_sends_is_reported() {
    broken(1..400, &["B3"], |history| {
        let (place, ask, mut outcomes) = numbered(history)?;
        let Ask::Numbered { producer, epoch, .. } = ask else { return None };
        let later = history.events.iter().enumerate().skip(place).find_map(|(place, event)| match event.what {
            What::Answered(call, Answer::Producer { epoch: newer, .. }) if newer > epoch => {
                let of = ask_of(history, call);
                matches!(of, Ask::OpenProducer { producer: other, .. } if other == producer).then_some(place)
            }
            _ => None,
        })?;
        outcomes.iter_mut().flatten().for_each(|accepted| accepted.duplicate = true);
        insert(history, later, ask, Answer::Sent(outcomes));
        Some(())
    });
}

#[test]
fn a_session_that_forgot_what_it_used_is_reported() {
    broken(1..400, &["B3"], |history| {
        let (place, ask, _) = numbered(history)?;
        let Ask::Numbered { queue, producer, epoch, .. } = ask else { return None };
        let open = Ask::OpenProducer { queue, producer, instance: 9_000_000 };
        insert(history, place, open, Answer::Producer { epoch: epoch + 1_000_000, last: 0 });
        Some(())
    });
}

#[test]
fn a_parked_group_that_delivers_is_reported() {
    broken(1..400, &["B7"], |history| {
        let unparked = |event: &Event| matches!(event.what, What::Asked(_, Ask::Unpark { .. } | Ask::Purge { .. }));
        let first = history.events.iter().position(unparked)?;
        let (call, group) = history.events[..first].iter().find_map(|event| match &event.what {
            What::Answered(call, Answer::Received(delivered)) if !delivered.is_empty() => {
                let fresh = matches!(ask_of(history, *call), Ask::Receive { attempt: None, .. });
                fresh.then(|| (*call, delivered[0].seen.group))
            }
            _ => None,
        })?;
        let asked = history.events.iter().position(|event| matches!(event.what, What::Asked(it, _) if it == call))?;
        let Ask::Receive { queue, .. } = ask_of(history, call) else { return None };
        insert(history, asked.checked_sub(1)?, Ask::Park { queue, group }, Answer::Done);
        Some(())
    });
}

#[test]
fn a_claim_that_finished_more_than_it_said_is_reported() {
    broken(1..400, &["B1", "guarantee 4", "guarantee 1", "R4"], |history| {
        // The commit that won kept some of its messages back; now it says that all are done.
        let won = history.events.iter().find_map(|event| match &event.what {
            What::Answered(call, Answer::Committed { repeated: false, .. }) => match ask_of(history, *call) {
                Ask::Commit { id, outcomes, .. } if !outcomes.is_empty() => Some(id),
                _ => None,
            },
            _ => None,
        })?;
        for event in &mut history.events {
            if let What::Asked(_, Ask::Commit { id, outcomes, .. }) = &mut event.what
                && *id == won
            {
                outcomes.clear();
            }
        }
        Some(())
    });
}
