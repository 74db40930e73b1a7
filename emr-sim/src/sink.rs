//! Attempt files, as B9 says: one file per attempt, made where none of its name is, never opened again for writing, durable
//! before it is committed. The Commit publishes a file, not its place: nothing here renames, and nothing here deletes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::attempt::{Attempt, AttemptPart};
use crate::digest::Hasher;
use crate::identity::Identity;
use crate::store::{self, Draft, Store};

/// An operation on a disk or a store that failed. The claim stays open: another attempt may succeed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct SinkError {
    /// What was tried, such as `write`.
    pub action: &'static str,
    /// On which file or directory, or the URL of an object.
    pub path: PathBuf,
    /// What the operating system said, or the store.
    pub source: io::Error,
}

impl SinkError {
    pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// The folder of one reader's attempts, ready for files.
#[derive(Debug, Clone)]
pub struct Sink {
    store: Arc<dyn Store>,
    identity: Identity,
}

/// What became of an attempt's file: what a record or a pointer says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Relative to the output folder.
    pub file: String,
    /// In bytes.
    pub length: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Sink {
    /// Makes `<out>/<journal id>/<queue generation>/<reader id>` durable and answers the sink on it.
    ///
    /// # Errors
    /// [`SinkError`] naming the directory.
    pub fn open(out: &Path, identity: &Identity) -> Result<Self, SinkError> {
        if !identity.is_safe() {
            let error = io::Error::other(format!("`{}` is no journal id", identity.journal_id));
            return Err(SinkError::at("name a folder after the journal in", out)(error));
        }
        let store = store::at(out)?;
        store.prepare(&identity.folder())?;
        Ok(Self { store, identity: identity.clone() })
    }

    /// Creates a file of an attempt.
    ///
    /// # Errors
    /// [`SinkError`]; a file that exists is never opened (B9).
    pub fn create(&self, attempt: &Attempt, part: AttemptPart) -> Result<AttemptFile, SinkError> {
        let file = attempt.path(&self.identity, part);
        let (draft, path) = (self.store.create(&file)?, self.store.path(&file));
        Ok(AttemptFile { draft, path, file, length: 0, hasher: Hasher::default(), full: false })
    }
}

/// An attempt's file while it is written.
pub struct AttemptFile {
    draft: Box<dyn Draft>,
    path: PathBuf,
    file: String,
    length: u64,
    hasher: Hasher,
    full: bool,
}

impl AttemptFile {
    /// For tests: the disk has room for half of the next write only.
    pub(crate) fn fill(&mut self) {
        self.full = true;
    }

    /// The path relative to the output folder.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Bytes written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`SinkError`]; the file is left as it is, for the sweep.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let room = if self.full { bytes.len() / 2 } else { bytes.len() };
        let written = self.draft.write(&bytes[..room]).and_then(|()| match self.full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        });
        written.map_err(SinkError::at("write", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes the file durable, and says what was written.
    ///
    /// # Errors
    /// [`SinkError`]; after it nobody may commit this file, for a failed sync can lose what was written before.
    pub fn finish(self) -> Result<WrittenFile, SinkError> {
        self.draft.finish()?;
        Ok(WrittenFile { file: self.file, length: self.length, sha256: self.hasher.finish() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::digest::sha256_hex;
    use crate::format::Format;

    fn identity() -> Identity {
        Identity { journal_id: "5f0e-a1".into(), queue_generation: 3, reader_id: 4 }
    }

    #[test]
    fn a_file_is_where_b9_says_with_its_length_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/out");
        let attempt = Attempt::new(7, 9);
        let mut file =
            Sink::open(&out, &identity()).unwrap().create(&attempt, AttemptPart::Output(Format::JsonLines)).unwrap();
        file.write(b"{\"a\":1}\n").unwrap();
        file.write(b"{\"a\":2}\n").unwrap();
        let written = file.finish().unwrap();
        assert_eq!(written.file, format!("5f0e-a1/3/4/{}.jsonl", attempt.stem()));
        let bytes = fs::read(out.join(&written.file)).unwrap();
        assert_eq!(bytes, b"{\"a\":1}\n{\"a\":2}\n");
        assert_eq!((written.length, written.sha256), (16, sha256_hex(&bytes)));
    }

    #[test]
    fn a_file_that_exists_is_never_opened_again() {
        let out = tempfile::tempdir().unwrap();
        let sink = Sink::open(out.path(), &identity()).unwrap();
        let attempt = Attempt::new(1, 1);
        let mut first = sink.create(&attempt, AttemptPart::State).unwrap();
        first.write(b"kept").unwrap();
        let first = first.finish().unwrap();
        let error = sink.create(&attempt, AttemptPart::State).err().unwrap();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert_eq!(fs::read(out.path().join(first.file)).unwrap(), b"kept");
    }

    #[test]
    fn a_disk_error_names_the_path() {
        let out = tempfile::tempdir().unwrap();
        fs::write(out.path().join("5f0e-a1"), "in the way").unwrap();
        let error = Sink::open(out.path(), &identity()).err().unwrap().to_string();
        assert!(error.contains("5f0e-a1"), "{error}");
    }

    #[test]
    fn a_journal_id_that_would_leave_the_folder_is_refused() {
        let out = tempfile::tempdir().unwrap();
        let foreign = Identity { journal_id: "../x".into(), ..identity() };
        assert!(Sink::open(out.path(), &foreign).is_err());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
