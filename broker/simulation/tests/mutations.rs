//! Proves that the checker can fail: true histories are broken in one place, each by one broken promise, and every one
//! must be reported; and worlds with a planted fault must be found out.

#![allow(clippy::wildcard_enum_match_arm, reason = "a mutation looks for its own place")]

mod breaking;

use breaking::broken;
use lockstep_simulation::{
    Flaw, Plan,
    history::{Accepted, Answer, Ask, Call, Delivered, Event, History, QueueFacts, What},
    simulate,
};

/// The first answer, by its event, for which there is something.
fn first<T>(history: &mut History, found: impl Fn(&Answer) -> Option<T>) -> Option<(usize, Call, T)> {
    history.events.iter().zip(0..).find_map(|(event, place)| match &event.what {
        What::Answered(call, answer) => found(answer).map(|found| (place, *call, found)),
        _ => None,
    })
}

fn answer_at(history: &mut History, place: usize) -> &mut Answer {
    match &mut history.events[place].what {
        What::Answered(_, answer) => answer,
        other => panic!("{other:?} is no answer"),
    }
}

fn ask_of(history: &History, call: Call) -> Ask {
    let ask = |event: &Event| match &event.what {
        What::Asked(other, ask) if *other == call => Some(ask.clone()),
        _ => None,
    };
    history.events.iter().find_map(ask).expect("every answer has a question")
}

/// A question and its answer, right after a place.
fn insert(history: &mut History, place: usize, ask: Ask, answer: Answer) {
    let at = history.events[place].at;
    let call = 9_000_000;
    let events = [What::Asked(call, ask), What::Answered(call, answer)].map(|what| Event { at, what });
    history.events.splice(place + 1..place + 1, events);
}

fn received(answer: &Answer) -> Option<Vec<Delivered>> {
    match answer {
        Answer::Received(delivered) if !delivered.is_empty() => Some(delivered.clone()),
        _ => None,
    }
}

#[test]
fn a_lost_message_is_reported() {
    broken(1..200, &["guarantee 1"], |history| {
        // What came out last at the end did not come out, and nothing else may have ended it.
        let may_end = |event: &Event| {
            matches!(
                event.what,
                What::Asked(_, Ask::Move { .. } | Ask::Purge { .. } | Ask::Finish { .. } | Ask::Commit { .. })
            )
        };
        let stays = |queue: &QueueFacts| queue.redrive.is_none() && queue.retention > 10_000_000;
        (history.queues.iter().all(stays) && !history.events.iter().any(may_end)).then_some(())?;
        let (place, lost) = history.events.iter().enumerate().rev().find_map(|(place, event)| match &event.what {
            What::Answered(_, answer) => received(answer).map(|delivered| (place, delivered[delivered.len() - 1])),
            _ => None,
        })?;
        if let Answer::Received(delivered) = answer_at(history, place) {
            delivered.pop();
        }
        let receipt = (lost.seen.sequence, lost.epoch);
        for event in &mut history.events[place..] {
            match &mut event.what {
                What::Asked(_, Ask::Delete { receipts, .. }) if receipts.last() == Some(&receipt) => {
                    receipts.pop();
                }
                What::Answered(_, Answer::Deleted(outcomes)) => drop(outcomes.pop()),
                _ => {}
            }
        }
        Some(())
    });
}

#[test]
fn a_second_holder_is_reported() {
    broken(1..200, &["O4"], |history| {
        let (place, call, delivered) = first(history, received)?;
        let Ask::Receive { visibility: None, attempt: None, .. } = ask_of(history, call) else { return None };
        let again: Vec<_> = delivered.iter().map(|one| Delivered { epoch: one.epoch + 1_000, ..*one }).collect();
        insert(history, place, ask_of(history, call), Answer::Received(again));
        Some(())
    });
}

#[test]
fn a_wrong_order_is_reported() {
    broken(1..200, &["O5"], |history| {
        let (place, _, (one, other)) = first(history, |answer| {
            let delivered = received(answer)?;
            let pair = |place: &usize| delivered[*place].seen.group == delivered[*place + 1].seen.group;
            (0..delivered.len() - 1).find(pair).map(|place| (place, place + 1))
        })?;
        if let Answer::Received(delivered) = answer_at(history, place) {
            delivered.swap(one, other);
        }
        Some(())
    });
}

#[test]
fn a_message_that_is_overtaken_is_reported() {
    broken(1..200, &["O3"], |history| {
        // The first of a group, which was known to be there, is left out of an answer that brings the second.
        let may_go = |event: &Event| matches!(event.what, What::Asked(_, Ask::Move { .. } | Ask::Purge { .. }));
        let stays = |queue: &QueueFacts| queue.redrive.is_none() && queue.retention > 10_000_000;
        (history.queues.iter().all(stays) && !history.events.iter().any(may_go)).then_some(())?;
        let pairs = history.events.iter().zip(0..).filter_map(|(event, place)| match &event.what {
            What::Answered(call, Answer::Received(delivered)) if delivered.len() > 1 => {
                (delivered[0].seen.group == delivered[1].seen.group).then_some((place, *call, delivered[0]))
            }
            _ => None,
        });
        let known = |(_, call, first): &(usize, Call, Delivered)| {
            let Ask::Receive { queue, .. } = ask_of(history, *call) else { return false };
            let before =
                history.events.iter().take_while(|event| !matches!(event.what, What::Asked(it, _) if it == *call));
            before.into_iter().any(|event| match &event.what {
                What::Answered(send, Answer::Sent(outcomes)) => {
                    let stored = Ok(Accepted { sequence: first.seen.sequence, duplicate: false });
                    matches!(ask_of(history, *send), Ask::Send { queue: to, .. } if to == queue)
                        && outcomes.contains(&stored)
                }
                _ => false,
            })
        };
        let (place, _, _) = pairs.into_iter().find(known)?;
        if let Answer::Received(delivered) = answer_at(history, place) {
            delivered.remove(0);
        }
        Some(())
    });
}

#[test]
fn a_delete_that_does_not_stick_is_reported() {
    broken(1..200, &["guarantee 4"], |history| {
        let (place, call, ()) = first(history, |answer| match answer {
            Answer::Deleted(outcomes) if outcomes[0] == Ok(false) => Some(()),
            _ => None,
        })?;
        let Ask::Delete { queue, receipts } = ask_of(history, call) else { return None };
        let seen = history.events[..place].iter().rev().find_map(|event| match &event.what {
            What::Answered(_, Answer::Received(delivered)) => {
                delivered.iter().find(|one| (one.seen.sequence, one.epoch) == receipts[0]).copied()
            }
            _ => None,
        })?;
        let visible_at = history.events[place].at + 5_000;
        let again = Delivered { epoch: seen.epoch + 1_000, visible_at, ..seen };
        let ask = Ask::Receive { queue, max: 1, visibility: Some(5_000), wait: 0, attempt: None };
        insert(history, place, ask, Answer::Received(vec![again]));
        Some(())
    });
}

#[test]
fn a_message_finished_twice_is_reported() {
    broken(1..200, &["R4"], |history| {
        let (place, call, ()) = first(history, |answer| match answer {
            Answer::Deleted(outcomes) if outcomes[0] == Ok(false) => Some(()),
            _ => None,
        })?;
        let (ask, answer) = (ask_of(history, call), answer_at(history, place).clone());
        insert(history, place, ask, answer);
        Some(())
    });
}

#[test]
fn an_id_that_is_stored_twice_is_reported() {
    broken(1..200, &["S4"], |history| {
        // A batch names a message twice, and the second one is stored, too.
        let (place, _, (index, sequence)) = first(history, |answer| {
            let Answer::Sent(outcomes) = answer else { return None };
            let last = outcomes.len() - 1;
            let Ok(Accepted { sequence, duplicate: true }) = outcomes[last] else { return None };
            outcomes.contains(&Ok(Accepted { sequence, duplicate: false })).then_some((last, sequence))
        })?;
        if let Answer::Sent(outcomes) = answer_at(history, place) {
            outcomes[index] = Ok(Accepted { sequence: sequence + 1_000_000, duplicate: false });
        }
        Some(())
    });
}

#[test]
fn a_duplicate_of_something_else_is_reported() {
    broken(1..200, &["S6"], |history| {
        let (place, _, ()) = first(history, |answer| match answer {
            Answer::Sent(outcomes) => matches!(outcomes[0], Ok(Accepted { duplicate: false, .. })).then_some(()),
            _ => None,
        })?;
        if let Answer::Sent(outcomes) = answer_at(history, place) {
            outcomes[0] = Ok(Accepted { sequence: 1_000_000, duplicate: true });
        }
        Some(())
    });
}

#[test]
fn a_number_or_an_epoch_that_falls_is_reported() {
    broken(1..200, &["S12"], |history| {
        let mut sent = history.events.iter_mut().filter_map(|event| match &mut event.what {
            What::Answered(_, Answer::Sent(outcomes)) => Some(outcomes),
            _ => None,
        });
        if let Some(Ok(accepted)) = sent.nth(20).and_then(|outcomes| outcomes.first_mut()) {
            (!accepted.duplicate).then_some(())?;
            accepted.sequence = 0;
            return Some(());
        }
        None
    });
    broken(1..200, &["B2"], |history| {
        let (place, _, _) = first(history, received)?;
        if let Answer::Received(delivered) = answer_at(history, place) {
            delivered[0].epoch = 0;
        }
        Some(())
    });
}

#[test]
fn another_body_is_reported() {
    broken(1..200, &["S9", "S6"], |history| {
        let (place, _, _) = first(history, received)?;
        if let Answer::Received(delivered) = answer_at(history, place) {
            delivered[0].seen.body = lockstep_simulation::history::STRANGE;
        }
        Some(())
    });
}

#[test]
fn a_lease_that_is_not_honoured_is_reported() {
    broken(1..200, &["R3"], |history| {
        let (place, call, delivered) = first(history, received)?;
        let Ask::Receive { queue, visibility: None, .. } = ask_of(history, call) else { return None };
        let receipts = vec![(delivered[0].seen.sequence, delivered[0].epoch)];
        let refused = Answer::Deleted(vec![Err("ReceiptExpired".into())]);
        insert(history, place, Ask::Delete { queue, receipts }, refused);
        Some(())
    });
}

#[test]
fn a_dead_receipt_that_still_deletes_is_reported() {
    broken(1..200, &["R3", "B2"], |history| {
        let (place, call, ()) = first(history, |answer| match answer {
            Answer::Deleted(outcomes) if outcomes.len() == 1 => {
                (outcomes[0] == Err("ReceiptExpired".into())).then_some(())
            }
            _ => None,
        })?;
        let Ask::Delete { .. } = ask_of(history, call) else { return None };
        *answer_at(history, place) = Answer::Deleted(vec![Ok(false)]);
        Some(())
    });
}

#[test]
fn two_winners_of_a_claim_are_reported() {
    broken(1..200, &["B1"], |history| {
        let (place, call, answer) = first(history, |answer| match answer {
            Answer::Committed { commit: Some(_), repeated: false, .. } => Some(answer.clone()),
            _ => None,
        })?;
        let Ask::Commit { reader, number, epoch, outcomes, values, outputs, .. } = ask_of(history, call) else {
            return None;
        };
        insert(history, place, Ask::Commit { reader, number, epoch, id: 8_000_000, outcomes, values, outputs }, answer);
        Some(())
    });
}

#[test]
fn a_value_without_a_committed_message_is_reported() {
    broken(1..200, &["B1"], |history| {
        let values = history.events.iter_mut().rev().find_map(|event| match &mut event.what {
            What::Answered(_, Answer::Values(values)) if !values.is_empty() => Some(values),
            _ => None,
        })?;
        values[0].pop();
        Some(())
    });
}

#[test]
fn an_output_that_is_not_there_is_reported() {
    broken(1..200, &["guarantee 1", "S4", "S6", "S9", "S12"], |history| {
        let (place, _, ()) = first(history, |answer| match answer {
            Answer::Committed { outputs, repeated: false, .. } => (!outputs.is_empty()).then_some(()),
            _ => None,
        })?;
        if let Answer::Committed { outputs, .. } = answer_at(history, place) {
            outputs[0].sequence = 1_000_000;
        }
        Some(())
    });
}

#[test]
fn other_messages_under_the_same_number_are_reported() {
    broken(1..200, &["B6"], |history| {
        let mut seen: Vec<(Call, usize)> = Vec::new();
        let places = history.events.iter().zip(0..).filter_map(|(event, place)| match &event.what {
            What::Answered(call, Answer::Contents { messages, .. }) if messages.len() > 1 => Some((*call, place)),
            _ => None,
        });
        for (call, place) in places.collect::<Vec<_>>() {
            let claim = |call| match ask_of(history, call) {
                Ask::Read { reader, number, .. } => Some((reader.queue, reader.reader, number)),
                _ => None,
            };
            if seen.iter().any(|(other, _)| claim(*other) == claim(call)) {
                if let Answer::Contents { messages, .. } = answer_at(history, place) {
                    messages.pop();
                }
                return Some(());
            }
            seen.push((call, place));
        }
        None
    });
}

#[test]
fn a_fenced_controller_that_still_acts_is_reported() {
    broken(1..200, &["B6"], |history| {
        let (_, call, answer) = first(history, |answer| match answer {
            Answer::Claimed(_) => Some(answer.clone()),
            _ => None,
        })?;
        let old = ask_of(history, call);
        let Ask::Claim { reader, .. } = &old else { return None };
        let later = history.events.iter().rposition(|event| {
            matches!(&event.what, What::Answered(_, Answer::Opened { generation, .. }) if *generation > reader.generation)
        })?;
        let What::Answered(opening, _) = history.events[later].what else { return None };
        let Ask::Open { queue, reader: name, .. } = ask_of(history, opening) else { return None };
        ((queue, name) == (reader.queue, reader.reader)).then_some(())?;
        insert(history, later, old, answer);
        Some(())
    });
}

#[test]
fn a_start_that_is_refused_and_a_call_without_an_end_are_reported() {
    broken(1..200, &["H7"], |history| {
        let at = history.events.last()?.at;
        history.events.push(Event { at, what: What::RefusedToStart("damaged".into()) });
        Some(())
    });
    broken(1..200, &["R2"], |history| {
        let at = history.events.last()?.at;
        history.events.push(Event { at, what: What::Stuck("a poll".into()) });
        Some(())
    });
}

const SEEDS: u64 = 20;

/// How many seeds a planted fault is found in.
fn found(flaw: Flaw) -> usize {
    let plan = |seed| Plan { flaw: Some(flaw), ..Plan::new(seed) };
    (1..=SEEDS).filter(|seed| simulate(&plan(*seed)).verdict.is_err()).count()
}

#[test]
fn planted_faults_are_found() {
    assert_eq!((1..=SEEDS).filter(|seed| simulate(&Plan::new(*seed)).verdict.is_err()).count(), 0);
    assert!(found(Flaw::LyingDisk) >= 5, "a disk that lies about its syncs");
    assert!(found(Flaw::GreedyRelease) >= 5, "a frame that goes while bodies in it are needed");
    assert!(found(Flaw::DoubledDeliveries) >= 5, "deliveries that two clients get");
    assert!(found(Flaw::InventedAcceptance) >= 5, "acceptances that the broker never gave");
}
