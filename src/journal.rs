//! `lockstep journal`: verify, show, compact, repair, save and restore the journal of a data directory that no broker
//! has, and save that of a broker that serves. The work is the broker library's.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use lockstep_broker::{
    OpenError, StoreKind,
    tools::{self, Arriving, Checked, Dumped, Repair, Shown, ToolError},
};
use serde_json::json;

use crate::{
    cli::Global,
    connect::connect,
    exit::{Found, Refused},
    output::{Output, print, say},
};

/// Flags of `journal`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep journal check ./data                      everything, bodies too; exit 1 where something is damaged
  lockstep journal dump ./data --from 100 --json     frames and their events
  lockstep journal compact ./data                    what nobody needs any more goes, at once
  lockstep journal repair ./data                     what a repair would do; with --yes it is done
  lockstep journal backup ./data day.backup          one file, receipt key included: keep it as secret as the data
  lockstep journal backup day.backup                 the same of the broker at --endpoint, which goes on serving
  lockstep journal restore day.backup ./new-data     a new data directory, under a new identity
None works on a directory that a broker has open; backup without a directory asks the broker.")]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    verb: JournalVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum JournalVerb {
    /// Verify everything: frames, state and every body.
    Check {
        /// The data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
    },
    /// Show the checkpoint and the frames with their events.
    Dump {
        /// The data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// The first frame to be shown; without it the checkpoint is shown, too.
        #[arg(long, default_value_t = 0, value_name = "FRAME")]
        from: u64,
        /// Show the bodies, too.
        #[arg(long)]
        bodies: bool,
    },
    /// Keep the state and the bodies that are needed, drop everything else.
    Compact {
        /// The data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
    },
    /// Say what is damaged and would be cut or removed; with --yes do it. The store as it was is kept.
    Repair {
        /// The data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// Do what is said.
        #[arg(long)]
        yes: bool,
    },
    /// Save a journal and its receipt key in one new file: of a data directory that no broker has, or of the broker at
    /// --endpoint while it serves.
    #[command(allow_missing_positional = true)]
    Backup {
        /// The data directory; without it the broker at --endpoint is asked.
        #[arg(value_name = "DIR")]
        data: Option<PathBuf>,
        /// The file; it must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make a new data directory from a backup. Its journal has a new identity: pools and readers notice.
    Restore {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The data directory; it must not exist.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// Where the new journal lies.
        #[arg(long, default_value = "sled")]
        journal: Kind,
    },
}

/// A kind of journal on disk.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The store sled.
    Sled,
    /// Append-only files.
    Segments,
}

/// Runs the verb; it blocks, which nothing else waits for.
pub(crate) async fn run(args: JournalArgs, global: &Global) -> anyhow::Result<()> {
    let output = global.output();
    match args.verb {
        JournalVerb::Check { data } => check(&tools::check(&data).map_err(|error| told(&error))?, output),
        JournalVerb::Dump { data, from, bodies } => {
            let mut outcome = Ok(());
            let each = |shown| {
                outcome = show(&shown, output);
                outcome.is_ok()
            };
            let dumped = tools::dump(&data, Dumped { from, bodies, each }).map_err(|error| told(&error));
            outcome.and(dumped)
        }
        JournalVerb::Compact { data } => {
            let done = tools::compact(&data).map_err(|error| told(&error))?;
            let value = json!({"bytes_before": done.before, "bytes_after": done.after, "frames": done.frames});
            output.result(&value, || {
                format!("{} bytes before, {} after; {} frames are kept", done.before, done.after, done.frames)
            })
        }
        JournalVerb::Repair { data, yes } => {
            repair(tools::plan_repair(&data).map_err(|error| told(&error))?, yes, output)
        }
        JournalVerb::Backup { data, file } => {
            let saved = match data {
                Some(data) => tools::backup(&data, &file).map_err(|error| told(&error))?,
                None => backup(&file, global).await?,
            };
            said(&saved, "saved journal", output)
        }
        JournalVerb::Restore { file, data, journal } => {
            let kind = match journal {
                Kind::Sled => StoreKind::Sled,
                Kind::Segments => StoreKind::Segments,
            };
            let saved = tools::restore(&file, &data, kind).map_err(|error| told(&error))?;
            said(&saved, "restored as journal", output)
        }
    }
}

/// Saves the journal of a broker that serves.
async fn backup(file: &Path, global: &Global) -> anyhow::Result<tools::Saved> {
    Arriving::check(file).map_err(|error| told(&error))?;
    let mut chunks = connect(global).await?.backup().await?;
    let mut arriving = Arriving::begin(file).map_err(|error| told(&error))?;
    while let Some(chunk) = chunks.chunk().await? {
        arriving
            .write_all(&chunk)
            .map_err(|error| Refused(format!("{} cannot be written: {error}", file.display())))?;
    }
    arriving.finish().map_err(|error| told(&error))
}

fn said(saved: &tools::Saved, what: &str, output: Output) -> anyhow::Result<()> {
    let value = json!({"journal": saved.journal, "last_frame": saved.last, "bodies": saved.bodies});
    output
        .result(&value, || format!("{what} {} up to frame {}, with {} bodies", saved.journal, saved.last, saved.bodies))
}

/// Damage is a failure that was found; what is in the way of the tool refuses it.
fn told(error: &ToolError) -> anyhow::Error {
    let text = error.to_string();
    match error {
        ToolError::Open(OpenError::Damaged { .. })
        | ToolError::Recovery(_)
        | ToolError::Body(_)
        | ToolError::Lost(_)
        | ToolError::Archive { .. } => Found(text).into(),
        ToolError::Open(_) | ToolError::NoJournal(_) | ToolError::Taken(_) | ToolError::Io { .. } => {
            Refused(text).into()
        }
    }
}

fn check(checked: &Checked, output: Output) -> anyhow::Result<()> {
    let value = json!({
        "ok": checked.ok(), "kind": checked.kind, "journal": checked.journal, "checkpoint": checked.checkpoint,
        "last_frame": checked.last, "frames": checked.frames, "kept_frames": checked.kept, "bodies": checked.bodies,
        "queues": checked.queues, "messages": checked.messages, "bytes": checked.bytes, "state": checked.digest,
        "damaged": checked.damaged, "damage": checked.damage,
    });
    output.result(&value, || {
        let checkpoint = checked.checkpoint.map_or_else(|| "none".to_owned(), |frame| format!("of frame {frame}"));
        format!(
            "journal {} on {}: checkpoint {checkpoint}, {} frames after it, {} kept before it, last frame {}\n\
             {} bodies whole, {} damaged; {} queues with {} messages; {} bytes on disk; state {}",
            checked.journal,
            checked.kind,
            checked.frames,
            checked.kept,
            checked.last.map_or_else(|| "none".to_owned(), |frame| frame.to_string()),
            checked.bodies,
            checked.damaged,
            checked.queues,
            checked.messages,
            checked.bytes,
            checked.digest
        )
    })?;
    checked.damage.iter().for_each(|damage| say(damage));
    if checked.ok() { Ok(()) } else { Err(Found(format!("{} bodies are damaged", checked.damaged)).into()) }
}

fn show(shown: &Shown, output: Output) -> anyhow::Result<()> {
    match shown {
        Shown::Slice { covers, slice, events } => {
            let value = json!({"checkpoint": covers, "slice": slice, "events": events});
            output.result(&value, || listed(&format!("checkpoint of frame {covers}, slice {slice}"), events))
        }
        Shown::Frame { frame, events, bodies, texts } => {
            let value = json!({"frame": frame, "events": events, "bodies": bodies, "texts": texts});
            output.result(&value, || {
                let head = listed(&format!("frame {frame}, {bodies} bodies"), events);
                texts.iter().enumerate().fold(head, |text, (index, body)| format!("{text}\n  body {index}: {body}"))
            })
        }
    }
}

fn listed(head: &str, events: &[String]) -> String {
    events.iter().fold(head.to_owned(), |text, event| format!("{text}\n  {event}"))
}

fn repair(plan: Repair, yes: bool, output: Output) -> anyhow::Result<()> {
    if !plan.is_needed() {
        return output.result(&json!({"needed": false}), || "nothing needs a repair".to_owned());
    }
    let value = json!({
        "needed": true, "done": yes, "last_frame": plan.last, "cut": plan.cut, "removed": plan.removed,
        "burnt": plan.burnt,
    });
    output.result(&value, || {
        let cut = plan.cut.iter().map(|why| format!("everything after frame {} is cut: {why}", plan.last));
        let removed = plan.removed.iter().map(|what| format!("removed: {what}"));
        let burnt = plan.burnt.iter().map(|claim| format!("burnt: {claim}, its other messages are given back"));
        cut.chain(removed).chain(burnt).collect::<Vec<_>>().join("\n")
    })?;
    if !yes {
        return Err(Refused("nothing was changed; say --yes to do this".to_owned()).into());
    }
    let done = plan.carry_out().map_err(|error| told(&error))?;
    if output.json {
        return output.result(&json!({"journal": done.journal, "kept": done.kept}), String::new);
    }
    print(&format!("repaired as journal {}; the store as it was is kept as {}", done.journal, done.kept.display()))
}
