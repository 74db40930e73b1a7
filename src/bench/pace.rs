//! The open loop: when each message is to be sent, whatever became of those before it. A thread of its own, because a
//! runtime's timers count in milliseconds.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::run::Run;

/// When messages are to be sent, in nanoseconds since the run began.
pub(super) type Ticks = mpsc::UnboundedReceiver<u64>;

/// Ticks for each producer, by turns: `rate` a second in all, until the end of what is measured, `messages` or the last
/// listener.
pub(super) fn start(run: &Arc<Run>, rate: u64) -> Vec<Ticks> {
    let (tell, ticks): (Vec<_>, Vec<_>) = (0..run.plan.producers).map(|_| mpsc::unbounded_channel()).unzip();
    let run = Arc::clone(run);
    let most = run.plan.messages.unwrap_or(u64::MAX);
    std::thread::spawn(move || {
        let first = run.now();
        let mut listeners = tell.iter().cycle();
        for number in 0..most {
            let time = first + u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX);
            if time >= run.window.until {
                return;
            }
            let early = time.saturating_sub(run.now());
            if early > 0 {
                std::thread::sleep(Duration::from_nanos(early));
            }
            if listeners.next().is_none_or(|listener| listener.send(time).is_err()) {
                return;
            }
        }
    });
    ticks
}
