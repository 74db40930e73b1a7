//! Histories that look like contradictions and are none, written out by hand: answers that overtake each other on their
//! way. The checker took each of them for a fault once.

use lockstep_simulation::{
    checker::check,
    history::{Answer, Ask, Claimed, Entry, Event, History, QueueFacts, ReaderAt, Seen, What},
};

fn facts() -> QueueFacts {
    QueueFacts {
        strict: true,
        group_scope: false,
        window: 300_000,
        retention: 345_600_000,
        visibility: 30_000,
        claim_limit: None,
        delay: 0,
        redrive: None,
    }
}

/// A history of one queue, a millisecond between the events.
fn history(events: Vec<What>) -> History {
    let events = events.into_iter().zip(1_000..).map(|(what, at)| Event { at, what }).collect();
    History { queues: vec![facts()], events, may_fill: false }
}

fn open(instance: u64) -> Ask {
    Ask::Open { queue: 0, reader: 0, instance, limit: None }
}

fn opened(generation: u64, open: &[(u64, u64)]) -> Answer {
    Answer::Opened { generation, open: open.to_vec(), last_number: 0 }
}

fn at(generation: u64) -> ReaderAt {
    ReaderAt { queue: 0, reader: 0, generation }
}

/// The first claim of the first generation, open under epoch 2.
fn claimed() -> Vec<What> {
    vec![
        What::Asked(1, open(1)),
        What::Answered(1, opened(1, &[])),
        What::Asked(2, Ask::Claim { reader: at(1), number: 1, max: 1, wait: 0 }),
        What::Answered(2, Answer::Claimed(Claimed::Open { epoch: 2 })),
    ]
}

#[test]
fn which_claims_are_open_is_overtaken_by_the_end_of_one() {
    let mut events = claimed();
    events.extend([
        What::Asked(3, open(2)),
        What::Asked(4, Ask::Abandon { reader: at(1), number: 1 }),
        What::Answered(4, Answer::Abandoned(vec![1])),
        What::Answered(3, opened(3, &[(1, 4)])),
    ]);
    assert_eq!(check(&history(events.clone())).map(drop), Ok(()));
    // Asked after the end was known, the same answer is a lie.
    let asked = events.remove(4);
    events.insert(6, asked);
    assert_eq!(check(&history(events)).map_err(|violation| violation.rule), Err("B6"));
}

#[test]
fn a_repeated_commit_is_answered_before_the_one_that_did_it() {
    let commit = || Ask::Commit {
        reader: at(1),
        number: 1,
        epoch: 2,
        id: 7,
        outcomes: Vec::new(),
        values: Vec::new(),
        outputs: Vec::new(),
    };
    let committed = |repeated| Answer::Committed { commit: None, outputs: Vec::new(), repeated };
    let mut events = claimed();
    events.extend([
        What::Asked(3, commit()),
        What::Asked(4, commit()),
        What::Answered(4, committed(true)),
        What::Answered(3, committed(false)),
    ]);
    assert_eq!(check(&history(events.clone())).map(drop), Ok(()));
    // Both did it: that is twice.
    events[6] = What::Answered(4, committed(false));
    assert_eq!(check(&history(events)).map_err(|violation| violation.rule), Err("B1"));
}

#[test]
fn an_output_passes_before_anybody_sees_it() {
    let entry = |body| Entry { group: 1, id: None, body };
    let outputs = vec![(1, entry(1)), (2, entry(2))];
    let commit =
        Ask::Commit { reader: at(1), number: 1, epoch: 2, id: 7, outcomes: Vec::new(), values: Vec::new(), outputs };
    let mut events = claimed();
    events.extend([
        What::Asked(3, commit),
        What::Answered(3, Answer::Unavailable),
        What::Asked(4, Ask::Peek { queue: 1 }),
        What::Answered(4, Answer::Peeked(vec![Seen { sequence: 1, group: 1, body: 1, sent_at: 1_005, origin: None }])),
        What::Drained,
    ]);
    let mut history = history(events);
    history.queues.extend([QueueFacts { retention: 5, ..facts() }, QueueFacts { retention: 4, ..facts() }]);
    history.events[8].at = 1_009;
    // The reader's values are not part of this story.
    assert_eq!(check(&history).map(drop), Ok(()));
    history.queues[2].retention = 6;
    assert_eq!(check(&history).map_err(|violation| violation.rule), Err("B1"));
}
