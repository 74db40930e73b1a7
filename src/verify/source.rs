//! An input as it must arrive, and what a job must have made of it. It never looks at the output.

use std::path::Path;

use lockstep_emr_sim::job::{JobKind, recompute_pairs};

use crate::{
    exit::Found,
    pipeline::{
        input::{Filter, Lines, Mapping, demand},
        verdict::Expected,
    },
};

/// An input as it must arrive.
pub(super) struct Source {
    pub(super) lines: u64,
    /// (group, body) of every different id, in arrival order.
    pub(super) messages: Vec<(String, String)>,
}

impl Source {
    /// Reads it as the producers did.
    pub(super) fn read(path: &Path, mapping: &Mapping, skip_bad: bool, job: Option<JobKind>) -> anyhow::Result<Self> {
        let mut filter = Filter::new(mapping.clone(), demand(job));
        let mut lines = Lines::open(path)?;
        let (mut good, mut messages) = (0, Vec::new());
        while let Some((number, line)) = lines.next_line()? {
            let known = filter.distinct();
            match filter.message(number, line) {
                Ok(message) => {
                    good += 1;
                    if filter.distinct() > known {
                        messages.push((message.group, message.body));
                    }
                }
                Err(_) if skip_bad => {}
                Err(what) => return Err(Found(format!("{}, line {number}: {what}", path.display())).into()),
            }
        }
        Ok(Self { lines: good, messages })
    }

    /// The same without the messages that were set aside: (whether, by place).
    pub(super) fn without(&self, aside: &[bool]) -> Self {
        let kept = self.messages.iter().zip(aside).filter(|(_, aside)| !**aside);
        Self { lines: self.lines, messages: kept.map(|(message, _)| message.clone()).collect() }
    }

    /// The lines that the job must have published.
    pub(super) fn expected(self, job: JobKind) -> anyhow::Result<Vec<Expected>> {
        match job {
            JobKind::Transcript => {
                let expected = |(group, body): (String, String)| Expected { group, line: body.into_bytes() };
                Ok(self.messages.into_iter().map(expected).collect())
            }
            JobKind::ReplyPairs => {
                let messages = self.messages.iter().map(|(group, body)| (group.as_str(), body.as_bytes()));
                let pairs = recompute_pairs(messages).map_err(Found)?;
                let group = |input: usize| self.messages[input].0.clone();
                Ok(pairs.map(|pair| Expected { group: group(pair.input), line: pair.line.into_bytes() }).collect())
            }
            JobKind::Count => {
                Err(Found("the job count has no lines of its own: its totals are judged".to_owned()).into())
            }
        }
    }
}
