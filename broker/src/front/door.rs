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
    time::Sleep,
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
    greeting: Option<Greeting>,
    _share: OwnedSemaphorePermit,
}

/// What a connection has still to say before it is believed to mean something.
struct Greeting {
    missing: usize,
    ends: Pin<Box<Sleep>>,
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
    let ends = Box::pin(tokio::time::sleep(Duration::from_millis(limits::GREETING_TIME)));
    Connection { stream, closed, greeting: Some(Greeting { missing: limits::GREETING, ends }), _share: share }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            // Polled again it would panic; the error ends the connection, and this makes sure.
            self.closed = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let Some(greeting) = &mut self.greeting else {
            return carried!(self, stream => stream.poll_read(cx, into));
        };
        if greeting.ends.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = into.filled().len();
        let read = carried!(self, stream => stream.poll_read(cx, into));
        let more = into.filled().len() - before;
        self.greeting = self.greeting.take().and_then(|greeting| {
            let missing = greeting.missing.checked_sub(more).filter(|missing| *missing > 0)?;
            Some(Greeting { missing, ..greeting })
        });
        read
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::Instant,
    };

    use super::*;

    /// A connection whose greeting has so many milliseconds, and who is at its other end.
    async fn greeted_within(milliseconds: u64) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let other = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let share = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("a share");
        let (_, door) = watch::channel(Door::Open);
        let mut connection = connection(Transport::Plain(stream), door, share);
        // Nobody closes this door.
        connection.closed = Box::pin(std::future::pending());
        let greeting = connection.greeting.as_mut().expect("not greeted yet");
        greeting.ends.as_mut().reset(Instant::now() + Duration::from_millis(milliseconds));
        (connection, other)
    }

    #[tokio::test]
    async fn a_connection_that_does_not_say_enough_in_time_ends() {
        let (mut connection, mut other) = greeted_within(50).await;
        other.write_all(&[b'P'; limits::GREETING - 1]).await.expect("sent");
        let mut said = [0; limits::GREETING];
        let error = connection.read_exact(&mut said).await.expect_err("too little");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let again = connection.read(&mut said).await.expect_err("it stays so");
        assert_eq!(again.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_said_enough_may_be_silent_for_as_long_as_he_likes() {
        let (mut connection, mut other) = greeted_within(200).await;
        other.write_all(&[b'P'; limits::GREETING]).await.expect("sent");
        let mut said = [0; limits::GREETING];
        connection.read_exact(&mut said).await.expect("all of it");
        assert!(connection.greeting.is_none());
        other.write_all(b"x").await.expect("sent");
        assert_eq!(connection.read(&mut said).await.expect("more"), 1);
    }
}
