//! A backup while the broker serves: a snapshot of the follower's, and the bodies that it names, as the file that the
//! tools write and read. No turn waits for it. What a snapshot is, and what stays meanwhile, is the follower's affair.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{runtime, sync::mpsc};

use super::Handle;
use crate::{
    bodies::Bodies,
    failure::Failure,
    follower::snapshot::{Alone, Asking, Snapshot},
    limits,
    tools::{
        archive::{Origin, Part, Writer},
        small_files,
    },
};

const GONE: &str = "its caller is gone";

/// What backups need.
#[derive(Clone)]
pub(crate) struct Backups {
    /// Absent where nobody follows the journal.
    pub(crate) asking: Option<Asking>,
    /// Where the small files beside the journal are; absent for one in memory, which has none.
    pub(crate) directory: Option<PathBuf>,
}

/// A backup that may begin. No other one may until it is dropped.
pub(crate) struct Backup {
    handle: Handle,
    asking: Asking,
    alone: Alone,
}

impl Handle {
    /// Makes sure that no other backup is taken.
    ///
    /// # Errors
    /// [`Failure::BackupRunning`].
    pub(crate) fn begin_backup(&self) -> Result<Backup, Failure> {
        let asking = self.backups.asking.clone().ok_or_else(|| self.unavailable())?;
        Ok(Backup { alone: asking.alone()?, asking, handle: self.clone() })
    }
}

impl Backup {
    /// Takes it: what the chunks are, one behind the other, is the file. Ends early when nobody takes them.
    ///
    /// # Errors
    /// [`Failure::BackupFailed`], or [`Failure::Unavailable`] when the broker ends.
    pub(crate) async fn run(self, chunks: mpsc::Sender<Bytes>) -> Result<(), Failure> {
        let Self { handle, asking, alone } = self;
        let snapshot = tokio::select! {
            snapshot = asking.snapshot(&alone) => snapshot.ok_or_else(|| handle.unavailable())?,
            () = chunks.closed() => return Err(Failure::BackupFailed(GONE.to_owned())),
        };
        let chunks = Chunks { runtime: runtime::Handle::current(), to: chunks, next: Vec::new() };
        let origin = Origin { journal: handle.identity.journal_id().into_bytes(), last: snapshot.last };
        let Handle { bodies, backups: Backups { directory, .. }, .. } = handle;
        let written = tokio::task::spawn_blocking(move || {
            let _until_written = alone;
            write(Writer::begin(chunks, origin)?, &snapshot, &bodies, directory)
        });
        let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| Failure::BackupFailed(error.to_string()))
    }
}

fn write(
    mut writer: Writer<Chunks>,
    snapshot: &Snapshot,
    bodies: &Bodies,
    directory: Option<PathBuf>,
) -> io::Result<()> {
    let began = Instant::now();
    for file in
        directory.map_or_else(|| Ok(Vec::new()), |directory| small_files(&directory)).map_err(io::Error::other)?
    {
        writer.part(&file)?;
    }
    for place in &snapshot.places {
        let bytes = bodies.read(*place).map_err(|unread| io::Error::other(unread.into_fault()))?;
        writer.part(&Part::Body { frame: place.frame, index: place.index, bytes })?;
    }
    for slice in &snapshot.slices {
        writer.part(&Part::Slice(slice.clone()))?;
    }
    writer.end()?.flush()?;
    let (last, bodies, milliseconds) = (snapshot.last, snapshot.places.len(), began.elapsed().as_millis());
    tracing::info!(last, bodies, milliseconds, "a backup was taken");
    Ok(())
}

/// Cuts what is written into chunks, and waits a while for each to be taken.
struct Chunks {
    runtime: runtime::Handle,
    to: mpsc::Sender<Bytes>,
    next: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.next.len() == limits::BACKUP_CHUNK {
            self.flush()?;
        }
        let taken = bytes.len().min(limits::BACKUP_CHUNK - self.next.len());
        self.next.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.next));
        let patience = Duration::from_millis(limits::BACKUP_PATIENCE);
        match self.runtime.block_on(async { tokio::time::timeout(patience, self.to.send(chunk)).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::other(GONE)),
            Err(_) => Err(io::Error::other(format!("its caller took nothing for {} s", patience.as_secs()))),
        }
    }
}
