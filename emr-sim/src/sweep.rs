//! Which attempt files may be removed, and their removal (B9). The rule is pure; it wants the broker's word on claims
//! and the manifest's on files. Files that it does not know are never touched.

use std::collections::BTreeMap;
use std::path::Path;

use crate::attempt::Attempt;
use crate::identity::Identity;
use crate::record::ManifestLine;
use crate::sink::SinkError;
use crate::store;

/// What is known about the reader's claims. The broker must have been asked *before* the manifest was read to the
/// commits it named, or a claim that ended in between would look burnt.
#[derive(Debug, Clone, Default)]
pub struct ClaimsKnown {
    /// The present epoch of every open claim, by number: the broker's word.
    pub open: BTreeMap<u64, u64>,
    /// The highest claim number given out: the broker's word.
    pub last_number: u64,
    /// The stem of the published attempt of every committed claim, by number: the manifest's word.
    pub committed: BTreeMap<u64, String>,
}

impl ClaimsKnown {
    /// Puts the broker's word and the manifest together; `None` when the manifest does not reach the broker's `commits`
    /// yet: then nobody may judge.
    #[must_use]
    pub fn new(open: BTreeMap<u64, u64>, last_number: u64, commits: u64, lines: &[ManifestLine]) -> Option<Self> {
        if (lines.len() as u64) < commits {
            return None;
        }
        let stem = |line: &ManifestLine| {
            let name = line.record.file.rsplit('/').next().unwrap_or_default();
            name.split('.').next().unwrap_or_default().to_owned()
        };
        Some(Self { open, last_number, committed: lines.iter().map(|line| (line.record.claim, stem(line))).collect() })
    }

    /// Whether no commit can name a file of this attempt any more: its claim is finished and names another attempt, or
    /// is burnt, or is held under a higher epoch. A published attempt keeps its other files too: a committed pointer
    /// may name them.
    #[must_use]
    pub fn is_dead(&self, attempt: &Attempt) -> bool {
        if attempt.claim == 0 || attempt.claim > self.last_number {
            // The broker knows no such claim yet; its word may be older than the file.
            return false;
        }
        if let Some(epoch) = self.open.get(&attempt.claim) {
            return attempt.epoch < *epoch;
        }
        match self.committed.get(&attempt.claim) {
            Some(stem) => *stem != attempt.stem(),
            // Neither open nor committed, and the number was given out: burnt.
            None => true,
        }
    }
}

/// Removes the dead attempt files of a reader's folder. Answers how many.
///
/// # Errors
/// [`SinkError`] naming file or folder. A folder that is not there yet has nothing to sweep.
pub fn sweep(out: &Path, identity: &Identity, known: &ClaimsKnown) -> Result<u64, SinkError> {
    let (store, folder) = (store::at(out)?, identity.folder());
    let mut dead = store.list(&folder)?;
    dead.retain(|name| Attempt::parse(name).is_some_and(|(attempt, _)| known.is_dead(&attempt)));
    store.remove(&folder, &dead)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::attempt::AttemptPart;
    use crate::format::Format;
    use crate::record::Record;
    use crate::sink::Sink;

    fn identity() -> Identity {
        Identity { journal_id: "j".into(), queue_generation: 1, reader_id: 2 }
    }

    fn line(commit: u64, attempt: &Attempt) -> ManifestLine {
        let file = attempt.path(&identity(), AttemptPart::Output(Format::JsonLines));
        let (claim, epoch) = (attempt.claim, attempt.epoch);
        let record = Record { claim, epoch, file, messages: 1, ..Record::default() };
        ManifestLine { commit, record }
    }

    #[test]
    fn a_file_is_dead_only_when_no_commit_can_name_it() {
        // Claim 1 committed, 2 burnt, 3 open under epoch 30, 4 not given out yet.
        let published = Attempt::new(1, 10);
        let known = ClaimsKnown::new(BTreeMap::from([(3, 30)]), 3, 1, &[line(1, &published)]).unwrap();
        assert!(!known.is_dead(&published), "published");
        assert!(known.is_dead(&Attempt::new(1, 10)), "the claim is finished and names another file");
        assert!(known.is_dead(&Attempt::new(1, 99)), "the same, whatever its epoch");
        assert!(known.is_dead(&Attempt::new(2, 5)), "its claim is burnt");
        assert!(known.is_dead(&Attempt::new(3, 29)), "its epoch is below the claim's present one");
        assert!(!known.is_dead(&Attempt::new(3, 30)), "it may still be committed");
        assert!(!known.is_dead(&Attempt::new(3, 31)), "taken after the broker was asked");
        assert!(!known.is_dead(&Attempt::new(4, 1)), "claimed after the broker was asked");
    }

    #[test]
    fn nobody_judges_while_the_manifest_is_behind() {
        assert!(ClaimsKnown::new(BTreeMap::new(), 3, 2, &[line(1, &Attempt::new(1, 1))]).is_none());
    }

    #[test]
    fn sweeping_removes_dead_attempts_with_their_state_and_nothing_else() {
        let out = tempfile::tempdir().unwrap();
        let sink = Sink::open(out.path(), &identity()).unwrap();
        let (published, dead) = (Attempt::new(1, 10), Attempt::new(1, 9));
        for attempt in [&published, &dead] {
            for part in [AttemptPart::Output(Format::JsonLines), AttemptPart::State, AttemptPart::Inputs] {
                sink.create(attempt, part).unwrap().finish().unwrap();
            }
        }
        let folder = out.path().join(identity().folder());
        fs::write(folder.join("somebody's notes.txt"), "kept").unwrap();
        let known = ClaimsKnown::new(BTreeMap::new(), 1, 1, &[line(1, &published)]).unwrap();
        assert_eq!(sweep(out.path(), &identity(), &known).unwrap(), 3);
        assert_eq!(sweep(out.path(), &identity(), &known).unwrap(), 0);
        for part in [AttemptPart::Output(Format::JsonLines), AttemptPart::State, AttemptPart::Inputs] {
            assert!(out.path().join(published.path(&identity(), part)).exists(), "a published attempt is kept whole");
        }
        assert!(folder.join("somebody's notes.txt").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_has_nothing_to_sweep() {
        let out = tempfile::tempdir().unwrap();
        assert_eq!(sweep(out.path(), &identity(), &ClaimsKnown::default()).unwrap(), 0);
    }
}
