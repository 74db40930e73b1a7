//! Receipt handles: the engine's [`Receipt`] as a sealed, URL-safe text. The same receipt always has the same handle,
//! so that a repeated receive repeats its handles (R7, H9); nobody without the key can make one up (R4). Whether a
//! receipt still holds its message is the engine's to say.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use lockstep_engine::words::{Epoch, QueueGeneration, Receipt, SequenceNumber};
use sha2::Sha256;

use crate::identity::{hex, unhex_into};

const KEY_BYTES: usize = 32;
const SEAL_BYTES: usize = 16;
const RECEIPT_BYTES: usize = 24;

/// Why the key of the receipt handles cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptKeyError {
    /// The file could not be read or made.
    #[error("the key of the receipt handles, {path}, cannot be read or made: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a key.
    #[error(
        "{path} has {bytes} bytes, a key of receipt handles has {KEY_BYTES}; restore it from a backup, or remove \
             it: then every message in flight must be received again"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

/// A text that is not a receipt handle of this broker (R4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the input receipt handle {0:?} is not a valid receipt handle (R4)")]
pub struct GarbageHandle(pub String);

/// Seals receipts, and opens handles.
#[derive(Clone)]
pub struct Receipts {
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipts(key not shown)")
    }
}

impl Receipts {
    /// The key in `directory`; made, and synced with its directory, when it is not there yet (H9).
    ///
    /// # Errors
    /// [`ReceiptKeyError`] names the file.
    pub fn open(directory: &Path) -> Result<Self, ReceiptKeyError> {
        let path = directory.join("receipt.key");
        let failed = |source| ReceiptKeyError::Io { path: path.clone(), source };
        let key = match fs::read(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(directory, &path).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        };
        if key.len() != KEY_BYTES {
            return Err(ReceiptKeyError::Malformed { path, bytes: key.len() });
        }
        Ok(Self::with_key(&key))
    }

    /// A key that lives as long as this process, for a journal that does too.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn ephemeral() -> Result<Self, ReceiptKeyError> {
        let key = random_key().map_err(|source| ReceiptKeyError::Io { path: RANDOM.into(), source })?;
        Ok(Self::with_key(&key))
    }

    /// A key that the caller chose, so that a simulation repeats its handles. Never for a journal that others see.
    #[must_use]
    pub fn from_key(key: [u8; 32]) -> Self {
        Self::with_key(&key)
    }

    fn with_key(key: &[u8]) -> Self {
        Self { key: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// The handle of a receipt.
    #[must_use]
    pub fn seal(&self, receipt: Receipt) -> String {
        let mut bytes = [0; RECEIPT_BYTES + SEAL_BYTES];
        let (sealed, seal) = bytes.split_at_mut(RECEIPT_BYTES);
        let numbers = [receipt.generation.0, receipt.sequence.0, receipt.epoch.0];
        for (place, number) in sealed.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = number.to_be_bytes();
        }
        seal.copy_from_slice(&self.key.clone().chain_update(&*sealed).finalize().into_bytes()[..SEAL_BYTES]);
        hex(&bytes)
    }

    /// The receipt of a handle. The seal is compared in constant time.
    ///
    /// # Errors
    /// [`GarbageHandle`]: this broker never gave it.
    pub fn open_handle(&self, handle: &str) -> Result<Receipt, GarbageHandle> {
        self.try_open(handle).ok_or_else(|| GarbageHandle(handle.chars().take(100).collect()))
    }

    fn try_open(&self, handle: &str) -> Option<Receipt> {
        let mut bytes = [0; RECEIPT_BYTES + SEAL_BYTES];
        if !unhex_into(handle, &mut bytes) {
            return None;
        }
        let (receipt, seal) = bytes.split_at(RECEIPT_BYTES);
        self.key.clone().chain_update(receipt).verify_truncated_left(seal).ok()?;
        let mut numbers = receipt.as_chunks::<8>().0.iter().map(|number| u64::from_be_bytes(*number));
        Some(Receipt {
            generation: QueueGeneration(numbers.next()?),
            sequence: SequenceNumber(numbers.next()?),
            epoch: Epoch(numbers.next()?),
        })
    }
}

const RANDOM: &str = "/dev/urandom";

fn random_key() -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    fs::File::open(RANDOM)?.read_exact(&mut key)?;
    Ok(key)
}

/// Writes the key beside its place, syncs it, moves it there and syncs the directory: a handle must never be given
/// out under a key that a power cut takes away. The journal's lock on the directory keeps other processes out.
fn make_key(directory: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let key = random_key()?;
    let beside = directory.join("receipt.key.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    fs::File::open(directory)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const RECEIPT: Receipt =
        Receipt { generation: QueueGeneration(1), sequence: SequenceNumber(u64::MAX), epoch: Epoch(3) };

    #[test]
    fn a_handle_is_deterministic_and_opens_again_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Receipts::open(directory.path()).expect("made");
        let handle = first.seal(RECEIPT);
        assert!(handle.len() <= 1_024 && handle.bytes().all(|b| b.is_ascii_alphanumeric()), "URL-safe (L14)");
        let second = Receipts::open(directory.path()).expect("read");
        assert_eq!(second.seal(RECEIPT), handle);
        assert_eq!(second.open_handle(&handle), Ok(RECEIPT));
        let mode = fs::metadata(directory.path().join("receipt.key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn garbage_and_every_changed_digit_are_refused() {
        let receipts = Receipts::ephemeral().expect("a key");
        let handle = receipts.seal(RECEIPT);
        for garbage in ["", "garbage", &handle[1..], &format!("{handle}00"), &handle.to_uppercase()] {
            assert_eq!(receipts.open_handle(garbage), Err(GarbageHandle(garbage.chars().take(100).collect())));
        }
        for place in 0..handle.len() {
            let mut changed = handle.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).expect("still text");
            assert!(receipts.open_handle(&changed).is_err(), "digit {place}");
        }
        let other = Receipts::ephemeral().expect("a key");
        assert!(other.open_handle(&handle).is_err(), "another broker's handle");
    }

    #[test]
    fn any_text_is_refused_or_is_the_handle_of_the_receipt_that_it_opens() {
        let receipts = Receipts::from_key([7; 32]);
        for mut chance in lockstep_fuzz::tries(20_000) {
            let mut sealed = || {
                let numbers = [(); 3].map(|()| chance.u64(..) >> chance.u32(..64));
                let [generation, sequence, epoch] = numbers;
                let sequence = SequenceNumber(sequence);
                Receipt { generation: QueueGeneration(generation), sequence, epoch: Epoch(epoch) }
            };
            let sealed = [sealed(), sealed()];
            let handles = sealed.map(|receipt| receipts.seal(receipt));
            assert_eq!(receipts.open_handle(&handles[0]), Ok(sealed[0]));
            let text = lockstep_fuzz::changed_text(&mut chance, &handles);
            if let Ok(opened) = receipts.open_handle(&text) {
                assert!(sealed.contains(&opened) && receipts.seal(opened) == text, "{text} opened as {opened:?}");
            }
        }
    }

    #[test]
    fn a_cut_key_file_is_refused_with_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("receipt.key"), [1; 5]).expect("written");
        let error = Receipts::open(directory.path()).expect_err("5 bytes are no key").to_string();
        assert!(error.contains("receipt.key") && error.contains("5 bytes"), "{error}");
    }
}
