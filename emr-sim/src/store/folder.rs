//! A folder of this machine as a place for an output: files are made with `create_new`, synced together with every directory
//! made for them, and never opened again for writing. One run at a time has its lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{Begin, Draft, Growing, Held, Store};
use crate::sink::SinkError;

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), SinkError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(SinkError::at("sync the directory", path))
}

/// Makes `path` a durable directory: every directory made for it is synced, and its parent.
fn make_directory(path: &Path) -> Result<(), SinkError> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    for made in missing.iter().rev() {
        match fs::create_dir(made) {
            Ok(()) => {}
            // Another worker of the pool was faster; it may not have synced yet, so we go on and sync as well.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(SinkError::at("make the directory", made)(error)),
        }
        sync_directory(made)?;
        sync_directory(parent_of(made))?;
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    out: PathBuf,
}

impl Folder {
    pub(super) fn new(out: &Path) -> Self {
        Self { out: out.to_owned() }
    }
}

/// A thing of a folder, or `None` where it is not there.
fn found<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<Option<T>, SinkError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SinkError::at(action, path)(error)),
    }
}

impl Store for Folder {
    fn path(&self, file: &str) -> PathBuf {
        self.out.join(file)
    }

    /// Directories that are there already are synced all the same: whoever made them may have died before its sync.
    fn prepare(&self, folder: &str) -> Result<(), SinkError> {
        let mut directory = self.out.clone();
        make_directory(&directory)?;
        sync_directory(parent_of(&directory))?;
        for part in folder.split('/') {
            directory.push(part);
            make_directory(&directory)?;
            sync_directory(&directory)?;
            sync_directory(parent_of(&directory))?;
        }
        Ok(())
    }

    fn create(&self, file: &str) -> Result<Box<dyn Draft>, SinkError> {
        let path = self.path(file);
        let handle =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(SinkError::at("create", &path))?;
        Ok(Box::new(NewFile { handle, path }))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, SinkError> {
        let path = self.path(file);
        found("read", &path, fs::read(&path))
    }

    fn read_part(&self, file: &str, offset: u64, length: u64) -> Result<Vec<u8>, SinkError> {
        let path = self.path(file);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.take(length).read_to_end(&mut bytes)
        });
        read.map_err(SinkError::at("read", &path))?;
        Ok(bytes)
    }

    fn length(&self, file: &str) -> Result<Option<u64>, SinkError> {
        let path = self.path(file);
        Ok(found("look at", &path, fs::metadata(&path))?.map(|found| found.len()))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let path = self.path(folder);
        let Some(entries) = found("list", &path, fs::read_dir(&path))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(SinkError::at("list", &path))?;
            // A name that is not UTF-8 is none of ours.
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    fn remove(&self, folder: &str, names: &[String]) -> Result<u64, SinkError> {
        let folder = self.path(folder);
        let mut removed = 0;
        for name in names {
            let path = folder.join(name);
            removed += u64::from(found("remove", &path, fs::remove_file(&path))?.is_some());
        }
        if removed > 0 {
            sync_directory(&folder)?;
        }
        Ok(removed)
    }

    fn note(&self, file: &str, text: &[u8]) -> Result<(), SinkError> {
        let path = self.path(file);
        let written = fs::create_dir_all(parent_of(&path))
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path)?.write_all(text));
        written.map_err(SinkError::at("append to", &path))
    }

    fn lock(&self) -> Result<Option<Held>, SinkError> {
        make_directory(&self.out)?;
        let path = self.path("manifest.lock");
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(&path).map_err(SinkError::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(SinkError::at("lock", &path)(error)),
        }
    }

    fn grow(&self, file: &str, from: Begin) -> Result<Box<dyn Growing>, SinkError> {
        let path = self.path(file);
        let cut = match from {
            Begin::Create(header) => {
                self.put_whole(file, &header)?;
                None
            }
            Begin::From { seen, good } => (good < seen.len()).then_some(good as u64),
        };
        let file = OpenOptions::new().append(true).open(&path).map_err(SinkError::at("open", &path))?;
        if let Some(good) = cut {
            file.set_len(good).and_then(|()| file.sync_all()).map_err(SinkError::at("cut", &path))?;
        }
        Ok(Box::new(Appended { path, file }))
    }
}

impl Folder {
    /// Puts a file in place, whole: a crash leaves the old one or this one.
    fn put_whole(&self, file: &str, bytes: &[u8]) -> Result<(), SinkError> {
        let (path, draft) = (self.path(file), self.path(&format!("{file}.new")));
        let mut handle = File::create(&draft).map_err(SinkError::at("create", &draft))?;
        handle.write_all(bytes).and_then(|()| handle.sync_all()).map_err(SinkError::at("write", &draft))?;
        fs::rename(&draft, &path).map_err(SinkError::at("rename to", &path))?;
        sync_directory(&self.out)
    }
}

struct NewFile {
    handle: File,
    path: PathBuf,
}

impl Draft for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.handle.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        self.handle.sync_all().map_err(SinkError::at("sync", &self.path))?;
        sync_directory(parent_of(&self.path))
    }
}

#[derive(Debug)]
struct Appended {
    path: PathBuf,
    file: File,
}

impl Growing for Appended {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.file.write_all(bytes).map_err(SinkError::at("append to", &self.path))
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        self.file.sync_all().map_err(SinkError::at("sync", &self.path))
    }
}
