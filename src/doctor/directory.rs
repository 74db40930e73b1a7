//! What `lockstep doctor` sees of a data directory: its journal, its lock, its disk. Nothing of the journal is opened;
//! the one file that is written is removed again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lockstep_broker::{Reserves, StoreKind};
use rustix::{
    fs::FlockOperation,
    process::{Resource, getrlimit},
};

use super::{Level, Report, near};

/// How many writes are timed.
const WRITES: usize = 50;
/// A write as small as a small turn's.
const WRITE_BYTES: usize = 4_096;
/// Syncs that take longer at the median are worth a word: every answer waits for one.
const SLOW: Duration = Duration::from_millis(20);
/// Fewer open files are worth a word: each connection is one.
const FILES: u64 = 1_024;

/// Says everything about a directory; true when a broker has it open.
pub(super) fn check(data: &Path, report: &mut Report) -> anyhow::Result<bool> {
    let there = match fs::metadata(data) {
        Ok(found) if found.is_dir() => data.to_owned(),
        Ok(_) => {
            let way_out = "name the directory that `lockstep serve --data` has";
            report.say(Level::Fail, "directory", format!("{} is a file", data.display()), way_out)?;
            return Ok(false);
        }
        Err(error) => {
            let way_out = "name another one, or let `lockstep serve --data` make it";
            report.say(Level::Fail, "directory", format!("{}: {error}", data.display()), way_out)?;
            // Where it would be made can be looked at all the same.
            parent(data)
        }
    };
    let mut in_use = false;
    if there == data {
        report.say(Level::Ok, "directory", data.display().to_string(), "")?;
        journal(data, report)?;
        in_use = lock(data, report)?;
        receipt_key(data, report)?;
    }
    space(&there, report)?;
    file_system(&there, report)?;
    latency(&there, report)?;
    open_files(report)?;
    Ok(in_use)
}

/// The nearest directory above that exists.
fn parent(data: &Path) -> PathBuf {
    let above = data.ancestors().skip(1).find(|above| above.is_dir());
    above.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn journal(data: &Path, report: &mut Report) -> anyhow::Result<()> {
    match StoreKind::of(data) {
        Ok(Some(kind)) => report.say(Level::Ok, "journal", format!("{kind}, of a format that this version opens"), ""),
        Ok(None) => report.say(Level::Warn, "journal", "none yet".to_owned(), "the first `lockstep serve` makes it"),
        Err(error) => report.say(Level::Fail, "journal", error.to_string(), "use a newer version, or restore a backup"),
    }
}

/// Asks for the lock in passing, shared and without waiting; a broker that starts in that instant says "in use".
fn lock(data: &Path, report: &mut Report) -> anyhow::Result<bool> {
    let file = match File::open(data.join("LOCK")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.say(Level::Ok, "lock", "no broker was here yet".to_owned(), "")?;
            return Ok(false);
        }
        Err(error) => {
            report.say(Level::Warn, "lock", format!("LOCK: {error}"), "run this as the broker's user")?;
            return Ok(false);
        }
    };
    let in_use = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    let figure = if in_use { "a process has the directory open" } else { "free: no broker has the directory open" };
    report.say(Level::Ok, "lock", figure.to_owned(), "")?;
    Ok(in_use)
}

/// Who can read the key can make receipt handles (H9).
fn receipt_key(data: &Path, report: &mut Report) -> anyhow::Result<()> {
    let path = data.join("receipt.key");
    match fs::metadata(&path) {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            let level = if mode & 0o077 == 0 { Level::Ok } else { Level::Fail };
            let way_out = format!("others can read or change it: chmod 600 {}", path.display());
            report.say(level, "receipt key", format!("mode {mode:04o}"), &way_out)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.say(Level::Ok, "receipt key", "none yet: the next `lockstep serve` makes one".to_owned(), "")
        }
        Err(error) => report.say(Level::Warn, "receipt key", error.to_string(), "run this as the broker's user"),
    }
}

fn space(at: &Path, report: &mut Report) -> anyhow::Result<()> {
    let way_out = "free space on this disk, or move the directory to another";
    let disk = match rustix::fs::statvfs(at) {
        Ok(disk) => disk,
        Err(error) => return report.say(Level::Fail, "free space", error.to_string(), way_out),
    };
    let (free, reserve) = (disk.f_bavail.saturating_mul(disk.f_frsize), Reserves::default().for_sends);
    // Four reserves: enough to notice before sends are rejected.
    let level = if free <= reserve { Level::Fail } else { near(free, 4 * reserve) };
    let figure = format!("{free} bytes; sends are rejected at {reserve} (H5)");
    report.say(level, "free space", figure, way_out)
}

fn file_system(at: &Path, report: &mut Report) -> anyhow::Result<()> {
    let way_out = "put the data directory on a disk of its own (ext4, xfs)";
    let kind = match rustix::fs::statfs(at) {
        Ok(found) => u64::try_from(found.f_type).unwrap_or_default(),
        Err(error) => return report.say(Level::Warn, "file system", error.to_string(), way_out),
    };
    // The magic numbers of statfs(2).
    let (level, figure) = match kind {
        0xEF53 => (Level::Ok, "ext4".to_owned()),
        0x5846_5342 => (Level::Ok, "xfs".to_owned()),
        0x9123_683E => (Level::Ok, "btrfs".to_owned()),
        0x2FC1_2FC1 => (Level::Ok, "zfs".to_owned()),
        0x0102_1994 => (Level::Warn, "tmpfs: nothing in it survives the machine".to_owned()),
        0x8584_58F6 => (Level::Warn, "ramfs: nothing in it survives the machine".to_owned()),
        0x794C_7630 => (Level::Warn, "overlay: it ends with its container".to_owned()),
        0x6969 => (Level::Warn, "nfs: locks and syncs are the server's".to_owned()),
        other => (Level::Ok, format!("type {other:#x}")),
    };
    report.say(level, "file system", figure, way_out)
}

fn latency(at: &Path, report: &mut Report) -> anyhow::Result<()> {
    let path = at.join(format!(".lockstep-doctor-{}", std::process::id()));
    let timed = timed_syncs(&path);
    // One that could not be made is not there; another failure to remove it is told with the figures.
    let left = match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => format!("; {} is left: {error}", path.display()),
        Ok(()) | Err(_) => String::new(),
    };
    match timed {
        Ok(times) => {
            let (median, p99) = (times[WRITES / 2], times[WRITES * 99 / 100]);
            let level = if median > SLOW || !left.is_empty() { Level::Warn } else { Level::Ok };
            let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
            let figure = format!(
                "median {:.2} ms, p99 {:.2} ms of {WRITES} writes of {WRITE_BYTES} bytes{left}",
                ms(median),
                ms(p99)
            );
            report.say(level, "sync", figure, "every answer waits for one: use a faster or less busy disk")
        }
        Err(error) => {
            let figure = format!("{}: {error}{left}", path.display());
            report.say(Level::Fail, "sync", figure, "the broker must be able to write here: see owner, mode and space")
        }
    }
}

/// How long each write with its sync took, shortest first.
fn timed_syncs(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0; WRITE_BYTES])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times)
}

/// The limit of this process; a broker that the same shell starts has the same.
fn open_files(report: &mut Report) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile).current;
    let level = limit.map_or(Level::Ok, |limit| near(limit, FILES));
    let figure = limit.map_or_else(|| "no limit here".to_owned(), |limit| format!("{limit} here"));
    report.say(level, "open files", figure, "each connection is one: raise it with `ulimit -n`")
}
