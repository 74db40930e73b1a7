//! Which messages went through the pool, by what its commits say about each group: so many bodies of this digest, then one
//! set aside. Held against the input it shows every message processed once and in order, whatever processed it.

use std::collections::BTreeMap;

use lockstep_emr_sim::{
    inputs::{Aside, Bodies, GroupInputs, body_digest},
    manifest::Output,
};

use crate::{exit::Found, pipeline::verdict::Compared};

/// What the commits say.
pub(super) struct Ledger {
    /// By place in the input: whether the message is not in the output, and rightly so.
    pub(super) aside: Vec<bool>,
    pub(super) dead_lettered: u64,
    /// Messages of groups that are parked, the first and those behind it.
    pub(super) parked: u64,
    /// `None` where the commits say nothing, because the output alone shows it.
    pub(super) compared: Option<Compared>,
}

/// A group's messages by place, and how far they went.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    gone: usize,
    parked: bool,
}

impl Ledger {
    /// Walks through the commits in the order of the manifest.
    pub(super) fn of(output: &Output, messages: &[(String, String)]) -> anyhow::Result<Self> {
        let aside = vec![false; messages.len()];
        let mut this = Self { aside, dead_lettered: 0, parked: 0, compared: None };
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for (place, (group, _)) in messages.iter().enumerate() {
            groups.entry(group).or_default().places.push(place);
        }
        for line in output.published_files() {
            let Some(inputs) = output.inputs(line).map_err(|error| Found(error.to_string()))? else { continue };
            let compared = this.compared.get_or_insert_default();
            for said in inputs {
                let fault = match groups.get_mut(&*said.group) {
                    Some(group) => group.go_on(&said, messages, &mut this.aside, &mut this.dead_lettered),
                    None => Err("nobody sent to it".to_owned()),
                };
                if let Err(why) = fault {
                    compared.out_of_order += 1;
                    let (commit, group) = (line.commit, said.group);
                    compared.first_violation.get_or_insert_with(|| format!("commit {commit}, group {group}: {why}"));
                }
            }
        }
        if let Some(compared) = &mut this.compared {
            for (name, group) in groups {
                let left = &group.places[group.gone..];
                if group.parked {
                    this.parked += left.len() as u64;
                    left.iter().for_each(|place| this.aside[*place] = true);
                } else if !left.is_empty() {
                    let many = left.len();
                    compared.lost += many as u64;
                    compared
                        .first_violation
                        .get_or_insert_with(|| format!("{many} messages of group {name} are missing"));
                }
            }
        }
        Ok(this)
    }
}

impl Group {
    fn go_on(
        &mut self,
        said: &GroupInputs,
        messages: &[(String, String)],
        aside: &mut [bool],
        dead_lettered: &mut u64,
    ) -> Result<(), String> {
        let many = usize::try_from(said.messages).unwrap_or(usize::MAX);
        let left = &self.places[self.gone..];
        let done = left.get(..many).ok_or_else(|| format!("{many} messages, where {} are left", left.len()))?;
        let mut bodies = Bodies::default();
        done.iter().for_each(|place| bodies.add(messages[*place].1.as_bytes()));
        if bodies.finish() != said.sha256 {
            return Err(format!("its {many} messages are not the next ones of the input"));
        }
        self.gone += many;
        self.parked = false;
        let Some(set_aside) = &said.set_aside else { return Ok(()) };
        let id = &set_aside.message_id;
        let head =
            *self.places.get(self.gone).ok_or_else(|| format!("message {id} was set aside, but none is left"))?;
        if body_digest(messages[head].1.as_bytes()) != set_aside.sha256 {
            return Err(format!("message {id} was set aside, but it is not the next one of the input"));
        }
        match set_aside.outcome {
            Aside::DeadLettered => {
                self.gone += 1;
                aside[head] = true;
                *dead_lettered += 1;
            }
            Aside::Parked => self.parked = true,
        }
        Ok(())
    }
}
