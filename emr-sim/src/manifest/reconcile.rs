//! Folder against broker, at the controller's start (B9): pure judgement on what both say, before anything is changed. A
//! folder that is ahead, behind or another reader's is refused; what a crash explains is repaired by the plan.

use std::collections::BTreeMap;
use std::fmt;

use super::{Header, RunFacts};
use crate::identity::Identity;
use crate::record::{ManifestLine, Record};

/// What the folder says.
#[derive(Debug, Clone, Default)]
pub struct FolderSide {
    /// The manifest's header; `None`: there is no manifest.
    pub header: Option<Header>,
    /// Its lines up to the first bad one.
    pub lines: Vec<ManifestLine>,
    /// The first line that cannot be read, in words.
    pub bad: Option<String>,
}

/// What the broker says.
#[derive(Debug, Clone)]
pub struct BrokerSide {
    /// Journal, queue generation and reader id.
    pub identity: Identity,
    /// The header the reader recorded.
    pub header: Option<Header>,
    /// How many commits of claims the reader has.
    pub commits: u64,
    /// The records it still keeps, by commit number.
    pub records: BTreeMap<u64, Record>,
}

/// What a start has to do before the pool may run; the steps in the order of the fields, each synced before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Make the manifest with this header.
    pub create: Option<Header>,
    /// Store the header with the reader.
    pub record_header: bool,
    /// Write these lines, after cutting what follows the good ones.
    pub append: Vec<ManifestLine>,
    /// Remove the records of these commits; their lines are in the manifest then.
    pub remove: Vec<u64>,
}

/// Why a folder is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedBecause {
    /// The folder has lines that the broker never committed.
    Ahead,
    /// The broker has committed what the folder neither has nor can get: this record is gone.
    Behind {
        /// The first commit that is missing.
        missing: u64,
    },
    /// The folder is not the one the reader recorded, or holds another reader's output.
    Foreign,
    /// The same commit is two things.
    Contradiction {
        /// The commit's number.
        commit: u64,
    },
    /// The run wants something else than the one that made the folder.
    OtherRun {
        /// What this run wants, as JSON.
        wanted: String,
        /// What folder and broker recorded, as JSON.
        recorded: String,
    },
}

/// An output folder that the pool must not touch, with both identities (B9).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct OutputRefused {
    /// Why.
    pub because: RefusedBecause,
    /// What the folder says it is.
    pub folder: String,
    /// What the broker says the output is.
    pub broker: String,
}

impl fmt::Display for OutputRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.because {
            RefusedBecause::Ahead => write!(f, "the output folder is ahead of the broker"),
            RefusedBecause::Behind { missing } => {
                write!(
                    f,
                    "the output folder is behind the broker: commit {missing} is neither in it nor kept by the broker"
                )
            }
            RefusedBecause::Foreign => write!(f, "the output folder is not the one this reader writes to"),
            RefusedBecause::Contradiction { commit } => {
                write!(f, "the output folder and the broker disagree about commit {commit}")
            }
            RefusedBecause::OtherRun { wanted, recorded } => {
                write!(f, "this run wants {wanted}, but the output was begun with {recorded}")
            }
        }?;
        write!(f, " (the folder: {}; the broker: {})", self.folder, self.broker)
    }
}

/// Judges whether a run with `facts` may write to the folder, and says what has to be done first.
///
/// # Errors
/// [`OutputRefused`]; nothing may be changed then (B9).
pub fn reconcile(facts: &RunFacts, folder: &FolderSide, broker: &BrokerSide) -> Result<Plan, OutputRefused> {
    let refuse = |because| OutputRefused { because, folder: folder.name(), broker: broker.name() };
    let (create, record_header) = match (&folder.header, &broker.header) {
        (None, None) if broker.commits == 0 => (Some(Header::new(&broker.identity, facts)), true),
        (None, None) => return Err(refuse(RefusedBecause::Behind { missing: 1 })),
        (None, Some(_)) => return Err(refuse(RefusedBecause::Foreign)),
        // A crash between making the manifest and telling the reader; nothing was claimed yet.
        (Some(mine), None) if is_untouched(mine, folder, broker) => (None, true),
        (Some(_), None) => return Err(refuse(RefusedBecause::Foreign)),
        (Some(mine), Some(recorded)) if mine == recorded && mine.identity() == broker.identity => (None, false),
        (Some(_), Some(_)) => return Err(refuse(RefusedBecause::Foreign)),
    };
    if let Some(header) = &folder.header
        && header.facts() != *facts
    {
        let text = |facts: &RunFacts| serde_json::to_string(facts).expect("facts are always JSON");
        let (wanted, recorded) = (text(facts), text(&header.facts()));
        return Err(refuse(RefusedBecause::OtherRun { wanted, recorded }));
    }
    let (append, remove) = missing_lines(folder, broker).map_err(refuse)?;
    Ok(Plan { create, record_header, append, remove })
}

fn is_untouched(header: &Header, folder: &FolderSide, broker: &BrokerSide) -> bool {
    header.identity() == broker.identity && folder.lines.is_empty() && folder.bad.is_none() && broker.commits == 0
}

fn missing_lines(folder: &FolderSide, broker: &BrokerSide) -> Result<(Vec<ManifestLine>, Vec<u64>), RefusedBecause> {
    let written = folder.lines.len() as u64;
    // A line is begun only after its commit: even a torn one counts.
    if written + u64::from(folder.bad.is_some()) > broker.commits {
        return Err(RefusedBecause::Ahead);
    }
    for line in &folder.lines {
        if broker.records.get(&line.commit).is_some_and(|record| *record != line.record) {
            return Err(RefusedBecause::Contradiction { commit: line.commit });
        }
    }
    let append = (written + 1..=broker.commits).map(|commit| match broker.records.get(&commit) {
        Some(record) => Ok(ManifestLine { commit, record: record.clone() }),
        None => Err(RefusedBecause::Behind { missing: commit }),
    });
    let append: Vec<_> = append.collect::<Result<_, _>>()?;
    Ok((append, broker.records.keys().copied().filter(|commit| *commit <= broker.commits).collect()))
}

impl FolderSide {
    /// What the folder says it is, in words.
    pub(super) fn name(&self) -> String {
        let Some(header) = &self.header else { return "no manifest".to_owned() };
        let bad = self.bad.as_ref().map(|bad| format!(", then {bad}")).unwrap_or_default();
        format!("output {}, {}, {} commits{bad}", header.out_id, header.identity(), self.lines.len())
    }
}

impl BrokerSide {
    /// What the broker says the output is, in words.
    fn name(&self) -> String {
        let output = match &self.header {
            Some(header) => format!("output {}", header.out_id),
            None => "no output recorded".to_owned(),
        };
        format!("{output}, {}, {} commits", self.identity, self.commits)
    }
}
