//! The manifest as one object of a store. It is put anew as a whole, and only under the condition that it still is what was seen
//! here last; and what is put begins with everything that was there. So a controller that was believed dead and comes back
//! can neither take lines away nor write others: it finds its own there already, or ends.

use std::io;

use bytes::Bytes;
use object_store::{Error, PutMode, UpdateVersion};

use super::Objects;
use crate::sink::SinkError;
use crate::store::{Begin, Growing};

/// So often another run may be faster before this one gives up; each time it has written lines that are ours as well.
const TRIES: u32 = 16;

#[derive(Debug)]
pub(super) struct Lines {
    objects: Objects,
    file: String,
    /// All that is there, as far as we know, and how to name it in a condition.
    there: Vec<u8>,
    version: UpdateVersion,
    /// What is there and was written or judged here.
    ours: Vec<u8>,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn begin(objects: Objects, file: &str, from: Begin) -> Result<Self, SinkError> {
        let (ours, cut) = match from {
            Begin::Create(header) => {
                objects.put_new(file, &Bytes::from(header.clone()))?;
                (header, None)
            }
            Begin::From { mut seen, good } => {
                let whole = (good < seen.len()).then(|| seen.clone());
                seen.truncate(good);
                (seen, whole)
            }
        };
        let (there, version) = Self::look(&objects, file)?;
        let file = file.to_owned();
        let mut lines = Self { objects, file, there, version, ours, pending: Vec::new() };
        match cut {
            // What cannot be read is cut, unless somebody has done it since.
            Some(whole) if lines.there == whole => lines.put(lines.ours.clone())?.map_err(|error| lines.at(error))?,
            Some(_) | None => {}
        }
        match lines.there.starts_with(&lines.ours) {
            true => Ok(lines),
            false => Err(lines.contradicted()),
        }
    }

    fn look(objects: &Objects, file: &str) -> Result<(Vec<u8>, UpdateVersion), SinkError> {
        let found = objects.read_version(file)?;
        found.ok_or_else(|| {
            objects.at("read", file)(Error::NotFound { path: file.to_owned(), source: "it is gone".into() })
        })
    }

    /// Puts the whole, if it still is what we believe.
    fn put(&mut self, whole: Vec<u8>) -> Result<Result<(), Error>, SinkError> {
        let mode = PutMode::Update(self.version.clone());
        match self.objects.put(&self.file, Bytes::from(whole.clone()), mode)? {
            Ok(version) if version.e_tag.is_some() => (self.there, self.version) = (whole, version),
            Ok(_) => (self.there, self.version) = Self::look(&self.objects, &self.file)?,
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    fn at(&self, error: Error) -> SinkError {
        self.objects.at("append to", &self.file)(error)
    }

    fn contradicted(&self) -> SinkError {
        let why =
            "another run has written other lines there than this one would; this one has changed nothing and ends";
        SinkError::at("append to", &crate::store::Store::path(&self.objects, &self.file))(io::Error::other(why))
    }
}

impl Growing for Lines {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.pending.extend(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        let want = [self.ours.as_slice(), &self.pending].concat();
        for _ in 0..TRIES {
            // Everybody writes the same lines in the same order, by the broker's records.
            if self.there.starts_with(&want) {
                self.ours = want;
                self.pending.clear();
                return Ok(());
            }
            if !want.starts_with(&self.there) {
                return Err(self.contradicted());
            }
            match self.put(want.clone())? {
                Ok(()) => {}
                Err(Error::Precondition { .. }) => {
                    (self.there, self.version) = Self::look(&self.objects, &self.file)?;
                }
                Err(error) => return Err(self.at(error)),
            }
        }
        Err(self.contradicted())
    }
}
