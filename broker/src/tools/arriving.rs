//! The file of a backup while it is written, here or from what a broker sends: it gets its name when it was read back
//! whole. What is in it is `archive`'s.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use lockstep_journal::JournalId;

use super::{
    ToolError,
    archive::{Part, Reader},
    backup::{Saved, sync_parent},
};

/// A backup that is being written under its name with `.partial`. One that does not come to its end is removed, unless
/// the process dies: then it stays under that name, and is no backup.
#[derive(Debug)]
pub struct Arriving {
    file: PathBuf,
    partial: PathBuf,
    to: BufWriter<File>,
    named: bool,
}

impl Arriving {
    /// Whether the name is free.
    ///
    /// # Errors
    /// [`ToolError::Taken`].
    pub fn check(file: &Path) -> Result<(), ToolError> {
        if file.exists() { Err(ToolError::Taken(file.to_owned())) } else { Ok(()) }
    }

    /// Begins it. An unfinished one of the same name is replaced.
    ///
    /// # Errors
    /// [`ToolError::Taken`], or as the system says.
    pub fn begin(file: &Path) -> Result<Self, ToolError> {
        Self::check(file)?;
        let partial = file.with_added_extension("partial");
        // The receipt key is in it: nobody else may read it.
        let to = File::options().create(true).truncate(true).write(true).mode(0o600).open(&partial);
        let to = to.map_err(|error| ToolError::io(&partial, error))?;
        Ok(Self { file: file.to_owned(), partial, to: BufWriter::new(to), named: false })
    }

    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Makes it durable, reads it back, and gives it its name; answers what is in it.
    ///
    /// # Errors
    /// [`ToolError::Archive`] where it is not whole, and as the system says.
    pub fn finish(mut self) -> Result<Saved, ToolError> {
        self.to.flush().and_then(|()| self.to.get_ref().sync_all()).map_err(|error| self.failed(error))?;
        let saved = whole(&self.partial)?;
        // It may have come into being meanwhile.
        Self::check(&self.file)?;
        fs::rename(&self.partial, &self.file).map_err(|error| self.failed(error))?;
        self.named = true;
        sync_parent(&self.file).map_err(|error| ToolError::io(&self.file, error))?;
        Ok(saved)
    }

    fn failed(&self, error: io::Error) -> ToolError {
        ToolError::io(&self.partial, error)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.named {
            // Best effort: what is left is no backup, neither by its name nor by what is in it.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

impl Write for Arriving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn whole(path: &Path) -> Result<Saved, ToolError> {
    let damaged = |problem| ToolError::Archive { path: path.to_owned(), problem };
    let from = File::open(path).map_err(|error| ToolError::io(path, error))?;
    let (parts, origin) = Reader::begin(BufReader::new(from)).map_err(damaged)?;
    let mut bodies = 0;
    for part in parts {
        bodies += u64::from(matches!(part.map_err(damaged)?, Part::Body { .. }));
    }
    Ok(Saved { journal: JournalId(origin.journal).to_string(), last: origin.last, bodies })
}
