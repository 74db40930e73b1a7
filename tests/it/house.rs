//! Holds the code to the map in ARCHITECTURE.md: who may depend on whom, what the engine may not know, how long a file
//! may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each room, and the rooms of ours that it may depend on.
const ROOMS: [(&str, &[&str]); 10] = [
    ("proto", &[]),
    ("fuzz", &[]),
    ("page", &[]),
    ("broker/engine", &[]),
    ("broker/journal", &[]),
    ("broker", &["lockstep-engine", "lockstep-journal", "lockstep-page", "lockstep-proto"]),
    ("broker/simulation", &["lockstep-broker", "lockstep-engine", "lockstep-journal"]),
    ("client", &["lockstep-proto"]),
    ("emr-sim", &["lockstep-client", "lockstep-journal"]),
    ("lab", &["lockstep-client", "lockstep-emr-sim", "lockstep-page"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of a file before its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n#[cfg(test)]").next().unwrap().to_owned()
}

#[test]
fn a_room_depends_only_on_the_rooms_below_it() {
    for (room, allowed) in ROOMS {
        let manifest: toml::Table = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for name in dependencies.keys().filter(|name| name.starts_with("lockstep-")) {
            assert!(allowed.contains(&name.as_str()), "{room} must not depend on {name}");
        }
    }
}

#[test]
fn the_engine_knows_no_clock_no_disk_no_chance_and_no_hasher() {
    let forbidden = [
        "std::time",
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net",
        "std::thread",
        "HashMap",
        "async ",
        "serde",
        "rand",
    ];
    for path in rust_files(&root().join("broker/engine/src")) {
        for (number, line) in code(&path).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in forbidden {
                assert!(!line.contains(word), "{}:{}: {word} in the engine", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn only_start_names_a_concrete_journal_or_clock() {
    for path in rust_files(&root().join("broker/src")) {
        let name = path.strip_prefix(root().join("broker/src")).unwrap().to_string_lossy().into_owned();
        if name.starts_with("start") || name == "clock.rs" || name == "lib.rs" {
            continue;
        }
        for word in ["SledJournal", "SegmentsJournal", "MemoryJournal", "SystemClock"] {
            assert!(!code(&path).contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn a_front_sees_neither_engine_state_nor_journal() {
    for path in rust_files(&root().join("broker/src/front")) {
        for word in ["lockstep_journal::", "crate::turn", "crate::sequencer", "crate::recovery", "crate::codec"] {
            assert!(!code(&path).contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_checker_of_the_simulation_shares_no_code_with_what_it_judges() {
    let files = rust_files(&root().join("broker/simulation/src/checker"));
    for path in files.into_iter().chain([root().join("broker/simulation/src/history.rs")]) {
        assert!(!code(&path).contains("lockstep_"), "{} uses a crate that it judges", path.display());
    }
}

#[test]
fn the_simulation_knows_no_clock_no_thread_and_no_runtime() {
    for path in rust_files(&root().join("broker/simulation/src")) {
        for word in ["std::time", "std::thread", "tokio", "HashMap", "std::fs", "std::net"] {
            assert!(!code(&path).contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn every_file_says_why_it_exists_and_stays_short() {
    let folders = [
        "src",
        "proto/src",
        "broker/src",
        "broker/engine/src",
        "broker/journal/src",
        "broker/simulation/src",
        "client/src",
        "emr-sim/src",
        "lab/src",
        "fuzz/src",
        "page/src",
    ];
    for path in folders.iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let text = code(&path);
        assert!(text.starts_with("//!"), "{} does not say why it exists", path.display());
        let lines = text.lines().count();
        let tests = path.ends_with("tests.rs");
        assert!(tests || lines <= 400, "{} has {lines} lines; 400 at most", path.display());
    }
}
