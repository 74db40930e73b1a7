//! Redis: a server with an append-only file that is synced before each answer, and its protocol. A stream for each
//! connection that sends and one consumer group on each.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    load::{CONNECTIONS, How, Peer, Sender, Taker},
    server::Server,
};

/// What makes it durable, and its memory its own.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("no-appendfsync-on-rewrite", "no"),
    ("save", ""),
    ("auto-aof-rewrite-percentage", "0"),
];
/// What XADD is wrapped in where repeated messages are to be recognised: one atomic step.
const DEDUPLICATED: &str = "if redis.call('SET', KEYS[2], '1', 'NX', 'EX', '300') then \
    return redis.call('XADD', KEYS[1], '*', 'b', ARGV[1]) else return '' end";
/// Requests for messages under way on a connection, when messages are deleted in batches.
const READS: usize = 8;

/// A server that runs.
pub(crate) struct Redis(Server);

impl Redis {
    /// Starts a fresh one.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let server = Server::start(directory, |port, data| {
            let mut command = Command::new("redis-server");
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(data);
            for (name, value) in SETTINGS {
                command.args([&format!("--{name}"), value]);
            }
            command
        })?;
        let redis = Self(server);
        let mut link = redis.link()?;
        for place in 0..CONNECTIONS {
            link.put(&[b"XGROUP", b"CREATE", stream(place).as_bytes(), b"g", b"0", b"MKSTREAM"]);
        }
        link.write()?;
        for _ in 0..CONNECTIONS {
            link.reply(&mut Nothing)?;
        }
        Ok(redis)
    }

    fn link(&self) -> Result<Link> {
        Ok(Link { socket: self.0.connect()?, out: Vec::new(), buffer: Vec::new(), start: 0 })
    }
}

fn stream(place: usize) -> String {
    format!("s{place}")
}

impl Peer for Redis {
    fn sender(&self, place: usize, how: How) -> Result<Box<dyn Sender>> {
        Ok(Box::new(Producer { link: self.link()?, stream: stream(place), how }))
    }

    fn taker(&self, place: usize, how: How) -> Result<Box<dyn Taker>> {
        let (link, stream) = (self.link()?, stream(place));
        Ok(Box::new(Consumer { link, stream, how, taken: Vec::new(), idle: false }))
    }

    fn left(&self) -> Result<u64> {
        let mut link = self.link()?;
        (0..CONNECTIONS).try_fold(0, |sum, place| {
            link.put(&[b"XLEN", stream(place).as_bytes()]);
            link.write()?;
            let mut number = Number(0);
            link.reply(&mut number)?;
            Ok(sum + number.0)
        })
    }
}

/// Sees the parts of a reply.
trait Parts {
    fn text(&mut self, text: &[u8]);
    fn number(&mut self, number: u64);
}

struct Nothing;

impl Parts for Nothing {
    fn text(&mut self, _: &[u8]) {}
    fn number(&mut self, _: u64) {}
}

struct Number(u64);

impl Parts for Number {
    fn text(&mut self, _: &[u8]) {}
    fn number(&mut self, number: u64) {
        self.0 += number;
    }
}

/// Texts of a reply to XREADGROUP: the stream, then for each message its id, the name of the field, and the body.
struct Messages<'a, 'b> {
    at: usize,
    ids: &'a mut Vec<Vec<u8>>,
    seen: &'a mut (dyn FnMut(&[u8]) + 'b),
}

impl Parts for Messages<'_, '_> {
    fn text(&mut self, text: &[u8]) {
        match self.at {
            0 => {}
            place if place % 3 == 1 => self.ids.push(text.to_vec()),
            place if place % 3 == 0 => (self.seen)(text),
            _ => {}
        }
        self.at += 1;
    }
    fn number(&mut self, _: u64) {}
}

/// A connection: requests are put in line, written at once, and answered in order.
struct Link {
    socket: TcpStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    /// Where what was not read yet begins in the buffer.
    start: usize,
}

impl Link {
    fn put(&mut self, parts: &[&[u8]]) {
        self.header(b'*', parts.len());
        for part in parts {
            self.header(b'$', part.len());
            self.out.extend_from_slice(part);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn header(&mut self, kind: u8, number: usize) {
        self.out.push(kind);
        self.out.extend_from_slice(number.to_string().as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn write(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.socket.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads on; false when nothing came and nothing was to be waited for.
    fn fill(&mut self, wait: bool) -> Result<bool> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let old = self.buffer.len();
        self.buffer.resize(old + (256 << 10), 0);
        if !wait {
            self.socket.set_nonblocking(true)?;
        }
        let read = self.socket.read(&mut self.buffer[old..]);
        if !wait {
            self.socket.set_nonblocking(false)?;
        }
        self.buffer.truncate(old + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => bail!("Redis ended the connection"),
            Ok(_) => Ok(true),
            Err(error) if !wait && error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// One whole reply that lies in the buffer; false when it is not whole yet.
    fn buffered(&mut self, parts: &mut dyn Parts) -> Result<bool> {
        let Some(end) = whole(&self.buffer, self.start)? else { return Ok(false) };
        show(&self.buffer[self.start..end], parts)?;
        self.start = end;
        Ok(true)
    }

    fn reply(&mut self, parts: &mut dyn Parts) -> Result<()> {
        while !self.buffered(parts)? {
            self.fill(true)?;
        }
        Ok(())
    }
}

/// A line at a place: its kind, its text, and where the next begins.
fn line(bytes: &[u8], from: usize) -> Option<(u8, &[u8], usize)> {
    let rest = bytes.get(from..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((rest[0], &rest[1..end - 1], from + end + 1))
}

fn length(text: &[u8]) -> Result<usize> {
    // What is not there has the length -1.
    Ok(std::str::from_utf8(text)?.parse::<i64>()?.max(0) as usize)
}

/// Where the reply that begins at a place ends; `None` when it is not whole.
fn whole(bytes: &[u8], from: usize) -> Result<Option<usize>> {
    let (mut at, mut open) = (from, 1_usize);
    while open > 0 {
        let Some((kind, text, next)) = line(bytes, at) else { return Ok(None) };
        (at, open) = (next, open - 1);
        match kind {
            b'*' => open += length(text)?,
            b'$' if text.first() != Some(&b'-') => at += length(text)? + 2,
            b'-' => bail!("Redis: {}", String::from_utf8_lossy(text)),
            _ => {}
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// Shows the texts and numbers of a whole reply.
fn show(bytes: &[u8], parts: &mut dyn Parts) -> Result<()> {
    let mut at = 0;
    while let Some((kind, text, next)) = line(bytes, at) {
        at = next;
        match kind {
            b'$' if text.first() != Some(&b'-') => {
                let length = length(text)?;
                parts.text(&bytes[at..at + length]);
                at += length + 2;
            }
            b':' => parts.number(length(text)? as u64),
            _ => {}
        }
    }
    Ok(())
}

struct Producer {
    link: Link,
    stream: String,
    how: How,
}

impl Sender for Producer {
    fn put(&mut self, bodies: &[Vec<u8>]) {
        // A batch is accepted as a whole or not at all, as ours is.
        let atomic = self.how.batch > 1;
        if atomic {
            self.link.put(&[b"MULTI"]);
        }
        for body in bodies {
            if self.how.deduplicated {
                let script = DEDUPLICATED.as_bytes();
                self.link.put(&[b"EVAL", script, b"2", self.stream.as_bytes(), &body[..16], body]);
            } else {
                self.link.put(&[b"XADD", self.stream.as_bytes(), b"*", b"b", body]);
            }
        }
        if atomic {
            self.link.put(&[b"EXEC"]);
        }
    }

    fn write(&mut self) -> Result<()> {
        self.link.write()
    }

    fn answers(&mut self, wait: bool) -> Result<usize> {
        let mut replies = Ids(0);
        loop {
            while self.link.buffered(&mut replies)? {}
            if replies.0 > 0 || !self.link.fill(wait && replies.0 == 0)? {
                return Ok(replies.0);
            }
        }
    }
}

/// Counts the ids of messages that were accepted.
struct Ids(usize);

impl Parts for Ids {
    fn text(&mut self, text: &[u8]) {
        self.0 += usize::from(!text.is_empty());
    }
    fn number(&mut self, _: u64) {}
}

struct Consumer {
    link: Link,
    stream: String,
    how: How,
    /// For each request the messages that it brought, to be deleted in the next turn.
    taken: Vec<Vec<Vec<u8>>>,
    /// The last turn brought nothing.
    idle: bool,
}

impl Consumer {
    /// XACK and XDEL of messages in one request each.
    fn delete(&mut self, ids: &[Vec<u8>]) {
        for (name, group) in [(&b"XACK"[..], Some(&b"g"[..])), (b"XDEL", None)] {
            let mut parts = vec![name, self.stream.as_bytes()];
            parts.extend(group);
            parts.extend(ids.iter().map(Vec::as_slice));
            self.link.put(&parts);
        }
    }
}

impl Taker for Consumer {
    fn take(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let single = self.how.batch == 1;
        let taken = std::mem::take(&mut self.taken);
        let mut expected = 0;
        let batch = self.how.batch;
        for ids in taken.iter().flat_map(|ids| ids.chunks(batch)) {
            self.delete(ids);
            expected += 1;
        }
        let reads = if single || self.idle { 1 } else { READS };
        let count = if single { "1000".to_owned() } else { self.how.batch.to_string() };
        for place in 0..reads {
            let mut parts: Vec<&[u8]> = vec![b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", count.as_bytes()];
            // Whoever has something to delete asks for more without waiting for it.
            if place == 0 && self.idle {
                parts.extend([&b"BLOCK"[..], b"100"]);
            }
            let stream = self.stream.clone();
            parts.extend([&b"STREAMS"[..], stream.as_bytes(), b">"]);
            self.link.put(&parts);
        }
        self.link.write()?;
        let mut deleted = 0;
        for _ in 0..expected {
            let [mut acknowledged, mut removed] = [Number(0), Number(0)];
            self.link.reply(&mut acknowledged)?;
            self.link.reply(&mut removed)?;
            ensure!(acknowledged.0 == removed.0, "XACK and XDEL found another number of messages");
            deleted += usize::try_from(removed.0).context("a count")?;
        }
        for _ in 0..reads {
            let mut ids = Vec::new();
            self.link.reply(&mut Messages { at: 0, ids: &mut ids, seen: &mut *seen })?;
            if !ids.is_empty() {
                self.taken.push(ids);
            }
        }
        self.idle = self.taken.is_empty();
        Ok(deleted)
    }
}
