//! Progress bars on stderr: sending and processing. Silent when stderr is no terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lockstep_emr_sim::pool::PoolHandle;
use tokio::task::JoinHandle;

use crate::pipeline::{producers::Producers, setup::Run};

/// Bars that follow a run.
pub(super) struct Shown {
    task: JoinHandle<()>,
    bars: MultiProgress,
}

impl Shown {
    /// Starts to show.
    pub(super) fn start(run: &Run, producers: &Producers, pool: &PoolHandle) -> Self {
        let bars = MultiProgress::new();
        let sending = bars.add(bar("sending", run.input.lines));
        let processing = bars.add(bar("processing", run.input.distinct));
        let (mut reports, mut progress) = (producers.reports(), pool.progress());
        let task = tokio::spawn(async move {
            loop {
                sending.set_position(reports.borrow_and_update().iter().map(|report| report.sent).sum());
                processing.set_position(progress.borrow_and_update().messages_committed);
                tokio::select! {
                    Ok(()) = reports.changed() => {}
                    Ok(()) = progress.changed() => {}
                    else => return,
                }
            }
        });
        Self { task, bars }
    }

    /// Takes the bars away.
    pub(super) fn finish(self) {
        self.task.abort();
        // A terminal that went away needs no clearing.
        let _ = self.bars.clear();
    }
}

fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} {wide_bar} {pos}/{len} {per_sec}")
        .expect("the template is a constant")
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_prefix(what)
}
