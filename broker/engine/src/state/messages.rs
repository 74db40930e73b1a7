//! The messages of a queue by their numbers. Numbers rise and are used once, so the messages lie in pages of 64
//! neighbouring numbers, each with a bit for every message that is there: a number is found without comparing, appending
//! moves nothing, and a page takes no more than its messages do.

use std::{
    collections::BTreeMap,
    ops::{Index, RangeFrom},
};

use super::message::Message;
use crate::words::SequenceNumber;

/// Numbers of a page: as many as a word has bits.
const PAGE: u64 = 64;
/// Pages of a book.
const BOOK: usize = 16;

/// Messages by their sequence numbers, in their order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Messages {
    /// Books of pages by their place; none is empty.
    books: BTreeMap<u64, Book>,
    len: usize,
}

/// Neighbouring pages.
#[derive(Debug, PartialEq)]
struct Book {
    pages: Box<[Page]>,
    len: usize,
}

/// Neighbouring numbers: which are there, and their messages in order.
#[derive(Debug, Default, PartialEq)]
struct Page {
    there: u64,
    messages: Vec<Message>,
}

impl Default for Book {
    fn default() -> Self {
        let mut pages = Vec::new();
        pages.resize_with(BOOK, Page::default);
        Self { pages: pages.into(), len: 0 }
    }
}

/// The place of a number: its book, its page there, its bit there.
fn place(SequenceNumber(number): SequenceNumber) -> (u64, usize, u64) {
    let page = number / PAGE;
    let (book, within) = (page / BOOK as u64, page % BOOK as u64);
    (book, usize::try_from(within).expect("fewer than a book has"), number % PAGE)
}

impl Page {
    /// How many of its messages come before a bit.
    fn before(&self, bit: u64) -> usize {
        (self.there & ((1 << bit) - 1)).count_ones() as usize
    }

    fn index(&self, bit: u64) -> Option<usize> {
        (self.there >> bit & 1 == 1).then(|| self.before(bit))
    }

    /// Its messages from a bit on; `first` is the number of its first bit.
    fn from(&self, bit: u64, first: u64) -> impl Iterator<Item = (SequenceNumber, &Message)> {
        // From one that is there to the next: of a page that is drained from its front nearly all are gone.
        let mut left = self.there >> bit << bit;
        let numbers = std::iter::from_fn(move || {
            let next = (left != 0).then(|| SequenceNumber(first + u64::from(left.trailing_zeros())));
            left &= left.wrapping_sub(1);
            next
        });
        numbers.zip(self.messages.get(self.before(bit)..).unwrap_or_default())
    }
}

impl Messages {
    pub(crate) fn get(&self, sequence: SequenceNumber) -> Option<&Message> {
        let (book, page, bit) = place(sequence);
        let page = &self.books.get(&book)?.pages[page];
        page.index(bit).map(|index| &page.messages[index])
    }

    pub(crate) fn get_mut(&mut self, sequence: SequenceNumber) -> Option<&mut Message> {
        let (book, page, bit) = place(sequence);
        let page = &mut self.books.get_mut(&book)?.pages[page];
        page.index(bit).map(|index| &mut page.messages[index])
    }

    /// Adds a message, in place of the one that had this number.
    pub(crate) fn insert(&mut self, sequence: SequenceNumber, message: Message) {
        let (book, page, bit) = place(sequence);
        let book = self.books.entry(book).or_default();
        let page = &mut book.pages[page];
        match page.index(bit) {
            Some(index) => page.messages[index] = message,
            None => {
                page.messages.insert(page.before(bit), message);
                page.there |= 1 << bit;
                book.len += 1;
                self.len += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, sequence: SequenceNumber) -> Option<Message> {
        let (number, page, bit) = place(sequence);
        let book = self.books.get_mut(&number)?;
        let page = &mut book.pages[page];
        let message = page.messages.remove(page.index(bit)?);
        page.there &= !(1 << bit);
        if page.messages.len() * 4 <= page.messages.capacity() {
            page.messages.shrink_to_fit();
        }
        book.len -= 1;
        self.len -= 1;
        if book.len == 0 {
            self.books.remove(&number);
        }
        Some(message)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// In the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SequenceNumber, &Message)> {
        self.range(SequenceNumber(0)..)
    }

    /// Those from a number on.
    pub(crate) fn range(&self, from: RangeFrom<SequenceNumber>) -> impl Iterator<Item = (SequenceNumber, &Message)> {
        let SequenceNumber(from) = from.start;
        let (book, ..) = place(SequenceNumber(from));
        let books = self.books.range(book..);
        let pages = books.flat_map(|(book, contents)| (book * BOOK as u64..).zip(&contents.pages));
        pages.filter(move |(page, _)| *page >= from / PAGE).flat_map(move |(page, contents)| {
            let first = page * PAGE;
            contents.from(from.saturating_sub(first), first)
        })
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Message> {
        self.iter().map(|(_, message)| message)
    }

    /// The first message.
    pub(crate) fn first(&self) -> Option<(SequenceNumber, &Message)> {
        self.iter().next()
    }

    /// The highest number.
    pub(crate) fn last(&self) -> Option<SequenceNumber> {
        let (book, contents) = self.books.last_key_value()?;
        let (page, contents) =
            (0..BOOK as u64).rev().zip(contents.pages.iter().rev()).find(|(_, page)| page.there != 0)?;
        let bit = u64::from(contents.there.ilog2());
        Some(SequenceNumber((book * BOOK as u64 + page) * PAGE + bit))
    }
}

impl Index<SequenceNumber> for Messages {
    type Output = Message;

    /// A message that is known to be there.
    fn index(&self, sequence: SequenceNumber) -> &Message {
        self.get(sequence).expect("the message is there")
    }
}
