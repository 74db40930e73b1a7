//! The pipeline's input: JSON Lines, plain or gzip, one message a line, checked whole before anything is sent. The
//! body is the whole line; the group and the id are fields of it, or the content. Nothing here talks to a broker.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use lockstep_emr_sim::job::JobKind;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::exit::Found;

/// The largest body (L2), in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// The longest message group id and deduplication id (L5), in bytes.
const MAX_ID: usize = 128;
/// The group of every message when there is to be one group only.
pub(crate) const ONE_GROUP: &str = "all";

/// Where a message's group comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// A field of the line.
    Field(String),
    /// All messages are one group: total order.
    None,
}

impl std::str::FromStr for GroupBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("name a field, or none".to_owned()),
            "none" => Ok(Self::None),
            field => Ok(Self::Field(field.to_owned())),
        }
    }
}

impl std::fmt::Display for GroupBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field),
            Self::None => f.write_str("none"),
        }
    }
}

/// Where a message's deduplication id comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdBy {
    /// The SHA-256 of the line.
    Content,
    /// Fields of the line, joined with `/`.
    Fields(Vec<String>),
}

impl std::str::FromStr for IdBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "content" {
            return Ok(Self::Content);
        }
        let fields: Vec<String> = text.split(',').map(str::to_owned).collect();
        if fields.iter().any(String::is_empty) {
            return Err("name fields, separated by commas, or content".to_owned());
        }
        Ok(Self::Fields(fields))
    }
}

impl std::fmt::Display for IdBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Content => f.write_str("content"),
            Self::Fields(fields) => f.write_str(&fields.join(",")),
        }
    }
}

/// How lines become messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) group_by: GroupBy,
    pub(crate) id_by: IdBy,
}

/// A message of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) body: String,
}

impl Mapping {
    /// Makes a message of a line (without its line break).
    ///
    /// # Errors
    /// A text that names the rule: JSON, L2, L5 or L6.
    pub(crate) fn message(&self, line: &[u8]) -> Result<Message, String> {
        let body = body(line)?;
        let object = object(body)?;
        let group = match &self.group_by {
            GroupBy::None => ONE_GROUP.to_owned(),
            GroupBy::Field(field) => field_id(&object, field, "message group id")?,
        };
        let id = match &self.id_by {
            IdBy::Content => lockstep_client::content_id(body.as_bytes()),
            IdBy::Fields(fields) => joined_id(&object, fields)?,
        };
        Ok(Message { group, id, body: body.to_owned() })
    }
}

/// Checks that a line can be a body (L2, L6).
pub(crate) fn body(line: &[u8]) -> Result<&str, String> {
    if line.is_empty() {
        return Err("the line is empty: a message body has at least 1 character (L2)".to_owned());
    }
    if line.len() > MAX_BODY {
        return Err(format!("the line has more bytes than a message body may have: at most {MAX_BODY} (L2)"));
    }
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8 ({error}): a body is text (L6)"))?;
    match text.chars().find(|c| !is_body_character(*c)) {
        Some(c) => Err(format!("holds the character U+{:04X}, which a body must not (L6)", u32::from(c))),
        None => Ok(text),
    }
}

/// L6: what XML 1.0 allows.
fn is_body_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

fn object(body: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err("not a JSON object: each line is one object".to_owned())
        }
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn field_text(object: &Map<String, Value>, field: &str) -> Result<String, String> {
    match object.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("field {field:?} is neither a string nor a number"))
        }
        None => Err(format!("has no field {field:?}")),
    }
}

fn field_id(object: &Map<String, Value>, field: &str, word: &str) -> Result<String, String> {
    checked_id(field_text(object, field)?, word)
}

fn joined_id(object: &Map<String, Value>, fields: &[String]) -> Result<String, String> {
    let parts = fields.iter().map(|field| field_text(object, field)).collect::<Result<Vec<_>, _>>()?;
    checked_id(parts.join("/"), "message deduplication id")
}

/// L5.
fn checked_id(id: String, word: &str) -> Result<String, String> {
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(id);
    }
    let shown: String = id.chars().take(40).collect();
    Err(format!("{shown:?} is no {word}: 1 to {MAX_ID} alphanumeric or punctuation characters, no space (L5)"))
}

/// What a job demands of a body, where bad ones are turned away before they are sent; nothing without a job.
pub(crate) fn demand(job: Option<JobKind>) -> impl Fn(&str) -> Result<(), String> {
    move |body| job.map_or(Ok(()), |job| job.check(body.as_bytes()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The raw lines of a file, numbered from 1, with the digest of all bytes read so far.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    digest: Sha256,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens a file; gzip is known by its first bytes.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(named)?;
        let mut magic = [0; 2];
        let gzip = file.read(&mut magic).with_context(named)? == 2 && magic == [0x1f, 0x8b];
        file.rewind().with_context(named)?;
        let reader: Box<dyn BufRead + Send> = if gzip {
            Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, file))
        };
        Ok(Self { reader, number: 0, digest: Sha256::new(), buffer: Vec::new() })
    }

    /// The next line with its number; a line longer than any body is cut behind that, and is bad anyway.
    pub(crate) fn next_line(&mut self) -> std::io::Result<Option<(u64, &[u8])>> {
        let digest = &mut self.digest;
        if !read_line(&mut self.reader, &mut self.buffer, |bytes| digest.update(bytes))? {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some((self.number, &self.buffer)))
    }

    /// The SHA-256 of everything read, in hexadecimal.
    pub(crate) fn digest(self) -> String {
        hex(&self.digest.finalize())
    }
}

/// Reads a line without its line break; false at the end. Of a line that is longer than any body one byte more than a
/// body may have is kept, whatever its length: `seen` alone is given all bytes.
pub(crate) fn read_line(
    reader: &mut (impl BufRead + ?Sized),
    line: &mut Vec<u8>,
    mut seen: impl FnMut(&[u8]),
) -> std::io::Result<bool> {
    line.clear();
    let mut begun = false;
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() {
            return Ok(begun);
        }
        begun = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        line.extend(&part[..part.len().min(MAX_BODY + 1 - line.len())]);
        let used = end.map_or(bytes.len(), |end| end + 1);
        seen(&bytes[..used]);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The SHA-256 of a file's uncompressed bytes, in hexadecimal.
pub(crate) fn digest(path: &Path) -> anyhow::Result<String> {
    let mut lines = Lines::open(path)?;
    while lines.next_line().with_context(|| format!("cannot read {}", path.display()))?.is_some() {}
    Ok(lines.digest())
}

/// What a whole input holds.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) path: PathBuf,
    /// SHA-256 of the uncompressed bytes.
    pub(crate) digest: String,
    /// Good lines: what is sent.
    pub(crate) lines: u64,
    /// Different ids among them: what must be accepted.
    pub(crate) distinct: u64,
    /// Bad lines that were skipped, with what is wrong.
    pub(crate) skipped: Vec<(u64, String)>,
    pub(crate) groups: u64,
}

/// Checks a file whole. A bad line, or an id with two different bodies, is an error that names file and line, unless
/// bad lines are to be skipped. `job_check` is what the job demands of a body.
pub(crate) fn check(
    path: &Path,
    mapping: &Mapping,
    skip_bad: bool,
    job_check: impl Fn(&str) -> Result<(), String>,
) -> anyhow::Result<Checked> {
    let mut filter = Filter::new(mapping.clone(), job_check);
    let mut lines = Lines::open(path)?;
    let (mut good, mut skipped) = (0, Vec::new());
    let mut groups = std::collections::HashSet::new();
    while let Some((number, line)) = lines.next_line().with_context(|| format!("cannot read {}", path.display()))? {
        match filter.message(number, line) {
            Ok(message) => {
                good += 1;
                groups.insert(message.group);
            }
            Err(what) if skip_bad => skipped.push((number, what)),
            Err(what) => {
                let text = format!(
                    "{}, line {number}: {what}; nothing was sent (--skip-bad sends the others)",
                    path.display()
                );
                return Err(Found(text).into());
            }
        }
    }
    Ok(Checked {
        path: path.to_owned(),
        digest: lines.digest(),
        lines: good,
        distinct: filter.distinct() as u64,
        skipped,
        groups: groups.len() as u64,
    })
}

/// Judges lines one after the other, the same way in the check, in every producer and in the verification.
pub(crate) struct Filter<C> {
    mapping: Mapping,
    job_check: C,
    seen: HashMap<String, ([u8; 32], u64)>,
}

impl<C: Fn(&str) -> Result<(), String>> Filter<C> {
    pub(crate) fn new(mapping: Mapping, job_check: C) -> Self {
        Self { mapping, job_check, seen: HashMap::new() }
    }

    /// How many different ids were seen.
    pub(crate) fn distinct(&self) -> usize {
        self.seen.len()
    }

    /// The message of a line, or what is wrong with it.
    pub(crate) fn message(&mut self, number: u64, line: &[u8]) -> Result<Message, String> {
        let message = self.mapping.message(line)?;
        (self.job_check)(&message.body)?;
        let digest: [u8; 32] = Sha256::digest(line).into();
        match self.seen.get(&message.id) {
            Some((before, first)) if *before != digest => {
                Err(format!("the id {:?} is that of line {first}, which has other bytes", message.id))
            }
            Some(_) => Ok(message),
            None => {
                self.seen.insert(message.id.clone(), (digest, number));
                Ok(message)
            }
        }
    }
}

#[cfg(test)]
mod tests;
