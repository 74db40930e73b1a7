//! In which form published files are: the names, the file name extensions and what is built in. The bytes are `encoding`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The form of a step's published files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Format {
    /// JSON Lines, as they are.
    #[default]
    #[serde(rename = "jsonl")]
    JsonLines,
    /// JSON Lines in gzip.
    #[serde(rename = "jsonl.gz")]
    Gzip,
    /// JSON Lines in zstd.
    #[serde(rename = "jsonl.zst")]
    Zstd,
    /// Parquet with the columns `group` and `record`; only with the cargo feature `parquet`.
    #[serde(rename = "parquet")]
    Parquet,
}

impl Format {
    /// Every form there is, built in or not.
    pub const ALL: [Self; 4] = [Self::JsonLines, Self::Gzip, Self::Zstd, Self::Parquet];

    /// Its name, as on the command line: also the extension of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Gzip => "jsonl.gz",
            Self::Zstd => "jsonl.zst",
            Self::Parquet => "parquet",
        }
    }

    /// Whether this program can write and read it.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        match self {
            Self::JsonLines | Self::Gzip | Self::Zstd => true,
            Self::Parquet => cfg!(feature = "parquet"),
        }
    }

    /// Says how to get a form that is not built in.
    pub(crate) fn not_built_in(self) -> String {
        format!("the format {self} is not built in: build with the cargo feature `{self}`")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("there is no format `{name}`; there are {names}"))
    }
}
