//! Which worker place serves which step when several steps run at once: even shares, and nobody moves without need. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::StepId;

/// Gives every slot to a step: even shares, the steps of the front of the list one more where it does not come out even.
/// A slot stays with the step that has it `now`, as far as that step's share goes.
#[must_use]
pub fn share(
    slots: &[usize],
    steps: &[StepId],
    now: &BTreeMap<StepId, BTreeSet<usize>>,
) -> BTreeMap<StepId, BTreeSet<usize>> {
    let mut shares: BTreeMap<StepId, BTreeSet<usize>> = BTreeMap::new();
    if steps.is_empty() {
        return shares;
    }
    let (each, more) = (slots.len() / steps.len(), slots.len() % steps.len());
    let mut free: BTreeSet<usize> = slots.iter().copied().collect();
    for (place, step) in steps.iter().enumerate() {
        let most = each + usize::from(place < more);
        let kept = now.get(step).into_iter().flatten().filter(|slot| free.contains(slot)).copied();
        let kept: BTreeSet<usize> = kept.take(most).collect();
        free.retain(|slot| !kept.contains(slot));
        shares.insert(step.clone(), kept);
    }
    for (place, step) in steps.iter().enumerate() {
        let most = each + usize::from(place < more);
        let share = shares.entry(step.clone()).or_default();
        while share.len() < most
            && let Some(slot) = free.pop_first()
        {
            share.insert(slot);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(names: &[&str]) -> Vec<StepId> {
        names.iter().map(|name| StepId::named(name)).collect()
    }

    #[test]
    fn slots_are_shared_evenly_and_nobody_moves_without_need() {
        let one = share(&[1, 2, 3], &steps(&["a"]), &BTreeMap::new());
        assert_eq!(one[&StepId::named("a")], BTreeSet::from([1, 2, 3]));
        let two = share(&[1, 2, 3], &steps(&["a", "b"]), &one);
        assert_eq!(two[&StepId::named("a")], BTreeSet::from([1, 2]));
        assert_eq!(two[&StepId::named("b")], BTreeSet::from([3]));
        let back = share(&[1, 2, 3], &steps(&["b"]), &two);
        assert_eq!(back[&StepId::named("b")], BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn more_steps_than_slots_leave_the_later_ones_without() {
        let shares = share(&[4], &steps(&["a", "b"]), &BTreeMap::new());
        assert_eq!((shares[&StepId::named("a")].len(), shares[&StepId::named("b")].len()), (1, 0));
        assert!(share(&[1, 2], &[], &BTreeMap::new()).is_empty());
    }
}
