//! The files of a segments journal made at once, from frames that are kept for their bodies and a checkpoint that covers
//! them. They are put in place elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::checkpoint::Writing;
use super::record::{self, FIRST_OFFSET, HEAD_BYTES};
use super::{SegmentsOptions, file, scan};
use crate::checkpoint::SliceChain;
use crate::directory::record::{Kind, Record};
use crate::encoding::{Chain, encode};
use crate::frame::{Frame, FrameNumber, JournalId};

/// A folder of segments under way.
pub(crate) struct NewSegments {
    folder: PathBuf,
    /// The frame after which the next one hangs, if it follows without a gap.
    chain: Chain,
    segment: Option<(BufWriter<File>, u64)>,
    checkpoint: Option<Writing>,
    covers: FrameNumber,
}

impl NewSegments {
    pub(crate) fn begin(folder: &Path, journal: JournalId, covers: FrameNumber) -> io::Result<Self> {
        // What comes after the checkpoint hangs on it alone, so any anchor will do.
        let checkpoint = Writing::begin(folder, journal, SliceChain::to_write(journal, covers, 0))?;
        let chain = Chain::new(journal);
        Ok(Self { folder: folder.to_owned(), chain, segment: None, checkpoint: Some(checkpoint), covers })
    }

    fn end_segment(&mut self) -> io::Result<()> {
        match self.segment.take() {
            Some((segment, _)) => segment.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
            None => Ok(()),
        }
    }

    fn begin_segment(&mut self, first: FrameNumber) -> io::Result<(BufWriter<File>, u64)> {
        self.end_segment()?;
        let path = file::path(&self.folder, first);
        let mut segment = BufWriter::new(OpenOptions::new().create_new(true).write(true).open(path)?);
        let record = Record { journal: self.chain.journal, frame: Some(first) };
        segment.write_all(&record.encode(Kind::Segment))?;
        self.chain = scan::before(self.chain.journal, first, 0);
        Ok((segment, FIRST_OFFSET))
    }

    pub(crate) fn frame(&mut self, number: FrameNumber, frame: &Frame) -> io::Result<()> {
        if number < self.chain.due() {
            return Err(io::Error::other(format!("frame {number} after a later one")));
        }
        let full = SegmentsOptions::default().segment_bytes;
        let fits = self.segment.as_ref().is_some_and(|(_, end)| number == self.chain.due() && *end < full);
        let (mut segment, end) = match self.segment.take_if(|_| fits) {
            Some(segment) => segment,
            None => self.begin_segment(number)?,
        };
        let encoded = encode(&self.chain, frame).map_err(io::Error::other)?;
        let length = u32::try_from(encoded.bytes.len()).map_err(io::Error::other)?;
        segment.write_all(&record::head(length))?;
        segment.write_all(&encoded.bytes)?;
        self.segment = Some((segment, end + HEAD_BYTES as u64 + u64::from(length)));
        self.chain.advance(number, encoded.checksum);
        Ok(())
    }

    pub(crate) fn slice(&mut self, slice: &[u8], last: bool) -> io::Result<()> {
        let Some(writing) = self.checkpoint.as_mut() else {
            return Err(io::Error::other("a slice after the last one"));
        };
        writing.add(slice, last).map_err(io::Error::other)?;
        if last && let Some(writing) = self.checkpoint.take() {
            writing.finish()?;
        }
        Ok(())
    }

    /// Everything is durable but the folder's own name; the segment that takes the next frame is there.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.checkpoint.is_some() {
            return Err(io::Error::other("the last slice of the checkpoint is missing"));
        }
        let next = self.begin_segment(self.covers.next())?;
        self.segment = Some(next);
        self.end_segment()
    }
}
