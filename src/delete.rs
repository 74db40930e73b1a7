//! `lockstep delete`: finishes received messages by their receipt handles.

use clap::Args;

use crate::{cli::Global, connect::connect, exit::Refused, output::say};

/// Flags of `delete`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep delete orders.fifo HANDLE [HANDLE ...]
A strict queue deletes in order: name the handles of one receive together.")]
pub(crate) struct DeleteArgs {
    /// The queue.
    queue: String,
    /// The receipt handles, 1 to 1000; judged as a set.
    #[arg(required = true, num_args = 1..=1000)]
    receipt_handle: Vec<String>,
}

/// Deletes a set of received messages.
pub(crate) async fn run(args: DeleteArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let results = client.delete_batch(&args.queue, args.receipt_handle.clone()).await?;
    let mut refused = 0;
    for (handle, result) in args.receipt_handle.iter().zip(results) {
        match result {
            Ok(deleted) => {
                let gone = deleted.already_gone;
                let shown = serde_json::json!({ "receipt_handle": handle, "deleted": true, "already_gone": gone });
                global
                    .output()
                    .result(&shown, || if gone { "already gone".to_owned() } else { "deleted".to_owned() })?;
            }
            Err(error) => {
                refused += 1;
                let shown = serde_json::json!({
                    "receipt_handle": handle, "deleted": false, "reason": error.reason(), "message": error.to_string()
                });
                if global.json {
                    global.output().result(&shown, String::new)?;
                } else {
                    say(&format!("{handle}: {error}"));
                }
            }
        }
    }
    if refused > 0 {
        return Err(Refused(format!("{refused} of {} deletes were refused", args.receipt_handle.len())).into());
    }
    Ok(())
}
