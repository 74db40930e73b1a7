//! One file of segments: how it is made, how a frame is read out of it. Every step that must survive a power cut is
//! synced here; which frames lie where is known elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::record::{HEAD_BYTES, Head};
use super::{SPARE, record};
use crate::directory::durable;
use crate::directory::record::{Kind, Record};
use crate::encoding::{FIXED_BYTES, Header, header_length};
use crate::frame::{FrameNumber, JournalId};

/// How much of a frame is read at once when only its header is wanted; most headers are shorter.
const HEADER_GUESS: usize = 4 << 10;

/// The path of the segment whose first frame is `first`.
pub(super) fn path(folder: &Path, first: FrameNumber) -> PathBuf {
    folder.join(format!("{:020}.seg", first.0))
}

/// The first frame of the segment at `path`, if it is named as one.
pub(super) fn parse_name(path: &Path) -> Option<FrameNumber> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    let first = digits.parse().ok().filter(|first| *first > 0).map(FrameNumber)?;
    (path.file_name() == self::path(Path::new(""), first).file_name()).then_some(first)
}

/// Makes the file that the next segment will be, with its space taken on the disk, so that a full disk is met here and
/// not in the middle of an append. `false` when there is no space.
pub(super) fn make_spare(folder: &Path, bytes: u64) -> io::Result<bool> {
    let path = folder.join(SPARE);
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    match reserve(&file, bytes) {
        Ok(true) => Ok(true),
        Ok(false) => {
            drop(file);
            fs::remove_file(&path).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Takes the space of a file up to `bytes`; what was not written reads as zero, which is the end. `false` when there is
/// none. A file system that knows no reservation has it taken by each append.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<bool> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Bytes that are free on the disk of a file or folder.
pub(super) fn free(file: &File) -> io::Result<u64> {
    let disk = rustix::fs::fstatvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Begins the segment of `first` in the spare file (or in a new one): its header, then its name, both durable.
pub(super) fn begin(folder: &Path, journal: JournalId, first: FrameNumber) -> io::Result<File> {
    let spare = folder.join(SPARE);
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&spare)?;
    file.write_all_at(&Record { journal, frame: Some(first) }.encode(Kind::Segment), 0)?;
    file.sync_all()?;
    fs::rename(&spare, path(folder, first))?;
    durable::sync_directory(folder)?;
    Ok(file)
}

/// Reads as many bytes of `into` as there are from `offset` on.
pub(super) fn read_up_to(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether every byte from `offset` to the end of the file is zero; if not, where the first other one is.
pub(super) fn first_nonzero(file: &File, mut offset: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; 256 << 10];
    loop {
        // Space that was only reserved is skipped without being read.
        offset = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL) => offset,
            Err(error) => return Err(error.into()),
        };
        let read = read_up_to(file, &mut block, offset)?;
        if let Some(at) = block[..read].iter().position(|byte| *byte != 0) {
            return Ok(Some(offset + at as u64));
        }
        if read < block.len() {
            return Ok(None);
        }
        offset += read as u64;
    }
}

/// Why a frame could not be read at its place.
pub(super) enum NoFrame {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for NoFrame {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for NoFrame {
    fn from(problem: String) -> Self {
        Self::Damaged(problem)
    }
}

/// The header of the frame whose record begins at `offset`, checked against the record's own length.
pub(super) fn read_header(file: &File, offset: u64) -> Result<Header, NoFrame> {
    let mut bytes = vec![0; HEADER_GUESS];
    let read = read_up_to(file, &mut bytes, offset)?;
    bytes.truncate(read);
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return Err(NoFrame::Damaged("the file ends before it".to_owned()));
    };
    let length = match record::parse(head) {
        Head::Frame(length) => length as usize,
        Head::End => return Err(NoFrame::Damaged("the file ends before it".to_owned())),
        Head::Bad(problem) => return Err(NoFrame::Damaged(problem.to_owned())),
    };
    let start = &bytes[HEAD_BYTES..];
    let wanted = header_length(start.get(..FIXED_BYTES).unwrap_or(start))?;
    let header = if wanted <= start.len() {
        Header::parse(start)?
    } else {
        let mut whole = vec![0; wanted];
        let read = read_up_to(file, &mut whole, offset + HEAD_BYTES as u64)?;
        Header::parse(&whole[..read])?
    };
    if header.total_bytes() == length {
        Ok(header)
    } else {
        Err(NoFrame::Damaged(format!("its record has {length} bytes, its header names {}", header.total_bytes())))
    }
}

/// A part of the frame whose record begins at `offset`.
pub(super) fn read_part(file: &File, offset: u64, part: &std::ops::Range<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; part.len()];
    let read = read_up_to(file, &mut bytes, offset + (HEAD_BYTES + part.start) as u64)?;
    Ok((read == bytes.len()).then_some(bytes))
}
