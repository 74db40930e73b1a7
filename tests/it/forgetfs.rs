//! A mounted file system that can forget what was not synced, be full, and fail: for the tests of power cuts and of
//! disks. Needs FUSE and the program named by `LOCKSTEP_FORGETFS`; without them a test says that it was skipped.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::world::BrokerProcess;

/// One that is mounted.
pub(crate) struct ForgetFs {
    program: PathBuf,
    server: Child,
    folder: TempDir,
}

impl ForgetFs {
    /// Mounts one; `None`, with a word on stdout, where that cannot be. `names` says which names survive a power cut:
    /// `ext4`, where any sync commits them, or `posix`, where only the directory's does.
    pub(crate) fn mount(names: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("LOCKSTEP_FORGETFS").map(PathBuf::from) else {
            println!("skipped: LOCKSTEP_FORGETFS names no program for power cuts and failing disks");
            return None;
        };
        if !Path::new("/dev/fuse").exists() {
            println!("skipped: there is no FUSE here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let mut server = Command::new(&program)
            .args(["mount", "disk", "--ctl", "control", "--dirs", names])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("mounted") {
            println!("skipped: FUSE cannot be used here");
            server.kill().unwrap();
            server.wait().unwrap();
            return None;
        }
        Some(Self { program, server, folder })
    }

    /// Where a broker's data may lie.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("disk/data")
    }

    /// Where what must not fail may lie.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Tells it what to do; its answer.
    pub(crate) fn control(&self, words: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        let output = command.args(["ctl", "control"]).args(words).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> u64 {
        let stats = self.control(&["stats"]);
        let used = stats.split_whitespace().find_map(|word| word.strip_prefix("used="));
        used.and_then(|used| used.parse().ok()).unwrap_or_else(|| panic!("{stats}"))
    }

    /// Bytes of the segments that have a name.
    pub(crate) fn named(&self) -> u64 {
        let files = std::fs::read_dir(self.data().join("segments")).unwrap();
        // One that goes meanwhile has none.
        files.map(|file| file.unwrap().metadata().map_or(0, |about| about.len())).sum()
    }

    /// Lets it count what is left: the space of removed files comes back with every 64th that goes.
    pub(crate) fn count_again(&self) {
        for _ in 0..64 {
            let path = self.folder.path().join("disk/passing");
            std::fs::write(&path, []).unwrap();
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Forgets what was not synced; each unsynced page survives with the chance `keep`.
    pub(crate) fn forget(&self, keep: f32, seed: u64) {
        self.control(&["forget", &format!("keep={keep}"), &format!("seed={}", seed % 1_000_000)]);
    }

    /// In this order no answer can slip out between the cut and the broker's death.
    pub(crate) fn cut_power(&self, broker: BrokerProcess, keep: f32, seed: u64) {
        broker.pause();
        self.control(&["freeze"]);
        broker.kill();
        self.forget(keep, seed);
    }
}

impl Drop for ForgetFs {
    fn drop(&mut self) {
        // Best effort: a test that failed must not leave a mount behind.
        let mut quit = Command::new(&self.program);
        let _ = quit.args(["ctl", "control", "quit"]).current_dir(self.folder.path()).stdout(Stdio::null()).status();
        let _ = self.server.wait();
    }
}
