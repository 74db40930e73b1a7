//! What controller and worker say to each other: JSON lines over the worker's stdin and stdout. The end of stdin is the
//! word to end at once, so a worker never outlives its controller. stderr is for logs and is not part of this.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::port::Reason;

/// Controller to worker: process this claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The claim's number.
    pub claim: u64,
    /// The worker that held it before died or failed: count one more receive (B6).
    pub previous_failed: bool,
    /// So many attempts at it failed because of what it holds; from the second on, a worker whose step does not simply
    /// fail looks for the messages that are to blame (B7).
    #[serde(default)]
    pub failures: u32,
}

/// What went wrong in an attempt that leaves its claim open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A message that the job cannot use: it would fail again.
    Job,
    /// The mapper failed; another try may succeed.
    Mapper,
    /// A stored state that is damaged or foreign: it would fail again.
    State,
    /// The disk: another try may succeed.
    Disk,
}

/// Worker to controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Report {
    /// Waits for its first assignment.
    Ready {
        /// The worker's instance id.
        ready: String,
        /// Its process id.
        pid: u32,
    },
    /// It works on the claim; said again and again, so that silence means something.
    Alive {
        /// The claim's number.
        alive: u64,
    },
    /// The claim is committed.
    Done {
        /// The claim's number.
        done: u64,
        /// The reader's dense commit number.
        commit: u64,
        /// Messages of the claim that are done.
        messages: u64,
        /// Lines of output.
        lines: u64,
        /// Bytes of output.
        length: u64,
    },
    /// The broker refused; the worker dropped the claim and left its file.
    Refused {
        /// The claim's number.
        refused: u64,
        /// Which refusal.
        reason: Reason,
        /// The broker's words.
        message: String,
    },
    /// The attempt failed; the claim is open and the file, if any, was left.
    Failed {
        /// The claim's number.
        failed: u64,
        /// What failed.
        kind: FailureKind,
        /// In words.
        reason: String,
    },
}

/// A line of the protocol with its LF.
pub(crate) async fn send<M: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &M) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message).expect("the protocol's messages are always JSON");
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_reads_back_as_what_it_is() {
        let reports = [
            Report::Ready { ready: "w0-a".into(), pid: 7 },
            Report::Alive { alive: 1 },
            Report::Done { done: 1, commit: 2, messages: 3, lines: 4, length: 5 },
            Report::Refused { refused: 1, reason: Reason::ClaimFenced, message: "x".into() },
            Report::Failed { failed: 1, kind: FailureKind::Disk, reason: "no space left".into() },
        ];
        let lines: Vec<_> = reports.iter().map(|report| serde_json::to_string(report).unwrap()).collect();
        assert_eq!(lines[2], r#"{"done":1,"commit":2,"messages":3,"lines":4,"length":5}"#);
        assert_eq!(lines[4], r#"{"failed":1,"kind":"disk","reason":"no space left"}"#);
        for (line, report) in lines.iter().zip(&reports) {
            assert_eq!(serde_json::from_str::<Report>(line).unwrap(), *report);
        }
        let assignment = Assignment { claim: 4, previous_failed: true, failures: 2 };
        assert_eq!(serde_json::to_string(&assignment).unwrap(), r#"{"claim":4,"previous_failed":true,"failures":2}"#);
    }
}
