//! The five scenarios: order, retry, zombie, crash, hole. Words and numbers only; `director` walks through them.

use crate::{
    lesson::{Action, Card, Point, Scenario, Step, Until},
    producer::Keys,
};

/// All of them, in the order in which they are taught.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![order(), retry(), zombie(), crash(), hole()]
}

/// One of them by its name.
///
/// # Errors
/// The names that there are.
pub fn named(name: &str) -> Result<Scenario, String> {
    let all = all();
    let names = all.iter().map(|one| one.name).collect::<Vec<_>>().join(", ");
    all.into_iter().find(|one| one.name == name).ok_or_else(|| format!("there is no scenario `{name}`: {names}"))
}

fn step(title: &'static str, actions: Vec<Action>, see: &'static str, until: Until) -> Step {
    Step { title, card: None, actions, see, until }
}

fn foretold(card: Card, step: Step) -> Step {
    Step { card: Some(card), ..step }
}

fn the_rest() -> Step {
    step(
        "The rest of the day",
        vec![Action::SendRest, Action::Finish],
        "The proof table: lost, duplicated and out of order stay 0, and the two digests become equal.",
        Until::Drained,
    )
}

fn order() -> Scenario {
    let card = Card {
        question: "One of the two workers stops for a while. It holds up to three messages of some conversations. What do the other conversations do?",
        choices: vec![
            "They wait too: a queue is one line.",
            "They go on; only the conversations that the worker holds wait.",
            "The other worker takes the held messages over at once.",
        ],
        right: 1,
        answer: "Order is kept within a message group, and only there. A held group waits as a whole, so that nothing overtakes; all other groups flow.",
    };
    Scenario {
        name: "order",
        title: "Order is order within a group",
        shows: "A worker that stands still holds up its own conversations, and no other.",
        keys: Keys::Numbers,
        lease: 60,
        hole: false,
        steps: vec![
            step(
                "Six conversations, two producers, two workers",
                vec![Action::Send(6)],
                "Each lane is a conversation: its message group. Messages of a lane leave in the order in which they came.",
                Until::CaughtUp,
            ),
            foretold(
                card,
                step(
                    "A worker stands still (SIGSTOP) with a claim in its hands",
                    vec![Action::FreezeAt(Point::BeforeFile), Action::Send(12)],
                    "Its lanes stop. The other worker still takes from the other lanes.",
                    Until::Struck(Point::BeforeFile),
                ),
            ),
            step(
                "The other lanes flow",
                vec![],
                "Eight more messages are committed while the held lanes wait.",
                Until::Committed(8),
            ),
            step(
                "The worker goes on (SIGCONT)",
                vec![Action::Thaw],
                "It was well within its lease: it commits, and its lanes move on, in order.",
                Until::CaughtUp,
            ),
            the_rest(),
        ],
        learnt: "Choose as message group the smallest thing that needs order, such as a conversation: order costs parallelism, per group.",
    }
}

fn retry() -> Scenario {
    let card = Card {
        question: "The broker has stored a message, and its answer is lost on the way. The producer does not know, and sends again. How many messages are there?",
        choices: vec![
            "Two: the broker cannot know that it is the same.",
            "None: without an answer nothing is stored.",
            "One: it comes under the same deduplication id, and is turned away.",
        ],
        right: 2,
        answer: "The producer fixes the deduplication id before its first try and keeps it for all tries. The broker knows it for five minutes: it stores nothing new and answers with the first message's number.",
    };
    Scenario {
        name: "retry",
        title: "A retry is not a duplicate",
        shows: "Answers are lost, producers send again, and every message is stored once.",
        keys: Keys::Ids,
        lease: 10,
        hole: false,
        steps: vec![
            step(
                "The day begins",
                vec![Action::Send(6)],
                "Three ticks for each message: received, on disk, answered.",
                Until::CaughtUp,
            ),
            foretold(
                card,
                step(
                    "An answer is lost",
                    vec![Action::LoseAnswers(0, 1), Action::SendOne(0, 3)],
                    "The connection breaks in place of the answer. 'sent' counts one try more, 'turned away' becomes 1, 'stored' does not.",
                    Until::TurnedAway(1),
                ),
            ),
            step(
                "Three answers in a row, at both producers",
                vec![Action::LoseAnswers(0, 3), Action::LoseAnswers(1, 3), Action::Send(6)],
                "Four tries for one message, and it is still one message.",
                Until::TurnedAway(2),
            ),
            the_rest(),
        ],
        learnt: "Who repeats must repeat under the same key; a new key for each try makes two messages of one.",
    }
}

fn zombie() -> Scenario {
    let card = Card {
        question: "A worker has written its output file. Before its commit it stops, for longer than its lease. Another worker does the same messages. Then the first one wakes up and commits. What is published?",
        choices: vec![
            "Both outputs: the messages are there twice.",
            "The first one's: it began earlier.",
            "The second one's alone: the first one's commit is refused.",
        ],
        right: 2,
        answer: "When the lease lapsed the claim went to the other worker under a higher epoch. The commit of the zombie comes under the old epoch, or for a claim that is finished: either way it is refused. Its file lies there, and no manifest names it.",
    };
    Scenario {
        name: "zombie",
        title: "The lease that lapses, and the zombie",
        shows: "A worker that was given up comes back, and cannot publish.",
        keys: Keys::Numbers,
        lease: 3,
        hole: false,
        steps: vec![
            step(
                "The day begins",
                vec![Action::Send(6)],
                "A worker that holds a claim gives a sign of life each second: that is what keeps its lease.",
                Until::CaughtUp,
            ),
            foretold(
                card,
                step(
                    "A worker stands still (SIGSTOP) between its file and its commit",
                    vec![Action::FreezeAt(Point::AfterFile), Action::Send(6)],
                    "Its file is on disk. Its claim is open.",
                    Until::Struck(Point::AfterFile),
                ),
            ),
            step(
                "Its lease lapses, and another worker takes the claim",
                vec![],
                "The epoch of the claim rises. 'processed' counts the messages again, 'committed' counts them once.",
                Until::TakenOver,
            ),
            step(
                "The zombie wakes up (SIGCONT)",
                vec![Action::Thaw],
                "It commits what it has, and is refused.",
                Until::Refused,
            ),
            the_rest(),
        ],
        learnt: "A lease alone protects nobody: who holds it may not know that it has lapsed. What protects is the check at the place that publishes.",
    }
}

fn crash() -> Scenario {
    let worker = Card {
        question: "A worker is killed (SIGKILL) after its file is written and before its commit. What becomes of its messages?",
        choices: vec![
            "They are lost: it had taken them out of the queue.",
            "They are done again, and published once.",
            "They are done again, and published twice.",
        ],
        right: 1,
        answer: "A taken message is still in the queue until the commit. Another worker does the same claim again; the file of the dead one is named by no commit, so nobody reads it.",
    };
    let broker = Card {
        question: "The broker itself is killed (SIGKILL) while producers send and workers commit. What is missing when it is back?",
        choices: vec![
            "Nothing that was answered; what was not answered is sent again.",
            "The messages of the last second.",
            "The messages that workers held.",
        ],
        right: 0,
        answer: "No answer leaves before its reasons are on disk. What was answered is there; what was not is asked again under the same key, by producers and workers alike.",
    };
    Scenario {
        name: "crash",
        title: "The crash",
        shows: "A worker and then the broker are killed with SIGKILL, in the middle.",
        keys: Keys::Numbers,
        lease: 10,
        hole: false,
        steps: vec![
            step("The day begins", vec![Action::Send(6)], "Everything flows.", Until::CaughtUp),
            foretold(
                worker,
                step(
                    "kill -9 for a worker, between its file and its commit",
                    vec![Action::KillAt(Point::AfterFile), Action::Send(6)],
                    "A new worker starts in its place. 'processed' is ahead of 'committed' by what was done twice.",
                    Until::WorkerDiedAndCaughtUp,
                ),
            ),
            foretold(
                broker,
                step(
                    "kill -9 for the broker",
                    vec![Action::Send(12), Action::KillBrokerAfter(4)],
                    "The page turns grey. The broker reads its journal, and the same numbers are back.",
                    Until::BrokerBack,
                ),
            ),
            the_rest(),
        ],
        learnt: "Work may be done twice; what is published is decided by one durable write, the commit.",
    }
}

fn hole() -> Scenario {
    let card = Card {
        question: "A producer's answer is lost, and then its network, for six minutes. It sends the message again under the same deduplication id. The window of the ids is five minutes. How many messages are there?",
        choices: vec![
            "One: the id is the same.",
            "Two: the broker has forgotten the id.",
            "The send is refused as too late.",
        ],
        right: 1,
        answer: "Two. After five minutes the id is new again, and neither SQS nor we can tell. This is the hole that remains at the exam's answer.",
    };
    let session = Card {
        question: "The same again, with a producer session: every message has a number that the broker remembers for its producer. How many messages are there after six minutes?",
        choices: vec!["One.", "Two.", "It depends on the window."],
        right: 0,
        answer: "One. A session remembers the last number of its producer for as long as the queue lives: a repeat is recognised for ever.",
    };
    Scenario {
        name: "hole",
        title: "The five-minute hole",
        shows: "Deduplication ids are forgotten after five minutes; numbers of a session are not.",
        keys: Keys::Numbers,
        lease: 10,
        hole: true,
        steps: vec![
            step(
                "The day begins",
                vec![Action::Send(6), Action::SendBeside(2)],
                "Beside our two producers a third one sends to a queue of its own with nothing but deduplication ids.",
                Until::Beside { accepted: 2, read: 2 },
            ),
            foretold(
                card,
                step(
                    "The third producer loses an answer, and its network",
                    vec![Action::LoseBeside, Action::SendBeside(1)],
                    "Its message is on disk; it does not know.",
                    Until::BesideUnanswered,
                ),
            ),
            step(
                "Six minutes later it sends again",
                vec![Action::Advance(360), Action::AgainBeside],
                "Three messages were written, four were stored and read: one is there twice.",
                Until::Beside { accepted: 3, read: 4 },
            ),
            foretold(
                session,
                step(
                    "Our first producer loses an answer, and its network",
                    vec![Action::LoseAnswers(0, 1), Action::SendOne(0, 1)],
                    "It has numbers.",
                    Until::Unanswered(1),
                ),
            ),
            step(
                "Six minutes later it sends again",
                vec![Action::Advance(360), Action::Again],
                "'turned away' counts it, 'stored' does not.",
                Until::TurnedAway(1),
            ),
            the_rest(),
        ],
        learnt: "A window that is longer only moves the hole. A numbered session closes it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_card_before_its_failure_and_ends_with_everything_drained() {
        let names: Vec<_> = all().iter().map(|one| one.name).collect();
        assert_eq!(names, ["order", "retry", "zombie", "crash", "hole"]);
        for scenario in all() {
            let cards: Vec<_> = scenario.steps.iter().filter_map(|step| step.card.as_ref()).collect();
            assert!(!cards.is_empty(), "{}", scenario.name);
            assert!(cards.iter().all(|card| (3..=4).contains(&card.choices.len()) && card.right < card.choices.len()));
            let last = scenario.steps.last().expect("a scenario has steps");
            assert!(last.until == Until::Drained && last.actions.contains(&Action::Finish), "{}", scenario.name);
        }
        assert!(named("zombi").is_err_and(|why| why.contains("order, retry, zombie, crash, hole")));
    }
}
