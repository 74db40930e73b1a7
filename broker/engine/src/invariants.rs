//! What is true of every state. Checked after recovery, and by the tests after every step.

use std::collections::BTreeMap;

use crate::{
    limits,
    state::{
        Due, State,
        groups::Place,
        message::{Hold, Message},
        queue::Queue,
    },
    words::SequenceNumber,
};

/// Fails with a text unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

impl State {
    /// Checks everything; the first violation is named.
    pub(crate) fn check(&self) -> Result<(), String> {
        ensure!(self.strays == 0, "{} events named something unknown", self.strays);
        ensure!(self.names.len() == self.queues.len(), "names and queues differ in number");
        ensure!(self.queues.knows_the_restless(), "a queue in which something ends by itself is not known for it");
        self.deletions.check()?;
        let (mut dues, mut delays) = (0, 0);
        for queue in self.queues.values() {
            let name = &queue.name;
            ensure!(self.names.get(name) == Some(&queue.generation), "{name}: not reachable by its name");
            ensure!(queue.generation <= self.last_generation, "{name}: generation from the future");
            check_messages(queue).and_then(|()| check_groups(queue)).map_err(|what| format!("{name}: {what}"))?;
            ensure!(queue.tags.len() <= limits::TAGS, "{name}: {} tags", queue.tags.len());
            queue.producers.check(queue.last_epoch).map_err(|what| format!("{name}: {what}"))?;
            queue.move_tasks.check().map_err(|what| format!("{name}: {what}"))?;
            dues += self.check_readers(queue).map_err(|what| format!("{name}: {what}"))?;
            dues += self.check_leases(queue).map_err(|what| format!("{name}: {what}"))?;
            delays += self.check_delays(queue).map_err(|what| format!("{name}: {what}"))?;
        }
        ensure!(dues == self.dues.len(), "{} deadlines for {dues} leases and limits", self.dues.len());
        ensure!(delays == self.delays.len(), "{} instants for {delays} delayed messages", self.delays.len());
        Ok(())
    }

    fn check_delays(&self, queue: &Queue) -> Result<usize, String> {
        let mut delayed = 0;
        for (sequence, message) in queue.messages.iter() {
            let Some(until) = message.delayed_until() else { continue };
            delayed += 1;
            ensure!(self.delays.contains(&(until, queue.generation, sequence)), "delayed {sequence} has no instant");
            ensure!(message.receives == 0, "delayed {sequence} was received");
        }
        ensure!(delayed as u64 == queue.delayed, "{} counted delayed, {delayed} are", queue.delayed);
        Ok(delayed)
    }

    fn check_leases(&self, queue: &Queue) -> Result<usize, String> {
        let mut leases = 0;
        for (sequence, message) in queue.messages.iter() {
            let Some(lease) = message.lease() else { continue };
            leases += 1;
            let due = (lease.visible_at, queue.generation, Due::Lease(sequence));
            ensure!(self.dues.contains(&due), "the lease of {sequence} has no deadline");
            ensure!(lease.epoch <= queue.last_epoch, "the lease of {sequence} is of a future epoch");
        }
        Ok(leases)
    }

    fn check_readers(&self, queue: &Queue) -> Result<usize, String> {
        let mut limited = 0;
        let mut claimed = 0;
        for (name, reader) in &queue.readers {
            ensure!(reader.generation <= queue.last_epoch, "reader {name} is of a future generation");
            ensure!(reader.id <= queue.last_reader, "reader {name} has a future id");
            let bytes: u64 = reader.values.values().map(|body| u64::from(body.size)).sum();
            ensure!(bytes == reader.value_bytes, "reader {name} counts {} bytes of {bytes}", reader.value_bytes);
            for (number, claim) in &reader.open {
                ensure!(*number <= reader.last_number && *number > reader.last_ended, "claim {number} is out of range");
                ensure!(claim.messages.is_sorted(), "claim {number} is not in order");
                claimed += claim.messages.len() as u64;
                for sequence in &claim.messages {
                    let hold = queue.messages.get(*sequence).map(|message| message.hold);
                    ensure!(
                        hold == Some(Hold::Claimed(reader.id, *number)),
                        "{sequence} is not held by claim {number}"
                    );
                }
                if let Some(at) = claim.lapses_at {
                    limited += 1;
                    let due = (at, queue.generation, Due::Claim(reader.id, *number));
                    ensure!(self.dues.contains(&due), "claim {number} has no deadline");
                }
            }
        }
        ensure!(claimed == queue.claimed, "{} messages claimed, {claimed} in claims", queue.claimed);
        Ok(limited)
    }
}

fn check_messages(queue: &Queue) -> Result<(), String> {
    let count = |wanted: fn(&Hold) -> bool| queue.messages.values().filter(|message| wanted(&message.hold)).count();
    let aged = if queue.is_fifo() { 0 } else { queue.messages.len() };
    ensure!(queue.by_age.len() == aged, "{} messages by age of {aged}", queue.by_age.len());
    let in_flight = count(|hold| matches!(hold, Hold::Leased(_))) as u64;
    ensure!(in_flight == queue.in_flight, "{} counted in flight, {in_flight} are", queue.in_flight);
    let claimed = count(|hold| matches!(hold, Hold::Claimed(..))) as u64;
    ensure!(claimed == queue.claimed, "{} counted claimed, {claimed} are", queue.claimed);
    let bytes: u64 = queue.messages.values().map(|message| u64::from(message.body.size)).sum();
    ensure!(bytes == queue.bytes, "{} bytes counted of {bytes}", queue.bytes);
    let newest = queue.messages.last().unwrap_or(SequenceNumber(0));
    ensure!(newest <= queue.last_sequence, "message {newest} is newer than the counter");
    for (sequence, message) in queue.messages.iter() {
        let received = message.first_received_at.is_some();
        ensure!(
            received == (message.receives > 0),
            "{sequence} has {} receives and a first one: {received}",
            message.receives
        );
    }
    for (sequence, epoch) in queue.attempts.repeatable().flat_map(|attempt| &attempt.messages) {
        let lease = queue.messages.get(*sequence).and_then(Message::lease);
        ensure!(lease.is_some_and(|lease| lease.epoch == *epoch), "{sequence} is not as its attempt left it");
    }
    Ok(())
}

fn check_groups(queue: &Queue) -> Result<(), String> {
    let grouped: usize = queue.groups.iter().map(|group| group.messages.len()).sum();
    ensure!(grouped == queue.messages.len(), "{grouped} messages in groups of {}", queue.messages.len());
    let in_flight = queue.groups.iter().filter(|group| group.in_flight > 0).count() as u64;
    ensure!(in_flight == queue.in_flight_groups, "{} groups counted in flight of {in_flight}", queue.in_flight_groups);
    let turns = queue.groups.iter().filter(|group| group.turn.is_some()).count();
    ensure!(turns == queue.groups.free(), "{} turns for {turns} free groups", queue.groups.free());
    let by_turn: BTreeMap<u64, Place> = queue.groups.by_turn().collect();
    for group in queue.groups.iter() {
        let id = &group.id;
        let place = queue.groups.place(id);
        ensure!(!group.messages.is_empty(), "group {id} is empty");
        ensure!(group.messages.iter().is_sorted(), "group {id} is not in order");
        let of_group = group.messages.iter().filter_map(|sequence| queue.messages.get(*sequence));
        let holds: Vec<Hold> =
            of_group.filter(|message| Some(message.group) == place).map(|message| message.hold).collect();
        ensure!(holds.len() == group.messages.len(), "group {id} names messages that are not its own");
        ensure!(group.parked == queue.parked.contains_key(id), "group {id} does not know whether it is parked");
        let deliverable = holds[0] == Hold::Free && !queue.parked.contains_key(id);
        ensure!(group.turn.is_some() == deliverable, "group {id} has a turn it should not have, or none");
        if let Some(turn) = group.turn {
            ensure!(turn < queue.next_turn && by_turn.get(&turn).copied() == place, "group {id} has a foreign turn");
        }
        let in_flight = holds.iter().filter(|hold| matches!(hold, Hold::Leased(_))).count();
        ensure!(
            in_flight == group.in_flight as usize,
            "group {id} counts {} in flight of {in_flight}",
            group.in_flight
        );
        if queue.is_strict() {
            check_one_holder(&holds).map_err(|what| format!("group {id}: {what}"))?;
        }
    }
    Ok(())
}

/// The strict discipline: what is held is a prefix of the group, held by one, its deadlines rising.
fn check_one_holder(holds: &[Hold]) -> Result<(), String> {
    let by_somebody = |hold: &&Hold| matches!(hold, Hold::Leased(_) | Hold::Claimed(..));
    let held = holds.iter().take_while(by_somebody).count();
    ensure!(!holds[held..].iter().any(|hold| by_somebody(&hold)), "a held message behind a free one");
    for pair in holds[..held].windows(2) {
        let same_holder = match (pair[0], pair[1]) {
            (Hold::Leased(first), Hold::Leased(second)) => first.epoch == second.epoch,
            (Hold::Claimed(first, number), Hold::Claimed(second, other)) => first == second && number == other,
            (Hold::Free | Hold::Delayed(_) | Hold::Leased(_) | Hold::Claimed(..), _) => false,
        };
        ensure!(same_holder, "two holders at once");
    }
    Ok(())
}
