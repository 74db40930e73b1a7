//! Connections of the port: how many there may be, and how they end when the broker does.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::tls::{Handshakes, Tls};
use crate::limits;

/// How open the door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    /// New connections are taken.
    Open,
    /// None are taken; open calls end.
    Closing,
    /// What is still open is dropped.
    Closed,
}

/// What carries a connection.
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// Hands a poll to the stream that carries the connection.
macro_rules! carried {
    ($connection:expr, $stream:ident => $poll:expr) => {
        match &mut $connection.stream {
            Transport::Plain(stream) => {
                let $stream = Pin::new(stream);
                $poll
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $poll
            }
        }
    };
}

/// A connection that ends when the door is closed, whatever the other side does.
pub(crate) struct Connection {
    stream: Transport,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
    _share: OwnedSemaphorePermit,
}

/// The connections that come in, one beyond the limit only when another has gone.
pub(crate) fn connections(
    listener: TcpListener,
    door: watch::Receiver<Door>,
    tls: Option<Tls>,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, connections) = mpsc::channel(16);
    tokio::spawn(async move {
        let shares = Arc::new(Semaphore::new(limits::CONNECTIONS));
        let mut closing = door.clone();
        tokio::select! {
            _ = closing.wait_for(|door| *door >= Door::Closing) => {}
            () = accept(&listener, &door, &shares, &accepted, tls.as_ref()) => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(
    listener: &TcpListener,
    door: &watch::Receiver<Door>,
    shares: &Arc<Semaphore>,
    accepted: &mpsc::Sender<io::Result<Connection>>,
    tls: Option<&Tls>,
) {
    let mut handshakes = Handshakes::default();
    loop {
        // Without TLS the next one is taken when another has gone; with it, once it has shown who it is.
        let share = match tls {
            None => Arc::clone(shares).acquire_owned().await.ok(),
            Some(_) => None,
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection without TCP_NODELAY");
                }
                match (tls, share) {
                    (Some(tls), _) => {
                        let (door, shares, accepted) = (door.clone(), Arc::clone(shares), accepted.clone());
                        handshakes.begin(tls, stream, move |stream| async move {
                            let Ok(share) = shares.acquire_owned().await else { return };
                            // The server is gone when nobody takes it.
                            let _ = accepted.send(Ok(connection(Transport::Tls(Box::new(stream)), door, share))).await;
                        });
                    }
                    (None, Some(share)) => {
                        let connection = connection(Transport::Plain(stream), door.clone(), share);
                        if accepted.send(Ok(connection)).await.is_err() {
                            return;
                        }
                    }
                    (None, None) => return,
                }
            }
            Err(error) => {
                // Such as too many open files: others may go soon. Without a pause this would be a busy loop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE)).await;
            }
        }
    }
}

fn connection(stream: Transport, mut door: watch::Receiver<Door>, share: OwnedSemaphorePermit) -> Connection {
    let closed = Box::pin(async move {
        // An owner that is gone wants the door closed too.
        let _ = door.wait_for(|door| *door == Door::Closed).await;
    });
    Connection { stream, closed, _share: share }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            // Polled again it would panic; the error ends the connection, and this makes sure.
            self.closed = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        carried!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        carried!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.tcp().connect_info()
    }
}
