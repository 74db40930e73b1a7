//! Which clock a broker starts under, and the mark in its data directory that says which one it was served by: a
//! manual clock must not move the time of real messages by mistake, nor the real one that of a test (H2).

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lockstep_engine::words::Timestamp;

use crate::clock::{Clock, ManualClock, SystemClock, wall_clock};

/// The name of the mark.
const MARK: &str = "CLOCK";
/// A change from a manual clock to the machine's that moves time by more is refused: a day, in milliseconds.
const LONGEST_JUMP: u64 = 24 * 60 * 60 * 1_000;

/// Which clock a broker follows.
#[derive(Clone, Debug)]
pub enum ClockChoice {
    /// The machine's (H2).
    System,
    /// One that the owner moves by hand; it resumes at the journalled time. The data directory is not marked.
    Manual(ManualClock),
    /// One that stands still until a caller moves it through the `Clock` service. A new journal begins at this
    /// instant, one with a past resumes at the journalled time. The data directory is marked.
    Served(Timestamp),
}

/// Why a data directory is not served under the clock that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// A manual clock on a directory that the machine's clock was used on.
    #[error(
        "{path} was served by the machine's clock: under a manual one its leases, windows and retention would follow \
         made-up time; use a data directory of its own, or say --force-clock (H2)"
    )]
    WasSystem {
        /// The data directory.
        path: PathBuf,
    },
    /// The machine's clock on a directory of a manual one, far from its time.
    #[error(
        "{path} was served by a manual clock that stands {} {} of the machine's: time would {}; say --force-clock to \
         accept that (H2)",
        length(*.by_ms), if *.ahead { "ahead" } else { "behind" },
        if *.ahead { "go on from there, not from the machine's" } else { "jump by as much" }
    )]
    Jump {
        /// The data directory.
        path: PathBuf,
        /// How far apart they are, in milliseconds.
        by_ms: u64,
        /// Whether the journalled time is the later one.
        ahead: bool,
    },
    /// The mark says nothing known.
    #[error("{path} says neither `system` nor `manual`; it was changed by hand, or by a newer version")]
    Malformed {
        /// The mark.
        path: PathBuf,
    },
    /// The mark could not be read or written.
    #[error("the mark of the clock, {path}, cannot be read or written: {source}")]
    Io {
        /// The mark.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn length(milliseconds: u64) -> String {
    let hours = milliseconds / 3_600_000;
    format!("{} d {} h", hours / 24, hours % 24)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    System,
    Manual,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Manual => "manual",
        })
    }
}

/// Starts a clock after `last`, the last journalled instant, where there is one. The instant at which the engine
/// resumes comes with it.
pub(super) fn start(choice: &ClockChoice, last: Option<Timestamp>) -> (Arc<dyn Clock>, Timestamp) {
    let (journalled, last) = (last, last.unwrap_or(Timestamp(0)));
    let manual = |clock: ManualClock| -> (Arc<dyn Clock>, Timestamp) {
        clock.reach(last);
        (Arc::new(clock), last)
    };
    match choice {
        ClockChoice::System => {
            let clock = SystemClock::starting_after(last);
            let now = clock.now();
            (Arc::new(clock), now)
        }
        ClockChoice::Manual(clock) => manual(clock.clone()),
        ClockChoice::Served(start) => manual(ManualClock::new(journalled.unwrap_or(*start))),
    }
}

/// The mark that a data directory is to have.
#[derive(Debug)]
#[must_use = "the mark is not there until it is left"]
pub(super) struct NewMark {
    directory: PathBuf,
    mark: Option<Mark>,
}

impl NewMark {
    /// Leaves the mark. Durable before the first turn: a crash must not forget which clock it was.
    ///
    /// # Errors
    /// [`ClockError::Io`].
    pub(super) fn leave(self) -> Result<(), ClockError> {
        let Some(mark) = self.mark else { return Ok(()) };
        let path = self.directory.join(MARK);
        write(&self.directory, &path, mark).map_err(|source| ClockError::Io { path, source })
    }
}

/// Checks a data directory's mark against the clock that is asked for; `last` is the last journalled instant. A
/// directory with a past and without a mark is older than marks: it was served by the machine's clock.
///
/// # Errors
/// [`ClockError`]; those that are no fault of the mark itself, unless `force`.
pub(super) fn check(
    directory: &Path,
    choice: &ClockChoice,
    last: Option<Timestamp>,
    force: bool,
) -> Result<NewMark, ClockError> {
    let wanted = match choice {
        ClockChoice::System => Mark::System,
        ClockChoice::Manual(_) => return Ok(NewMark { directory: directory.into(), mark: None }),
        ClockChoice::Served(_) => Mark::Manual,
    };
    let found = read(&directory.join(MARK))?;
    match (found, wanted, last) {
        (Some(Mark::System), Mark::Manual, _) | (None, Mark::Manual, Some(_)) => {
            unless(force, ClockError::WasSystem { path: directory.into() })?;
        }
        (Some(Mark::Manual), Mark::System, Some(last)) => check_jump(directory, last, force)?,
        (Some(Mark::System | Mark::Manual) | None, Mark::System | Mark::Manual, _) => {}
    }
    Ok(NewMark { directory: directory.into(), mark: (found != Some(wanted)).then_some(wanted) })
}

fn unless(force: bool, error: ClockError) -> Result<(), ClockError> {
    if force {
        tracing::warn!(%error, "--force-clock: it is served all the same");
        Ok(())
    } else {
        Err(error)
    }
}

fn check_jump(directory: &Path, last: Timestamp, force: bool) -> Result<(), ClockError> {
    let wall = wall_clock();
    let (by_ms, ahead) = (wall.0.abs_diff(last.0), last > wall);
    tracing::warn!(by_ms, ahead, "a data directory of a manual clock is served by the machine's: time jumps (H2)");
    if by_ms > LONGEST_JUMP {
        unless(force, ClockError::Jump { path: directory.into(), by_ms, ahead })?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Mark>, ClockError> {
    match fs::read_to_string(path) {
        Ok(text) => match text.trim() {
            "system" => Ok(Some(Mark::System)),
            "manual" => Ok(Some(Mark::Manual)),
            _ => Err(ClockError::Malformed { path: path.into() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClockError::Io { path: path.into(), source }),
    }
}

fn write(directory: &Path, path: &Path, mark: Mark) -> io::Result<()> {
    let unfinished = directory.join("CLOCK.new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{mark}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: ClockChoice = ClockChoice::Served(Timestamp(5));

    fn mark(
        folder: &tempfile::TempDir,
        choice: &ClockChoice,
        last: Option<u64>,
        force: bool,
    ) -> Result<(), ClockError> {
        check(folder.path(), choice, last.map(Timestamp), force)?.leave()
    }

    #[test]
    fn a_directory_remembers_its_clock() {
        let folder = tempfile::tempdir().expect("a directory");
        mark(&folder, &SERVED, None, false).expect("new");
        mark(&folder, &SERVED, Some(7), false).expect("the same");
        mark(&folder, &ClockChoice::System, Some(wall_clock().0 - 1_000), false).expect("not far");
        assert!(matches!(mark(&folder, &SERVED, Some(7), false), Err(ClockError::WasSystem { .. })));
        mark(&folder, &ClockChoice::System, Some(7), false).expect("its own");
    }

    #[test]
    fn a_past_without_a_mark_is_the_machines() {
        let folder = tempfile::tempdir().expect("a directory");
        let error = mark(&folder, &SERVED, Some(7), false).expect_err("real messages").to_string();
        assert!(error.contains("--force-clock"), "{error}");
        mark(&folder, &SERVED, Some(7), true).expect("forced");
        mark(&folder, &SERVED, Some(7), false).expect("remembered");
    }

    #[test]
    fn a_jump_of_more_than_a_day_must_be_said() {
        let folder = tempfile::tempdir().expect("a directory");
        mark(&folder, &SERVED, None, false).expect("new");
        for (last, word) in [(0, "behind"), (wall_clock().0 * 2, "ahead")] {
            let error = mark(&folder, &ClockChoice::System, Some(last), false).expect_err("far").to_string();
            assert!(error.contains(word), "{error}");
        }
        mark(&folder, &ClockChoice::System, Some(0), true).expect("forced");
    }

    #[test]
    fn a_mark_that_says_nothing_known_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join(MARK), "lunar\n").expect("written");
        let error = mark(&folder, &SERVED, None, true).expect_err("unknown");
        assert!(matches!(error, ClockError::Malformed { .. }), "{error}");
    }
}
