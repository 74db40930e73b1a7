//! Power cuts: a broker on a file system that forgets what was not synced. `kill -9` proves nothing about syncs, since
//! the kernel keeps every written byte; here the broker is stopped, the disk freezes, and what no sync confirmed is
//! gone. Nothing acknowledged may be lost. Needs FUSE and the program named by `LOCKSTEP_FORGETFS`; without them the
//! test says that it was skipped. `LOCKSTEP_POWER_COUNT` cuts on each journal, from `LOCKSTEP_POWER_SEED`.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    load::{Load, flags, setting},
    world::BrokerProcess,
};

/// How the disk treats what was not synced.
#[derive(Clone, Copy, Debug)]
struct Disk {
    /// Which names survive: `ext4`, where any sync commits them, or `posix`, where only the directory's does.
    names: &'static str,
    /// The chance of an unsynced page to survive.
    keep: f32,
}

const DISKS: [Disk; 3] =
    [Disk { names: "ext4", keep: 0.0 }, Disk { names: "ext4", keep: 0.5 }, Disk { names: "posix", keep: 0.0 }];

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keep {}", self.names, self.keep)
    }
}

/// A mounted file system that forgets.
struct ForgetFs {
    program: PathBuf,
    disk: Disk,
    server: Child,
    folder: TempDir,
}

impl ForgetFs {
    /// Mounts one; `None`, with a word on stdout, where that cannot be.
    fn mount(disk: Disk) -> Option<Self> {
        let Some(program) = std::env::var_os("LOCKSTEP_FORGETFS").map(PathBuf::from) else {
            println!("skipped: LOCKSTEP_FORGETFS names no program for power cuts");
            return None;
        };
        if !Path::new("/dev/fuse").exists() {
            println!("skipped: there is no FUSE here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let mut server = Command::new(&program)
            .args(["mount", "disk", "--ctl", "control", "--dirs", disk.names])
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
        Some(Self { program, disk, server, folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("disk/data")
    }

    fn control(&self, words: &[&str]) {
        let mut command = Command::new(&self.program);
        command.args(["ctl", "control"]).args(words).current_dir(self.folder.path()).stdout(Stdio::null());
        assert!(command.status().unwrap().success(), "{words:?}");
    }

    /// In this order no answer can slip out between the cut and the broker's death.
    fn cut_power(&self, broker: BrokerProcess, seed: u64) {
        broker.pause();
        self.control(&["freeze"]);
        broker.kill();
        self.forget(seed);
    }

    fn forget(&self, seed: u64) {
        self.control(&["forget", &format!("keep={}", self.disk.keep), &format!("seed={}", seed % 1_000_000)]);
    }

    /// A cut while the broker opens its journal and replays it.
    fn cut_while_starting(&self, journal: &str, rng: &mut fastrand::Rng) {
        let starting = BrokerProcess::spawn_with(&self.data(), &flags(journal));
        std::thread::sleep(Duration::from_millis(rng.u64(0..60)));
        starting.pause();
        self.control(&["freeze"]);
        starting.kill();
        self.forget(rng.u64(..));
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

async fn cuts(journal: &str) {
    let (seed, count) = (setting("LOCKSTEP_POWER_SEED", 1), setting("LOCKSTEP_POWER_COUNT", 3));
    let mut rng = fastrand::Rng::with_seed(seed);
    for (disk, index) in DISKS.into_iter().zip(0..) {
        let Some(fs) = ForgetFs::mount(disk) else { return };
        let rounds = count / 3 + u64::from(index < count % 3);
        let load = Load::default();
        for round in 0..rounds {
            if rng.u8(0..4) == 0 {
                fs.cut_while_starting(journal, &mut rng);
            }
            let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
            let answers = rng.u64(20..400);
            let mut clients = load.start(&broker.endpoint, &mut rng, answers).await;
            if rng.u8(0..4) == 0 {
                broker.ask_to_stop();
                tokio::time::sleep(Duration::from_millis(rng.u64(0..30))).await;
            }
            fs.cut_power(broker, rng.u64(..));
            while clients.join_next().await.is_some() {}
            load.check(&format!("{journal} on {disk}, seed {seed}, round {round}"));
        }
        let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
        load.judge(&broker.endpoint, &format!("{journal} on {disk}, seed {seed}, {rounds} power cuts")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_acknowledged_on_sled() {
    cuts("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_acknowledged_on_segments() {
    cuts("segments").await;
}
