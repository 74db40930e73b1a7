//! SIGKILL for the broker, round after round on one data directory: under load, while it starts and recovers, while it
//! stops. No acknowledged message is lost, none is delivered again after an acknowledged delete, groups stay in order.
//! `LOCKSTEP_KILL_COUNT` rounds on each journal, from `LOCKSTEP_KILL_SEED`.

use std::{path::Path, time::Duration};

use crate::{
    load::{Load, flags, setting},
    world::BrokerProcess,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_keeps_what_it_acknowledged_on_sled() {
    kills("sled").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_keeps_what_it_acknowledged_on_segments() {
    kills("segments").await;
}

async fn kills(journal: &str) {
    let (seed, count) = (setting("LOCKSTEP_KILL_SEED", 1), setting("LOCKSTEP_KILL_COUNT", 10));
    let flags = flags(journal);
    let mut rng = fastrand::Rng::with_seed(seed);
    let data = tempfile::tempdir().unwrap();
    let load = Load::default();
    for round in 0..count {
        if rng.u8(0..4) == 0 {
            kill_while_starting(data.path(), &flags, &mut rng);
        }
        let broker = BrokerProcess::start_with(data.path(), &flags);
        let answers = rng.u64(20..400);
        let mut clients = load.start(&broker.endpoint, &mut rng, answers).await;
        if rng.u8(0..4) == 0 {
            // Its clients still ask while it drains and closes its journal.
            broker.ask_to_stop();
            pause(rng.u64(0..30)).await;
        }
        broker.kill();
        while clients.join_next().await.is_some() {}
        load.check(&format!("{journal}, seed {seed}, round {round}"));
    }
    let broker = BrokerProcess::start_with(data.path(), &flags);
    load.judge(&broker.endpoint, &format!("{journal}, seed {seed}, {count} kills")).await;
}

/// While it opens the journal, replays it, or has just begun to listen.
fn kill_while_starting(data: &Path, flags: &[&str], rng: &mut fastrand::Rng) {
    let starting = BrokerProcess::spawn_with(data, flags);
    std::thread::sleep(Duration::from_millis(rng.u64(0..40)));
    starting.kill();
}

/// Not a wait for a state: the kill is meant to fall anywhere.
async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
