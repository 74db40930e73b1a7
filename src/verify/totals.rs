//! What the job `count` published against the input: the totals of a group rise, each is that of its first messages, and
//! the last is that of all of them.

use std::collections::BTreeMap;

use lockstep_emr_sim::{job::Total, manifest::Output};

use super::source::Source;
use crate::{exit::Found, pipeline::verdict::Compared};

/// A group's messages: the bytes of the first n together, by n; and its newest total.
#[derive(Default)]
struct Group {
    bytes: Vec<u64>,
    newest: Option<Total>,
}

/// Compares the totals with those of the input.
pub(super) fn compare(output: &Output, source: &Source) -> anyhow::Result<Compared> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for (group, body) in &source.messages {
        let bytes = &mut groups.entry(group).or_default().bytes;
        bytes.push(bytes.last().unwrap_or(&0) + body.len() as u64);
    }
    let mut compared = Compared::default();
    for file in output.verified_files() {
        let file = file.map_err(|error| Found(error.to_string()))?;
        for (line, number) in file.lines().zip(1_u64..) {
            if let Err(why) = judge(line, &mut groups) {
                compared.foreign += 1;
                let name = &file.line.record.file;
                compared.first_violation.get_or_insert_with(|| format!("{name}, line {number}: {why}"));
            }
        }
    }
    for (name, group) in groups {
        let counted = group.newest.map_or(0, |total| total.messages);
        let missing = (group.bytes.len() as u64).saturating_sub(counted);
        compared.lost += missing;
        if missing > 0 {
            compared
                .first_violation
                .get_or_insert_with(|| format!("{missing} messages of group {name} are not counted"));
        }
    }
    Ok(compared)
}

fn judge(line: &[u8], groups: &mut BTreeMap<&str, Group>) -> Result<(), String> {
    let total = Total::parse(line)?;
    let group = groups.get_mut(&*total.group).ok_or_else(|| format!("nobody sent to group {}", total.group))?;
    let place = usize::try_from(total.messages.saturating_sub(1)).unwrap_or(usize::MAX);
    if group.bytes.get(place) != Some(&total.bytes) {
        let Total { group, messages, bytes, .. } = total;
        return Err(format!("{messages} messages of group {group} do not have {bytes} bytes"));
    }
    let rises = |earlier: &Total| {
        earlier.messages < total.messages
            && earlier.last_sequence_number < total.last_sequence_number
            && earlier.first_sequence_number == total.first_sequence_number
    };
    if !group.newest.as_ref().is_none_or(rises) {
        return Err(format!("the total of group {} does not go on from the one before", total.group));
    }
    group.newest = Some(total);
    Ok(())
}
