//! The names of attempt files (B9): which claim, which epoch, which try. Only names; creating and removing files is the
//! business of `sink` and `sweep`.

use crate::format::Format;
use crate::identity::Identity;

/// One attempt at one claim. No two attempts have the same name: `random` is fresh for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// The claim's number.
    pub claim: u64,
    /// The epoch under which the worker held the claim.
    pub epoch: u64,
    /// 32 lower-case hexadecimal digits.
    random: String,
}

/// Which of an attempt's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptPart {
    /// The output lines, in the form that the extension names.
    Output(Format),
    /// State values that a Commit cannot carry, `.state`.
    State,
    /// Which messages it stands for, `.inputs`.
    Inputs,
}

impl AttemptPart {
    /// The extension, without its dot.
    const fn extension(self) -> &'static str {
        match self {
            Self::Output(format) => format.name(),
            Self::State => "state",
            Self::Inputs => "inputs",
        }
    }

    fn of(extension: &str) -> Option<Self> {
        let parts = Format::ALL.into_iter().map(Self::Output).chain([Self::State, Self::Inputs]);
        parts.into_iter().find(|part| part.extension() == extension)
    }
}

impl Attempt {
    /// A fresh attempt.
    #[must_use]
    pub fn new(claim: u64, epoch: u64) -> Self {
        Self { claim, epoch, random: uuid::Uuid::new_v4().simple().to_string() }
    }

    /// `<claim>-e<epoch>-<random>`, at most 75 characters of `[a-z0-9-]`: also the attempt's commit id (B1).
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}-e{}-{}", self.claim, self.epoch, self.random)
    }

    /// The path of one of its files, relative to the output folder.
    #[must_use]
    pub fn path(&self, identity: &Identity, part: AttemptPart) -> String {
        format!("{}/{}.{}", identity.folder(), self.stem(), part.extension())
    }

    /// Reads a file name (no folders); `None` when no attempt would have it.
    #[must_use]
    pub fn parse(name: &str) -> Option<(Self, AttemptPart)> {
        let (stem, extension) = name.split_once('.')?;
        let part = AttemptPart::of(extension)?;
        let mut words = stem.splitn(3, '-');
        let claim = words.next()?.parse().ok()?;
        let epoch = words.next()?.strip_prefix('e')?.parse().ok()?;
        let random = words.next()?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if random.len() != 32 || !random.bytes().all(hexadecimal) {
            return None;
        }
        let attempt = Self { claim, epoch, random: random.to_owned() };
        // `07-e+1-…` reads as numbers but is no name we would give.
        (attempt.stem() == stem).then_some((attempt, part))
    }

    /// Reads a path relative to the output folder; `None` when it is not in `identity`'s folder or no attempt's file.
    #[must_use]
    pub fn parse_path(path: &str, identity: &Identity) -> Option<(Self, AttemptPart)> {
        Self::parse(path.strip_prefix(&identity.folder())?.strip_prefix('/')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_foreign_names_do_not() {
        let attempt = Attempt::new(12, 34);
        let stem = attempt.stem();
        assert!(stem.starts_with("12-e34-") && stem.len() <= 80);
        for part in ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "state", "inputs"] {
            let (found, its) = Attempt::parse(&format!("{stem}.{part}")).unwrap();
            assert_eq!((found, its.extension()), (attempt.clone(), part));
        }
        for foreign in ["", "manifest.jsonl", &stem, &format!("0{stem}.jsonl"), "1-e2-abc.jsonl", "1-e+2-x.jsonl"] {
            assert_eq!(Attempt::parse(foreign), None, "{foreign}");
        }
        assert_ne!(attempt, Attempt::new(12, 34), "an attempt has a name of its own");
    }

    #[test]
    fn a_path_out_of_the_readers_folder_is_no_attempt() {
        let identity = Identity { journal_id: "j".into(), queue_generation: 1, reader_id: 2 };
        let attempt = Attempt::new(1, 1);
        let path = attempt.path(&identity, AttemptPart::Output(Format::Gzip));
        assert_eq!(Attempt::parse_path(&path, &identity), Some((attempt, AttemptPart::Output(Format::Gzip))));
        assert_eq!(Attempt::parse_path(&path.replace("j/1/2", "j/1/3"), &identity), None);
        assert_eq!(Attempt::parse_path(&path.replace("j/1/2/", "j/1/2/../2/"), &identity), None);
    }
}
