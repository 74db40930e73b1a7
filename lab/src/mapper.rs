//! What a worker runs over each batch: a program that reads messages and writes them into transcripts, at the pace that
//! the lab's teacher sets. It notes every message that it touches, also those that it will have to do again: that is how
//! the proof table tells processed from committed. Killed at any moment.

use std::{
    fs::OpenOptions,
    io::{BufRead, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::dialogue::{POISON, Turn};

/// The file of the pace, in the lab's folder.
pub const PACE: &str = "pace";
/// The file of all that mappers touched, in the lab's folder.
pub const TOUCHED: &str = "processed.jsonl";
/// How often the pace is looked at while waiting.
const LOOK: Duration = Duration::from_millis(15);

/// A message that some mapper touched: one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Its conversation.
    pub conversation: String,
    /// Its turn.
    pub turn: u32,
    /// Its number in the queue.
    pub sequence_number: u64,
    /// The worker's process id.
    pub worker: u32,
    /// A poisoned message: nothing came of it.
    #[serde(default)]
    pub failed: bool,
}

/// A line of the output: the message as it stands in the transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The message group.
    pub group: String,
    /// The turn.
    pub turn: u32,
    /// Who says it.
    pub sender: String,
    /// What is said.
    pub text: String,
    /// Its number in the queue.
    pub sequence_number: u64,
}

#[derive(Deserialize)]
struct Message {
    group: String,
    sequence_number: u64,
    body: String,
}

/// Reads a batch from `input`, writes lines to `output`. `worker` is the process that this runs for.
///
/// # Errors
/// A message that cannot be processed, named; a lab folder that is gone.
pub fn run(folder: &Path, worker: u32, input: impl BufRead, mut output: impl Write) -> anyhow::Result<()> {
    let mut touched =
        OpenOptions::new().create(true).append(true).open(folder.join(TOUCHED)).context("the lab is gone")?;
    let messages: Vec<String> = input.lines().collect::<Result<_, _>>()?;
    for line in messages {
        let message: Message = serde_json::from_str(&line).context("this is no message of a batch")?;
        let turn: Turn = serde_json::from_str(&message.body).context("this is no message of the lab")?;
        wait(folder);
        let failed = turn.text.starts_with(POISON);
        let Turn { conversation, turn, sender, text } = turn;
        let Message { group, sequence_number, .. } = message;
        let mut note =
            serde_json::to_vec(&Touched { conversation: conversation.clone(), turn, sequence_number, worker, failed })?;
        note.push(b'\n');
        // One write a line: lines of several mappers never mix.
        touched.write_all(&note)?;
        if failed {
            bail!("message {sequence_number} ({conversation}, turn {turn}) cannot be processed: it is poison");
        }
        serde_json::to_writer(&mut output, &Line { group, turn, sender, text, sequence_number })?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}

/// Waits as long as a message takes at the present pace; for ever while the lab is paused.
fn wait(folder: &Path) {
    let began = Instant::now();
    loop {
        // A pace that cannot be read is none: the lab is ending.
        let pace = std::fs::read_to_string(folder.join(PACE)).unwrap_or_default();
        let due = match pace.trim() {
            "pause" => None,
            text => Some(Duration::from_millis(text.parse().unwrap_or(0))),
        };
        match due {
            Some(due) if began.elapsed() >= due => return,
            Some(_) | None => std::thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let turn = Turn { conversation: "anna".into(), turn: 3, sender: "customer".into(), text: text.into() };
        let body = serde_json::to_string(&turn).unwrap();
        serde_json::json!({ "group": "anna", "sequence_number": 9, "message_id": "x", "body": body }).to_string() + "\n"
    }

    #[test]
    fn what_is_touched_is_noted_before_it_is_written_and_poison_stops_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        run(folder.path(), 5, line("hello").as_bytes(), &mut out).unwrap();
        let made: Line = serde_json::from_slice(&out).unwrap();
        assert_eq!((made.group.as_str(), made.text.as_str(), made.sequence_number), ("anna", "hello", 9));
        let error = run(folder.path(), 6, line("\u{2620} no").as_bytes(), Vec::new()).unwrap_err();
        assert!(error.to_string().contains("poison"), "{error}");
        let noted = std::fs::read_to_string(folder.path().join(TOUCHED)).unwrap();
        let noted: Vec<Touched> = noted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(noted.iter().map(|one| (one.worker, one.failed)).collect::<Vec<_>>(), [(5, false), (6, true)]);
    }
}
