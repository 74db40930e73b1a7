//! Journals of older releases, kept as files: each opens today, and its state is the one that was recorded with it. A
//! folder below `tests/golden` is a data directory whose files are compressed one by one, and STATE, the digest of what
//! it replays to (`lockstep journal check`).

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::world::{BrokerProcess, ended, run};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn unpack(folder: &Path, data: &Path) {
    for packed in files_below(folder).iter().filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
    {
        let name = packed.file_name().unwrap().to_str().unwrap().strip_suffix(".gz").unwrap();
        let path = data.join(packed.strip_prefix(folder).unwrap()).with_file_name(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(File::open(packed).unwrap()).read_to_end(&mut bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn pack(data: &Path, folder: &Path) {
    for path in files_below(data) {
        let relative = path.strip_prefix(data).unwrap();
        let mut packed = folder.join(relative).into_os_string();
        packed.push(".gz");
        fs::create_dir_all(Path::new(&packed).parent().unwrap()).unwrap();
        let mut to = flate2::write::GzEncoder::new(File::create(packed).unwrap(), flate2::Compression::best());
        to.write_all(&fs::read(path).unwrap()).unwrap();
        to.finish().unwrap();
    }
}

fn state(data: &Path) -> String {
    let (code, out, err) = ended(&run(&["journal", "check", data.to_str().unwrap(), "--json"]));
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str::<serde_json::Value>(&out).unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_journal_of_an_older_release_opens_and_means_the_same() {
    let mut seen = 0;
    for folder in fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let data = tempfile::tempdir().unwrap();
        unpack(&folder, data.path());
        let recorded = fs::read_to_string(folder.join("STATE")).unwrap();
        assert_eq!(
            state(data.path()),
            recorded.trim(),
            "{} replays to another state than it was recorded with; see CONTRIBUTING.md",
            folder.display()
        );
        // It does not only replay: it goes on.
        let broker = BrokerProcess::start_with(data.path(), &["--accept-time-jump"]);
        let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
        let (code, _, err) = with(&["send", "orders.fifo", "--group", "g", "one more"]);
        assert_eq!(code, 0, "{}: {err}", folder.display());
        assert_eq!(broker.terminate(), Some(0));
        seen += 1;
    }
    assert!(seen >= 2, "the golden journals are gone");
}

/// Writes a golden journal of each kind, named after this version. Run by hand, once a release (CONTRIBUTING.md).
#[test]
#[ignore = "writes into the repository"]
fn record() {
    for kind in ["sled", "segments"] {
        let data = tempfile::tempdir().unwrap();
        let broker = BrokerProcess::start_with(data.path(), &["--journal", kind]);
        let with = |arguments: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], arguments].concat()));
        assert_eq!(with(&["queue", "create", "orders.fifo"]).0, 0);
        for n in 1..=9 {
            assert_eq!(with(&["send", "orders.fifo", "--group", &format!("g{}", n % 3), &format!("order {n}")]).0, 0);
        }
        assert_eq!(with(&["receive", "orders.fifo", "--max", "2", "--delete"]).0, 0);
        assert_eq!(with(&["receive", "orders.fifo", "--max", "1"]).0, 0);
        assert_eq!(broker.terminate(), Some(0));
        let folder = golden().join(format!("{}-{kind}", env!("CARGO_PKG_VERSION")));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let state = state(data.path());
        pack(data.path(), &folder);
        fs::write(folder.join("STATE"), format!("{state}\n")).unwrap();
    }
}
