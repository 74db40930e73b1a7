//! `lockstep tag`: a queue's tags, words for people that decide nothing (L12).

use std::collections::BTreeMap;

use clap::Args;

use crate::{cli::Global, connect::connect};

/// Flags of `tag`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep tag orders.fifo team=blue stage=test      adds these, or replaces their values; then prints all
  lockstep tag orders.fifo --remove stage
  lockstep tag orders.fifo --json                    prints them and changes nothing")]
pub(crate) struct TagArgs {
    /// The queue.
    queue: String,
    /// Tags to add, at most 50 in all: a key of 1 to 128 characters up to the first `=`, and a value of 0 to 256.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// Keys of tags to remove, before any is added; those that are not there are passed over.
    #[arg(long, value_name = "KEY", num_args = 1..)]
    remove: Vec<String>,
}

/// A tag as flags give it.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE; the value may be empty (L12)")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Tags by key; a usage error when one is given twice.
pub(crate) fn tags(given: Vec<(String, String)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        if tags.insert(key.clone(), value).is_some() {
            return Err(crate::exit::Usage(format!("tag {key:?} is given twice; give it once (L12)")).into());
        }
    }
    Ok(tags)
}

/// Changes tags, and prints what the queue has then.
pub(crate) async fn run(args: TagArgs, global: &Global) -> anyhow::Result<()> {
    let new = tags(args.tags)?;
    let client = connect(global).await?;
    if !args.remove.is_empty() {
        client.untag_queue(&args.queue, &args.remove).await?;
    }
    if !new.is_empty() {
        client.tag_queue(&args.queue, &new).await?;
    }
    let tags = client.list_queue_tags(&args.queue).await?;
    let shown = serde_json::json!({ "queue": args.queue, "tags": tags });
    global.output().result(&shown, || {
        let lines: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if lines.is_empty() { format!("{} has no tags", args.queue) } else { lines.join("\n") }
    })
}
