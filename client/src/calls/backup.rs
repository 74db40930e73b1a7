//! Admin.Backup: a backup of a broker that serves (H9).

use std::time::Duration;

use bytes::Bytes;
use lockstep_proto::v1;
use tonic::Streaming;

use crate::{
    Client, Error,
    error::Failure,
    retry::{GaveUp, Repeat},
};

/// How long the next chunk may take: a large state is put together first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A backup as it comes.
#[derive(Debug)]
pub struct Backup {
    client: Client,
    chunks: Streaming<v1::BackupResponse>,
}

impl Client {
    /// Begins a backup of the broker's journal; serving goes on. The chunks, one behind the other, are the file that
    /// `lockstep journal restore` reads, with the key of the receipt handles in it: keep it as secret as the data. Take
    /// them without pause: the broker gives it up when none is taken for 30 s. Not repeated once it was sent: a broker
    /// takes one backup at a time.
    ///
    /// # Errors
    /// [`Error::Refused`] while another one is taken (`BACKUP_RUNNING`).
    pub async fn backup(&self) -> Result<Backup, Error> {
        let chunks = self.call(Repeat::Unsent, Duration::ZERO, || {
            let mut admin = self.admin();
            async move { admin.backup(v1::BackupRequest {}).await }
        });
        Ok(Backup { chunks: chunks.await?, client: self.clone() })
    }
}

impl Backup {
    /// The next chunk, at most 1 MiB; none after the last one. Only a reader of the file can tell that it is whole.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker gives up (`BACKUP_FAILED`), [`Error::Unavailable`] when it ends or is silent
    /// for 120 s.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(PATIENCE, self.chunks.message()).await {
            Ok(Ok(response)) => Ok(response.map(|response| response.chunk)),
            Ok(Err(status)) => Err(self.client.error(match Failure::from(status) {
                Failure::Final(error) => GaveUp::Final(error),
                Failure::Unsent(text) | Failure::Unknown(text) => GaveUp::Unknown(text),
            })),
            Err(_) => Err(Error::Unavailable { message: format!("no chunk within {} s", PATIENCE.as_secs()) }),
        }
    }
}
