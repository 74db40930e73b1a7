//! Breaks true histories, so that the checker must report them. Which place is broken is each test's.

use lockstep_simulation::{Plan, checker::check, history::History, simulate};

/// Breaks the first history of these seeds that has the right place for it, and expects one of these rules to be named.
pub(crate) fn broken(seeds: std::ops::Range<u64>, rules: &[&str], breaks: impl Fn(&mut History) -> Option<()>) {
    for seed in seeds {
        let mut history = simulate(&Plan::new(seed)).history;
        if breaks(&mut history).is_none() {
            continue;
        }
        let violation = check(&history).expect_err("a broken history must be reported");
        assert!(rules.contains(&violation.rule), "seed {seed}: expected one of {rules:?}, got {violation}");
        return;
    }
    panic!("no history had the right place");
}
