//! Power cuts: a broker on a file system that forgets what was not synced. `kill -9` proves nothing about syncs, since
//! the kernel keeps every written byte; here the broker is stopped, the disk freezes, and what no sync confirmed is
//! gone. Nothing acknowledged may be lost. `LOCKSTEP_POWER_COUNT` cuts on each journal, from `LOCKSTEP_POWER_SEED`.

use std::{fmt, time::Duration};

use crate::{
    forgetfs::ForgetFs,
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

/// A cut while the broker opens its journal and replays it.
fn cut_while_starting(fs: &ForgetFs, disk: Disk, journal: &str, rng: &mut fastrand::Rng) {
    let starting = BrokerProcess::spawn_with(&fs.data(), &flags(journal));
    std::thread::sleep(Duration::from_millis(rng.u64(0..60)));
    fs.cut_power(starting, disk.keep, rng.u64(..));
}

async fn cuts(journal: &str) {
    let (seed, count) = (setting("LOCKSTEP_POWER_SEED", 1), setting("LOCKSTEP_POWER_COUNT", 3));
    let mut rng = fastrand::Rng::with_seed(seed);
    for (disk, index) in DISKS.into_iter().zip(0..) {
        let Some(fs) = ForgetFs::mount(disk.names) else { return };
        let rounds = count / 3 + u64::from(index < count % 3);
        let load = Load::default();
        for round in 0..rounds {
            if rng.u8(0..4) == 0 {
                cut_while_starting(&fs, disk, journal, &mut rng);
            }
            let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
            let answers = rng.u64(20..400);
            let mut clients = load.start(&broker.endpoint, &mut rng, answers).await;
            if rng.u8(0..4) == 0 {
                broker.ask_to_stop();
                tokio::time::sleep(Duration::from_millis(rng.u64(0..30))).await;
            }
            fs.cut_power(broker, disk.keep, rng.u64(..));
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
