//! What an explanation says in words (B4): the same sentence through every door. What is true is the engine's to say.

use lockstep_engine::{
    explain::{Blocking, Explanation, Holder, Reason},
    words::Timestamp,
};

/// One sentence: what is so, because of whom, and what happens next.
pub(crate) fn explained(queue: &str, explained: &Explanation, of_group: bool) -> String {
    let Explanation { reason, group, message, count, blocking, at, .. } = explained;
    let number = message.unwrap_or_default();
    let group = group.as_ref().map(ToString::to_string).unwrap_or_default();
    let holder = blocking.as_ref().map(|blocking| held_by(queue, blocking, *at)).unwrap_or_default();
    let what = match reason {
        Reason::Available if of_group && blocking.is_some() => {
            format!("group {group} ({count} messages) would deliver #{number} now, but not all of the rest: {holder}")
        }
        Reason::Available if of_group => format!("group {group} ({count} messages) would deliver #{number} now"),
        Reason::Available if *count == 0 => format!("message #{number} of group {group} would be delivered now"),
        Reason::Available => {
            format!(
                "message #{number} of group {group} would be delivered after the {count} before it, none of which is held"
            )
        }
        Reason::Empty => "the queue holds no message".to_owned(),
        Reason::NoSuchGroup => format!("group {group} holds no message"),
        Reason::MessageGone => {
            format!("message #{number} is gone: deleted, committed or purged, or its retention ended")
        }
        Reason::MessageNotSent => format!("no message has the number {number} yet"),
        Reason::InFlight | Reason::Claimed | Reason::Delayed if of_group => {
            format!("group {group} ({count} messages) delivers nothing: {holder}")
        }
        Reason::Delayed => format!("message #{number} of group {group} is delayed: {holder}"),
        Reason::InFlight | Reason::Claimed => format!("message #{number} of group {group} is held: {holder}"),
        Reason::BehindInFlight | Reason::BehindClaim => {
            format!("message #{number} of group {group} waits behind an earlier one: {holder}")
        }
        Reason::Parked => {
            format!("group {group} is parked and delivers nothing until `lockstep unpark {queue} {group}`")
        }
        Reason::DeadLetterDue => format!(
            "message #{number} of group {group} was received as often as the queue allows: the next receive moves it to \
             the dead-letter queue and goes on with the next"
        ),
        Reason::DeadLetterQueueGone => format!(
            "message #{number} of group {group} was received as often as the queue allows, but the dead-letter queue is \
             gone: it is delivered again; make the queue anew, or change the redrive policy"
        ),
        Reason::InFlightCap => format!(
            "group {group} is free, but the queue has {} messages in flight, which is the most; deletes make room",
            lockstep_engine::limits::IN_FLIGHT
        ),
    };
    let receipt = match explained.receipt_holds {
        Some(true) => "; the receipt holds it",
        Some(false) => "; the receipt does not hold it any more (R3)",
        None => "",
    };
    format!("{what}{receipt} (rule {})", reason.rule())
}

fn held_by(queue: &str, blocking: &Blocking, now: Timestamp) -> String {
    let (sequence, receives) = (blocking.sequence, blocking.receives);
    let ago = span(now.0.saturating_sub(blocking.holder.since().0));
    let often = if receives == 1 { "once".to_owned() } else { format!("{receives} times") };
    match &blocking.holder {
        Holder::Receiver { epoch, until, .. } => format!(
            "#{sequence} is in flight since {ago}, received {often}, under epoch {epoch}; unless it is deleted \
             or extended it becomes visible again in {}",
            span(until.0.saturating_sub(now.0))
        ),
        Holder::Delay { until, .. } => format!(
            "#{sequence} was sent {ago} ago and becomes visible in {}, or when the queue's delay is lowered",
            span(until.0.saturating_sub(now.0))
        ),
        Holder::Claim { reader, instance, number, worker, lapses_at, .. } => {
            let worker =
                worker.as_ref().map_or_else(|| "no worker yet".to_owned(), |worker| format!("worker {worker}"));
            let end = lapses_at.map_or_else(
                || "does not lapse by time".to_owned(),
                |at| format!("lapses in {}", span(at.0.saturating_sub(now.0))),
            );
            format!(
                "#{sequence} is in claim {number} of reader {reader} since {ago} ({worker}, controller {instance}); the \
                 claim {end}: it ends by its commit, or by `lockstep reader abandon {queue} {reader} --claim {number}`"
            )
        }
    }
}

/// Milliseconds in words.
pub(crate) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200.. => format!("{} h", seconds / 3_600),
    }
}
