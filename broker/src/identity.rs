//! The names that follow from facts: message ids, deduplication keys, content ids, the ids of a commit's outputs (H9).
//! Hashes only; nothing here is random, stored or secret.

use lockstep_engine::words::{
    AttemptId, AttemptKey, ClaimNumber, ContentDigest, DeduplicationId, DeduplicationKey, Epoch, GroupId, Label,
    QueueGeneration, SendNumber, SequenceNumber,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The identity of this broker's journal: random, made with the journal, part of every message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    journal: [u8; 16],
}

/// What a commit's outputs are named after (B1).
#[derive(Clone, Copy, Debug)]
pub enum OutputOrigin<'a> {
    /// A claim of a reader, by the reader's id.
    Claim(u64, ClaimNumber),
    /// A commit without a claim, by its id.
    Commit(&'a str),
}

impl Identity {
    /// The identity of a journal.
    #[must_use]
    pub const fn new(journal: [u8; 16]) -> Self {
        Self { journal }
    }

    /// The journal's id as a UUID.
    #[must_use]
    pub const fn journal_id(&self) -> Uuid {
        Uuid::from_bytes(self.journal)
    }

    /// The id of a message: a UUID of version 8 from SHA-256 of (journal id, queue generation, sequence number), so
    /// that a duplicate send gets the same one without its being stored (H9, S6).
    #[must_use]
    pub fn message_id(&self, generation: QueueGeneration, sequence: SequenceNumber) -> Uuid {
        let hash = Sha256::new()
            .chain_update(self.journal)
            .chain_update(generation.0.to_be_bytes())
            .chain_update(sequence.0.to_be_bytes())
            .finalize();
        Uuid::new_v8(half(&hash))
    }

    /// The deduplication id of a commit's output whose caller gave none: the same for a repeat of the commit (B1).
    ///
    /// # Panics
    /// Never: 64 hexadecimal digits are a deduplication id.
    #[must_use]
    pub fn output_id(&self, queue: QueueGeneration, origin: OutputOrigin<'_>, index: u64) -> DeduplicationId {
        let hash = Sha256::new().chain_update(self.journal).chain_update(queue.0.to_be_bytes());
        let hash = match origin {
            OutputOrigin::Claim(reader, claim) => {
                hash.chain_update(b"claim").chain_update(reader.to_be_bytes()).chain_update(claim.0.to_be_bytes())
            }
            OutputOrigin::Commit(id) => hash.chain_update(b"commit").chain_update(id).chain_update([0]),
        };
        let id = hex(&hash.chain_update(index.to_be_bytes()).finalize());
        DeduplicationId::parse(&id).expect("64 hexadecimal digits are a deduplication id")
    }
}

/// The deduplication id of a message whose queue has content-based deduplication: lower-case hexadecimal SHA-256 of
/// the body alone (S3).
///
/// # Panics
/// Never: 64 hexadecimal digits are a deduplication id.
#[must_use]
pub fn content_id(body: &[u8]) -> DeduplicationId {
    DeduplicationId::parse(&hex(&Sha256::digest(body))).expect("64 hexadecimal digits are a deduplication id")
}

/// The keys of a deduplication id: for a queue whose scope is the queue, and for one whose scope is the group (S7, H9).
#[must_use]
pub fn deduplication_keys(group: &GroupId, id: &DeduplicationId) -> (DeduplicationKey, DeduplicationKey) {
    let in_queue = Sha256::digest(id.as_str());
    let in_group = Sha256::new().chain_update(group.as_str()).chain_update([0]).chain_update(id.as_str()).finalize();
    (DeduplicationKey(half(&in_queue)), DeduplicationKey(half(&in_group)))
}

/// What a consumer sees as the deduplication id of a message that has none, because a session numbered it (B3).
#[must_use]
pub fn numbered_id(producer: &Label, epoch: Epoch, number: SendNumber) -> String {
    format!("{producer}/{epoch}/{number}")
}

/// The key of such a message: no deduplication id has the same, whatever its text, and no other life of the session.
#[must_use]
pub fn numbered_key(producer: &Label, epoch: Epoch, number: SendNumber) -> DeduplicationKey {
    let hash = Sha256::new().chain_update([0]).chain_update(producer.as_str()).chain_update([0]);
    let hash = hash.chain_update(epoch.0.to_be_bytes()).chain_update(number.0.to_be_bytes());
    DeduplicationKey(half(&hash.finalize()))
}

/// The digest of a numbered message: its group, its deduplication id if it has one, and its body, each with its
/// length (B3).
#[must_use]
pub fn message_digest<'a>(
    group: &GroupId,
    id: Option<&DeduplicationId>,
    body: &[u8],
    delay: Option<u64>,
    attributes: impl Iterator<Item = [&'a [u8]; 3]>,
) -> ContentDigest {
    let part = |hash: Sha256, part: &[u8]| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part);
    let id = id.map_or(&b""[..], |id| id.as_str().as_bytes());
    let hash = part(part(part(Sha256::new(), group.as_str().as_bytes()), id), body);
    // What a message may have beside these is added only where it has it: what was numbered before keeps its digest.
    let hash = match delay {
        Some(delay) => part(hash.chain_update(b"delay"), &delay.to_be_bytes()),
        None => hash,
    };
    let attribute = |hash: Sha256, [name, data_type, value]: [&[u8]; 3]| {
        part(part(part(hash.chain_update(b"attribute"), name), data_type), value)
    };
    ContentDigest(half(&attributes.fold(hash, attribute).finalize()))
}

/// The key of a receive request attempt id (R7).
#[must_use]
pub fn attempt_key(id: &AttemptId) -> AttemptKey {
    AttemptKey(half(&Sha256::digest(id.as_str())))
}

/// The first 128 bits of a SHA-256.
pub(crate) fn half(hash: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    String::from_utf8(text).expect("digits are text")
}

/// A message's id as it is shown.
pub(crate) fn id_text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// Undoes [`hex`]; upper case is refused, so that every text has one form.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    unhex_into(text, &mut bytes).then_some(bytes)
}

/// The same into a place of the length that is expected; false when the text is something else.
pub(crate) fn unhex_into(text: &str, into: &mut [u8]) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != into.len() {
        return false;
    }
    pairs.iter().zip(into).all(|([high, low], byte)| match (digit(*high), digit(*low)) {
        (Some(high), Some(low)) => {
            *byte = high << 4 | low;
            true
        }
        (None, _) | (_, None) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_facts_of_journal_queue_and_number() {
        let (one, other) = (Identity::new([1; 16]), Identity::new([2; 16]));
        let id = one.message_id(QueueGeneration(7), SequenceNumber(9));
        assert_eq!(id, one.message_id(QueueGeneration(7), SequenceNumber(9)));
        assert_eq!(id.get_version_num(), 8);
        assert_ne!(id, other.message_id(QueueGeneration(7), SequenceNumber(9)));
        assert_ne!(id, one.message_id(QueueGeneration(8), SequenceNumber(9)));
        assert_ne!(id, one.message_id(QueueGeneration(7), SequenceNumber(10)));
    }

    #[test]
    fn content_id_is_the_hex_sha256_of_the_body() {
        let id = content_id(b"msg");
        assert_eq!(id.as_str(), "e46b320165eec91e6344fa10340d5b3208304d6cad29d0d5aed18466d1d9d80e");
    }

    #[test]
    fn an_id_has_another_key_in_another_group_only_where_the_group_is_the_scope() {
        let id = DeduplicationId::parse("id").expect("valid");
        let (g1, g2) = (GroupId::parse("g1").expect("valid"), GroupId::parse("g2").expect("valid"));
        assert_eq!(deduplication_keys(&g1, &id).0, deduplication_keys(&g2, &id).0);
        assert_ne!(deduplication_keys(&g1, &id).1, deduplication_keys(&g2, &id).1);
    }

    #[test]
    fn hexadecimal_has_one_form() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!(unhex("0F"), None);
        assert_eq!(unhex("0"), None);
    }
}
