//! Joined Parquet files. Their bytes are not those of the small files in a row: a footer lists the row groups. So a commit's
//! rows are read back out of them and proven by the digest of its lines, `content`, which its Commit carried; the whole file,
//! the column `group` included, by the digest that the list carries. A commit never spans two row groups.

use std::sync::{Mutex, PoisonError};

use super::{CompactError, Joint};
use crate::digest::sha256_hex;
use crate::encoding::{EncodingError, join_rows, row_counts, row_group};
use crate::manifest::Output;
use crate::record::ManifestLine;
use crate::rows::Rows;

/// A row group takes whole commits until its lines have so many bytes.
const ROW_GROUP_BYTES: usize = 8 << 20;

/// The joined file that was read last, and its row group that was read last: commits are read in their order.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Option<Opened>>);

#[derive(Debug)]
struct Opened {
    file: String,
    bytes: bytes::Bytes,
    counts: Vec<u64>,
    /// Its place, and its rows.
    group: Option<(usize, Rows)>,
}

impl Shelf {
    /// The rows of a commit, which begin behind `before` others; `read` reads the file. What is wrong is told in words.
    pub(crate) fn rows<E: From<String>>(
        &self,
        joint: &Joint,
        before: u64,
        count: u64,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Rows, E> {
        // What is on the shelf was whole when it was put there.
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.as_ref().is_none_or(|opened| opened.file != joint.file) {
            *shelf = Some(Opened::new(joint, read()?)?);
        }
        let opened = shelf.as_mut().expect("it was put there");
        Ok(opened.rows(before, count).map_err(|error| error.to_string())?)
    }
}

impl Opened {
    fn new(joint: &Joint, bytes: Vec<u8>) -> Result<Self, String> {
        let (file, digest) = (&joint.file, sha256_hex(&bytes));
        if joint.sha256.as_ref() != Some(&digest) || joint.length != bytes.len() as u64 {
            return Err(format!("the joined file {file} has the SHA-256 {digest}, another than compacted.jsonl says"));
        }
        let bytes = bytes::Bytes::from(bytes);
        let counts = row_counts(&bytes).map_err(|error| error.to_string())?;
        Ok(Self { file: file.clone(), bytes, counts, group: None })
    }

    fn rows(&mut self, before: u64, count: u64) -> Result<Rows, EncodingError> {
        let mut begins = 0;
        for (place, rows) in self.counts.iter().copied().enumerate() {
            if before < begins + rows {
                if self.group.as_ref().is_none_or(|(known, _)| *known != place) {
                    self.group = Some((place, row_group(&self.bytes, place)?));
                }
                let (_, rows) = self.group.as_ref().expect("it was put there");
                return Ok(rows.part(before - begins, count));
            }
            begins += rows;
        }
        Ok(Rows::default())
    }
}

/// The joined file of these commits, as bytes. Each one's rows are checked on their way, and so is the file.
pub(super) fn join(output: &Output, lines: &[ManifestLine]) -> Result<Vec<u8>, CompactError> {
    let mut rest = lines.iter();
    join_rows(|| {
        let mut rows = Rows::default();
        while rows.bytes().len() < ROW_GROUP_BYTES {
            match rest.next() {
                Some(line) => rows.append(&output.rows(line)?),
                None if rows.lines() == 0 => return Ok(None),
                None => break,
            }
        }
        Ok(Some(rows))
    })
}
