//! Ends the process when one step at the journal takes longer than any healthy disk would (danger 9): sled may wait for
//! ever after an error or in a deadlock, and a broker that waits for ever neither answers nor recovers.
//! It knows nothing of what it watches.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is called with the reason when a step overran its limit.
pub(crate) type OnStall = Box<dyn Fn(&str) + Send>;

/// A thread that waits beside the journal. Dropping it ends the thread.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    limit: Duration,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The step under way: when it is too late, and what it is.
    step: Option<(Instant, String)>,
    /// The thread waits without a limit and must be woken when a step begins.
    idle: bool,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is a plain value that no panic can leave half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way the process ends when a step overran its limit: the reason is logged, then it aborts, since nothing that
/// could still run, destructors included, is to be trusted.
pub(crate) fn abort(reason: &str) {
    tracing::error!("{reason}; the process ends, start it again to recover");
    std::process::abort();
}

impl Watchdog {
    /// Starts the thread. Each step may take `limit`; one that takes longer is handed to `on_stall`, once.
    pub(crate) fn start(limit: Duration, on_stall: OnStall) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-watchdog".to_owned())
            .spawn(move || watch(&seen, limit, &on_stall))?;
        Ok(Self { shared, limit, thread: Some(thread) })
    }

    /// Watches a step until the guard is dropped.
    pub(crate) fn watch(&self, step: impl FnOnce() -> String) -> Watched {
        let mut state = self.shared.state();
        state.step = Some((Instant::now() + self.limit, step()));
        if state.idle {
            self.shared.changed.notify_one();
        }
        drop(state);
        Watched { shared: Arc::clone(&self.shared) }
    }
}

/// A step under way.
pub(crate) struct Watched {
    shared: Arc<Shared>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The thread is not woken: it finds nothing to watch when the old limit passes. A wake-up for each frame would
        // cost more than the frame.
        self.shared.state().step = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn watch(shared: &Shared, limit: Duration, on_stall: &OnStall) {
    let mut state = shared.state();
    while !state.ended {
        let now = Instant::now();
        let wait = state.step.as_ref().map(|(late, _)| late.saturating_duration_since(now));
        match wait {
            Some(Duration::ZERO) => {
                let step = state.step.take().map_or_else(String::new, |(_, step)| step);
                drop(state);
                on_stall(&format!("{step} took longer than {} ms", limit.as_millis()));
                state = shared.state();
            }
            Some(wait) => {
                state = shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            None => {
                state.idle = true;
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn danger_9_a_step_without_end_is_reported_with_its_name() {
        let (stalled, reasons) = mpsc::channel();
        let watchdog = Watchdog::start(
            Duration::from_millis(20),
            Box::new(move |reason| stalled.send(reason.to_owned()).expect("the test listens")),
        )
        .unwrap();
        for _ in 0..1_000 {
            drop(watchdog.watch(|| "a quick step".to_owned()));
        }
        let _stuck = watchdog.watch(|| "append of frame 7".to_owned());
        assert_eq!(reasons.recv().unwrap(), "append of frame 7 took longer than 20 ms");
    }
}
