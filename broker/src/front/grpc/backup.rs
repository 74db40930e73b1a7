//! `Admin.Backup`: the chunks of a backup on their way to whoever asked, until the last one, the caller's end or the
//! broker's. What is in them is not this door's affair.

use lockstep_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Response;

use super::{Services, queues::Answered, streams::Responses};
use crate::limits;

impl Services {
    pub(super) fn take_backup(&self) -> Answered<Responses<v1::BackupResponse>> {
        let backup = self.handle.begin_backup().map_err(|failure| self.refuse(&failure))?;
        let (responses_in, responses) = mpsc::channel(limits::STREAM_RESPONSES);
        let (chunks_in, mut chunks) = mpsc::channel(1);
        let taken = tokio::spawn(backup.run(chunks_in));
        let services = self.clone();
        tokio::spawn(async move {
            let end = loop {
                // Whoever returns drops `chunks`: that ends the backup, and what it holds may go.
                let chunk = tokio::select! {
                    () = responses_in.closed() => return,
                    () = services.closing() => break Err(services.stopping()),
                    chunk = chunks.recv() => chunk,
                };
                let Some(chunk) = chunk else {
                    let taken = taken.await.expect("taking a backup does not panic");
                    break taken.map_err(|failure| services.refuse(&failure));
                };
                let sent = tokio::select! {
                    () = services.closing() => break Err(services.stopping()),
                    sent = responses_in.send(Ok(v1::BackupResponse { chunk })) => sent,
                };
                if sent.is_err() {
                    return;
                }
            };
            drop(chunks);
            if let Err(status) = end {
                // The client may be gone.
                drop(responses_in.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}
