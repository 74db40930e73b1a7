//! Sends: an id is written once in its window (S4 to S7), numbers rise (S12), what was refused is never seen.

use super::{
    Checker, Judged, Question, Violation,
    state::{Came, Fate, Key, Message, Moment, Sending},
};
use crate::history::{Accepted, Call, Entry, Refusal, Seen};

/// The commit that an output belongs to: queue, reader (none for deliveries), claim or commit id, index.
pub(super) type Origin = (usize, Option<u64>, u64, usize);

impl Checker<'_> {
    /// A call that would store an entry reached the broker.
    pub(super) fn sending(&mut self, call: Call, queue: usize, entry: &Entry, origin: Option<Origin>) {
        let scope = self.queues[queue].facts.group_scope.then_some(entry.group);
        let key = match (entry.id, origin) {
            (Some(id), _) => Key::Id(scope, id),
            (None, None) => Key::Content(scope, entry.body),
            (None, Some((queue, reader, number, index))) => Key::Output(queue, reader, number, index),
        };
        self.keyed(call, queue, entry, key);
    }

    pub(super) fn keyed(&mut self, call: Call, queue: usize, entry: &Entry, key: Key) {
        let place = self.sendings.len();
        let sending = Sending { call, queue, group: entry.group, key, asked: self.now, fate: Fate::Unknown };
        self.sendings.push(sending);
        self.bodies.entry(entry.body).or_default().sendings.push(place);
        self.queues[queue].sendings_of.entry(key).or_default().push(place);
    }

    /// A call stored nothing.
    pub(super) fn refuse_sendings(&mut self, call: Call, question: &Question<'_>) {
        for sending in self.sendings[question.first_sending..].iter_mut().take_while(|sending| sending.call == call) {
            sending.fate = Fate::Refused;
        }
    }

    pub(super) fn sent(
        &mut self,
        call: Call,
        question: &Question<'_>,
        queue: usize,
        entries: &[Entry],
        outcomes: &[Result<Accepted, Refusal>],
    ) -> Judged {
        if entries.len() != outcomes.len() {
            return Err(self.violated("S9", format!("{} outcomes for {} entries", outcomes.len(), entries.len())));
        }
        let mut before = question.sequence_floor;
        for ((entry, outcome), place) in entries.iter().zip(outcomes).zip(question.first_sending..) {
            match outcome {
                Ok(accepted) => {
                    if !accepted.duplicate {
                        if accepted.sequence <= before {
                            let what = format!("message {} of call {call} comes after {before}", accepted.sequence);
                            return Err(self.violated("S12", what));
                        }
                        before = accepted.sequence;
                    }
                    self.accepted(question, queue, entry, *accepted, place)?;
                }
                Err(_) => self.sendings[place].fate = Fate::Refused,
            }
        }
        Ok(())
    }

    /// An answer says that an entry is stored, now or before.
    pub(super) fn accepted(
        &mut self,
        question: &Question<'_>,
        queue: usize,
        entry: &Entry,
        Accepted { sequence, duplicate }: Accepted,
        place: usize,
    ) -> Judged {
        let key = self.sendings[place].key;
        if duplicate {
            self.sendings[place].fate = Fate::Duplicate(sequence);
            return self.duplicate(question, queue, key, sequence);
        }
        self.sendings[place].fate = Fate::Stored(sequence);
        let body = Some(entry.body);
        self.know(queue, sequence, Some(entry.group), body, key, question.asked)?;
        let message = self.message(queue, sequence)?;
        if message.was_new {
            return Err(self.violated("S6", format!("message {sequence} was new for two calls")));
        }
        self.queues[queue].messages.get_mut(&sequence).expect("just found").was_new = true;
        Ok(())
    }

    /// The answer names an earlier message: it must be one of this key, within its window, and not purged since.
    fn duplicate(&mut self, question: &Question<'_>, queue: usize, key: Key, sequence: u64) -> Judged {
        let sendings = self.queues[queue].sendings_of.get(&key).cloned().unwrap_or_default();
        let could = |place: &usize| {
            matches!(self.sendings[*place].fate, Fate::Unknown) || self.sendings[*place].fate == Fate::Stored(sequence)
        };
        let earliest = sendings.iter().filter(|place| could(place)).map(|place| self.sendings[*place].asked).next();
        let known = self.queues[queue].keys.get(&key).is_some_and(|of_key| of_key.contains(&sequence));
        if known {
            let message = self.message(queue, sequence)?;
            if matches!(key, Key::Number(..)) {
                // For ever (B3).
                return Ok(());
            }
            let end = message.known.active.saturating_add(self.queues[queue].facts.window);
            if question.asked.active >= end {
                let what = format!("message {sequence} is a duplicate's answer after its window ended");
                return Err(self.violated("S4", what));
            }
            let purges = &self.queues[queue].purges;
            let purged = purges.values().any(|purge| {
                purge.asked > message.known.event && purge.answered.is_some_and(|at| at < question.asked.event)
            });
            if purged {
                return Err(self.violated("S5", format!("a purge lay between message {sequence} and its duplicate")));
            }
            return Ok(());
        }
        match earliest {
            Some(earliest) => self.know(queue, sequence, None, None, key, earliest),
            None => Err(self.violated("S6", format!("message {sequence} is a duplicate's answer, but not of its id"))),
        }
    }

    /// A repeated commit names an output that an earlier call stored, with the same body.
    pub(super) fn repeated_output(&mut self, queue: usize, entry: &Entry, sequence: u64, place: usize) -> Judged {
        let first = self.bodies.get(&entry.body).and_then(|body| body.sendings.first()).copied().unwrap_or(place);
        let (key, earliest) = (self.sendings[place].key, self.sendings[first].asked);
        self.sendings[place].fate = Fate::Duplicate(sequence);
        self.know(queue, sequence, Some(entry.group), Some(entry.body), key, earliest)
    }

    pub(super) fn message(&self, queue: usize, sequence: u64) -> Result<&Message, Violation> {
        let unheard = || self.violated("H4", format!("message {sequence} of queue {queue} was never heard of"));
        self.queues[queue].messages.get(&sequence).ok_or_else(unheard)
    }

    /// A message is known to have been stored, at `earliest` or later.
    fn know(
        &mut self,
        queue: usize,
        sequence: u64,
        group: Option<u64>,
        body: Option<u64>,
        key: Key,
        earliest: Moment,
    ) -> Judged {
        let now = self.now;
        let state = &mut self.queues[queue];
        state.highest_sequence = state.highest_sequence.max(sequence);
        let message = state.messages.entry(sequence).or_insert_with(|| Message::new(earliest, now, Came::Sent));
        if body.is_some() && message.body.is_some() && message.body != body {
            return Err(self.violated("S6", format!("message {sequence} has two bodies")));
        }
        if let (None, Some(body)) = (message.body, body) {
            message.body = Some(body);
            self.bodies.entry(body).or_default().places.push((queue, sequence));
        }
        if message.group.is_none()
            && let Some(group) = group
        {
            message.group = Some(group);
            if message.gone.is_none() {
                state.living.entry(group).or_default().insert(sequence);
            }
        }
        let of_key = state.keys.entry(key).or_default();
        if of_key.contains(&sequence) {
            return Ok(());
        }
        let others = of_key.clone();
        of_key.push(sequence);
        others.iter().try_for_each(|other| self.stored_once(queue, key, (*other).min(sequence), (*other).max(sequence)))
    }

    /// Two messages of one key are allowed only when the first one's window had ended, or it was purged.
    fn stored_once(&self, queue: usize, key: Key, first: u64, second: u64) -> Judged {
        if matches!(key, Key::Number(..)) {
            return Err(self.violated("B3", format!("{key:?} was stored twice: {first} and {second}")));
        }
        let state = &self.queues[queue];
        let (older, newer) = (self.message(queue, first)?, self.message(queue, second)?);
        let free_from = older.earliest.active.saturating_add(state.facts.window);
        if newer.known.active < free_from && !state.purged_between(older.earliest.event, newer.known.event) {
            return Err(self.violated("S4", format!("one id was stored twice in its window: {first} and {second}")));
        }
        Ok(())
    }

    /// A message was seen: it is one that was sent, whole, and was not refused; or it came from another queue.
    pub(super) fn seen(&mut self, asked: Moment, queue: usize, seen: &Seen) -> Judged {
        let Seen { sequence, group, body, sent_at, origin } = *seen;
        if let Some(message) = self.queues[queue].messages.get(&sequence)
            && message.body == Some(body)
            && message.group == Some(group)
        {
            if sent_at < message.earliest.at || sent_at > message.known.at {
                return Err(self.violated("R8", format!("message {sequence} was not sent at {sent_at}")));
            }
            return self.came_as(queue, seen);
        }
        match origin {
            Some(origin) => self.letter(asked, queue, seen, origin),
            None => self.explained(queue, sequence, group, body),
        }
    }

    /// A message that nobody heard of, and that is no dead letter: somebody sent it, or a move task brought it.
    pub(super) fn explained(&mut self, queue: usize, sequence: u64, group: u64, body: u64) -> Judged {
        let unheard = !self.queues[queue].messages.contains_key(&sequence);
        if unheard && let Some(earliest) = self.may_be_moved(queue, group, body) {
            self.moved(queue, sequence, (group, body), earliest);
            return Ok(());
        }
        let sendings = self.bodies.get(&body).map_or(&[][..], |body| &body.sendings);
        let here = |sending: &&Sending| sending.queue == queue && sending.group == group;
        let mut candidates = sendings.iter().map(|place| &self.sendings[*place]).filter(here).peekable();
        if candidates.peek().is_none() {
            return Err(self.violated("S9", format!("message {sequence} (group {group}, body {body}) was never sent")));
        }
        let could = |sending: &&Sending| sending.fate == Fate::Unknown || sending.fate == Fate::Stored(sequence);
        let Some(first) = candidates.find(could) else {
            let what = format!("message {sequence} (body {body}) was refused, or another one's duplicate");
            return Err(self.violated("S6", what));
        };
        let (key, earliest) = (first.key, first.asked);
        self.know(queue, sequence, Some(group), Some(body), key, earliest)
    }
}
