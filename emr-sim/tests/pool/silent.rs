//! A worker that hangs: its claim is another's after a while, and when it comes back its commit is refused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use lockstep_emr_sim::crash::{CrashPoint, CrashPoints};
use lockstep_emr_sim::job::JobKind;
use lockstep_emr_sim::manifest::Output;

use crate::fake::FakeBroker;
use crate::world::{conversations, judge, open, settings};

/// Holds up the thread of whoever comes there first, as SIGSTOP would, until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    taken: AtomicBool,
    claim: AtomicU64,
}

impl Gate {
    fn pass(&self, claim: u64) {
        if !self.taken.swap(true, Ordering::SeqCst) {
            self.claim.store(claim, Ordering::SeqCst);
            drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_hangs_is_given_up_and_refused_when_it_comes_back() {
    for point in [CrashPoint::BeforeFile, CrashPoint::AfterFile] {
        let (broker, out, gate) = (FakeBroker::new(), tempfile::tempdir().unwrap(), Arc::new(Gate::default()));
        let messages = conversations(11, 100, false);
        let mut settings = settings(out.path(), JobKind::Transcript);
        settings.silence = Duration::from_millis(1_500);
        let held = Arc::clone(&gate);
        settings.crash = CrashPoints::new(move |at, claim| {
            if at == point {
                held.pass(claim);
            }
            false
        });
        let (pool, handle) = open(&broker, settings).await.unwrap();
        let running = tokio::spawn(pool.run());
        for (group, body) in &messages {
            broker.send(group, body);
        }
        let mut progress = handle.progress();
        let all = progress.wait_for(|progress| progress.manifest_lines > 0 && progress.messages_committed == 100);
        assert_eq!(all.await.unwrap().given_up, 1, "{point:?}");
        gate.open();
        let refused = progress.wait_for(|progress| progress.refused.0 > 0).await.unwrap().refused.clone();
        let claim = gate.claim.load(Ordering::SeqCst);
        // What is committed is said first (B1): then the epoch is not looked at any more.
        let words = ["ClaimFenced", "CommitConflict"].map(|why| format!("claim {claim}: {why}"));
        assert!(refused.0 == 1 && words.iter().any(|word| refused.1.contains(word)), "{refused:?}");
        handle.no_more_messages();
        assert_eq!(running.await.unwrap().unwrap().worker_deaths, 0);
        let output = Output::open(out.path()).unwrap();
        let once = output.published_files().iter().filter(|line| line.record.claim == claim).count();
        assert_eq!(once, 1, "its claim was published by the other one alone");
        judge(out.path(), &broker, JobKind::Transcript, &messages, false);
    }
}
