//! `lockstep extend`: changes how long received messages stay hidden, by their receipt handles.

use std::time::SystemTime;

use clap::Args;
use lockstep_client::{Error, v1::VisibilityEntry};

use crate::{
    cli::Global,
    connect::connect,
    exit::Refused,
    output::{moment, say},
};

/// Flags of `extend`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep extend orders.fifo HANDLE --visibility-timeout 600
  lockstep extend orders.fifo HANDLE [HANDLE ...] --visibility-timeout 0     give them back
A strict queue extends the later messages of the same grant at least as far, and takes them back together.")]
pub(crate) struct ExtendArgs {
    /// The queue.
    queue: String,
    /// The receipt handles, 1 to 1000; judged one after the other.
    #[arg(required = true, num_args = 1..=1000)]
    receipt_handle: Vec<String>,
    /// Hide them so long from now, 0 to 43200 seconds, at most 12 hours since the receive; 0 gives them back (R6).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=43200))]
    visibility_timeout: u32,
}

/// Changes the visibility timeout of received messages.
pub(crate) async fn run(args: ExtendArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let entry = |handle: &String| VisibilityEntry {
        receipt_handle: handle.clone(),
        visibility_timeout_seconds: args.visibility_timeout,
    };
    let entries = args.receipt_handle.iter().map(entry).collect();
    let results = client.change_visibility_batch(&args.queue, entries).await?;
    let mut refused = 0;
    for (handle, result) in args.receipt_handle.iter().zip(results) {
        refused += usize::from(result.is_err());
        show(handle, result, args.visibility_timeout == 0, global)?;
    }
    if refused > 0 {
        return Err(Refused(format!("{refused} of {} changes were refused", args.receipt_handle.len())).into());
    }
    Ok(())
}

fn show(handle: &str, result: Result<SystemTime, Error>, back: bool, global: &Global) -> anyhow::Result<()> {
    match result {
        Ok(visible) => {
            let until = moment(visible);
            let shown = serde_json::json!({ "receipt_handle": handle, "changed": true, "visible_at": until });
            let text = if back { "given back".to_owned() } else { format!("hidden until {until}") };
            global.output().result(&shown, || text)
        }
        Err(error) if global.json => {
            let shown = serde_json::json!({
                "receipt_handle": handle, "changed": false, "reason": error.reason(), "message": error.to_string()
            });
            global.output().result(&shown, String::new)
        }
        Err(error) => {
            say(&format!("{handle}: {error}"));
            Ok(())
        }
    }
}
