//! EMR's ids: `j-…`, `s-…`, `ig-…`, `ci-…`, each with 13 capitals and digits. They are derived from chance that comes in
//! with a command; nothing here draws any.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const LENGTH: usize = 13;
const LETTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// The chance of one command: 128 random bits, drawn outside. The same bits give the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(pub u128);

impl Chance {
    fn letters(self, prefix: &str, index: u32) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0.to_be_bytes());
        hash.update(prefix.as_bytes());
        hash.update(index.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        digest[..LENGTH].iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }
}

macro_rules! id {
    ($name:ident, $prefix:literal, $what:literal) => {
        #[doc = concat!("The id of ", $what, ": `", $prefix, "` and 13 capitals and digits.")]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// The id of the `index`-th new one of a command.
            #[must_use]
            pub fn fresh(chance: Chance, index: u32) -> Self {
                Self(format!("{}{}", $prefix, chance.letters($prefix, index)))
            }

            /// Takes an id as a caller wrote it; whether there is such a one is the machine's to say.
            #[must_use]
            pub fn named(text: &str) -> Self {
                Self(text.to_owned())
            }

            /// As it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(ClusterId, "j-", "a cluster");
id!(StepId, "s-", "a step");
id!(GroupId, "ig-", "an instance group");
id!(InstanceId, "ci-", "an instance");

impl GroupId {
    /// The id of the group of a cluster's workers by hand, always the same.
    #[must_use]
    pub fn by_hand(cluster: &ClusterId) -> Self {
        let digest: [u8; 32] = Sha256::digest(cluster.as_str()).into();
        let bits: [u8; 16] = *digest.first_chunk().expect("16 of 32 bytes");
        Self::fresh(Chance(u128::from_be_bytes(bits)), u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_emrs_and_the_same_chance_gives_the_same() {
        let id = ClusterId::fresh(Chance(7), 0);
        assert!(id.as_str().starts_with("j-") && id.as_str().len() == 15, "{id}");
        assert_eq!(id, ClusterId::fresh(Chance(7), 0));
        assert_ne!(id, ClusterId::fresh(Chance(7), 1));
        assert_ne!(id, ClusterId::fresh(Chance(8), 0));
        assert_ne!(StepId::fresh(Chance(7), 0).as_str()[2..], id.as_str()[2..]);
    }
}
