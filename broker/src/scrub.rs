//! Reads every stored body again, slowly, so that damage is found while there is a backup and not when somebody needs the
//! body (H6). It takes nothing out of delivery: whoever reads a damaged body is told, and only its group waits.

use std::time::Duration;

use lockstep_engine::{
    command::QueueRef,
    words::{QueueName, SequenceNumber},
};

use crate::{failure::Failure, handle::Handle, limits};

/// One pass after the other, a pause before each, until nobody waits for it any more.
pub(crate) async fn run(handle: Handle, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        match pass(&handle).await {
            Ok(damaged) if damaged > 0 => {
                let way_out = "`lockstep journal check` names them, with the broker stopped (H6)";
                tracing::error!(damaged, way_out, "stored bodies cannot be read");
            }
            Ok(_) => {}
            // The next pass begins anew.
            Err(failure) => tracing::debug!(%failure, "a pass over the stored bodies ended early"),
        }
    }
}

/// Reads all bodies of all queues; how many are damaged.
async fn pass(handle: &Handle) -> Result<u64, Failure> {
    let (mut damaged, mut last) = (0, String::new());
    loop {
        let page = handle.list_queues(String::new(), last, limits::PAGE as usize).await?;
        let Some(end) = page.last() else { break };
        last = end.name.to_string();
        for queue in page {
            damaged += of_queue(handle, queue.name).await?;
        }
    }
    handle.scrubbed(damaged);
    Ok(damaged)
}

async fn of_queue(handle: &Handle, name: QueueName) -> Result<u64, Failure> {
    let (mut damaged, mut after) = (0, SequenceNumber(0));
    let queue = QueueRef { name, generation: None };
    loop {
        let checked = match handle.check_bodies(queue.clone(), after).await {
            Ok(Some(checked)) => checked,
            // One that went meanwhile has no bodies.
            Ok(None) | Err(Failure::Rejected(_)) => return Ok(damaged),
            Err(failure) => return Err(failure),
        };
        (damaged, after) = (damaged + checked.damaged, checked.last);
        tokio::time::sleep(Duration::from_millis(1 + checked.bytes * 1_000 / limits::SCRUB_BYTES_A_SECOND)).await;
    }
}
