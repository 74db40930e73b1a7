//! Proves that the checker can fail about messages that change their queue, wait or are received again: true histories
//! are broken in one place each, and every one must be reported.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutation looks for its own place")]

mod breaking;
#[path = "breaking/calls.rs"]
mod calls;

use breaking::broken;
use calls::{ask_of, insert};
use lockstep_simulation::history::{Answer, Ask, Call, Delivered, Event, History, Seen, What};

/// Every delivery by a receive: place of the answer, call, which of the answer.
fn deliveries(history: &History) -> Vec<(usize, Call, Delivered)> {
    let received = |(place, event): (usize, &Event)| match &event.what {
        What::Answered(call, Answer::Received(delivered)) => {
            delivered.iter().map(|each| (place, *call, *each)).collect()
        }
        _ => Vec::new(),
    };
    history.events.iter().enumerate().flat_map(received).collect()
}

/// Every delivery of a dead letter.
fn letters(history: &History) -> Vec<(usize, Call, Delivered)> {
    deliveries(history).into_iter().filter(|(_, _, delivered)| delivered.seen.origin.is_some()).collect()
}

fn queue_of(history: &History, call: Call) -> usize {
    match ask_of(history, call) {
        Ask::Receive { queue, .. } => queue,
        other => panic!("{other:?} receives nothing"),
    }
}

#[test]
fn a_dead_letter_that_also_stays_is_reported() {
    broken(1..400, &["Q2"], |history| {
        let all = deliveries(history);
        let source = |letter: &Delivered| {
            let (queue, sequence) = letter.seen.origin?;
            let here = |(_, call, it): &&(usize, Call, Delivered)| {
                it.seen.sequence == sequence && queue_of(history, *call) == queue
            };
            Some((queue, all.iter().find(here)?.2.seen))
        };
        let (place, (queue, seen)) =
            letters(history).iter().find_map(|(place, _, letter)| Some((*place, source(letter)?)))?;
        insert(history, place, Ask::Peek { queue }, Answer::Peeked(vec![seen]));
        Some(())
    });
}

#[test]
fn a_message_that_becomes_two_dead_letters_is_reported() {
    broken(1..400, &["Q2"], |history| {
        let (place, call, letter) = *letters(history).first()?;
        let queue = queue_of(history, call);
        let again = Seen { sequence: letter.seen.sequence + 1_000_000, ..letter.seen };
        insert(history, place, Ask::Peek { queue }, Answer::Peeked(vec![again]));
        Some(())
    });
}

#[test]
fn a_dead_letter_of_something_else_is_reported() {
    broken(1..400, &["Q2", "Q3", "H9", "S9", "S6"], |history| {
        let (place, _, _) = *letters(history).first()?;
        if let What::Answered(_, Answer::Received(delivered)) = &mut history.events[place].what {
            let letter = delivered.iter_mut().find(|each| each.seen.origin.is_some())?;
            letter.seen.group += 1;
        }
        Some(())
    });
}

#[test]
fn a_message_that_is_delivered_too_often_is_reported() {
    broken(1..400, &["Q2"], |history| {
        let (place, call, one) = deliveries(history)
            .into_iter()
            .find(|(_, call, _)| history.queues[queue_of(history, *call)].redrive.is_some())?;
        let (_, most) = history.queues[queue_of(history, call)].redrive?;
        if let What::Answered(_, Answer::Received(delivered)) = &mut history.events[place].what {
            delivered.iter_mut().find(|each| **each == one)?.receives = most + 1;
        }
        Some(())
    });
}

#[test]
fn a_dead_letter_that_is_lost_is_reported() {
    broken(1..400, &["guarantee 1"], |history| {
        // The only sight of a dead letter is taken out of the history.
        let all = letters(history);
        let times = |it: &Delivered| all.iter().filter(|(_, _, other)| other.seen.origin == it.seen.origin).count();
        let peeked = |it: &Delivered| {
            history.events.iter().any(|event| match &event.what {
                What::Answered(_, Answer::Peeked(seen)) => seen.iter().any(|seen| seen.origin == it.seen.origin),
                What::Answered(_, Answer::Contents { messages, .. }) => {
                    messages.iter().any(|seen| seen.origin == it.seen.origin)
                }
                _ => false,
            })
        };
        let moves = history.events.iter().any(|event| matches!(event.what, What::Asked(_, Ask::Move { .. })));
        let purges = history.events.iter().any(|event| matches!(event.what, What::Asked(_, Ask::Purge { .. })));
        let short = history.queues.iter().any(|queue| queue.retention < 10_000_000);
        if moves || purges || short {
            return None;
        }
        let known = |it: &Delivered| {
            let (queue, sequence) = it.seen.origin.expect("a dead letter");
            deliveries(history)
                .iter()
                .any(|(_, call, other)| queue_of(history, *call) == queue && other.seen.sequence == sequence)
        };
        let (_, _, lost) = *all.iter().find(|(_, _, it)| times(it) == 1 && !peeked(it) && known(it))?;
        let receipt = (lost.seen.sequence, lost.epoch);
        let mut deletes: Vec<(Call, usize)> = Vec::new();
        for event in &mut history.events {
            match &mut event.what {
                What::Answered(_, Answer::Received(delivered)) => delivered.retain(|each| *each != lost),
                What::Asked(call, Ask::Delete { receipts, .. }) => {
                    if let Some(place) = receipts.iter().position(|each| *each == receipt) {
                        receipts.remove(place);
                        deletes.push((*call, place));
                    }
                }
                What::Answered(call, Answer::Deleted(outcomes)) => {
                    if let Some((_, place)) = deletes.iter().find(|(other, _)| other == call) {
                        let _ = outcomes.remove(*place);
                    }
                }
                _ => {}
            }
        }
        Some(())
    });
}

#[test]
fn a_message_that_comes_back_after_it_was_finished_elsewhere_is_reported() {
    broken(1..400, &["guarantee 4"], |history| {
        let tasks =
            history.events.iter().position(|event| matches!(event.what, What::Answered(_, Answer::Moving(_))))?;
        let What::Answered(task, _) = history.events[tasks].what else { return None };
        let Ask::Move { to: Some(to), .. } = ask_of(history, task) else { return None };
        // A body that was sent once, and deleted where it was sent.
        let deleted = history.events.iter().enumerate().skip(tasks).find_map(|(place, event)| match &event.what {
            What::Answered(call, Answer::Deleted(outcomes)) if outcomes == &[Ok(false)] => Some((place, *call)),
            _ => None,
        });
        let (place, call) = deleted?;
        let Ask::Delete { queue, receipts } = ask_of(history, call) else { return None };
        let all = deliveries(history);
        let (_, _, one) = all
            .iter()
            .find(|(_, call, it)| queue_of(history, *call) == queue && (it.seen.sequence, it.epoch) == receipts[0])?;
        let sends = history.events.iter().filter(|event| match &event.what {
            What::Asked(_, Ask::Send { entries, .. }) => entries.iter().any(|entry| entry.body == one.seen.body),
            _ => false,
        });
        (sends.count() == 1 && queue != to && one.seen.origin.is_none()).then_some(())?;
        let seen = Seen { sequence: 1_000_000, ..one.seen };
        let at = history.events[place].at;
        let again = Delivered { seen, epoch: 1_000_000, visible_at: at + 5_000, receives: 1 };
        let ask = Ask::Receive { queue: to, max: 1, visibility: Some(5_000), wait: 0, attempt: None };
        insert(history, place, ask, Answer::Received(vec![again]));
        Some(())
    });
}

#[test]
fn a_message_that_comes_before_its_delay_ended_is_reported() {
    broken(1..400, &["S11"], |history| {
        let changes = history.events.iter().any(|event| matches!(event.what, What::Asked(_, Ask::Delay { .. })));
        let (_, call, _) = *deliveries(history).iter().find(|(_, _, it)| it.seen.origin.is_none())?;
        let queue = queue_of(history, call);
        (!changes).then_some(())?;
        history.queues[queue].delay = 900_000;
        Some(())
    });
}

/// The first answer to a receive under an attempt id that brought something, asked once.
fn attempt(history: &History) -> Option<(usize, Ask, Vec<Delivered>)> {
    history.events.iter().enumerate().find_map(|(place, event)| match &event.what {
        What::Answered(call, Answer::Received(delivered)) if !delivered.is_empty() => {
            let ask = ask_of(history, *call);
            let Ask::Receive { attempt: Some(_), visibility, .. } = &ask else { return None };
            visibility.is_none_or(|visibility| visibility > 1_000).then(|| (place, ask.clone(), delivered.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_repeat_that_brings_something_else_is_reported() {
    broken(1..400, &["R7"], |history| {
        let (place, ask, mut delivered) = attempt(history)?;
        delivered.iter_mut().for_each(|each| each.epoch += 1_000);
        insert(history, place, ask, Answer::Received(delivered));
        Some(())
    });
}

#[test]
fn a_repeat_that_is_refused_although_everything_is_held_is_reported() {
    broken(1..400, &["R7"], |history| {
        let may_end = |event: &Event| matches!(event.what, What::Asked(_, Ask::Purge { .. }));
        let (place, ask, _) = attempt(history)?;
        let long = history.queues.iter().all(|queue| queue.retention > 10_000_000 && queue.visibility > 1_000);
        (long && !history.events[..place].iter().any(may_end)).then_some(())?;
        insert(history, place, ask, Answer::Refused("ReceiveAttemptInvalid".into()));
        Some(())
    });
}
