//! The wire between clients and broker: it notes questions and answers, and it loses, delays, repeats and abandons them.
//! What a call means is not known here.

use std::rc::Rc;

use crate::{
    calls::perform,
    history::{Accepted, Answer, Ask, Delivered, What},
    plan::Flaw,
    world::{Shared, sleep, within},
};

/// Asks over a bad network: the answer may be unknown although the broker gave one, or although it was never asked.
pub(crate) async fn ask(world: &Shared, ask: Ask) -> Answer {
    let (lost, late, delay) = {
        let mut world = world.borrow_mut();
        let weather = world.weather;
        let delay = if world.bad_luck(200) { world.rng.u64(..3_000) } else { 0 };
        (world.bad_luck(weather.lost_request), world.bad_luck(weather.late_duplicate), delay)
    };
    if delay > 0 {
        sleep(world, delay).await;
    }
    if late {
        repeat_later(world, ask.clone());
    }
    if lost {
        sleep(world, 500).await;
        return Answer::Unavailable;
    }
    let flaw = world.borrow().plan.flaw;
    if flaw == Some(Flaw::InventedAcceptance)
        && let Ask::Send { entries, .. } = &ask
        && world.borrow_mut().bad_luck(100)
    {
        let sequences = (0..).map(|index| Ok(Accepted { sequence: 1_000_000 + index, duplicate: false }));
        let answer = Answer::Sent(sequences.take(entries.len()).collect());
        let call = world.borrow_mut().asked(ask);
        world.borrow_mut().note(What::Answered(call, answer.clone()));
        return answer;
    }
    let answer = asked(world, ask, true).await;
    let lost = {
        let mut world = world.borrow_mut();
        let chances = world.weather.lost_answer;
        world.bad_luck(chances)
    };
    if lost {
        sleep(world, 500).await;
        return Answer::Unavailable;
    }
    answer
}

/// The same question once more, when nobody waits for it any more.
fn repeat_later(world: &Shared, ask: Ask) {
    let again = Rc::clone(world);
    let delay = match world.borrow_mut().rng.u32(..10) {
        0..5 => 100,
        5..8 => 20_000,
        _ => 400_000,
    };
    let delay = world.borrow_mut().rng.u64(..delay);
    let work = async move {
        sleep(&again, delay).await;
        if !again.borrow().closing {
            drop(asked(&again, ask, false).await);
        }
    };
    world.borrow_mut().wanted.push(Box::pin(work));
}

/// Puts a question before the broker and notes both.
async fn asked(world: &Shared, ask: Ask, may_leave: bool) -> Answer {
    let Some(handle) = world.borrow().handle() else { return Answer::Unavailable };
    let call = world.borrow_mut().asked(ask.clone());
    let patience = {
        let mut world = world.borrow_mut();
        let chances = if may_leave { world.weather.impatience } else { 0 };
        world.bad_luck(chances).then(|| world.rng.u64(..5_000))
    };
    let answer = match patience {
        Some(patience) => within(world, patience, perform(handle, ask)).await,
        None => Some(perform(handle, ask).await),
    };
    let mut world = world.borrow_mut();
    match answer {
        Some(answer) => {
            world.note(What::Answered(call, answer.clone()));
            if world.plan.flaw == Some(Flaw::DoubledDeliveries) && matches!(answer, Answer::Received(_)) {
                doubled(&mut world, &answer);
            }
            answer
        }
        None => {
            world.note(What::Left(call));
            Answer::Unavailable
        }
    }
}

/// The planted fault: what one client received another one receives, too, under an epoch of its own.
fn doubled(world: &mut crate::world::World, answer: &Answer) {
    let Answer::Received(delivered) = answer else { return };
    if delivered.is_empty() || !world.bad_luck(300) {
        return;
    }
    let call = world.asked(Ask::Receive { queue: 0, max: 10, visibility: None, wait: 0, attempt: None });
    let again = delivered.iter().map(|delivery| Delivered { epoch: delivery.epoch + 1, ..*delivery }).collect();
    world.note(What::Answered(call, Answer::Received(again)));
}
