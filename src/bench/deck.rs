//! Which group the next message of a producer is of, and its number there. Groups are dealt to the producers like cards,
//! so that each group's order has one author.

use bytes::Bytes;

use super::{
    body::{Bodies, Stamp},
    plan::Plan,
};

/// A message that was drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) group: u32,
    /// When it was to be sent, in nanoseconds since the run began.
    pub(super) time: u64,
    pub(super) body: Bytes,
}

/// The groups of one producer.
#[derive(Debug)]
pub(super) struct Deck {
    first: u32,
    step: u32,
    odds: Odds,
    chance: fastrand::Rng,
    /// The number of the next message, by the place of its group among this producer's.
    next: Vec<u32>,
    bodies: Bodies,
    /// Messages that may be drawn still.
    left: u64,
}

impl Deck {
    pub(super) fn new(plan: &Plan, producer: u32, run: u64) -> Self {
        let groups = (plan.groups - producer).div_ceil(plan.producers);
        let share = |all: u64| {
            all / u64::from(plan.producers) + u64::from(all % u64::from(plan.producers) > u64::from(producer))
        };
        Self {
            first: producer,
            step: plan.producers,
            odds: plan.zipf.map_or(Odds::Even(groups), |s| Odds::zipf(groups, s)),
            chance: fastrand::Rng::with_seed(plan.seed ^ (run << 40) ^ (u64::from(producer) << 20)),
            next: vec![0; groups as usize],
            bodies: Bodies::new(plan.size as usize),
            left: plan.messages.map_or(u64::MAX, share),
        }
    }

    /// How many groups it has.
    pub(super) fn groups(&self) -> usize {
        self.next.len()
    }

    /// The place of the next message's group, or `None` when all were drawn.
    pub(super) fn draw(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        Some(self.odds.draw(&mut self.chance))
    }

    /// The next message of the group at this place.
    pub(super) fn message(&mut self, place: u32, time: u64) -> Drawn {
        let next = &mut self.next[place as usize];
        let number = *next;
        *next += 1;
        let group = self.first + place * self.step;
        Drawn { group, time, body: self.bodies.make(Stamp { group, number, time }) }
    }

    /// The place of a group of this producer.
    pub(super) fn place(&self, group: u32) -> u32 {
        (group - self.first) / self.step
    }

    /// How many messages were made, by group.
    pub(super) fn made(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (self.first..).step_by(self.step as usize).zip(self.next.iter().copied())
    }
}

/// How likely a group is.
#[derive(Debug)]
enum Odds {
    Even(u32),
    /// Walker's alias method: a column, and how much of it is its own, the rest is another's.
    Columns(Vec<(f64, u32)>),
}

impl Odds {
    /// The group at place k is 1 / (k + 1)^s as likely as the first.
    fn zipf(groups: u32, s: f64) -> Self {
        let weights: Vec<f64> = (1..=groups).map(|rank| f64::from(rank).powf(-s)).collect();
        let mean = weights.iter().sum::<f64>() / f64::from(groups);
        let mut columns: Vec<(f64, u32)> =
            weights.iter().zip(0..).map(|(weight, place)| (weight / mean, place)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..groups).partition(|place| columns[*place as usize].0 < 1.0);
        while let (Some(little), Some(much)) = (small.pop(), large.last().copied()) {
            let own = columns[little as usize].0;
            columns[little as usize].1 = much;
            let rest = &mut columns[much as usize].0;
            *rest -= 1.0 - own;
            if *rest < 1.0 {
                large.pop();
                small.push(much);
            }
        }
        Self::Columns(columns)
    }

    fn draw(&self, chance: &mut fastrand::Rng) -> u32 {
        match self {
            Self::Even(groups) => chance.u32(0..*groups),
            Self::Columns(columns) => {
                let place = chance.usize(0..columns.len());
                let (own, other) = columns[place];
                if chance.f64() < own { u32::try_from(place).unwrap_or(0) } else { other }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_each_group_by_its_rank() {
        let odds = Odds::zipf(100, 1.0);
        let mut chance = fastrand::Rng::with_seed(7);
        let mut drawn = [0_u32; 100];
        (0..520_000).for_each(|_| drawn[odds.draw(&mut chance) as usize] += 1);
        // The sum of 1/k up to 100 is 5.187: the first group has 100,000 of them, the tenth a tenth of that.
        let near = |place: usize, expected: f64| (f64::from(drawn[place]) / expected - 1.0).abs() < 0.1;
        assert!(near(0, 100_240.0) && near(9, 10_024.0) && near(49, 2_005.0), "{drawn:?}");
    }

    #[test]
    fn producers_share_the_groups_and_no_group_has_two() {
        let of = |producer| {
            let mut deck = Deck {
                first: producer,
                step: 3,
                odds: Odds::Even((10 - producer).div_ceil(3)),
                chance: fastrand::Rng::with_seed(1),
                next: vec![0; (10 - producer).div_ceil(3) as usize],
                bodies: Bodies::new(32),
                left: 5,
            };
            while let Some(place) = deck.draw() {
                let drawn = deck.message(place, 1);
                assert_eq!(deck.place(drawn.group), place);
            }
            deck.made().collect::<Vec<_>>()
        };
        let mut all: Vec<u32> = (0..3).flat_map(of).map(|(group, _)| group).collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!((0..3).flat_map(of).map(|(_, made)| made).sum::<u32>(), 15);
    }
}
