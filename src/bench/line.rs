//! The order of calls: messages of a group go in one call at a time, because calls that run side by side overtake each
//! other. What is drawn for a group that is under way waits for it. Plain state under a producer's lock.

use std::collections::{HashMap, VecDeque};

use super::{
    deck::{Deck, Drawn},
    record::Recorder,
};

/// So many may wait for their groups before no more are drawn, in a closed loop.
const MOST_WAITING: usize = 4_096;

/// What a producer's lanes share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) deck: Deck,
    pub(super) recorder: Recorder,
    /// By place: the number of the lane that has a message of the group under way, plus 1; 0: none.
    busy: Vec<u32>,
    /// When messages that wait for their group were to be sent.
    waiting: HashMap<u32, VecDeque<u64>>,
    waits: usize,
    /// Free groups that have waiting messages.
    ready: VecDeque<u32>,
    /// Times that came for messages which were not drawn yet; unset in a closed loop.
    pub(super) offered: Option<VecDeque<u64>>,
    /// Nothing more is drawn.
    pub(super) ended: bool,
}

impl Line {
    pub(super) fn new(deck: Deck, recorder: Recorder, open: bool) -> Self {
        let busy = vec![0; deck.groups()];
        let (waiting, ready) = (HashMap::new(), VecDeque::new());
        Self { deck, recorder, busy, waiting, waits: 0, ready, offered: open.then(VecDeque::new), ended: false }
    }

    /// The messages of a lane's next call, up to `most`; none when nothing may go now. In a closed loop they are to be
    /// sent now.
    pub(super) fn take(&mut self, lane: u32, most: usize, now: u64, taken: &mut Vec<Drawn>) {
        while taken.len() < most
            && let Some(place) = self.ready.pop_front()
        {
            self.busy[place as usize] = lane + 1;
            self.take_waiting(place, most, taken);
        }
        while taken.len() < most && !self.ended {
            let time = match &mut self.offered {
                Some(offered) => match offered.pop_front() {
                    Some(time) => time,
                    None => return,
                },
                None if self.waits >= MOST_WAITING => return,
                None => now,
            };
            let Some(place) = self.deck.draw() else {
                self.ended = true;
                return;
            };
            let waits = self.waiting.contains_key(&place);
            match self.busy[place as usize] {
                0 if !waits => self.busy[place as usize] = lane + 1,
                of if of == lane + 1 && !waits => {}
                _ => {
                    self.waiting.entry(place).or_default().push_back(time);
                    self.waits += 1;
                    continue;
                }
            }
            taken.push(self.deck.message(place, time));
        }
    }

    /// Takes what waits for a group that the caller has.
    fn take_waiting(&mut self, place: u32, most: usize, taken: &mut Vec<Drawn>) {
        let Some(times) = self.waiting.get_mut(&place) else { return };
        while taken.len() < most
            && let Some(time) = times.pop_front()
        {
            self.waits -= 1;
            taken.push(self.deck.message(place, time));
        }
        if times.is_empty() {
            self.waiting.remove(&place);
        }
    }

    /// A call was answered: its groups are free.
    pub(super) fn answered(&mut self, call: &mut Vec<Drawn>, now: u64) {
        for drawn in call.drain(..) {
            self.recorder.done(now, drawn.time);
            let place = self.deck.place(drawn.group);
            if std::mem::take(&mut self.busy[place as usize]) > 0 && self.waiting.contains_key(&place) {
                self.ready.push_back(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{body::Stamp, plan::Plan, record::Window};

    fn line(groups: u32, messages: u64) -> Line {
        let plan = Plan { groups, messages: Some(messages), ..Plan::for_tests() };
        Line::new(Deck::new(&plan, 0, 1), Recorder::new(Window { from: 0, until: u64::MAX }), false)
    }

    #[test]
    fn a_group_is_in_one_call_at_a_time_and_in_order() {
        let mut line = line(3, 500);
        let (mut calls, mut sent): ([Vec<Drawn>; 4], Vec<Vec<u32>>) = (Default::default(), vec![Vec::new(); 3]);
        let mut turn = 0;
        while !(line.ended && line.waits == 0 && calls.iter().all(Vec::is_empty)) {
            let lane = turn % 4;
            line.answered(&mut calls[lane], 5);
            let mut call = Vec::new();
            line.take(u32::try_from(lane).unwrap(), 3, 1, &mut call);
            for drawn in &call {
                let stamp = Stamp::read(&drawn.body).unwrap();
                assert!(calls.iter().flatten().all(|other| other.group != stamp.group), "two calls of a group");
                sent[stamp.group as usize].push(stamp.number);
            }
            calls[lane] = call;
            turn += 1;
        }
        assert_eq!(sent.iter().map(Vec::len).sum::<usize>(), 500);
        assert!(sent.iter().all(|numbers| numbers.is_sorted_by(|one, next| one + 1 == *next)));
        assert_eq!(line.recorder.messages, 500);
    }
}
