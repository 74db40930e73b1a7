//! NATS JetStream: a server whose store is synced at each write, and its protocol. One stream with the retention of a work
//! queue and 64 partitions, each a subject with a consumer of its own; a message is deleted by its acknowledgement.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    load::{CONNECTIONS, How, Peer, Sender, Taker},
    server::Server,
};

/// Subjects of the stream.
const PARTITIONS: usize = 64;

/// The configuration that the server is started with.
pub(crate) fn settings(store: &Path) -> String {
    format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}\n", store.display())
}

/// A server that runs.
pub(crate) struct Nats(Server);

impl Nats {
    /// Starts a fresh one.
    pub(crate) fn start(directory: &Path, program: &Path) -> Result<Self> {
        let configuration: PathBuf = directory.join("nats.conf");
        let server = Server::start(directory, |port, data| {
            // What cannot be written shows at once: the server does not start without it.
            let _ = fs::write(&configuration, settings(data));
            let mut command = Command::new(program);
            command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"]).arg(&configuration);
            command
        })?;
        let nats = Self(server);
        let mut link = nats.link("setup")?;
        let stream = json!({"name": "S", "subjects": ["p.*"], "retention": "workqueue", "storage": "file",
            "num_replicas": 1, "duplicate_window": 300_000_000_000_u64, "allow_atomic": true, "discard": "old"});
        link.ask("$JS.API.STREAM.CREATE.S", &stream)?;
        for partition in 0..PARTITIONS {
            let name = format!("c{partition}");
            let config = json!({"durable_name": name, "ack_policy": "explicit", "deliver_policy": "all",
                "filter_subject": subject(partition), "max_ack_pending": 1_000});
            let consumer = json!({"stream_name": "S", "config": config});
            link.ask(&format!("$JS.API.CONSUMER.DURABLE.CREATE.S.{name}"), &consumer)?;
        }
        Ok(nats)
    }

    fn link(&self, name: &str) -> Result<Link> {
        let mut link = Link { socket: self.0.connect()?, out: Vec::new(), buffer: Vec::new(), start: 0 };
        let connect = json!({"verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "lang": "raw", "version": "1", "protocol": 1});
        link.out.extend_from_slice(format!("CONNECT {connect}\r\nSUB i.{name}.> 1\r\n").as_bytes());
        link.write()?;
        Ok(link)
    }
}

fn subject(partition: usize) -> String {
    format!("p.{partition}")
}

impl Peer for Nats {
    fn sender(&self, place: usize, how: How) -> Result<Box<dyn Sender>> {
        let name = format!("p{place}");
        Ok(Box::new(Producer { link: self.link(&name)?, reply: format!("i.{name}.a"), place, how, put: 0 }))
    }

    fn taker(&self, place: usize, _: How) -> Result<Box<dyn Taker>> {
        let name = format!("c{place}");
        let mut link = self.link(&name)?;
        for partition in (0..PARTITIONS).filter(|partition| partition % CONNECTIONS == place) {
            // One request for all that will ever come: nothing is lost to asking.
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.c{partition}");
            link.publish(&subject, &format!("i.{name}.m"), b"{\"batch\":1000000000}");
        }
        link.write()?;
        link.socket.set_read_timeout(Some(std::time::Duration::from_millis(100)))?;
        Ok(Box::new(Consumer { link, name }))
    }

    fn left(&self) -> Result<u64> {
        let state = self.link("setup")?.ask("$JS.API.STREAM.INFO.S", &json!({}))?;
        state["state"]["messages"].as_u64().context("a stream without a count")
    }
}

/// A message that came.
struct Message<'a> {
    subject: &'a str,
    reply: Option<&'a str>,
    payload: &'a [u8],
}

/// A connection.
struct Link {
    socket: TcpStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    /// Where what was not read yet begins in the buffer.
    start: usize,
}

impl Link {
    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.out.extend_from_slice(format!("PUB {subject} {reply} {}\r\n", payload.len()).as_bytes());
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    fn write(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.socket.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads on; false when nothing came in time, or at once when nothing is to be waited for.
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
            Ok(0) => bail!("NATS ended the connection"),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows each message that lies in the buffer, and answers the server's pings.
    fn buffered(&mut self, each: &mut dyn FnMut(Message<'_>, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
            let line = std::str::from_utf8(&rest[..end])?.trim_end();
            let mut words = line.split(' ');
            let mut used = end + 1;
            match words.next() {
                Some(kind @ ("MSG" | "HMSG")) => {
                    let words: Vec<&str> = words.collect();
                    let sizes = if kind == "MSG" { 1 } else { 2 };
                    let total: usize = words.last().context("a message without a size")?.parse()?;
                    if rest.len() < used + total + 2 {
                        return Ok(());
                    }
                    let headers: usize = if sizes == 2 { words[words.len() - 2].parse()? } else { 0 };
                    let reply = (words.len() == 3 + sizes).then(|| words[2]);
                    let payload = &rest[used + headers..used + total];
                    each(Message { subject: words[0], reply, payload }, &mut self.out)?;
                    used += total + 2;
                }
                Some("PING") => self.out.extend_from_slice(b"PONG\r\n"),
                Some("-ERR") => bail!("NATS: {line}"),
                Some(_) | None => {}
            }
            self.start += used;
        }
    }

    /// A request and its answer.
    fn ask(&mut self, subject: &str, what: &Value) -> Result<Value> {
        self.publish(subject, "i.setup.r", what.to_string().as_bytes());
        let mut answer = None;
        while answer.is_none() {
            self.write()?;
            ensure!(self.fill(true)?, "NATS does not answer {subject}");
            self.buffered(&mut |message, _| {
                answer = Some(serde_json::from_slice::<Value>(message.payload)?);
                Ok(())
            })?;
        }
        let answer = answer.expect("the loop ends with one");
        ensure!(answer.get("error").is_none(), "NATS, {subject}: {answer}");
        Ok(answer)
    }
}

struct Producer {
    link: Link,
    reply: String,
    place: usize,
    how: How,
    put: usize,
}

impl Sender for Producer {
    fn put(&mut self, bodies: &[Vec<u8>]) {
        self.put += 1;
        let batch = bodies.len() > 1;
        for (number, body) in (1..).zip(bodies) {
            // The partitions of a connection, by the group of the message.
            let group = usize::from(body[21]) + usize::from(body[20]) * 7;
            let subject = subject(group % (PARTITIONS / CONNECTIONS) * CONNECTIONS + self.place);
            let mut headers = "NATS/1.0\r\n".to_owned();
            if self.how.deduplicated {
                headers += &format!("Nats-Msg-Id: {}\r\n", std::str::from_utf8(&body[..16]).unwrap_or_default());
            }
            if batch {
                headers += &format!("Nats-Batch-Id: {}-{}\r\nNats-Batch-Sequence: {number}\r\n", self.place, self.put);
            }
            let last = number == bodies.len();
            if batch && last {
                headers += "Nats-Batch-Commit: 1\r\n";
            }
            let reply = if last { self.reply.as_str() } else { "" };
            if headers.len() == 10 {
                self.link.publish(&subject, reply, body);
                continue;
            }
            headers += "\r\n";
            let (own, all) = (headers.len(), headers.len() + body.len());
            self.link.out.extend_from_slice(format!("HPUB {subject} {reply} {own} {all}\r\n{headers}").as_bytes());
            self.link.out.extend_from_slice(body);
            self.link.out.extend_from_slice(b"\r\n");
        }
    }

    fn write(&mut self) -> Result<()> {
        self.link.write()
    }

    fn answers(&mut self, wait: bool) -> Result<usize> {
        let mut accepted = 0;
        let batch = self.how.batch;
        loop {
            self.link.buffered(&mut |message, _| {
                let text = std::str::from_utf8(message.payload)?;
                ensure!(!text.contains("\"error\"") && !text.contains("\"duplicate\""), "NATS refused: {text}");
                ensure!(!text.is_empty(), "NATS: nobody took the message");
                accepted += batch;
                Ok(())
            })?;
            self.link.write()?;
            if accepted > 0 || !self.link.fill(wait)? {
                return Ok(accepted);
            }
        }
    }
}

struct Consumer {
    link: Link,
    name: String,
}

impl Taker for Consumer {
    fn take(&mut self, seen: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let mut deleted = 0;
        if self.link.fill(true)? {
            let name = &self.name;
            self.link.buffered(&mut |message, out| {
                match message.reply {
                    Some(reply) => {
                        seen(message.payload);
                        // With a place for the answer: a delete counts when it is answered.
                        out.extend_from_slice(format!("PUB {reply} i.{name}.d 4\r\n+ACK\r\n").as_bytes());
                    }
                    None => {
                        ensure!(message.subject.ends_with(".d"), "NATS ended a request for messages");
                        deleted += 1;
                    }
                }
                Ok(())
            })?;
        }
        self.link.write()?;
        Ok(deleted)
    }
}
