//! Readers and claims: fenced generations, the same messages under a number, one winner a claim, values that hold each
//! message once (B1, B6).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checker, Judged, Question,
    state::{Claim, End},
};
use crate::history::{Accepted, Ask, Call, Claimed, GroupValue, ReaderAt, Rest, Seen};

impl Checker<'_> {
    /// Whether a claim certainly was open from `since` until now.
    pub(super) fn claim_lives(&self, queue: usize, claim: (u64, u64), since: usize) -> bool {
        let state = &self.queues[queue];
        let Some(claim) = state.claims.get(&claim) else { return false };
        let Some(opened) = claim.opened.filter(|opened| opened.event < since) else { return false };
        // A crash may take back active time in which nothing was journalled, and with it what a question counted.
        let first = claim.asked.map_or(opened.active, |asked| asked.active.min(opened.active));
        let lapsed = state.facts.claim_limit.is_some_and(|limit| first + limit <= self.now.active);
        claim.ended.is_none() && claim.enders.is_empty() && !lapsed
    }

    fn of(&mut self, question: &Question<'_>) -> Option<(ReaderAt, &mut Claim)> {
        let (reader, claim) = (question.ask.reader_at()?, question.ask.claim()?);
        Some((reader, self.queues[reader.queue].claims.entry(claim).or_default()))
    }

    /// A generation that was fenced before the question does nothing more (B6).
    fn not_fenced(&self, question: &Question<'_>) -> Judged {
        let given = question.ask.reader_at().map_or(u64::MAX, |reader| reader.generation);
        if given < question.generation_floor {
            let what = format!("generation {given} acts, and {} was open before", question.generation_floor);
            return Err(self.violated("B6", what));
        }
        Ok(())
    }

    pub(super) fn opened(&mut self, question: &Question<'_>, generation: u64, open: &[(u64, u64)]) -> Judged {
        let Ask::Open { queue, reader, .. } = question.ask else { return Ok(()) };
        if generation < question.generation_floor {
            let floor = question.generation_floor;
            return Err(self.violated("B6", format!("generation {generation} is opened after {floor}")));
        }
        let now = self.now;
        let state = &mut self.queues[*queue];
        let highest = state.generations.entry(*reader).or_default();
        *highest = (*highest).max(generation);
        state.highest_epoch = state.highest_epoch.max(generation);
        for (number, epoch) in open {
            let claim = state.claims.entry((*reader, *number)).or_default();
            claim.epoch = claim.epoch.max(*epoch);
            claim.opened.get_or_insert(now);
            state.highest_epoch = state.highest_epoch.max(*epoch);
            // An answer may be older than the end that overtook it.
            let ended = claim.ended.is_some() && claim.ended_at < question.asked.event;
            if ended && question.claim_floor == 0 && claim.enders.is_empty() {
                let what = format!("claim {number} is open, and it was ended before");
                return Err(self.violated("B6", what));
            }
        }
        Ok(())
    }

    pub(super) fn claimed(&mut self, question: &Question<'_>, claimed: Claimed) -> Judged {
        self.not_fenced(question)?;
        let (now, asked) = (self.now, question.asked);
        let Some((reader, claim)) = self.of(question) else { return Ok(()) };
        let number = question.ask.claim().map_or(0, |claim| claim.1);
        let (ended, winner, attempts) = (claim.ended, claim.winner.is_some(), !claim.attempts.is_empty());
        match claimed {
            Claimed::Open { epoch } => {
                claim.opened.get_or_insert(now);
                claim.epoch = claim.epoch.max(epoch);
                claim.asked.get_or_insert(asked);
                let state = &mut self.queues[reader.queue];
                state.highest_epoch = state.highest_epoch.max(epoch);
            }
            Claimed::Empty => {}
            Claimed::Committed { commit } => {
                claim.end(End::Committed, now.event);
                if ended == Some(End::Burnt) || (!winner && !attempts) {
                    return Err(self.violated("B6", format!("claim {number} is committed, and nobody did it")));
                }
                return self.numbered(reader, number, commit);
            }
            Claimed::Burnt => {
                let enders = !claim.enders.is_empty() || ended == Some(End::Burnt);
                claim.end(End::Burnt, now.event);
                if winner || !(enders || self.queues[reader.queue].facts.claim_limit.is_some()) {
                    return Err(self.violated("B6", format!("claim {number} is burnt, and nobody gave it back")));
                }
            }
        }
        Ok(())
    }

    /// A claim has one commit number, and no other claim has it.
    fn numbered(&mut self, reader: ReaderAt, number: u64, commit: u64) -> Judged {
        let state = &mut self.queues[reader.queue];
        let of_reader = state.claims.iter().filter(|((of, _), _)| *of == reader.reader);
        let other =
            of_reader.filter(|((_, other), _)| *other != number).find(|(_, claim)| claim.commit == Some(commit));
        let taken = other.map(|((_, other), _)| *other);
        let claim = state.claims.entry((reader.reader, number)).or_default();
        let before = *claim.commit.get_or_insert(commit);
        if before != commit || taken.is_some() {
            let what = format!("claim {number} has commit number {commit}; it had {before}, or {taken:?} has it");
            return Err(self.violated("B9", what));
        }
        Ok(())
    }

    pub(super) fn taken(&mut self, question: &Question<'_>, epoch: u64) -> Judged {
        self.not_fenced(question)?;
        let floor = question.claim_floor;
        let now = self.now;
        let Some((reader, claim)) = self.of(question) else { return Ok(()) };
        claim.epoch = claim.epoch.max(epoch);
        claim.opened.get_or_insert(now);
        let state = &mut self.queues[reader.queue];
        state.highest_epoch = state.highest_epoch.max(epoch);
        if epoch < floor {
            return Err(self.violated("B2", format!("a claim is taken under epoch {epoch}, and had {floor} before")));
        }
        Ok(())
    }

    pub(super) fn contents(&mut self, question: &Question<'_>, values: &[GroupValue], messages: &[Seen]) -> Judged {
        let (Ask::Read { reader, epoch, .. }, Some(id)) = (question.ask, question.ask.claim()) else { return Ok(()) };
        self.not_fenced(question)?;
        if *epoch < question.claim_floor {
            return Err(
                self.violated("B2", format!("epoch {epoch} reads claim {id:?}; {} holds it", question.claim_floor))
            );
        }
        let sequences: Vec<u64> = messages.iter().map(|seen| seen.sequence).collect();
        let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for seen in messages {
            self.seen(question.asked, reader.queue, seen)?;
            self.is_ripe(reader.queue, seen, self.now.at)?;
            groups.entry(seen.group).or_default().push(seen.sequence);
        }
        let claim = &self.queues[reader.queue].claims[&id];
        let asked = claim.asked.unwrap_or(question.asked);
        match &claim.messages {
            Some(before) if *before != sequences => {
                let what = format!("claim {id:?} had {before:?}, and now has {sequences:?}");
                return Err(self.violated("B6", what));
            }
            Some(_) => {}
            None => self.learn(reader.queue, id, &sequences, asked.event)?,
        }
        for sequence in &sequences {
            let message = self.queues[reader.queue].messages.get_mut(sequence).expect("it was just seen");
            message.removers.retain(|_, theirs| *theirs >= *epoch);
        }
        for (group, messages) in &groups {
            self.in_order(asked.event, reader.queue, *group, messages)?;
        }
        let asked = question.asked.event;
        values.iter().try_for_each(|(group, value)| self.folded(asked, *reader, *group, value, groups.get(group)))
    }

    /// A claim's messages are heard of for the first time: nobody else holds them, and none was finished.
    fn learn(&mut self, queue: usize, id: (u64, u64), sequences: &[u64], asked: usize) -> Judged {
        for sequence in sequences {
            let message = self.message(queue, *sequence)?;
            if let Some((event, _)) = message.gone.filter(|(event, _)| *event < asked) {
                let what = format!("message {sequence} is claimed after it was finished at event {event}");
                return Err(self.violated("guarantee 4", what));
            }
            if let Some(event) = message.left.filter(|event| *event < asked) {
                let what = format!("message {sequence} is claimed, and was a dead letter at event {event}");
                return Err(self.violated("Q2", what));
            }
            if let Some(other) = message.claim.filter(|other| *other != id && self.claim_lives(queue, *other, asked)) {
                return Err(self.violated("B6", format!("message {sequence} is in the claims {other:?} and {id:?}")));
            }
            let group = message.group.unwrap_or(crate::history::STRANGE);
            self.is_not_parked(queue, group, asked)?;
            let opened = self.queues[queue].claims[&id].opened.unwrap_or(self.now);
            let living = |lease: &&super::state::Lease| {
                lease.answered.event < asked && self.queues[queue].lives(*sequence, lease, opened.active)
            };
            if let Some(lease) = message.leases.iter().find(living) {
                let what = format!("message {sequence} is claimed, and epoch {} holds it", lease.epoch);
                return Err(self.violated("O4", what));
            }
        }
        let state = &mut self.queues[queue];
        for sequence in sequences {
            state.messages.get_mut(sequence).expect("judged above").claim = Some(id);
        }
        state.claims.entry(id).or_default().messages = Some(sequences.to_vec());
        Ok(())
    }

    /// A group's value holds every message that was committed for it, once, in order, and none that is not (B1).
    fn folded(&self, asked: usize, reader: ReaderAt, group: u64, value: &[u64], claimed: Option<&Vec<u64>>) -> Judged {
        let next = claimed.and_then(|messages| messages.first()).copied().unwrap_or(u64::MAX);
        if !value.is_sorted_by(|one, other| one < other) || value.last().is_some_and(|last| *last >= next) {
            let what = format!("group {group} folded {value:?}, and {next} comes next");
            return Err(self.violated("B1", what));
        }
        let state = &self.queues[reader.queue];
        let of_group =
            |sequence: &&u64| state.messages.get(*sequence).is_some_and(|message| message.group == Some(group));
        let (mut certain, mut possible) = (BTreeSet::new(), BTreeSet::new());
        for claim in state.claims.iter().filter(|((of, _), _)| *of == reader.reader).map(|(_, claim)| claim) {
            if claim.winner.is_some() && claim.won_at < asked {
                certain.extend(claim.finished().into_iter().flatten().filter(of_group).copied());
            }
            possible.extend(claim.may_finish().filter(|sequence| of_group(&sequence)));
        }
        let missing = certain.iter().find(|sequence| !value.contains(sequence));
        let strange = value.iter().find(|sequence| !possible.contains(sequence));
        if missing.is_some() || strange.is_some() {
            let what = format!("group {group} folded {value:?}: {missing:?} is missing, {strange:?} is too much");
            return Err(self.violated("B1", what));
        }
        Ok(())
    }

    /// A commit reached the broker.
    pub(super) fn committing(&mut self, call: Call, ask: &Ask) {
        let Ask::Commit { reader, number, epoch, id, outcomes, outputs, .. } = ask else { return };
        for ((target, entry), index) in outputs.iter().zip(0..) {
            self.sending(call, *target, entry, Some((reader.queue, Some(reader.reader), *number, index)));
        }
        let state = &mut self.queues[reader.queue];
        let claim = state.claims.entry((reader.reader, *number)).or_default();
        claim.enders.insert(call);
        claim.attempts.insert(call, *id);
        let Some(messages) = claim.messages.clone() else { return };
        let group_of = |sequence: &u64| state.messages.get(sequence).and_then(|message| message.group);
        let (mut done, mut heads) = (Vec::new(), BTreeMap::new());
        for sequence in messages {
            match outcomes.iter().find(|outcome| Some(outcome.group) == group_of(&sequence)) {
                Some(outcome) if outcome.through.is_none_or(|through| sequence > through) => {
                    if outcome.rest == Rest::Dead {
                        heads.entry(outcome.group).or_insert(sequence);
                    }
                }
                Some(_) | None => done.push(sequence),
            }
        }
        for sequence in &done {
            if let Some(message) = state.messages.get_mut(sequence) {
                message.removers.insert(call, *epoch);
            }
        }
        claim.done.insert(*id, done);
        state.heads.extend(heads.into_values());
    }

    pub(super) fn committed(
        &mut self,
        call: Call,
        question: &Question<'_>,
        commit: Option<u64>,
        outputs: &[Accepted],
        repeated: bool,
    ) -> Judged {
        let Ask::Commit { reader, number, epoch, id, outputs: wanted, .. } = question.ask else { return Ok(()) };
        if !repeated {
            self.not_fenced(question)?;
            if *epoch < question.claim_floor {
                let what =
                    format!("claim {number} is committed under epoch {epoch}; {} holds it", question.claim_floor);
                return Err(self.violated("B2", what));
            }
            self.summary.commits += 1;
        }
        let sequences: Vec<_> = outputs.iter().map(|output| output.sequence).collect();
        let now = self.now.event;
        let state = &mut self.queues[reader.queue];
        let claim = state.claims.entry((reader.reader, *number)).or_default();
        let again = claim.was_new && !repeated;
        claim.was_new |= !repeated;
        let elsewhere = repeated
            && claim.winner.is_none()
            && !claim.attempts.iter().any(|(other, theirs)| *other != call && theirs == id);
        if claim.winner.is_none() {
            claim.won_at = now;
        }
        let winner = claim.winner.get_or_insert((*id, sequences.clone()));
        let other = winner.0 != *id || winner.1 != sequences;
        let burnt = claim.ended == Some(End::Burnt);
        claim.end(End::Committed, now);
        let messages = claim.finished().map(<[u64]>::to_vec).unwrap_or_default();
        if again || elsewhere || other || burnt {
            let what = format!("claim {number} has two outcomes; the last is commit {id} with outputs {sequences:?}");
            return Err(self.violated("B1", what));
        }
        let finished = messages.clone();
        for sequence in messages {
            if let Some((event, under)) = state.messages.get(&sequence).and_then(|message| message.gone)
                && !repeated
                && under != *epoch
                && (under != u64::MAX || event < question.asked.event)
            {
                let what = format!("message {sequence} is committed, and was finished at event {event}");
                return Err(self.violated("guarantee 4", what));
            }
            state.gone(sequence, now, *epoch);
        }
        for sequence in finished {
            self.done_with(reader.queue, sequence);
        }
        if let Some(commit) = commit {
            self.numbered(*reader, *number, commit)?;
        }
        self.outputs(question, wanted, outputs, repeated)
    }

    pub(super) fn abandoned(&mut self, call: Call, question: &Question<'_>, numbers: &[u64]) -> Judged {
        self.not_fenced(question)?;
        let Ask::Abandon { reader, number } = question.ask else { return Ok(()) };
        let now = self.now.event;
        let state = &mut self.queues[reader.queue];
        let claim = state.claims.entry((reader.reader, *number)).or_default();
        claim.enders.remove(&call);
        claim.end(End::Burnt, now);
        if claim.winner.is_some() || numbers != [*number] {
            return Err(self.violated("B6", format!("claim {number} is burnt ({numbers:?}), and was committed before")));
        }
        Ok(())
    }

    pub(super) fn valued(&mut self, question: &Question<'_>, reader: ReaderAt, group: u64, value: &[u64]) -> Judged {
        self.folded(question.asked.event, reader, group, value, None)?;
        self.queues[reader.queue].values.insert((reader.reader, group), value.to_vec());
        Ok(())
    }
}
