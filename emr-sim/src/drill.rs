//! Drills on real processes: the points of `crash`, armed from outside by files in a folder, so that whoever drills says
//! when, and sees who was struck. For tests alone; what becomes of a process that is struck is not known here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::crash::{CrashPoint, CrashPoints};

/// Every point at which a real process can be struck, with the name of its file.
pub const POINTS: [(&str, CrashPoint); 7] = [
    ("before-file", CrashPoint::BeforeFile),
    ("after-file", CrashPoint::AfterFile),
    ("after-commit", CrashPoint::AfterCommit),
    ("after-header", CrashPoint::AfterHeader),
    ("before-line", CrashPoint::BeforeLine),
    ("in-line", CrashPoint::InLine),
    ("after-line", CrashPoint::AfterLine),
];

/// All threads of a process that stopped itself have stopped by then.
const STOPPING: Duration = Duration::from_millis(50);

/// Points that are armed by files in `folder`: one named like the point that holds `kill` or `stop`, and `3` where claims
/// or commits below 3 are not meant, or `=3` where no other is. The first process that comes there renames the file to
/// `<point>.<its process id>` and sends itself SIGKILL or SIGSTOP.
#[must_use]
pub fn armed(folder: PathBuf) -> CrashPoints {
    CrashPoints::new(move |point, number| {
        let name = POINTS.iter().find(|(_, known)| *known == point).map(|(name, _)| *name);
        if let Some(signal) = name.and_then(|name| disarm(&folder, name, number)) {
            tracing::warn!(?point, number, ?signal, "struck, as a drill wants it");
            // To oneself it is always allowed.
            let _ = kill_process(getpid(), signal);
            std::thread::sleep(STOPPING);
        }
        false
    })
}

/// What to do here, if this process is the one to do it.
fn disarm(folder: &Path, name: &str, number: u64) -> Option<Signal> {
    let file = folder.join(name);
    let order = fs::read_to_string(&file).ok()?;
    let mut words = order.split_whitespace();
    let signal = match words.next() {
        Some("kill") => Signal::KILL,
        Some("stop") => Signal::STOP,
        Some(_) | None => return None,
    };
    if !words.next().is_none_or(|wanted| is_meant(wanted, number)) {
        return None;
    }
    // Of several that come at once one succeeds.
    let struck = folder.join(format!("{name}.{}", std::process::id()));
    fs::rename(file, struck).ok().map(|()| signal)
}

fn is_meant(wanted: &str, number: u64) -> bool {
    match wanted.strip_prefix('=') {
        Some(only) => only.parse() == Ok(number),
        None => wanted.parse().is_ok_and(|from: u64| from <= number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_struck_where_and_from_when_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let order = |text: &str| fs::write(folder.path().join("after-file"), text).unwrap();
        let struck = |name, number| disarm(folder.path(), name, number);
        assert_eq!(struck("after-file", 9), None, "nothing is armed");
        for vague in ["", "maybe", "explode 1"] {
            order(vague);
            assert_eq!(struck("after-file", 9), None, "{vague}");
        }
        order("stop 3");
        assert_eq!((struck("before-file", 3), struck("after-file", 2)), (None, None));
        assert_eq!(struck("after-file", 4), Some(Signal::STOP));
        assert_eq!(struck("after-file", 4), None, "once");
        assert!(folder.path().join(format!("after-file.{}", std::process::id())).exists());
        order("kill =3");
        assert_eq!((struck("after-file", 2), struck("after-file", 4)), (None, None), "no other claim is meant");
        assert_eq!(struck("after-file", 3), Some(Signal::KILL));
        order("kill");
        assert_eq!(struck("after-file", 1), Some(Signal::KILL));
    }
}
