//! What becomes of the groups of a claim that are not done as a whole (B7).

use std::collections::BTreeMap;

use crate::{
    Event, State,
    command::{Context, GroupOutcome, Rest},
    decide::dead_letters::letters_of,
    event::Outcomes,
    limits,
    reply::Rejected,
    state::{queue::Queue, reader::OpenedClaim},
    words::{GroupId, SequenceNumber},
};

/// Judges the outcomes that a commit names. `sent` are the events of its outputs: they come first, and may have given
/// the dead-letter queue new numbers.
pub(super) fn judge(
    state: &State,
    context: &Context,
    queue: &Queue,
    claim: &OpenedClaim,
    outcomes: &[GroupOutcome],
    sent: &[Event],
) -> Result<Outcomes, Rejected> {
    let mut of_groups: BTreeMap<&GroupId, Vec<SequenceNumber>> = BTreeMap::new();
    for sequence in &claim.messages {
        let Some(message) = queue.messages.get(*sequence) else { continue };
        of_groups.entry(queue.group_of(message)).or_default().push(*sequence);
    }
    let mut judged = Outcomes { returned: Vec::new(), parked: Vec::new(), at: context.now, letters: None };
    let mut letters = Vec::new();
    for GroupOutcome { group, done_through, rest } in outcomes {
        let invalid = |fault| Rejected::OutcomeInvalid { group: group.clone(), fault };
        let messages = of_groups.remove(group).ok_or_else(|| invalid("it is not one of the claim, or named twice"))?;
        let done = match done_through {
            None => 0,
            Some(last) => {
                let place = messages.binary_search(last);
                place.map_err(|_| invalid("it is done through a message that is not of the group and the claim"))? + 1
            }
        };
        let mut left = messages[done..].iter().copied();
        match rest {
            Rest::GivenBack => {}
            Rest::HeadDeadLettered => {
                let head = left.next();
                letters.push(head.ok_or_else(|| invalid("all of it is done, so that no head is left to dead-letter"))?);
            }
            Rest::Parked => {
                if !queue.parked.contains_key(group) {
                    judged.parked.push(group.clone());
                }
            }
        }
        // The first that goes back was received in vain; those behind it, and behind a dead letter, were not tried.
        let tried = *rest != Rest::HeadDeadLettered;
        for (place, sequence) in left.enumerate() {
            let receives = queue.messages[sequence].receives;
            let counted = if tried && place == 0 { receives } else { receives.saturating_sub(1) };
            judged.returned.push((sequence, counted));
        }
    }
    if queue.parked.len() + judged.parked.len() > limits::PARKED_GROUPS {
        return Err(Rejected::TooManyParked);
    }
    letters.sort_unstable();
    judged.returned.sort_unstable();
    judged.letters = letters_of(state, context, queue, &letters, sent)?;
    Ok(judged)
}
