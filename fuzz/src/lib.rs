//! For tests alone: bytes that nobody of ours wrote, from a seed. Whoever reads bytes, text or requests of others tests
//! itself with these tries, beside its own source; what must hold is said there, never here.
//!
//! A try has its number as its seed: `LOCKSTEP_FUZZ_SEED` is the first (1), `LOCKSTEP_FUZZ_COUNT` how many (each test has
//! its own default, of a second or less). A try that fails names the two that repeat it.

mod fields;

use std::ops::{Deref, DerefMut, Range};

use fastrand::Rng;

pub use self::fields::changed_fields;

/// One try, which is its own source of chance.
#[derive(Debug)]
pub struct Try {
    seed: u64,
    rng: Rng,
}

impl Deref for Try {
    type Target = Rng;

    fn deref(&self) -> &Rng {
        &self.rng
    }
}

impl DerefMut for Try {
    fn deref_mut(&mut self) -> &mut Rng {
        &mut self.rng
    }
}

impl Drop for Try {
    #[expect(clippy::print_stderr, reason = "a test that failed says here how to repeat it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was LOCKSTEP_FUZZ_SEED={} LOCKSTEP_FUZZ_COUNT=1", self.seed);
        }
    }
}

/// So many tries, or as many as the environment says.
///
/// # Panics
/// A variable of the environment is no number.
pub fn tries(default: u64) -> impl Iterator<Item = Try> {
    let first = setting("LOCKSTEP_FUZZ_SEED", 1);
    let seeds: Range<u64> = first..first.saturating_add(setting("LOCKSTEP_FUZZ_COUNT", default));
    seeds.map(|seed| Try { seed, rng: Rng::with_seed(seed) })
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// One of them.
///
/// # Panics
/// There is none.
pub fn one<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

/// One of the valid encodings, spoilt in one to four places: flipped bits, other bytes, cuts, repeats, pieces of another
/// valid encoding, numbers that are lies as lengths. Now and then nothing of it is left but chance. It may come out
/// unchanged.
///
/// # Panics
/// There is none.
pub fn changed<T: AsRef<[u8]>>(rng: &mut Rng, valid: &[T]) -> Vec<u8> {
    if rng.u8(..) < 5 {
        return (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
    }
    let mut bytes = one(rng, valid).as_ref().to_vec();
    for _ in 0..rng.usize(1..5) {
        let other = one(rng, valid).as_ref();
        change(rng, &mut bytes, other);
    }
    bytes
}

/// As [`changed`], for what is read as text.
///
/// # Panics
/// There is none.
pub fn changed_text<T: AsRef<[u8]>>(rng: &mut Rng, valid: &[T]) -> String {
    String::from_utf8_lossy(&changed(rng, valid)).into_owned()
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let place = rng.usize(..=bytes.len());
    match rng.u8(..9) {
        0 if place < bytes.len() => bytes[place] ^= 1 << rng.u32(..8),
        1 if place < bytes.len() => bytes[place] = rng.u8(..),
        2 => bytes.truncate(place),
        3 => bytes.insert(place, rng.u8(..)),
        4 => drop(bytes.drain(part(rng, place, bytes.len()))),
        5 => {
            let again = bytes[part(rng, place, bytes.len())].to_vec();
            drop(bytes.splice(place..place, again));
        }
        6 => {
            let from = rng.usize(..=other.len());
            let piece = part(rng, from, other.len());
            let over = if rng.bool() { part(rng, place, bytes.len()) } else { place..place };
            drop(bytes.splice(over, other[piece].iter().copied()));
        }
        7 => {
            let from = rng.usize(..=other.len());
            drop(bytes.splice(place.., other[from..].iter().copied()));
        }
        _ => {
            let lie = lie(rng);
            let over = place..(place + lie.len()).min(bytes.len());
            drop(bytes.splice(over, lie));
        }
    }
}

/// Some bytes from `place` on, most often few.
fn part(rng: &mut Rng, place: usize, end: usize) -> Range<usize> {
    let most = if rng.u8(..4) == 0 { end } else { end.min(place + 16) };
    place..rng.usize(place..=most)
}

/// A number at an edge, in one of the ways that numbers are written: fixed, as a varint or in digits.
fn lie(rng: &mut Rng) -> Vec<u8> {
    let number = edge(rng);
    let [wide, narrow] = [8, 4];
    match rng.u8(..4) {
        0 => number.to_be_bytes()[wide - narrow..].to_vec(),
        1 => number.to_be_bytes().to_vec(),
        2 => number.to_string().into_bytes(),
        _ => {
            let mut bytes = Vec::new();
            fields::put(number, &mut bytes);
            bytes
        }
    }
}

/// A number where something ends.
pub(crate) fn edge(rng: &mut Rng) -> u64 {
    const EDGES: [u64; 9] =
        [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];
    *one(rng, &EDGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_bytes_and_most_are_changed() {
        let valid = ["a valid encoding", "another one"];
        let made = || -> Vec<_> { (0..1_000).map(|seed| changed(&mut Rng::with_seed(seed), &valid)).collect() };
        let bytes = made();
        assert_eq!(bytes, made());
        let unchanged = bytes.iter().filter(|bytes| valid.iter().any(|valid| valid.as_bytes() == **bytes)).count();
        assert!(unchanged < 200, "{unchanged} of 1000 are unchanged");
    }
}
