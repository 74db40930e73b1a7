//! Opening the journal, step by step; the order of the steps is what makes a crash between any two of them harmless.
//! Nothing is changed in the store but that a torn tail is cut and slices that no mark names are discarded.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use super::slices::{self, SliceKey, Whole};
use super::store::Store;
use super::tail::{self, Tail};
use super::{Seams, SledJournal, SledOptions};
use crate::directory::acknowledged::Acknowledged;
use crate::directory::{CleanMark, Directory, StoreKind, durable};
use crate::encoding::Chain;
use crate::error::OpenError;
use crate::frame::{FrameNumber, JournalId};
use crate::watchdog::Watchdog;

/// Lock, identity, mark, rewrite, sled, tail, side file: in this order.
pub(super) fn open(path: &Path, options: SledOptions, seams: Seams) -> Result<SledJournal, OpenError> {
    let directory = Directory::own(path, StoreKind::Sled)?;
    let journal = directory.identity()?;
    let mark = directory.take_clean_mark(journal)?;
    if !directory.store().exists() {
        create(&directory, journal)?;
    } else if mark == CleanMark::Absent {
        rewrite(&directory)?;
    }
    let (mut acknowledged, durable) = directory.open_side_file(journal, mark)?;
    let store = Store::open(&directory.store())?;
    let settled = settle(&directory, &store, &mut acknowledged, journal, durable);
    let started = settled.and_then(|settled| {
        let watchdog = Watchdog::start(options.stall_limit, seams.on_stall)
            .map_err(|error| OpenError::from_io(directory.path(), error))?;
        Ok((settled, watchdog))
    });
    match started {
        Ok((Settled { chain, whole, other_bytes }, watchdog)) => Ok(SledJournal {
            store: Some(store),
            directory: Some(directory),
            acknowledged,
            chain,
            whole,
            unfinished: None,
            garbage: VecDeque::new(),
            failed: None,
            doubtful: false,
            watchdog,
            sync: seams.sync,
            other_bytes,
        }),
        Err(error @ OpenError::Damaged { .. }) => {
            store.close().map_err(|error| OpenError::from_io(path, error))?;
            Err(error)
        }
        Err(error) => {
            // The store itself may have failed: it is never dropped then, and nobody else may open it (danger 10).
            store.abandon();
            std::mem::forget(directory);
            Err(error)
        }
    }
}

/// Opens what is left of a damaged journal, in a copy of its store made at `scratch`: sled changes what it opens. Nothing
/// can be appended.
pub(super) fn salvage(path: &Path, scratch: &Path) -> Result<SledJournal, OpenError> {
    let directory = Directory::own(path, StoreKind::Sled)?;
    let journal = directory.identity()?;
    let failed = |error| OpenError::from_io(path, error);
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(failed)?;
    }
    durable::create_directory(scratch).map_err(failed)?;
    for entry in fs::read_dir(directory.store()).map_err(failed)? {
        let file = entry.map_err(failed)?;
        // A snapshot may be ahead of a log that lost its end, and sled refuses that; the log alone is enough.
        if file.file_type().map_err(failed)?.is_file() && !durable::named(&file.path(), "snap.") {
            fs::copy(file.path(), scratch.join(file.file_name())).map_err(failed)?;
        }
    }
    let store = Store::open(scratch)?;
    let inspected = slices::find(store.db(), journal).and_then(|found| {
        let start = found.whole.as_ref().map_or_else(|| Chain::new(journal), |whole| whole.mark.start);
        Ok((tail::left(store.db(), start)?, found.whole))
    });
    let (chain, whole) = match inspected {
        Ok(inspected) => inspected,
        Err(error) => {
            store.close().map_err(failed)?;
            return Err(OpenError::from_read(path, error));
        }
    };
    let seams = Seams::default();
    Ok(SledJournal {
        store: Some(store),
        directory: Some(directory),
        acknowledged: Acknowledged::nowhere(journal).map_err(failed)?,
        chain,
        whole,
        unfinished: None,
        garbage: VecDeque::new(),
        failed: Some("it was opened only to be salvaged".to_owned()),
        doubtful: false,
        watchdog: Watchdog::start(SledOptions::default().stall_limit, seams.on_stall).map_err(failed)?,
        sync: seams.sync,
        other_bytes: 0,
    })
}

/// Makes a fresh store. It gets its name only when it is whole: a crash in the middle leaves nothing that sled could
/// refuse, and a journal that lost its store is not taken for a fresh one.
fn create(directory: &Directory, journal: JournalId) -> Result<(), OpenError> {
    let store = directory.store();
    let failed = |error| OpenError::from_io(&store, error);
    directory.begin_side_file(journal)?;
    let unfinished = directory.unfinished_store();
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(failed)?;
    }
    Store::open(&unfinished)?.close().map_err(failed)?;
    fs::rename(&unfinished, &store).map_err(failed)?;
    directory.sync().map_err(failed)
}

/// After an unclean end: every byte in place again, and synced, before sled looks at it (H7).
fn rewrite(directory: &Directory) -> Result<(), OpenError> {
    let failed = |path: &Path, error| OpenError::from_io(path, error);
    let store = directory.store();
    let mut files = durable::files_below(&store).map_err(|error| failed(&store, error))?;
    files.extend(Some(directory.acknowledged()).filter(|path| path.exists()));
    let mut bytes = 0;
    for file in &files {
        bytes += durable::rewrite_in_place(file).map_err(|error| failed(file, error))?;
    }
    durable::sync_directory(&store).map_err(|error| failed(&store, error))?;
    tracing::info!(bytes, files = files.len(), "the journal was not closed cleanly: its files were written again");
    Ok(())
}

/// What the open store comes to.
struct Settled {
    /// Where the next frame hangs.
    chain: Chain,
    whole: Option<Whole>,
    other_bytes: u64,
}

/// With the store open: judges its end, cuts it if need be, discards what is left of unfinished checkpoints, and brings
/// the side file up to the end.
fn settle(
    directory: &Directory,
    store: &Store,
    acknowledged: &mut Acknowledged,
    journal: JournalId,
    durable: Option<FrameNumber>,
) -> Result<Settled, OpenError> {
    let path = directory.path();
    let failed = |error| OpenError::from_io(path, error);
    let found = slices::find(store.db(), journal).map_err(|e| OpenError::from_read(path, e))?;
    let start = found.whole.as_ref().map_or_else(|| Chain::new(journal), |whole| whole.mark.start);
    let chain = match tail::inspect(store.db(), start, durable).map_err(|e| OpenError::from_read(path, e))? {
        Tail::Whole(chain) => chain,
        Tail::Cut { frame, keys, problem, chain } => {
            tracing::warn!(%frame, problem, "the last frame is bad and was never acknowledged: it is cut");
            let mut batch = sled::Batch::default();
            for key in &keys {
                batch.remove(key);
            }
            let cut = store.db().apply_batch(batch).and_then(|()| store.db().flush().map(drop));
            cut.map_err(|error| failed(error.into()))?;
            chain
        }
    };
    discard(store.db(), &found.discarded).map_err(|error| failed(error.into()))?;
    store.log().sync_data().map_err(failed)?;
    directory.sync().map_err(failed)?;
    // The last frame may be one whose append was never answered: it is durable now, and acknowledged from here on.
    acknowledged.note_durably(chain.last).map_err(failed)?;
    let all = durable::files_below(&directory.store()).map_err(failed)?;
    let other_bytes = all
        .iter()
        .filter(|file| !durable::named(file, "db"))
        .map(|file| fs::metadata(file).map_or(0, |metadata| metadata.len()))
        .sum();
    Ok(Settled { chain, whole: found.whole, other_bytes })
}

/// Removes slices that no mark names, a bounded number in one batch: a crash in between leaves some for the next time.
fn discard(db: &sled::Db, keys: &[SliceKey]) -> Result<(), sled::Error> {
    for keys in keys.chunks(256) {
        let mut batch = sled::Batch::default();
        for key in keys {
            batch.remove(key);
        }
        db.apply_batch(batch)?;
    }
    if !keys.is_empty() {
        tracing::info!(chunks = keys.len(), "an unfinished or replaced checkpoint was discarded");
        db.flush()?;
    }
    Ok(())
}
