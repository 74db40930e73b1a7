//! The verdict, reached outside the broker: what was put in against what was published. Every expected line once, in
//! order within its group, and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// An expected line of the output, in arrival order.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) group: String,
    pub(crate) line: Vec<u8>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) foreign: u64,
    pub(crate) first_violation: Option<String>,
}

impl Compared {
    /// Both together; the first violation of the first.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost.max(other.lost),
            duplicated: self.duplicated + other.duplicated,
            out_of_order: self.out_of_order + other.out_of_order,
            foreign: self.foreign + other.foreign,
            first_violation: self.first_violation.or(other.first_violation),
        }
    }
}

/// Compares lines as they come with what is expected.
pub(crate) struct Comparison {
    places: HashMap<[u8; 16], VecDeque<usize>>,
    expected: Vec<(u32, bool)>,
    groups: Vec<String>,
    newest: Vec<Option<usize>>,
    compared: Compared,
}

impl Comparison {
    pub(crate) fn new(expected: impl Iterator<Item = Expected>) -> Self {
        let mut this = Self {
            places: HashMap::new(),
            expected: Vec::new(),
            groups: Vec::new(),
            newest: Vec::new(),
            compared: Compared::default(),
        };
        let mut numbers: HashMap<String, u32> = HashMap::new();
        for Expected { group, line } in expected {
            let next = u32::try_from(numbers.len()).expect("fewer than 2^32 groups");
            let number = *numbers.entry(group).or_insert_with_key(|group| {
                this.groups.push(group.clone());
                this.newest.push(None);
                next
            });
            this.places.entry(key(&line)).or_default().push_back(this.expected.len());
            this.expected.push((number, false));
        }
        this
    }

    /// Takes the next published line; `place` says where it stands.
    pub(crate) fn line(&mut self, line: &[u8], place: impl Fn() -> String) {
        let key = key(line);
        let Some(places) = self.places.get_mut(&key) else {
            self.compared.foreign += 1;
            return self.violation(|| format!("{}: a line that nobody sent: {}", place(), shown(line)));
        };
        let Some(index) = places.pop_front() else {
            self.compared.duplicated += 1;
            return self.violation(|| format!("{}: published before: {}", place(), shown(line)));
        };
        let (group, found) = &mut self.expected[index];
        *found = true;
        let group = *group as usize;
        if self.newest[group].is_some_and(|newest| newest > index) {
            self.compared.out_of_order += 1;
            let name = self.groups[group].clone();
            return self.violation(|| format!("{}: out of order in group {name}: {}", place(), shown(line)));
        }
        self.newest[group] = Some(index);
    }

    fn violation(&mut self, text: impl FnOnce() -> String) {
        self.compared.first_violation.get_or_insert_with(text);
    }

    /// What was found, when every line was seen.
    pub(crate) fn finish(mut self) -> Compared {
        let missing = self.expected.iter().filter(|(_, found)| !found);
        self.compared.lost = missing.clone().count() as u64;
        if let Some((group, _)) = missing.clone().next() {
            let name = self.groups[*group as usize].clone();
            let lost = self.compared.lost;
            self.violation(|| format!("{lost} lines are missing, the first of group {name}"));
        }
        self.compared
    }
}

fn key(line: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(line).into();
    *digest.first_chunk().expect("16 of 32 bytes")
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(160).collect()
}

/// The whole verdict, as it is printed and as JSON.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) ok: bool,
    /// Good input lines.
    pub(crate) sent: u64,
    /// Different message ids among the answers.
    pub(crate) accepted: u64,
    pub(crate) turned_away: u64,
    /// Messages that the published files stand for.
    pub(crate) processed: u64,
    /// Messages that could not be processed and are in the dead-letter queue.
    pub(crate) dead_lettered: u64,
    /// Messages that wait in parked groups.
    pub(crate) parked: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) violation: Option<String>,
}

/// The counts that do not come from the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) distinct: u64,
    pub(crate) accepted: u64,
    pub(crate) processed: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) parked: u64,
}

impl Verdict {
    pub(crate) fn new(counts: Counts, compared: Compared) -> Self {
        let Counts { sent, distinct, accepted, processed, dead_lettered, parked } = counts;
        let told = processed + dead_lettered + parked;
        let unprocessed = accepted.saturating_sub(told);
        let violation = compared.first_violation.or_else(|| {
            (accepted != distinct)
                .then(|| format!("the broker accepted {accepted} messages, the input holds {distinct} different ones"))
                .or_else(|| {
                    (told != accepted).then(|| format!("{accepted} accepted, but {told} processed or set aside"))
                })
        });
        Self {
            ok: violation.is_none(),
            sent,
            accepted,
            turned_away: sent.saturating_sub(accepted),
            processed,
            dead_lettered,
            parked,
            lost: compared.lost.max(unprocessed),
            duplicated: compared.duplicated.max(told.saturating_sub(accepted)),
            out_of_order: compared.out_of_order,
            violation,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |count: u64, what: &str| if count > 0 { format!(", {what} {count}") } else { String::new() };
        let aside = named(self.dead_lettered, "dead-lettered") + &named(self.parked, "parked");
        write!(
            f,
            "{}: sent {}, accepted {}, turned away {}, processed {}{}, lost {}, duplicated {}, out of order {}",
            if self.ok { "ok" } else { "failed" },
            self.sent,
            self.accepted,
            self.turned_away,
            self.processed,
            aside,
            self.lost,
            self.duplicated,
            self.out_of_order
        )?;
        match &self.violation {
            Some(violation) => write!(f, "; first violation: {violation}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(published: &[&str]) -> Compared {
        let expected = ["a1", "b1", "a2", "b2"]
            .into_iter()
            .map(|line| Expected { group: line[..1].to_owned(), line: line.as_bytes().to_vec() });
        let mut comparison = Comparison::new(expected);
        for line in published {
            comparison.line(line.as_bytes(), || "here".to_owned());
        }
        comparison.finish()
    }

    #[test]
    fn groups_may_interleave_in_any_way() {
        assert_eq!(compared(&["b1", "b2", "a1", "a2"]), Compared::default());
    }

    #[test]
    fn every_kind_of_violation_is_counted_and_the_first_is_named() {
        let found = compared(&["a2", "a1", "b1", "b1", "x"]);
        assert_eq!((found.lost, found.duplicated, found.out_of_order, found.foreign), (1, 1, 1, 1));
        assert!(found.first_violation.unwrap().contains("out of order in group a"));
    }

    #[test]
    fn a_count_that_does_not_fit_is_no_ok() {
        let counts = Counts { sent: 5, distinct: 4, accepted: 4, processed: 3, dead_lettered: 0, parked: 0 };
        let verdict = Verdict::new(counts, Compared::default());
        assert!(!verdict.ok && verdict.lost == 1);
        let verdict = Verdict::new(Counts { processed: 4, ..counts }, Compared::default());
        assert_eq!(
            verdict.to_string(),
            "ok: sent 5, accepted 4, turned away 1, processed 4, lost 0, duplicated 0, out of order 0"
        );
        let verdict = Verdict::new(Counts { dead_lettered: 1, ..counts }, Compared::default());
        assert!(verdict.ok && verdict.to_string().contains("processed 3, dead-lettered 1, lost 0"), "{verdict}");
    }
}
