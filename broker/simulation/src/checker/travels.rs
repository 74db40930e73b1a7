//! A message's life across queues: as a dead letter it keeps its identity and is in one place at a time (Q2, Q3, H9); a
//! move task makes a new message of it (Q7), and nobody is told which. Then its body tells: a body that only one message
//! can have is held once and finished once, wherever it is.

use super::{
    Checker, Judged, Question,
    state::{Came, Fate, Message, Moment},
};
use crate::history::Seen;

impl Checker<'_> {
    /// A message that is known was seen again: it came as it came before.
    pub(super) fn came_as(&self, queue: usize, seen: &Seen) -> Judged {
        let came = self.message(queue, seen.sequence)?.came;
        let same = match (came, seen.origin) {
            (Came::Letter(of, number), Some(origin)) => (of, number) == origin,
            (Came::Sent | Came::Moved, None) => true,
            (Came::Letter(..), None) | (Came::Sent | Came::Moved, Some(_)) => false,
        };
        if same {
            Ok(())
        } else {
            Err(self.violated("H9", format!("message {} came as {came:?}, and now {seen:?}", seen.sequence)))
        }
    }

    /// A dead letter is seen for the first time: its queue names this one, its identity is one that was sent and not
    /// finished, and has no other place here.
    pub(super) fn letter(&mut self, asked: Moment, queue: usize, seen: &Seen, origin: (usize, u64)) -> Judged {
        let Seen { sequence, group, body, .. } = *seen;
        let (of, number) = origin;
        let redrive = self.queues.get(of).and_then(|source| source.facts.redrive);
        if redrive.is_none_or(|(target, _)| target != queue) {
            return Err(
                self.violated("Q1", format!("message {sequence} is a dead letter of queue {of}, which sends none"))
            );
        }
        if let Some(other) = self.queues[queue].letters.insert(origin, sequence) {
            let what = format!("message {number} of queue {of} is two dead letters: {other} and {sequence}");
            return Err(self.violated("Q2", what));
        }
        let known = self.queues[of].messages.get(&number);
        let unseen = known.is_none_or(|message| message.body.is_none() || message.group.is_none());
        if unseen {
            self.explained(of, number, group, body)?;
        }
        let source = self.message(of, number)?;
        if source.body != Some(body) || source.group != Some(group) {
            return Err(self.violated("Q3", format!("dead letter {sequence} is not what message {number} was")));
        }
        if let Some((event, _)) = source.gone.filter(|(event, under)| *under != u64::MAX && *event < asked.event) {
            let what = format!("message {number} is a dead letter, and was finished at event {event}");
            return Err(self.violated("guarantee 4", what));
        }
        let earliest = source.earliest;
        let now = self.now;
        let source = &mut self.queues[of];
        if let Some(message) = source.messages.get_mut(&number) {
            message.left = Some(now.event);
        }
        if let Some(living) = source.living.get_mut(&group) {
            living.remove(&number);
        }
        self.summary.dead_letters += 1;
        self.place(queue, sequence, (group, body), earliest, Came::Letter(of, number));
        Ok(())
    }

    /// Since when, if at all, a move task may have brought a message with this body here.
    pub(super) fn may_be_moved(&self, queue: usize, group: u64, body: u64) -> Option<Moment> {
        let sent = self.bodies.get(&body)?.sendings.iter().map(|place| &self.sendings[*place]);
        let mut sent = sent.filter(|sending| sending.group == group && sending.fate != Fate::Refused);
        let first = sent.next()?;
        let targets = |source: usize| self.queues[queue].facts.redrive.is_some_and(|(target, _)| target == source);
        let mut sources = self.queues.iter().zip(0..).filter(|(_, source)| *source != queue);
        let comes =
            sources.any(|(state, source)| state.tasks.values().any(|to| to.map_or(targets(source), |to| to == queue)));
        comes.then_some(first.asked)
    }

    /// A move task brought a message, or may have: then no deduplication key is known to be its own (Q7).
    pub(super) fn moved(&mut self, queue: usize, sequence: u64, what: (u64, u64), earliest: Moment) {
        self.summary.moved += 1;
        self.place(queue, sequence, what, earliest, Came::Moved);
    }

    fn place(&mut self, queue: usize, sequence: u64, (group, body): (u64, u64), earliest: Moment, came: Came) {
        let state = &mut self.queues[queue];
        state.highest_sequence = state.highest_sequence.max(sequence);
        state.living.entry(group).or_default().insert(sequence);
        let message = Message { group: Some(group), body: Some(body), ..Message::new(earliest, self.now, came) };
        state.messages.insert(sequence, message);
        self.bodies.entry(body).or_default().places.push((queue, sequence));
    }

    /// A message is not shown in a queue that it left.
    pub(super) fn is_here(&self, question: &Question<'_>, queue: usize, sequence: u64) -> Judged {
        match self.message(queue, sequence)?.left.filter(|event| *event < question.asked.event) {
            Some(event) => {
                let what = format!("message {sequence} is shown, and was a dead letter at event {event}");
                Err(self.violated("Q2", what))
            }
            None => Ok(()),
        }
    }

    /// A message is delivered at most as often as its queue allows; a dead letter was received more often (Q2).
    pub(super) fn is_not_too_often(&self, queue: usize, seen: &Seen, receives: u32) -> Judged {
        let redrive = self.queues[queue].facts.redrive.filter(|_| !self.may_fill);
        let most = redrive.map_or(u32::MAX, |(_, most)| most);
        let named = |(of, number): (usize, u64)| self.queues.get(of).is_some_and(|of| of.heads.contains(&number));
        let least = match seen
            .origin
            .filter(|origin| !named(*origin))
            .and_then(|(of, _)| self.queues.get(of))
            .and_then(|of| of.facts.redrive)
        {
            Some((_, most)) => most + 1,
            None => 1,
        };
        if receives > most || receives < least {
            let what = format!("message {} is delivered for the {receives}th time; {least} to {most}", seen.sequence);
            return Err(self.violated("Q2", what));
        }
        Ok(())
    }

    /// Only one message can have this body now: it was sent once, or every other sending came within the window.
    fn is_single(&self, body: u64) -> bool {
        let Some(known) = self.bodies.get(&body) else { return false };
        let sendings = known.sendings.iter().map(|place| &self.sendings[*place]);
        let stores: Vec<_> = sendings.filter(|it| matches!(it.fate, Fate::Unknown | Fate::Stored(_))).collect();
        let Some(first) = stores.first() else { return false };
        let state = &self.queues[first.queue];
        let again = first.asked.active.saturating_add(state.facts.window) <= self.now.active
            || state.purged_between(first.asked.event, self.now.event);
        stores.len() == 1 || (!again && stores.iter().all(|it| it.queue == first.queue && it.key == first.key))
    }

    /// A message is finished, and with it its body.
    pub(super) fn done_with(&mut self, queue: usize, sequence: u64) {
        let body = self.queues[queue].messages.get(&sequence).and_then(|message| message.body);
        if let Some(body) = body.filter(|body| self.is_single(*body)) {
            let event = self.now.event;
            self.bodies.entry(body).or_default().finished.get_or_insert(event);
        }
    }

    /// What is delivered is neither held in another queue nor was it finished there.
    pub(super) fn is_not_elsewhere(&self, question: &Question<'_>, queue: usize, sequence: u64) -> Judged {
        let Some(body) = self.message(queue, sequence)?.body.filter(|body| self.is_single(*body)) else {
            return Ok(());
        };
        let known = &self.bodies[&body];
        if let Some(event) = known.finished.filter(|event| *event < question.asked.event) {
            let what = format!("message {sequence} is delivered, and its body {body} was finished at event {event}");
            return Err(self.violated("guarantee 4", what));
        }
        for (other, number) in known.places.iter().filter(|place| **place != (queue, sequence)) {
            let (state, message) = (&self.queues[*other], self.message(*other, *number)?);
            let holds = |lease: &&super::state::Lease| {
                lease.answered.event < question.asked.event && state.lives(*number, lease, self.now.active)
            };
            if let Some(lease) = message.leases.iter().find(holds) {
                let what =
                    format!("message {sequence} is delivered, and epoch {} holds it in queue {other}", lease.epoch);
                return Err(self.violated("Q7", what));
            }
        }
        Ok(())
    }

    /// What was not seen to end may have gone on: then another place of it was seen to end, or may have ended unseen.
    pub(super) fn ended_elsewhere(&self, queue: usize, sequence: u64, message: &Message) -> bool {
        let onward = self.onward(queue);
        if onward.is_empty() {
            return false;
        }
        // Nobody ever saw what it holds.
        let Some(body) = message.body else { return true };
        let others = self.bodies[&body].places.iter().filter(|place| **place != (queue, sequence));
        let mut others = others.map(|(queue, number)| (*queue, *number, &self.queues[*queue].messages[number]));
        let unseen = |queue: &usize| {
            let state = &self.queues[*queue];
            state.purged_between(message.earliest.event, self.now.event)
                || message.earliest.at.saturating_add(state.facts.retention) <= self.now.at
        };
        others.any(|(queue, number, other)| self.seen_to_end(queue, number, other)) || onward.iter().any(unseen)
    }

    /// The queues that a message of this queue may come to.
    fn onward(&self, queue: usize) -> Vec<usize> {
        let mut found = vec![queue];
        let mut looked = 0;
        while let Some(from) = found.get(looked).copied() {
            looked += 1;
            let state = &self.queues[from];
            let letters = state.facts.redrive.map(|(target, _)| target);
            let home = |to: &usize| self.queues[*to].facts.redrive.is_some_and(|(target, _)| target == from);
            let any = state.tasks.values().any(Option::is_none);
            let homes = (0..self.queues.len()).filter(|to| any && home(to));
            for to in letters.into_iter().chain(homes).chain(state.tasks.values().copied().flatten()) {
                if !found.contains(&to) {
                    found.push(to);
                }
            }
        }
        found.remove(0);
        found
    }
}
