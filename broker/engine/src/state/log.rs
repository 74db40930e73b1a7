//! A line that grows at its end and is consumed at its front, in pieces of a fixed size: it never moves what it holds, so
//! that no append waits for a copy of a large one, and gives its memory back as it shrinks.

use std::collections::VecDeque;

/// How many entries a piece holds.
const PIECE: usize = 512;

/// Entries in the order in which they were appended, each known by a number that never changes.
#[derive(Debug)]
pub(super) struct Log<T> {
    /// All full but the last; none is empty.
    pieces: VecDeque<Vec<T>>,
    /// How many of the first piece are consumed.
    consumed: usize,
    /// The number of the first entry.
    first: u64,
    len: usize,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), consumed: 0, first: 0, len: 0 }
    }
}

impl<T: PartialEq> PartialEq for Log<T> {
    /// By what it holds; how much was consumed before does not count.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T> Log<T> {
    /// Appends an entry; its number.
    pub(super) fn push(&mut self, entry: T) -> u64 {
        match self.pieces.back_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            Some(_) | None => {
                // The first piece grows as it must: most lines are short.
                let mut piece = if self.pieces.is_empty() { Vec::new() } else { Vec::with_capacity(PIECE) };
                piece.push(entry);
                self.pieces.push_back(piece);
            }
        }
        self.len += 1;
        self.first + self.len as u64 - 1
    }

    /// The first entry with its number.
    pub(super) fn front(&self) -> Option<(u64, &T)> {
        Some((self.first, self.pieces.front()?.get(self.consumed)?))
    }

    /// Consumes the first entry.
    pub(super) fn pop(&mut self) {
        if self.len == 0 {
            return;
        }
        self.first += 1;
        self.len -= 1;
        self.consumed += 1;
        if self.len == 0 || self.consumed == PIECE {
            self.pieces.pop_front();
            self.consumed = 0;
        }
    }

    /// The entry of a number.
    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let index = index + self.consumed;
        self.pieces.get(index / PIECE)?.get(index % PIECE)
    }

    /// The number of the first entry.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten().skip(self.consumed)
    }
}
