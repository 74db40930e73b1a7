//! The proof finds what is wrong: each planted fault is counted, and none is seen where there is none.

use super::*;

fn turn(conversation: &str, turn: u32) -> Turn {
    Turn { conversation: conversation.into(), turn, sender: "customer".into(), text: format!("{conversation} {turn}") }
}

fn line(conversation: &str, turn: u32) -> Line {
    let text = format!("{conversation} {turn}");
    Line { group: conversation.into(), turn, sender: "customer".into(), text, sequence_number: turn.into() }
}

/// Two conversations of two turns, all of them answered for.
fn sent() -> Ledger {
    let all = [("a", 1), ("b", 1), ("a", 2), ("b", 2)];
    let mut ledger = Ledger::new(all.map(|(name, number)| turn(name, number)));
    for (place, (name, number)) in (1..).zip(all) {
        let conversation = name.to_owned();
        ledger.noted(Noted::Try { conversation: conversation.clone(), turn: number });
        ledger.noted(Noted::Answer { conversation, turn: number, sequence_number: place, known: false });
    }
    ledger
}

fn publish(ledger: &mut Ledger, lines: &[(&str, u32)]) -> Proof {
    for (name, number) in lines {
        ledger.published(line(name, *number));
    }
    ledger.proof(true)
}

#[test]
fn conversations_may_interleave_in_any_way() {
    let proof = publish(&mut sent(), &[("b", 1), ("b", 2), ("a", 1), ("a", 2)]);
    assert!(proof.is_ok(), "{proof:?}");
    assert_eq!((proof.sent, proof.accepted, proof.stored, proof.committed), (4, 4, 4, 4));
    assert_eq!(proof.sender_sha256.len(), 64);
}

#[test]
fn a_planted_duplicate_a_loss_and_a_swap_are_counted() {
    let proof = publish(&mut sent(), &[("a", 1), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]);
    assert_eq!((proof.lost, proof.duplicated, proof.out_of_order, proof.is_equal()), (0, 1, 0, false));
    let proof = publish(&mut sent(), &[("a", 1), ("b", 1), ("b", 2)]);
    assert_eq!((proof.lost, proof.duplicated, proof.out_of_order, proof.is_ok()), (1, 0, 0, false));
    assert!(proof.violation.unwrap().contains("a, turn 2"));
    let proof = publish(&mut sent(), &[("a", 2), ("a", 1), ("b", 1), ("b", 2)]);
    assert_eq!((proof.lost, proof.duplicated, proof.out_of_order, proof.is_equal()), (0, 0, 1, false));
}

#[test]
fn other_words_are_noticed_though_every_count_is_right() {
    let mut ledger = sent();
    for (name, number) in [("a", 1), ("b", 1), ("b", 2)] {
        ledger.published(line(name, number));
    }
    ledger.published(Line { text: "a 2!".into(), ..line("a", 2) });
    let proof = ledger.proof(true);
    assert_eq!((proof.lost, proof.duplicated, proof.out_of_order), (0, 0, 0));
    assert!(!proof.is_ok() && !proof.is_equal() && proof.violation.unwrap().contains("words that nobody sent"));
}

#[test]
fn what_is_not_there_yet_is_on_its_way_until_everything_has_drained() {
    let ledger = sent();
    let proof = ledger.proof(false);
    assert_eq!((proof.on_the_way, proof.lost, proof.violation.is_none()), (4, 0, true));
    assert!(!proof.is_ok(), "not yet");
    assert_eq!(ledger.proof(true).lost, 4);
}

#[test]
fn a_repeat_that_was_recognised_is_turned_away_and_one_that_was_not_is_stored_again() {
    let mut ledger = sent();
    let again = |sequence_number, known| Noted::Answer { conversation: "a".into(), turn: 1, sequence_number, known };
    ledger.noted(Noted::Try { conversation: "a".into(), turn: 1 });
    ledger.noted(again(1, true));
    let proof = ledger.proof(false);
    assert_eq!((proof.sent, proof.accepted, proof.turned_away, proof.stored), (5, 4, 1, 4));
    ledger.noted(again(9, false));
    assert_eq!(ledger.proof(false).stored, 5);
}

#[test]
fn a_message_that_was_set_aside_is_not_lost() {
    let mut ledger = sent();
    ledger.set_aside(4);
    let proof = publish(&mut ledger, &[("a", 1), ("b", 1), ("a", 2)]);
    assert_eq!((proof.dead_lettered, proof.lost, proof.is_ok()), (1, 0, true), "{proof:?}");
}
