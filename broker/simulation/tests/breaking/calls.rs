//! Questions and answers of a history that is to be broken.

use lockstep_simulation::history::{Answer, Ask, Call, Event, History, What};

/// What a call asked.
pub(crate) fn ask_of(history: &History, call: Call) -> Ask {
    let ask = |event: &Event| match &event.what {
        What::Asked(other, ask) if *other == call => Some(ask.clone()),
        _ => None,
    };
    history.events.iter().find_map(ask).expect("every answer has a question")
}

/// A question and its answer, right after a place.
pub(crate) fn insert(history: &mut History, place: usize, ask: Ask, answer: Answer) {
    let at = history.events[place].at;
    let call = 9_000_000;
    let events = [What::Asked(call, ask), What::Answered(call, answer)].map(|what| Event { at, what });
    history.events.splice(place + 1..place + 1, events);
}
