//! docs/contract.md has a row for each rule of the contract, and names files that are there.

use std::path::{Path, PathBuf};

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.starts_with('.') {
                files_below(&entry.path(), found);
            }
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn every_rule_of_the_contract_has_a_row() {
    let table = include_str!("../../docs/contract.md");
    let rules = [('B', 9), ('H', 12), ('L', 14), ('S', 13), ('O', 9), ('R', 9), ('Q', 7), ('A', 4)];
    for (section, last) in rules {
        for number in 1..=last {
            let beginning = format!("| {section}{number} |");
            assert!(table.lines().any(|line| line.starts_with(&beginning)), "{section}{number} has no row");
        }
    }
}

#[test]
fn every_file_that_the_contract_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    files_below(root, &mut files);
    for line in include_str!("../../docs/contract.md").lines().filter(|line| line.starts_with("| ")) {
        let named = line.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") || name.ends_with(".md"));
        for name in named {
            assert!(files.iter().any(|file| file.ends_with(name)), "{name} is not there: {line}");
        }
    }
}
