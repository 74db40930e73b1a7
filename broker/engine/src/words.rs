//! The words of the engine: identifiers, instants and places, parsed once at the edge and trusted from then on.
//! No rule of delivery lives here, and nothing here is serializable: the codec maps these types.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::limits;

/// Why a text cannot be the word it claims to be. The message names the rule and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {word}: {rule}")]
pub struct WordError {
    /// What it should have been, such as `queue name`.
    pub word: &'static str,
    /// The offending text, cut to 200 characters.
    pub text: String,
    /// The rule it breaks, with its number in the contract.
    pub rule: &'static str,
}

impl WordError {
    fn new(word: &'static str, text: &str, rule: &'static str) -> Self {
        Self { word, text: text.chars().take(200).collect(), rule }
    }
}

/// Defines a shared, immutable, validated text.
macro_rules! text_word {
    ($(#[$doc:meta])* $name:ident, $word:literal, $valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text against the rule.
            ///
            /// # Errors
            /// [`WordError`] names the rule.
            pub fn parse(text: &str) -> Result<Self, WordError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(WordError::new($word, text, $rule)) }
            }

            /// The text itself.
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

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

fn is_label(text: &str) -> bool {
    (1..=limits::LABEL_LENGTH).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// How the name of a FIFO queue ends, and that of no other (L1).
const FIFO: &str = ".fifo";

fn is_queue_name(text: &str) -> bool {
    text.len() <= limits::LABEL_LENGTH && is_label(text.strip_suffix(FIFO).unwrap_or(text))
}

fn is_id(text: &str) -> bool {
    (1..=limits::ID_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_value_key(text: &str) -> bool {
    (1..=limits::VALUE_KEY_LENGTH).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_policy(text: &str) -> bool {
    (1..=limits::POLICY).contains(&text.len())
}

fn is_kms_key(text: &str) -> bool {
    (1..=limits::KMS_KEY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_tag_key(text: &str) -> bool {
    (1..=limits::TAG_KEY_CHARACTERS).contains(&text.chars().count())
}

fn is_tag_value(text: &str) -> bool {
    text.chars().count() <= limits::TAG_VALUE_CHARACTERS
}

text_word!(
    /// The name of a queue (L1).
    QueueName, "queue name", is_queue_name,
    "1 to 80 of A-Z, a-z, 0-9, hyphen and underscore, for a FIFO queue with \".fifo\" at the end (L1)"
);
text_word!(
    /// A message group id (L5).
    GroupId, "message group id", is_id,
    "1 to 128 alphanumeric or punctuation characters, no space (L5)"
);
text_word!(
    /// A message deduplication id (L5). The engine keeps only its [`DeduplicationKey`].
    DeduplicationId, "message deduplication id", is_id,
    "1 to 128 alphanumeric or punctuation characters, no space (L5)"
);
text_word!(
    /// A receive request attempt id (L5, R7). The engine keeps only its [`AttemptKey`].
    AttemptId, "receive request attempt id", is_id,
    "1 to 128 alphanumeric or punctuation characters, no space (L5)"
);
text_word!(
    /// The name of a reader, a producer, an instance of either, a worker, or a commit (B3, B6).
    Label, "name", is_label,
    "1 to 80 of A-Z, a-z, 0-9, hyphen and underscore (B6)"
);
text_word!(
    /// The key of a stored value (B1).
    ValueKey, "value key", is_value_key,
    "1 to 256 bytes without control characters (B1)"
);

text_word!(
    /// The key of a queue's tag (L12).
    TagKey, "tag key", is_tag_key,
    "1 to 128 characters (L12)"
);
text_word!(
    /// The value of a queue's tag (L12).
    TagValue, "tag value", is_tag_value,
    "0 to 256 characters (L12)"
);

text_word!(
    /// The policy of a queue, a JSON text that the engine does not read (L12).
    Policy, "policy", is_policy,
    "1 to 8,192 bytes (L12)"
);
text_word!(
    /// The id, alias or ARN of a KMS key (L9).
    KmsKey, "KMS key id", is_kms_key,
    "1 to 2,048 characters of ASCII, no space (L9)"
);

/// The tags of a queue, at most [`limits::TAGS`] (L12). They decide nothing.
pub type Tags = BTreeMap<TagKey, TagValue>;
impl QueueName {
    /// Whether a queue of this name is a FIFO queue; otherwise it is a standard one (L1, B5).
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.0.ends_with(FIFO)
    }
}

impl GroupId {
    /// The group of a message of a standard queue: each is a group of its own, whatever group it was given (B5).
    #[must_use]
    pub fn alone(sequence: SequenceNumber) -> Self {
        Self(sequence.to_string().into())
    }

    /// No group at all, which is no text that could be parsed: a message may be sent to a standard queue so (S12).
    #[must_use]
    pub fn none() -> Self {
        Self("".into())
    }
}

impl ValueKey {
    /// Sorts before every key; it is none itself.
    pub(crate) fn lowest() -> Self {
        Self("".into())
    }
}

/// Defines a number with a meaning.
macro_rules! number_word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_word!(
    /// Which life of a queue name this is: rises with every queue made in this journal (B8).
    QueueGeneration
);
number_word!(
    /// A message's place in its queue: strictly rising, never used again, also after a purge (S12).
    SequenceNumber
);
number_word!(
    /// The epoch of a grant, a claim or a reader, from one rising counter of the queue (B2).
    Epoch
);
number_word!(
    /// Which reader this is: from a rising counter, so that a dropped name gets a new id (B6).
    ReaderId
);
number_word!(
    /// The number of a claim of one reader: dense, from 1 (B6).
    ClaimNumber
);
number_word!(
    /// The number of a commit among the claim commits of one reader: dense, from 1 (B9).
    CommitNumber
);
number_word!(
    /// The number of a message within a producer's session: dense, from 1 (B3).
    SendNumber
);
number_word!(
    /// The number of a move task among those of its queue: dense, from 1 (Q6).
    TaskNumber
);
number_word!(
    /// Wall time, in milliseconds of Unix time; never runs back (H2).
    Timestamp
);
number_word!(
    /// Time the broker was up, in milliseconds: wall time less all downtime. Leases, deduplication keys and claim
    /// limits are counted in it, so that downtime counts against none of them (H2).
    ActiveTime
);

/// SHA-256, cut to 128 bits, of a deduplication id (and of its group where the scope is the group): S7, H9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeduplicationKey(pub [u8; 16]);

/// SHA-256, cut to 128 bits, of a receive request attempt id (R7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey(pub [u8; 16]);

/// SHA-256, cut to 128 bits, of a commit's content (B1), or of a numbered message's (B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(pub [u8; 16]);

/// Where a body lies in the journal: frame number and index in that frame. Known before the frame is on disk (H4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The frame's number.
    pub frame: u64,
    /// The body's index in it, from 0.
    pub index: u32,
}

/// All the engine knows of a body: its place, and its size by the contract's measure (L2), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRef {
    /// Where it lies.
    pub position: Position,
    /// Its size in bytes.
    pub size: u32,
}

/// What names a body: the body may be moved, this stays (H6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyOwner {
    /// A message of the queue.
    Message(SequenceNumber),
    /// A stored value.
    Value {
        /// The reader it is stored for.
        reader: ReaderId,
        /// Its group; absent: the reader's own.
        group: Option<GroupId>,
        /// Its key.
        key: ValueKey,
    },
}

/// What a receipt handle stands for. The text form and its seal are the shell's (H9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// The queue the message lies in.
    pub generation: QueueGeneration,
    /// The message.
    pub sequence: SequenceNumber,
    /// The grant under which it was delivered.
    pub epoch: Epoch,
}
