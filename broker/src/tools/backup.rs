//! A journal into one file and back. A restored journal has another identity, because what was answered after the backup
//! is not in it: pools and readers that are ahead must notice (H9, B9).

use std::{
    fs::{self, File},
    io::{BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use bytes::Bytes;
use lockstep_journal::{Frame, FrameNumber, Journal, JournalId, NewStore, StoreKind};

use super::{
    Arriving, ToolError,
    archive::{Origin, Part, Reader, Writer},
    kind_of,
    past::{Contents, read},
    rebuild::add_slices,
};
use crate::{
    recovery::{Follow, recover},
    start::{OnJournal, open_journal},
};

/// The small files of a data directory that are part of a backup (H9); a missing one is none.
const BESIDE: [&str; 2] = ["receipt.key", "CLOCK"];

/// What was saved or restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The identity: of the journal that was saved, or of the one that was made.
    pub journal: String,
    /// The last frame in it.
    pub last: u64,
    /// How many bodies.
    pub bodies: u64,
}

/// Saves the journal of a directory that no broker has to a new file.
///
/// # Errors
/// [`ToolError`]; a file that was begun is removed.
pub fn backup(directory: &Path, file: &Path) -> Result<Saved, ToolError> {
    let kind = kind_of(directory)?;
    Arriving::check(file)?;
    open_journal(directory, kind, Save { directory, file })?
}

struct Save<'a> {
    directory: &'a Path,
    file: &'a Path,
}

impl OnJournal for Save<'_> {
    type Out = Result<Saved, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        let recovered = recover(&journal, Follow::No)?;
        let last = recovered.last_frame.unwrap_or(0);
        let contents = Contents::of(&recovered.engine, journal.identity(), FrameNumber(last));
        let arriving = Arriving::begin(self.file)?;
        let partial = arriving.partial().to_owned();
        let failed = |error| ToolError::io(&partial, error);
        let origin = Origin { journal: contents.identity.0, last };
        let mut writer = Writer::begin(arriving, origin).map_err(failed)?;
        for file in small_files(self.directory)? {
            writer.part(&file).map_err(failed)?;
        }
        let reader = journal.reader();
        for (position, holder) in &contents.needed.bodies {
            let bytes = read(&reader, *position)
                .map_err(|error| ToolError::Body(format!("{}: {error}", contents.needed.name(holder))))?;
            let body = Part::Body { frame: position.frame, index: position.index, bytes };
            writer.part(&body).map_err(failed)?;
        }
        for slice in &contents.slices {
            writer.part(&Part::Slice(slice.clone())).map_err(failed)?;
        }
        let saved = writer.end().map_err(failed)?.finish()?;
        journal.close().map_err(|error| ToolError::Lost(error.to_string()))?;
        Ok(saved)
    }
}

/// The small files of a data directory, as parts of a backup (H9).
pub(crate) fn small_files(directory: &Path) -> Result<Vec<Part>, ToolError> {
    let mut files = Vec::new();
    for name in BESIDE {
        match fs::read(directory.join(name)) {
            Ok(bytes) => files.push(Part::File { name: name.to_owned(), bytes: bytes.into() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ToolError::io(&directory.join(name), error)),
        }
    }
    Ok(files)
}

pub(super) fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(parent)?.sync_all()
}

/// Makes a data directory of this kind from a backup. It must not exist, and gets its name when it is whole.
///
/// # Errors
/// [`ToolError::Archive`] where the file is not whole, [`ToolError::Taken`], and as the system says.
pub fn restore(file: &Path, directory: &Path, kind: StoreKind) -> Result<Saved, ToolError> {
    if directory.exists() {
        return Err(ToolError::Taken(directory.to_owned()));
    }
    let beside = directory.with_added_extension("restoring");
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(|error| ToolError::io(&beside, error))?;
    }
    let saved = unpack(file, &beside, kind)?;
    let failed = |error| ToolError::io(directory, error);
    fs::rename(&beside, directory).map_err(failed)?;
    sync_parent(directory).map_err(failed)?;
    Ok(saved)
}

fn unpack(file: &Path, directory: &Path, kind: StoreKind) -> Result<Saved, ToolError> {
    let damaged = |problem| ToolError::Archive { path: file.to_owned(), problem };
    let from = File::open(file).map_err(|error| ToolError::io(file, error))?;
    let (parts, origin) = Reader::begin(BufReader::new(from)).map_err(damaged)?;
    fs::create_dir_all(directory).map_err(|error| ToolError::io(directory, error))?;
    let journal = JournalId::random();
    let covers = FrameNumber(origin.last);
    if origin.last == 0 {
        return Err(damaged("it is of a journal without a past: start a new one".to_owned()));
    }
    let mut store = NewStore::begin(directory, kind, journal, covers)?;
    let (mut frame, mut slices, mut bodies) = (Gathering::default(), Vec::new(), 0);
    for part in parts {
        match part.map_err(damaged)? {
            Part::File { name, bytes } if BESIDE.contains(&name.as_str()) => write(directory, &name, &bytes)?,
            Part::File { name, .. } => return Err(damaged(format!("a file {name:?}, which belongs to no journal"))),
            Part::Slice(slice) => slices.push(slice),
            Part::Body { frame: number, index, bytes } => {
                frame.add(&mut store, number, index, bytes)?;
                bodies += 1;
            }
        }
    }
    frame.end(&mut store)?;
    add_slices(&mut store, &slices)?;
    store.switch(None)?;
    Ok(Saved { journal: journal.to_string(), last: origin.last, bodies })
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), ToolError> {
    let path = directory.join(name);
    let written = File::options().create_new(true).write(true).mode(0o600).open(&path);
    let written = written.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| ToolError::io(&path, error))
}

/// The bodies of one frame, until the next one begins.
#[derive(Default)]
struct Gathering {
    number: u64,
    frame: Frame,
}

impl Gathering {
    fn add(&mut self, store: &mut NewStore, number: u64, index: u32, body: Bytes) -> Result<(), ToolError> {
        if number != self.number {
            self.end(store)?;
            self.number = number;
        }
        self.frame.bodies.resize((index as usize).max(self.frame.bodies.len()), Bytes::new());
        self.frame.bodies.push(body);
        Ok(())
    }

    fn end(&mut self, store: &mut NewStore) -> Result<(), ToolError> {
        let frame = std::mem::take(&mut self.frame);
        if frame.bodies.is_empty() { Ok(()) } else { Ok(store.frame(FrameNumber(self.number), &frame)?) }
    }
}
