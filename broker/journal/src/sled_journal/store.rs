//! sled, opened and ended as it must be: every step that sled 0.34 leaves out for durability stands here.
//! It knows entries and files, not frames.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::FlockOperation;

use crate::directory::durable;
use crate::error::{OpenError, Place};

/// 8 MiB: pages of 64 KiB chunks stay below a quarter of it, the size above which sled moves a page to a file that it
/// never syncs (danger 4). Fixed at creation.
const SEGMENT_BYTES: usize = 8 << 20;
/// Does not bound sled's memory, which is 1 to 2.2 times the data whatever stands here, but does not hurt (danger 7).
const CACHE_BYTES: u64 = 32 << 20;
/// sled cleans its segments only in this rhythm; without one, never (danger 5).
const FLUSH_EVERY_MS: u64 = 250;

/// 18 chunks are the most that a page holds for a moment (danger 4).
const _: () = assert!(18 * super::CHUNK_BYTES < SEGMENT_BYTES / 4);

pub(super) fn configuration(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .use_compression(false)
}

/// The store as readers share it: empty once it was closed.
#[derive(Clone)]
pub(super) struct Shared(Arc<RwLock<Option<sled::Db>>>);

impl Shared {
    pub(super) fn db(&self) -> RwLockReadGuard<'_, Option<sled::Db>> {
        // The lock guards one assignment; there is no half-written state to fear after a panic.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open store. Ended by [`Store::close`], or, after any error of it, by [`Store::abandon`]; never just dropped.
pub(super) struct Store {
    path: PathBuf,
    db: sled::Db,
    shared: Shared,
    /// Our own descriptor of sled's log: the only thing that makes it durable (danger 1). Since it is open from the
    /// start, a sync of sled's own thread that failed unseen is reported here, too.
    log: File,
}

impl Store {
    /// Opens or creates the store at `path`, under the caller's lock.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::from_io(path, error);
        remove_half_written_snapshots(path).map_err(failed)?;
        durable::note("open", path);
        let db = configuration(path).open().map_err(|error| refused(path, error))?;
        let shared = Shared(Arc::new(RwLock::new(Some(db.clone()))));
        let opened = OpenOptions::new().read(true).write(true).open(path.join("db")).map_err(failed);
        let log = match opened {
            Ok(log) => log,
            Err(error) => {
                std::mem::forget((db, shared));
                return Err(error);
            }
        };
        let store = Self { path: path.to_owned(), db, shared, log };
        if let Err(error) = sync_store(path) {
            store.abandon();
            return Err(failed(error));
        }
        match store.blobs() {
            Ok(0) => Ok(store),
            Ok(blobs) => {
                let problem = format!("{blobs} files lie where sled puts what it never syncs");
                let place = Place::File(path.join("blobs"));
                store.close().map_err(failed)?;
                Err(OpenError::Damaged { place, problem })
            }
            Err(error) => {
                store.abandon();
                Err(failed(error))
            }
        }
    }

    pub(super) fn db(&self) -> &sled::Db {
        &self.db
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Our own descriptor of the log.
    pub(super) fn log(&self) -> &File {
        &self.log
    }

    /// The length of sled's log.
    pub(super) fn log_bytes(&self) -> io::Result<u64> {
        self.log.metadata().map(|metadata| metadata.len())
    }

    /// How many files lie in `blobs/`; anything but 0 is a breach of danger 4.
    pub(super) fn blobs(&self) -> io::Result<usize> {
        Ok(fs::read_dir(self.path.join("blobs"))?.count())
    }

    /// Ends the store: returns once no thread of sled can write any more and everything is synced.
    pub(super) fn close(self) -> io::Result<()> {
        let Self { path, db, shared, log } = self;
        db.flush().map_err(|error| {
            // Dropping sled after an error may wait for ever or panic (danger 10).
            std::mem::forget((db.clone(), shared.clone()));
            io::Error::from(error)
        })?;
        // Readers may live on: they find the store gone.
        drop(shared.0.write().unwrap_or_else(PoisonError::into_inner).take());
        drop(db);
        // sled's pool may still hold the log open for a moment; its lock on the file ends with its last descriptor.
        rustix::fs::flock(&log, FlockOperation::LockExclusive)?;
        sync_store(&path)
    }

    /// Leaves sled alone after an error: dropping it may hang or panic (danger 10). The caller ends the process.
    pub(super) fn abandon(self) {
        std::mem::forget(self);
    }
}

/// Syncs every file and every name that sled writes and does not sync (danger 2).
fn sync_store(path: &Path) -> io::Result<()> {
    for file in durable::files_below(path)? {
        match durable::sync_file(&file) {
            Ok(()) => {}
            // sled may rename or remove its own snapshots while we look.
            Err(error) if error.kind() == io::ErrorKind::NotFound && durable::named(&file, "snap.") => {}
            Err(error) => return Err(error),
        }
    }
    durable::sync_directory(&path.join("blobs"))?;
    durable::sync_directory(path)?;
    durable::sync_directory(durable::parent(path))
}

/// A kill while sled wrote a snapshot leaves `snap.N.generating`, which the next open takes for a snapshot and refuses
/// for ever (danger 3). Nothing is lost by removing it. Only under the lock: it may be the live one of another process.
fn remove_half_written_snapshots(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let file = entry?.path();
        if durable::named(&file, "snap.") && file.extension().is_some_and(|extension| extension == "generating") {
            tracing::warn!(file = %file.display(), "a half-written snapshot of the store is removed");
            fs::remove_file(&file)?;
        }
    }
    durable::sync_directory(path)
}

fn refused(path: &Path, error: sled::Error) -> OpenError {
    match error {
        sled::Error::Io(error) => OpenError::from_io(path, error),
        sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_) => {
            OpenError::Damaged { place: Place::File(path.to_owned()), problem: format!("sled refuses it: {error}") }
        }
    }
}
