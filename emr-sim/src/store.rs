//! What B9 asks of the place where an output lies, as a trait: attempt files that are made once and never again, and one
//! manifest that only grows. A folder of this machine is such a place (`folder`), a bucket of an S3-like store another
//! (`objects`, with the cargo feature `s3`). What files mean, and which may go, is known elsewhere. All calls may block.

mod folder;
#[cfg(feature = "s3")]
mod objects;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::{self, Place};
use crate::sink::SinkError;

pub(crate) use folder::sync_directory;

/// A place for an output. Files are named relative to it, with `/` between the parts.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// How a file is called in an error.
    fn path(&self, file: &str) -> PathBuf;

    /// Makes a folder ready for files.
    fn prepare(&self, folder: &str) -> Result<(), SinkError>;

    /// Begins a file that must not exist; whether it does is said here or by [`Draft::finish`].
    fn create(&self, file: &str) -> Result<Box<dyn Draft>, SinkError>;

    /// A file's bytes; `None` when there is no such file.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, SinkError>;

    /// The bytes of a part of a file; fewer where the file ends before.
    fn read_part(&self, file: &str, offset: u64, length: u64) -> Result<Vec<u8>, SinkError>;

    /// A file's length in bytes; `None` when there is no such file.
    fn length(&self, file: &str) -> Result<Option<u64>, SinkError>;

    /// The names of the files right in a folder, in any order; none where there is no such folder.
    fn list(&self, folder: &str) -> Result<Vec<String>, SinkError>;

    /// Removes files that are right in a folder, durably, and says how many of them were there. A store that does not
    /// say whether a file was there counts it.
    fn remove(&self, folder: &str, names: &[String]) -> Result<u64, SinkError>;

    /// Appends to a file for people, which only its attempt writes. It need not be durable.
    fn note(&self, file: &str, text: &[u8]) -> Result<(), SinkError>;

    /// Gets the right to write here; `None` while another run has it. A place that refuses writes whose condition does
    /// not hold needs no such right, and proves here that it does.
    fn lock(&self) -> Result<Option<Held>, SinkError>;

    /// Opens the manifest for growing.
    fn grow(&self, file: &str, from: Begin) -> Result<Box<dyn Growing>, SinkError>;

    /// A file that must be there.
    fn need(&self, file: &str) -> Result<Vec<u8>, SinkError> {
        let missing = || SinkError::at("read", &self.path(file))(io::ErrorKind::NotFound.into());
        self.read(file)?.ok_or_else(missing)
    }
}

/// A file that is being made. One that is dropped is left as it is.
pub(crate) trait Draft: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file durable under its name.
    fn finish(self: Box<Self>) -> Result<(), SinkError>;
}

/// A manifest that is open for growing.
pub(crate) trait Growing: fmt::Debug + Send {
    /// Appends bytes; they count from the next [`Growing::sync`] on.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError>;

    /// Makes everything durable.
    fn sync(&mut self) -> Result<(), SinkError>;
}

/// What a manifest was judged to be.
#[derive(Debug)]
pub(crate) enum Begin {
    /// There is none yet: it is made with this first line.
    Create(Vec<u8>),
    /// These are its bytes; those behind the good ones are cut.
    From {
        /// As they were read.
        seen: Vec<u8>,
        /// So many are good.
        good: usize,
    },
}

/// The right to write to a place, where it takes one; it ends with the process.
#[derive(Debug)]
pub(crate) struct Held {
    _file: Option<File>,
}

/// The place of an output.
pub(crate) fn at(out: &Path) -> Result<Arc<dyn Store>, SinkError> {
    let refused = |why: String| SinkError::at("use", out)(io::Error::new(io::ErrorKind::Unsupported, why));
    match Place::of(out).map_err(refused)? {
        Place::Folder => Ok(Arc::new(folder::Folder::new(out))),
        Place::Bucket { bucket, prefix } => {
            place::check_here(out).map_err(refused)?;
            #[cfg(feature = "s3")]
            return objects::open(out, &bucket, &prefix).map_err(refused);
            #[cfg(not(feature = "s3"))]
            unreachable!("{bucket}/{prefix} was refused: the feature is not built in")
        }
    }
}
