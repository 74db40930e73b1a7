//! The network between a producer and the broker: a relay that loses answers when it is told to. It knows of HTTP/2 only
//! where frames begin and which of them carry an answer: such a frame has left the broker, so its reasons are on disk;
//! lost is nothing but the answer, and the connection with it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Bytes of a frame's head.
const HEAD: usize = 9;
/// The kind of frames that carry answers.
const DATA: u8 = 0;
/// The largest frame that is relayed; the default of HTTP/2 is a thousandth of it.
const LARGEST: usize = 16 << 20;

/// A relay; it ends when it is dropped.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    to_lose: AtomicU64,
    lost: AtomicU64,
}

impl Wire {
    /// Listens on a free port of loopback, for a broker at `broker`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(broker: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free on loopback")?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut relays = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        relays.spawn(relay(client, broker, Arc::clone(&shared)));
                    }
                    Some(_) = relays.join_next() => {}
                }
            }
        });
        Ok(Self { address, state, task })
    }

    /// Where a producer reaches the broker through it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Loses the next answers: each of them breaks its connection.
    pub fn lose(&self, answers: u64) {
        self.state.to_lose.fetch_add(answers, Ordering::SeqCst);
    }

    /// How many answers were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, broker: SocketAddr, state: Arc<State>) {
    let Ok(broker) = TcpStream::connect(broker).await else { return };
    // A frame that waits for the next one would only make the lab slow.
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_broker, mut to_broker) = broker.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_broker) => {}
        _ = answers(from_broker, to_client, &state) => {}
    }
}

/// Carries frames from the broker to the client; ends in place of an answer that is to be lost.
async fn answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &State,
) -> std::io::Result<()> {
    loop {
        let mut head = [0; HEAD];
        from.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if length > LARGEST {
            return Err(std::io::Error::other("this is no frame of HTTP/2"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        let is_answer = head[3] == DATA && length > 0;
        if is_answer
            && state.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        {
            state.lost.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        to.write_all(&[&head[..], &body].concat()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], body].concat()
    }

    #[tokio::test]
    async fn an_answer_is_lost_with_its_connection_and_nothing_else_is() {
        let state = State::default();
        state.to_lose.store(1, Ordering::SeqCst);
        let all = [frame(4, b"settings"), frame(0, b""), frame(0, b"answer"), frame(4, b"more")].concat();
        let mut out = Vec::new();
        answers(&all[..], &mut out, &state).await.unwrap();
        assert_eq!(out, [frame(4, b"settings"), frame(0, b"")].concat());
        assert_eq!((state.lost.load(Ordering::SeqCst), state.to_lose.load(Ordering::SeqCst)), (1, 0));
        let mut out = Vec::new();
        answers(&all[..], &mut out, &state).await.unwrap_err();
        assert_eq!(out, all, "a wire that loses nothing carries every byte");
    }
}
