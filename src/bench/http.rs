//! The least of HTTP/1.1 that a load generator needs: one connection that is kept open, and one request at a time.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection; its buffers are used again.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    address: String,
    request: String,
    written: Vec<u8>,
    read: Vec<u8>,
}

impl Connection {
    /// To a broker at `host:port`.
    pub(super) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (request, written, read) = (String::new(), Vec::new(), Vec::new());
        Ok(Self { stream, address: address.to_owned(), request, written, read })
    }

    /// The body of the next request, empty.
    pub(super) fn request(&mut self) -> &mut String {
        self.request.clear();
        &mut self.request
    }

    /// Calls an operation of the SQS wire with that body; what it answers.
    pub(super) async fn call(&mut self, operation: &str) -> anyhow::Result<&str> {
        self.written.clear();
        write!(
            self.written,
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             X-Amz-Target: AmazonSQS.{operation}\r\nContent-Length: {}\r\n\r\n{}",
            self.address,
            self.request.len(),
            self.request
        )?;
        self.exchange(operation).await
    }

    /// Gets a page.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<&str> {
        self.written.clear();
        write!(self.written, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        self.exchange(path).await
    }

    async fn exchange(&mut self, what: &str) -> anyhow::Result<&str> {
        self.stream.write_all(&self.written).await?;
        self.read.clear();
        let (status, length, start) = loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the broker closed the connection");
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.read[..end])?;
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
                });
                break (
                    head.get(9..12).unwrap_or("").to_owned(),
                    length.context("an answer without a length")?,
                    end + 4,
                );
            }
        };
        while self.read.len() < start + length {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the broker closed the connection");
        }
        let body = std::str::from_utf8(&self.read[start..start + length])?;
        ensure!(status == "200", "{what} is answered with {status}: {body}");
        Ok(body)
    }
}
