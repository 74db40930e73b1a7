//! The store of a journal on sled made at once, from frames that are kept for their bodies and a checkpoint that covers
//! them. It is put in place elsewhere.

use std::io;
use std::path::Path;

use super::chunks;
use super::slices::{self, Mark};
use super::store::Store;
use crate::checkpoint::SliceChain;
use crate::encoding::{Chain, encode};
use crate::error::OpenError;
use crate::frame::{Frame, FrameNumber, JournalId};

/// A store under way.
pub(crate) struct NewSled {
    /// Taken only when it ends: sled is never just dropped.
    store: Option<Store>,
    folder: std::path::PathBuf,
    journal: JournalId,
    chain: SliceChain,
}

impl NewSled {
    pub(crate) fn begin(folder: &Path, journal: JournalId, covers: FrameNumber) -> Result<Self, OpenError> {
        let store = Some(Store::open(folder)?);
        // What comes after the checkpoint hangs on it alone, so any anchor will do.
        Ok(Self { store, folder: folder.to_owned(), journal, chain: SliceChain::to_write(journal, covers, 0) })
    }

    fn apply(&self, batch: sled::Batch) -> io::Result<()> {
        let store = self.store.as_ref().expect("the store is taken only when it ends");
        store.db().apply_batch(batch)?;
        store.db().flush()?;
        Ok(())
    }

    pub(crate) fn frame(&mut self, number: FrameNumber, frame: &Frame) -> io::Result<()> {
        let mut chain = Chain::new(self.journal);
        if number > FrameNumber::FIRST {
            chain.advance(FrameNumber(number.0 - 1), 0);
        }
        let encoded = encode(&chain, frame).map_err(io::Error::other)?;
        let mut batch = sled::Batch::default();
        for (key, chunk) in chunks::cut(number, &encoded.bytes) {
            batch.insert(&key, chunk);
        }
        self.apply(batch)
    }

    pub(crate) fn slice(&mut self, slice: &[u8], last: bool) -> io::Result<()> {
        if self.chain.is_whole() {
            return Err(io::Error::other("a slice after the last one"));
        }
        let encoded = self.chain.encode(slice, last).map_err(io::Error::other)?;
        let mut batch = sled::Batch::default();
        for (key, chunk) in slices::cut(self.chain.covers(), self.chain.due(), &encoded.bytes) {
            batch.insert(&key, chunk);
        }
        self.chain.advance(encoded.checksum, last);
        if last {
            batch.insert(slices::MARK, Mark::of(&self.chain).encode().as_ref());
        }
        self.apply(batch)
    }

    /// Everything is durable but the folder's own name.
    pub(crate) fn finish(mut self) -> Result<(), OpenError> {
        let failed = |error| OpenError::from_io(&self.folder, error);
        if !self.chain.is_whole() {
            return Err(failed(io::Error::other("the last slice of the checkpoint is missing")));
        }
        let store = self.store.take().expect("the store is taken only when it ends");
        if store.blobs().map_err(failed)? > 0 {
            store.abandon();
            return Err(failed(io::Error::other("blob files, which are never synced")));
        }
        store.close().map_err(failed)
    }
}

impl Drop for NewSled {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            // Nobody will open what was given up; an error of its store may be why (danger 10).
            store.abandon();
        }
    }
}
