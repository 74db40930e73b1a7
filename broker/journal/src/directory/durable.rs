//! Small durable steps on files and directories: each returns only when a power cut cannot take it back.
//! Nothing here knows what the files mean.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How much of a file is read and written again in one step.
const BLOCK_BYTES: usize = 1 << 20;

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    sync_file(path)
}

/// Makes the content of a file durable, whoever wrote it.
pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    note("sync", path);
    File::open(path)?.sync_all()
}

/// In tests, keeps what was done in its order; see [`steps`].
pub(crate) fn note(step: &str, path: &Path) {
    #[cfg(test)]
    STEPS.with_borrow_mut(|steps| steps.push(format!("{step} {}", path.display())));
    #[cfg(not(test))]
    let _ = (step, path);
}

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The steps of this thread since the last call.
#[cfg(test)]
pub(crate) fn steps() -> Vec<String> {
    STEPS.take()
}

/// The directory in which `path` has its name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // A name without a directory lies in the current one; the root lies in itself.
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Creates a directory with all that lead to it, their names durable.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_directory(parent(path))?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    sync_directory(parent(path))
}

/// Puts a file in place whole or not at all: a temporary file, synced, renamed, the directory synced.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(parent(path))
}

/// Removes a file if it is there, durably. Says whether it was.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => {
            note("remove", path);
            sync_directory(parent(path)).map(|()| true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Every regular file below a directory.
pub(crate) fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file name begins with `prefix`.
pub(crate) fn named(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(prefix))
}

/// Reads every byte of a file and writes it again at its place, then syncs (H7).
///
/// After a failed sync Linux marks the pages clean: a process that starts again reads bytes from memory that are not on
/// the disk, no later sync writes them, and the next power cut takes them. Writing the same bytes makes the pages dirty
/// again. It is the same file and the same place, so a cut in the middle of it leaves old and new bytes alike.
pub(crate) fn rewrite_in_place(path: &Path) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    loop {
        let read = match file.read_at(&mut block, offset) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all_at(&block[..read], offset)?;
        offset += read as u64;
    }
    file.sync_all()?;
    note("rewrite", path);
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn rewriting_changes_neither_a_byte_nor_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| n.to_le_bytes()[1]).collect();
        fs::write(&path, &bytes).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert_eq!(rewrite_in_place(&path).unwrap(), 3_000_001);
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(before.ino(), after.ino(), "another file took its place");
        assert!(after.mtime_nsec() != before.mtime_nsec() || after.mtime() != before.mtime(), "nothing was written");
    }

    #[test]
    fn a_bare_name_lies_in_the_current_directory() {
        assert_eq!(parent(Path::new("data")), Path::new("."));
        assert_eq!(parent(Path::new("/data")), Path::new("/"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
